import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dataset_helpers import file_hashes, image_ids, licence_in, load
from PIL import Image

from datasets_scripts.__main__ import main
from datasets_scripts.schema import features

# Ten studies of five patients; study 5000000N has findings FINDINGS[N] and an image a view.
SUBJECTS = ("10000032", "10000032", "11000001", "11000001", "12000002", "12000002", "12000002", "12000002", "19", "19")
SUBJECTS = tuple(subject.ljust(8, "0") for subject in SUBJECTS)
SPLITS = ("train", "train", "validate", "validate", "train", "train", "train", "train", "test", "test")
VIEWS = ("PA", "LATERAL", "AP", "LL", "AP", "PA", "", "AP", "PA", "AP")
STUDIES = range(10)
LABELS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


def study_id(number: int) -> str:
    return f"{50_000_000 + number}"


def dicom_id(number: int) -> str:
    return f"{number:08x}-02aa804e-bde0afdd-112c0b34-7bc16630"


def findings(number: int) -> str:
    return f"Heart size is normal.\n {number} nodules, unchanged since ___. No pleural effusion."


def write_table(path: Path, header: str, rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def sectioned(root: Path, rows: Sequence[Sequence[str]] | None = None) -> None:
    if rows is None:
        rows = [(f"s{study_id(number)}", "No change.", findings(number), "", "___") for number in STUDIES]
    write_table(root / "mimic_cxr_sectioned.csv", "study,impression,findings,last_paragraph,comparison", rows)


def report_text(number: int) -> str:
    return (
        f"                                 FINAL REPORT\n INDICATION:  ___F with cough.\n \n FINDINGS: \n \n"
        f" {findings(number)}\n \n IMPRESSION: \n \n No change.\n"
    )


def text_path(number: int) -> str:
    subject = SUBJECTS[number]
    return f"files/p{subject[:2]}/p{subject}/s{study_id(number)}.txt"


def write_texts(root: Path) -> None:
    for number in STUDIES:
        path = root / text_path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report_text(number))


def image_path(root: Path, number: int) -> Path:
    return root / text_path(number).removesuffix(".txt") / f"{dicom_id(number)}.jpg"


def split_rows() -> list[tuple[str, str, str, str]]:
    return [(dicom_id(number), study_id(number), SUBJECTS[number], SPLITS[number]) for number in STUDIES]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of MIMIC-CXR-JPG, without reports."""
    folder = tmp_path / "mimic"
    for number in STUDIES:
        path = image_path(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (60, 40), 10 * number).save(path)
    write_table(folder / "mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", split_rows())
    return folder


@pytest.fixture
def with_reports(root: Path) -> Path:
    sectioned(root)
    return root


def build(root: Path, *more: str, out: str = "out") -> Path:
    folder = root.parent / out
    where = ["--source", str(root), "--out", str(folder), "--image_size", "32"]
    assert main(["build", "mimic_cxr", *where, *more]) == 0
    return folder


def error_of(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    out = root.parent / "out"
    assert main(["build", "mimic_cxr", "--source", str(root), "--out", str(out), *more]) == 2
    assert not out.exists()
    return capsys.readouterr().err.splitlines()[-1]


def card(out: Path) -> str:
    return (out / "README.md").read_text()


def row_of(out: Path, number: int) -> dict[str, Any]:
    return next(row for rows in load(out).values() for row in rows if row["image_id"] == dicom_id(number))


@pytest.mark.parametrize("form", ["sectioned", "folder", "archive"])
def test_reading_reports_and_looking_for_images_shows_bars(
    root: Path, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "sectioned":
        sectioned(root)
    elif form == "folder":
        write_texts(root)
    else:
        with zipfile.ZipFile(root / "mimic-cxr-reports.zip", "w") as archive:
            for number in STUDIES:
                archive.writestr(text_path(number), report_text(number))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    build(root)

    shown = capsys.readouterr().err
    bars = ("read reports", "check train", "check validation", "check test", "count sections")
    assert [bar for bar in bars if f"{bar}: " not in shown] == []


def test_every_image_with_a_report_is_a_row_of_its_own_split(with_reports: Path) -> None:
    dataset = load(build(with_reports))

    assert image_ids(dataset) == {
        "train": [dicom_id(number) for number in (0, 1, 4, 5, 6, 7)],
        "validation": [dicom_id(number) for number in (2, 3)],
        "test": [dicom_id(number) for number in (8, 9)],
    }
    assert all(rows.features == features() for rows in dataset.values())


def test_a_row_has_findings_as_written_and_its_blanks_leave_no_trace_in_the_report(with_reports: Path) -> None:
    row = row_of(build(with_reports), 4)

    assert row["study_id"] == "s50000004"
    assert row["findings"] == findings(4)
    assert row["report"] == "heart size is normal 4 nodules unchanged since no pleural effusion"
    assert row["impression"] == "No change."
    assert row["synthetic"] is False
    assert row["image"].size == (48, 32)


def test_reports_have_counterfactuals(with_reports: Path) -> None:
    edits = row_of(build(with_reports), 4)["counterfactual"]

    assert any(edit is not None and edit["text"] for edit in edits.values())


def test_raw_texts_give_the_same_rows_as_the_sectioned_file(root: Path) -> None:
    write_texts(root)
    raw = load(build(root, out="raw"))
    sectioned(root)

    assert {split: rows[:] for split, rows in raw.items()} == {
        split: rows[:] for split, rows in load(build(root, out="cut")).items()
    }


def test_the_card_has_one_hash_of_all_texts_that_were_read(root: Path) -> None:
    write_texts(root)
    first = card(build(root, out="first"))
    (root / text_path(0)).write_text(report_text(0).replace("No change", "Some change"))

    second = card(build(root, out="second"))

    hashes = [text.split("input `the texts of the reports`: SHA-256 ")[1] for text in (first, second)]
    assert hashes[0] != hashes[1]


def test_texts_in_another_folder_and_in_an_archive_are_read_alike(root: Path) -> None:
    texts = root.parent / "texts"
    write_texts(texts)
    with zipfile.ZipFile(root.parent / "reports.zip", "w") as archive:
        for number in STUDIES:
            archive.writestr(text_path(number), report_text(number))

    folder = load(build(root, "--reports", str(texts), out="folder"))
    inner = load(build(root, "--reports", str(texts / "files"), out="inner"))
    archived = load(build(root, "--reports", str(root.parent / "reports.zip"), out="archived"))

    assert folder["train"]["report"][:] == inner["train"]["report"][:] == archived["train"]["report"][:]
    assert len(archived["train"]) == 6


def test_a_report_is_findings_else_impression_else_the_last_paragraph(root: Path) -> None:
    others = [(f"s{study_id(number)}", "", findings(number), "", "") for number in range(3, 10)]
    first = [
        (f"s{study_id(0)}", "Impression zero.", "Findings zero.", "", ""),
        (f"s{study_id(1)}", "Impression one.", "___", "", ""),
        (f"s{study_id(2)}", "", "", "Paragraph two.", ""),
    ]
    sectioned(root, [*first, *others])

    out = build(root)

    assert [row_of(out, number)["findings"] for number in range(3)] == [
        "Findings zero.",
        "Impression one.",
        "Paragraph two.",
    ]
    assert "`findings` for 8 pairs, `impression` for 1 pairs, `last_paragraph` for 1 pairs" in card(out)


def test_only_the_sections_that_are_asked_for_make_reports(root: Path) -> None:
    rows = [(f"s{study_id(number)}", f"Impression {number}.", "", "", "") for number in STUDIES]
    rows[0] = (rows[0][0], "Impression 0.", findings(0), "", "")
    sectioned(root, rows)

    out = build(root, "--sections", "findings")

    assert image_ids(load(out)) == {"train": [dicom_id(0)]}
    assert "| its report has no text in the sections that were asked for | 9 |" in card(out)


def test_frontal_views_by_option(with_reports: Path) -> None:
    rows = [(dicom_id(number), VIEWS[number]) for number in STUDIES]
    write_table(with_reports / "mimic-cxr-2.0.0-metadata.csv", "dicom_id,ViewPosition", rows)

    out = build(with_reports, "--views", "frontal")

    assert sum(len(rows) for rows in load(out).values()) == 7
    assert "| view is not AP or PA | 3 |" in card(out)
    assert "input `mimic-cxr-2.0.0-metadata.csv`" in card(out)


def test_frontal_views_need_the_metadata(with_reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "mimic-cxr-2.0.0-metadata.csv" in error_of(with_reports, capsys, "--views", "frontal")


def test_labels_come_with_their_file_uncertain_as_minus_1_and_blank_as_null(with_reports: Path) -> None:
    values = [""] * 14
    values[0], values[2], values[9] = "1.0", "-1.0", "0.0"
    rows = [(SUBJECTS[0], study_id(0), *values)]
    write_table(with_reports / "mimic-cxr-2.0.0-chexpert.csv.gz", f"subject_id,study_id,{LABELS}", rows)

    out = build(with_reports)

    labels = {name: value for name, value in row_of(out, 0)["labels"].items() if value is not None}
    assert labels == {"Atelectasis": 1.0, "Consolidation": -1.0, "Pleural Effusion": 0.0}
    assert set(row_of(out, 1)["labels"].values()) == {None}


def test_what_is_missing_is_counted_under_its_reason_and_the_first_is_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(f"s{study_id(number)}", "", findings(number), "", "") for number in range(1, 9)]
    sectioned(root, [*rows, (f"s{study_id(9)}", "___", " ", "", "")])
    image_path(root, 1).unlink()
    image_path(root, 2).write_bytes(b"no image")

    out = build(root)

    assert sum(len(rows) for rows in load(out).values()) == 6
    assert "| no report of its study | 1 |" in card(out)
    assert "| its report has no text in the sections that were asked for | 1 |" in card(out)
    assert "| image not found | 1 |" in card(out)
    assert "| image unreadable | 1 |" in card(out)
    assert f"image not found: {image_path(root, 1)} is the first" in caplog.text
    assert f"no report of its study: {image_path(root, 0)} is the first" in caplog.text


def test_the_card_names_licence_inputs_and_command_and_no_folder_of_the_machine(with_reports: Path) -> None:
    out = build(with_reports, "--reports", str(with_reports / "mimic_cxr_sectioned.csv"))

    text = card(out)
    link = "https://physionet.org/content/mimic-cxr-jpg/view-license/2.0.0/"
    assert licence_in(out) == ("other", "physionet-credentialed-health-data-license-1.5.0", link)
    assert "PhysioNet Credentialed Health Data License 1.5.0" in text
    assert "input `mimic-cxr-2.0.0-split.csv.gz`: SHA-256" in text
    assert "input `mimic_cxr_sectioned.csv`: SHA-256" in text
    assert "build mimic_cxr --source mimic --reports mimic_cxr_sectioned.csv --out DIR" in text
    assert str(with_reports.parent) not in text


def test_two_builds_give_the_same_bytes(with_reports: Path) -> None:
    first, second = build(with_reports, out="first"), build(with_reports, "--num_proc", "2", out="second")

    assert file_hashes(first) == file_hashes(second)


def test_no_report_at_all_names_what_to_give(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give mimic_cxr_sectioned.csv, mimic-cxr-reports.zip or the folder" in error_of(root, capsys)


def test_a_missing_split_file_is_named(with_reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (with_reports / "mimic-cxr-2.0.0-split.csv.gz").unlink()

    assert "neither mimic-cxr-2.0.0-split.csv nor" in error_of(with_reports, capsys)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((dicom_id(99), study_id(99), "19000000", "dev"), "split is 'dev'"),
        ((dicom_id(99), study_id(99), "19000000", "train"), "patient 19000000 is in train here and in test above"),
        ((dicom_id(0), study_id(0), SUBJECTS[0], "train"), "stands a second time"),
        ((dicom_id(99), "s5", "19000000", "test"), "study_id is 's5'"),
        (("../x", study_id(99), "19000000", "test"), "dicom_id is '../x'"),
        ((dicom_id(99), study_id(99)), "has 2 fields"),
    ],
)
def test_a_bad_row_of_the_split_file_is_named_by_line(
    with_reports: Path, capsys: pytest.CaptureFixture[str], row: tuple[str, ...], said: str
) -> None:
    path = with_reports / "mimic-cxr-2.0.0-split.csv.gz"
    write_table(path, "dicom_id,study_id,subject_id,split", [*split_rows(), row])

    error = error_of(with_reports, capsys)

    assert "split.csv.gz:12" in error
    assert said in error


def test_a_study_that_is_sectioned_twice_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = (f"s{study_id(0)}", "", "Several\nlines.", "", "")
    sectioned(root, [row, row])

    assert "mimic_cxr_sectioned.csv:4" in error_of(root, capsys)


def test_a_report_longer_than_csv_s_own_limit_is_read(root: Path) -> None:
    long = "The lungs are clear. " * 7000
    sectioned(root, [(f"s{study_id(0)}", "", long, "", "")])

    assert len(row_of(build(root), 0)["report"].split()) == 28_000


@pytest.mark.parametrize("content", [b"no archive", b"PK\x03\x04"])
def test_a_damaged_archive_is_named(root: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (root / "mimic-cxr-reports.zip").write_bytes(content)

    assert "mimic-cxr-reports.zip is damaged" in error_of(root, capsys)


def test_a_text_that_is_not_utf_8_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(root)
    (root / text_path(3)).write_bytes(b" FINDINGS: \xff\n")

    assert f"s{study_id(3)}.txt is no UTF-8 text" in error_of(root, capsys)


def test_a_report_source_that_is_not_there_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.csv does not exist" in error_of(root, capsys, "--reports", "nowhere.csv")
