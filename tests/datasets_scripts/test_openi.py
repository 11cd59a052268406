import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import file_hashes, image_ids, load
from openi_helpers import image_id, openi_xml, write_archive, write_folder
from PIL import Image

from datasets_scripts.__main__ import main
from datasets_scripts.openi import split_reports
from datasets_scripts.openi_card import describe
from datasets_scripts.openi_images import draw_stand_in, image_id_of_file
from datasets_scripts.openi_reports import OpenIReport, read_reports
from datasets_scripts.perturbations import normalize_report
from datasets_scripts.schema import features

# 28 studies with two images each make round(56 * 469 / 6473) = 4 validation pairs.
FILES = {
    **{f"{number}.xml": openi_xml(number, f"The lungs are clear. {number} granulomas.") for number in range(1, 28)},
    "28.xml": openi_xml(28, "Small left effusion.", "Effusion.", ["Pleural Effusion/left/small"]),
    "29.xml": openi_xml(29, findings=None),
    "30.xml": openi_xml(30, findings="  ", views=1),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("openi") / "reports.tgz", FILES)


@pytest.fixture(scope="module")
def drawn(archive: Path) -> Path:
    out = archive.parent / "drawn"
    assert build(archive, "phantom", out) == 0
    return out


def build(archive: Path, images: Path | str, out: Path, *more: str) -> int:
    where = ["--reports", str(archive), "--images", str(images), "--out", str(out)]
    return main(["build", "openi", *where, "--image_size", "32", *more])


def save_image(path: Path, value: int = 100, size: tuple[int, int] = (60, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)


def report(number: int, views: int, findings: str = "Clear.") -> OpenIReport:
    views_of_study = tuple(image_id(number, view) for view in range(1, views + 1))
    return OpenIReport(f"CXR{number}", findings, "", ("normal",), views_of_study)


def pairs(reports: list[OpenIReport]) -> int:
    return sum(len(report.image_ids) for report in reports)


def test_editing_reports_shows_bars(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert build(archive, "phantom", tmp_path / "out") == 0

    bars = capsys.readouterr().err
    assert all(f"{bar}: " in bars for bar in ("edit train", "edit validation"))


def test_the_command_in_the_card_has_names_without_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "corpus", FILES)
    monkeypatch.chdir(folder)
    args = Namespace(
        reports=Path("."), images=".", seed=0, spacy_model=str(tmp_path / "tagger/"), projections=None, views="all"
    )

    info = describe(args, [], {}, image_size=32)

    assert info.command == (
        "python -m datasets_scripts build openi --reports corpus --images corpus --out DIR --seed 0"
        " --spacy_model tagger --image_size 32"
    )
    assert list(info.inputs) == ["corpus"]


@pytest.mark.parametrize("name", ["CXR1000_IM-0003-1001.png", "1000_IM-0003-1001.dcm.png", "1000_IM-0003-1001.png"])
def test_file_names_of_the_nlm_and_of_kaggle_give_the_id(name: str) -> None:
    assert image_id_of_file(name) == "CXR1000_IM-0003-1001"


def test_the_first_study_s_number_stands_twice_in_the_ids_of_the_nlm() -> None:
    assert image_id_of_file("1_IM-0001-3001.dcm.png") == image_id_of_file("CXR1_1_IM-0001-3001.png")
    assert image_id_of_file("1_IM-0001-3001.dcm.png") == "CXR1_1_IM-0001-3001"


def test_every_image_of_a_report_with_findings_is_a_row(drawn: Path) -> None:
    dataset = load(drawn)

    ids = [row for rows in image_ids(dataset).values() for row in rows]
    assert sorted(ids) == sorted(image_id(number, view) for number in range(1, 29) for view in (1, 2))
    assert all(split.features == features() for split in dataset.values())


def test_validation_has_the_paper_s_share_and_no_study_is_in_two_splits(drawn: Path) -> None:
    dataset = load(drawn)

    assert {name: len(rows) for name, rows in dataset.items()} == {"train": 52, "validation": 4}
    assert not set(dataset["train"]["study_id"]) & set(dataset["validation"]["study_id"])


def test_a_row_has_the_report_as_written_and_normalised_and_its_labels(drawn: Path) -> None:
    rows = [row for split in load(drawn).values() for row in split if row["study_id"] == "CXR28"]

    assert len(rows) == 2
    for row in rows:
        assert (row["findings"], row["impression"]) == ("Small left effusion.", "Effusion.")
        assert row["report"] == "small left effusion"
        assert {name: value for name, value in row["labels"].items() if value is not None} == {
            "No Finding": 0.0,
            "Pleural Effusion": 1.0,
        }
        edits = {kind: edit["text"] for kind, edit in row["counterfactual"].items() if edit is not None}
        assert edits.pop("finding") in {
            f"small left {name}" for name in ("pneumothorax", "pleural plaque", "pleural mass")
        }
        assert edits == {
            "negation": "no effusion",
            "laterality": "small right effusion",
            "severity": "large left effusion",
        }
        assert row["boxes"] == []


def test_drawn_images_are_called_synthetic_in_every_row_and_at_the_top_of_the_card(drawn: Path) -> None:
    card = (drawn / "README.md").read_text()

    assert all(value for split in load(drawn).values() for value in split["synthetic"])
    assert card.index("**The images are synthetic") < card.index("## Splits")
    assert "drawn" in card.splitlines()[1]
    assert "A finding of both sides is drawn on one." in card


def test_the_card_counts_what_was_left_out_and_names_licence_and_input(drawn: Path, archive: Path) -> None:
    card = (drawn / "README.md").read_text()

    assert "| the report has no findings | 3 |" in card
    assert "30 reports with 59 images. 28 reports have findings" in card
    assert "license: cc-by-nc-nd-4.0" in card
    assert f"input `{archive.name}`" in card
    assert str(archive.parent) not in card


def test_the_same_build_elsewhere_gives_the_same_bytes(drawn: Path, archive: Path, tmp_path: Path) -> None:
    assert build(archive, "phantom", tmp_path / "elsewhere") == 0

    assert file_hashes(tmp_path / "elsewhere") == file_hashes(drawn)


def test_two_stand_ins_of_a_study_differ_in_pose_and_share_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []

    def record_state(state: object, image_size: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, object]]:
        states.append(state)
        return rng.integers(0, 255, (image_size, image_size), np.uint8), {}

    monkeypatch.setattr("datasets_scripts.openi_images.draw", record_state)
    study = OpenIReport("CXR1", "A nodule.", "", ("Nodule/lung",), (image_id(1, 1), image_id(1, 2)))
    first, second = (np.asarray(draw_stand_in(study, view, seed=0, image_size=32)) for view in study.image_ids)

    assert states[0] == states[1]
    assert not np.array_equal(first, second)


def test_stand_ins_do_not_depend_on_the_default_generator_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    study = OpenIReport("CXR1", "A nodule.", "", ("Nodule/lung",), (image_id(1, 1),))
    stand_in = draw_stand_in(study, image_id(1, 1), seed=0, image_size=32)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: np.random.Generator(np.random.Philox(seed)))

    assert draw_stand_in(study, image_id(1, 1), seed=0, image_size=32) == stand_in


@pytest.mark.parametrize("kaggle", [False, True])
def test_images_at_hand_are_stored_and_the_others_counted(
    archive: Path, tmp_path: Path, kaggle: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for view in (1, 2):
        name = f"{image_id(7, view).removeprefix('CXR')}.dcm.png" if kaggle else f"{image_id(7, view)}.png"
        save_image(tmp_path / "images/part" / name, value=view * 50)

    assert build(archive, tmp_path / "images", tmp_path / "out") == 0

    (split,) = load(tmp_path / "out").values()
    assert {row["image_id"]: row["image"].getpixel((3, 3)) for row in split} == {
        image_id(7, 1): 50,
        image_id(7, 2): 100,
    }
    assert {(row["synthetic"], row["image"].mode, row["image"].size) for row in split} == {(False, "L", (48, 32))}
    assert "left out: 54 (image not found)" in capsys.readouterr().out


def write_projections(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [f"{name.split('_')[0]},{name},{view}" for name, view in rows]
    path.write_text("\n".join(["uid,filename,projection", *lines]) + "\n")
    return path


def test_of_the_images_only_the_frontal_ones_are_taken_where_asked(archive: Path, tmp_path: Path) -> None:
    for number, view in ((7, 1), (7, 2), (8, 1), (8, 2)):
        save_image(tmp_path / "images" / f"{image_id(number, view)}.png")
    views = [(7, 1, "Frontal"), (7, 2, "Lateral"), (8, 2, "Frontal")]
    rows = [(f"{image_id(number, view).removeprefix('CXR')}.dcm.png", name) for number, view, name in views]
    csv = write_projections(tmp_path / "indiana_projections.csv", rows)
    asked = ["--projections", str(csv), "--views", "frontal"]

    assert build(archive, tmp_path / "images", tmp_path / "out", *asked) == 0
    assert build(archive, tmp_path / "images", tmp_path / "both", *asked[:2]) == 0

    taken = [row for rows in image_ids(load(tmp_path / "out")).values() for row in rows]
    assert sorted(taken) == [image_id(7, 1), image_id(8, 2)]
    card = (tmp_path / "out/README.md").read_text()
    assert "| not frontal, or not among the projections | 54 |" in card
    assert "2 are frontal and 1 lateral by the projections, which do not name 53" in card
    assert "--projections indiana_projections.csv --views frontal" in card
    assert sum(map(len, image_ids(load(tmp_path / "both")).values())) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("7_IM-0007-1001.dcm.png", "Oblique"), "csv:2: projection is 'Oblique'; it is Frontal or Lateral"),
        (("7_IM-0007-1001.jpg", "Frontal"), "csv:2: filename is '7_IM-0007-1001.jpg'"),
    ],
)
def test_a_bad_projection_is_named_with_its_line(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: tuple[str, str], message: str
) -> None:
    csv = write_projections(tmp_path / "a.csv", [row])

    assert build(archive, "phantom", tmp_path / "out", "--projections", str(csv)) == 2

    assert message in capsys.readouterr().err


def test_frontal_views_need_the_projections(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(archive, "phantom", tmp_path / "out", "--views", "frontal") == 2

    assert "--views frontal needs --projections" in capsys.readouterr().err


def test_full_size_is_stored_on_request(archive: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "images" / f"{image_id(7, 1)}.png", size=(300, 500))

    assert build(archive, tmp_path / "images", tmp_path / "out", "--image_size", "0") == 0

    assert [row["image"].size for split in load(tmp_path / "out").values() for row in split] == [(300, 500)]


def test_a_partial_folder_gives_parts_of_the_same_splits(drawn: Path, archive: Path, tmp_path: Path) -> None:
    whole = image_ids(load(drawn))
    for name in (whole["validation"][0], whole["train"][0]):
        save_image(tmp_path / "images" / f"{name}.png")

    assert build(archive, tmp_path / "images", tmp_path / "out") == 0

    assert image_ids(load(tmp_path / "out")) == {"train": whole["train"][:1], "validation": whole["validation"][:1]}
    assert "The splits were made before images were looked up" in (tmp_path / "out/README.md").read_text()


def test_a_truncated_image_is_named_counted_and_left_out(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for view in (1, 2):
        save_image(tmp_path / "images" / f"{image_id(7, view)}.png")
    broken = tmp_path / "images" / f"{image_id(7, 2)}.png"
    broken.write_bytes(broken.read_bytes()[:60])

    assert build(archive, tmp_path / "images", tmp_path / "out") == 0

    assert [row for rows in image_ids(load(tmp_path / "out")).values() for row in rows] == [image_id(7, 1)]
    assert f"{broken} is truncated" in caplog.text
    assert "| image unreadable | 1 |" in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda archive, folder: (folder / "absent.tgz", "phantom"), "absent.tgz does not exist"),
        (lambda archive, folder: (archive, folder / "absent"), "absent is no folder"),
        (lambda archive, folder: (archive, folder), "no pair to write"),
        (lambda archive, folder: (archive, "phantom", "--image_size", "0"), "--image_size must be 32 to 2048 pixels"),
        (lambda archive, folder: (archive, "phantom", "--image_size", "16"), "--image_size must be 32 to 2048 pixels"),
        (lambda archive, folder: (archive, folder, "--image_size", "15"), "--image_size must be 16 to 8192 pixels"),
        (lambda archive, folder: (archive, "phantom", "--image_size", "1000000"), "must be 32 to 2048 pixels"),
        (lambda archive, folder: (archive, "phantom", "--spacy_model", "none_such"), "none_such"),
    ],
    ids=["no reports", "no folder", "no images", "zero", "too small to draw", "too small", "too large", "tagger"],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Callable[[Path, Path], tuple[Path, str | Path]],
    message: str,
) -> None:
    reports, images, *more = arguments(archive, tmp_path)

    assert build(reports, images, tmp_path / "out", *map(str, more)) == 2

    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_split_does_not_depend_on_the_order_of_reports_but_on_the_seed() -> None:
    reports = [report(number, views=1 + number % 3) for number in range(400)]

    splits = split_reports(reports, seed=0)
    backwards = split_reports(reports[::-1], seed=0)

    assert {one.study_id for one in backwards["validation"]} == {one.study_id for one in splits["validation"]}
    assert split_reports(reports, seed=1)["validation"] != splits["validation"]


def test_validation_is_filled_to_the_pair() -> None:
    reports = [report(number, views=(2, 2, 2, 3, 1)[number % 5]) for number in range(1000)]

    splits = split_reports(reports, seed=3)

    assert pairs(splits["validation"]) == round(2000 * 469 / 6473)
    assert pairs(splits["train"]) + pairs(splits["validation"]) == 2000


def test_reports_without_findings_are_in_no_split() -> None:
    splits = split_reports([report(1, 2, findings=""), report(2, 2, findings="--"), report(3, 2)], seed=0)

    assert [one.study_id for reports in splits.values() for one in reports] == ["CXR3"]


ARCHIVE = os.environ.get("PRD_OPENI_REPORTS")


@pytest.mark.skipif(ARCHIVE is None, reason="PRD_OPENI_REPORTS does not name the published NLMCXR_reports.tgz")
def test_the_published_archive_has_the_known_counts_and_splits() -> None:
    corpus = read_reports(Path(str(ARCHIVE)))
    usable = [report for report in corpus if normalize_report(report.findings)]
    splits = split_reports(corpus, seed=0)

    assert (len(corpus), pairs(corpus), len(usable), pairs(usable)) == (3955, 7470, 3425, 6473)
    assert len({report.findings for report in usable}) == 2633
    assert len({normalize_report(report.findings) for report in usable}) == 2624
    assert {name: pairs(reports) for name, reports in splits.items()} == {"train": 6004, "validation": 469}
    assert not {one.study_id for one in splits["train"]} & {one.study_id for one in splits["validation"]}
