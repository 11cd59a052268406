import gzip
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import file_hashes, image_ids, licence_in, load
from PIL import Image

from datasets_scripts.__main__ import main
from datasets_scripts.chexpert_card import KIND
from datasets_scripts.chexpert_images import CheXpertImage, draw_paper_split
from datasets_scripts.schema import CHEXPERT_LABELS

# As Stanford publishes it.
HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
TRAIN = (
    ("train/patient00001/study1/view1_frontal.jpg", {"No Finding": "1.0", "Support Devices": "1.0"}),
    ("train/patient00002/study1/view1_frontal.jpg", {"Consolidation": "-1.0", "Pleural Effusion": "1.0"}),
    ("train/patient00002/study1/view2_lateral.jpg", {"Consolidation": "-1.0", "Pleural Effusion": "1.0"}),
    ("train/patient00002/study2/view1_frontal.jpg", {"Consolidation": "0.0", "Edema": "-1.0"}),
)
VALID = (("valid/patient64541/study1/view1_frontal.jpg", dict.fromkeys(CHEXPERT_LABELS, "0.0")),)


def csv_row(path: str, labels: Mapping[str, str], root: str = "CheXpert-v1.0-small") -> str:
    view, direction = ("Frontal", "AP") if "frontal" in path else ("Lateral", "")
    values = ",".join(labels.get(label, "") for label in CHEXPERT_LABELS)
    return f"{root}/{path},Female,68,{view},{direction},{values}"


def write_csv(path: Path, *rows: str) -> None:
    path.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")


def write_image(path: Path, value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (60, 40), value).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "CheXpert-v1.0-small"
    for path, _ in (*TRAIN, *VALID):
        write_image(folder / path)
    write_csv(folder / "train.csv", *(csv_row(*row) for row in TRAIN))
    write_csv(folder / "valid.csv", *(csv_row(*row) for row in VALID))
    return folder


def build(source: Path, *more: str) -> Path:
    out = source.parent / "out"
    assert main(["build", "chexpert", "--source", str(source), "--out", str(out), *more]) == 0
    return out


def error_of(source: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    out = source.parent / "out"
    assert main(["build", "chexpert", "--source", str(source), "--out", str(out), *more]) == 2
    assert not out.exists()
    return capsys.readouterr().err.splitlines()[-1]


def test_reading_rows_and_looking_for_images_shows_bars(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    build(source)

    bars = capsys.readouterr().err
    assert all(f"{bar}: " in bars for bar in ("read train.csv", "read valid.csv", "check files"))


def labels_of(out: Path, image_id: str) -> dict[str, float | None]:
    return next(row["labels"] for row in load(out)["train"] if row["image_id"] == image_id)


def images(counts: Mapping[str, int]) -> list[CheXpertImage]:
    return [
        CheXpertImage(Path("x.jpg"), f"{patient}/{number}", patient, patient, True, {})
        for patient, count in counts.items()
        for number in range(count)
    ]


def test_train_and_valid_become_train_and_validation_frontal_views_only(source: Path) -> None:
    out = build(source)

    assert image_ids(load(out)) == {
        "train": [
            "patient00001/study1/view1_frontal",
            "patient00002/study1/view1_frontal",
            "patient00002/study2/view1_frontal",
        ],
        "validation": ["patient64541/study1/view1_frontal"],
    }
    assert "| lateral view | 1 |" in (out / "README.md").read_text()


def test_lateral_views_come_with_all_views(source: Path) -> None:
    assert "patient00002/study1/view2_lateral" in image_ids(load(build(source, "--views", "all")))["train"]


def test_the_columns_are_those_of_a_pairs_dataset_that_need_no_report(source: Path) -> None:
    rows = load(build(source))["train"]

    assert rows.features == KIND.features
    assert rows.column_names == ["image", "image_id", "study_id", "synthetic", "labels"]
    assert (rows[1]["study_id"], rows[1]["synthetic"]) == ("patient00002/study1", False)


def test_images_are_stored_grey_at_the_asked_size(source: Path) -> None:
    image = load(build(source, "--image_size", "20"))["train"][0]["image"]

    assert (image.mode, image.size) == ("L", (30, 20))
    np.testing.assert_allclose(np.asarray(image), 100, atol=1)


def test_size_0_keeps_full_size(source: Path) -> None:
    assert load(build(source, "--image_size", "0"))["train"][0]["image"].size == (60, 40)


@pytest.mark.parametrize(("policy", "value"), [("ones", 1.0), ("zeros", 0.0), ("ignore", None)])
def test_the_policy_decides_what_uncertain_becomes_and_leaves_the_rest(
    source: Path, policy: str, value: float | None
) -> None:
    out = build(source, "--uncertain", policy)

    labels = labels_of(out, "patient00002/study1/view1_frontal")
    assert labels.pop("Consolidation") == value
    assert labels.pop("Pleural Effusion") == 1.0
    assert set(labels.values()) == {None}
    assert labels_of(out, "patient00002/study2/view1_frontal")["Consolidation"] == 0.0


@pytest.mark.parametrize(("policy", "value"), [("ignore", None), ("zeros", 0.0)])
def test_a_label_that_is_not_mentioned_is_null_or_0(source: Path, policy: str, value: float | None) -> None:
    labels = labels_of(build(source, "--blank", policy), "patient00002/study1/view1_frontal")

    assert labels["Edema"] == value
    assert labels["Consolidation"] is None


def test_the_card_says_the_policies_and_counts_every_label(source: Path) -> None:
    card = (build(source, "--uncertain", "ones", "--blank", "zeros") / "README.md").read_text()

    assert "uncertain (-1 in the CSV file) became 1 (U-Ones)" in card
    assert "(blank) became 0" in card
    assert "| Consolidation | 1 | 2 | 0 | 0 | 1 | 0 |" in card
    assert "--uncertain ones --blank zeros --views frontal" in card


def test_the_card_names_licence_and_inputs_and_no_folder_of_the_machine(source: Path) -> None:
    out = build(source)

    card = (out / "README.md").read_text()
    name = "stanford-university-dataset-research-use-agreement"
    assert licence_in(out) == ("other", name, "https://stanfordmlgroup.github.io/competitions/chexpert/")
    assert "Stanford University Dataset Research Use Agreement" in card
    assert "input `train.csv`: SHA-256" in card
    assert str(source.parent) not in card


def test_missing_images_are_counted_and_the_first_is_named(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    (source / "train/patient00001/study1/view1_frontal.jpg").unlink()

    out = build(source)

    assert len(load(out)["train"]) == 2
    assert "| image not found | 1 |" in (out / "README.md").read_text()
    assert "patient00001/study1/view1_frontal.jpg is the first" in caplog.text


def test_an_unreadable_image_is_named_and_counted(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    (source / "train/patient00001/study1/view1_frontal.jpg").write_bytes(b"no image")

    out = build(source)

    assert len(load(out)["train"]) == 2
    assert "| image unreadable | 1 |" in (out / "README.md").read_text()
    assert "patient00001/study1/view1_frontal.jpg" in caplog.text


def test_the_labels_of_an_unreadable_image_are_not_counted(source: Path) -> None:
    (source / "train/patient00002/study1/view1_frontal.jpg").write_bytes(b"no image")

    card = (build(source, "--uncertain", "ones") / "README.md").read_text()

    assert "| Consolidation | 0 | 1 | 1 | 0 | 1 | 0 |" in card
    assert "| Pleural Effusion | 0 | 0 | 2 | 0 | 1 | 0 |" in card


def test_the_full_size_corpus_and_gzipped_tables_are_read_alike(source: Path) -> None:
    rows = "\n".join([HEADER, *(csv_row(*row, root="CheXpert-v1.0") for row in TRAIN)])
    (source / "train.csv").unlink()
    (source / "train.csv.gz").write_bytes(gzip.compress(rows.encode()))

    assert len(load(build(source))["train"]) == 3


def test_more_threads_give_the_same_bytes(source: Path) -> None:
    first = file_hashes(build(source))

    assert file_hashes(build(source, "--num_proc", "3", "--overwrite")) == first


def test_a_split_without_images_is_not_listed_and_the_card_says_so(source: Path) -> None:
    write_csv(source / "valid.csv")

    out = build(source)

    assert list(load(out)) == ["train"]
    assert "Split `validation` has no image" in (out / "README.md").read_text()


def test_the_paper_s_split_has_its_sizes_and_shares_no_patient() -> None:
    corpus = images({f"patient{number:05d}": 1 + number % 7 for number in range(8000)})

    splits = draw_paper_split(corpus, seed=0)

    assert {name: len(part) for name, part in splits.items()} == {"train": 20_596, "test": 500}
    assert not {image.patient for image in splits["train"]} & {image.patient for image in splits["test"]}


def test_the_paper_s_split_depends_on_seed_and_patients_and_not_on_their_order() -> None:
    corpus = images({f"patient{number:05d}": 1 + number % 7 for number in range(8000)})

    def test_patients(corpus: list[CheXpertImage], seed: int) -> set[str]:
        return {image.patient for image in draw_paper_split(corpus, seed)["test"]}

    assert test_patients(corpus[::-1], seed=0) == test_patients(corpus, seed=0)
    assert test_patients(corpus, seed=1) != test_patients(corpus, seed=0)


def test_the_paper_s_split_comes_with_valid_csv_as_validation(source: Path) -> None:
    others = (csv_row(f"train/patient{number:05d}/study1/view1_frontal.jpg", {}) for number in range(10_000, 31_100))
    write_csv(source / "train.csv", *(csv_row(*row) for row in TRAIN), *others)

    out = build(source, "--paper_split")

    card = (out / "README.md").read_text()
    assert "patient64541/study1/view1_frontal" in image_ids(load(out))["validation"]
    assert "| not drawn for the paper's split | 7 |" in card
    assert "--paper_split --seed 0" in card


def test_too_few_images_for_the_paper_s_split_are_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(source, capsys, "--paper_split")

    assert "21,096 images" in error
    assert "has 3 of 2 patients" in error


def test_a_patient_in_both_files_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(source / "valid.csv", csv_row("valid/patient00002/study9/view1_frontal.jpg", {}))

    assert "patient00002 is in train.csv and in valid.csv" in error_of(source, capsys)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (csv_row("elsewhere/1.jpg", {}), "Path is"),
        (csv_row("train/patient00003/study1/view1_frontal.jpg", {"Edema": "2.0"}), "Edema is '2.0'"),
        (csv_row("train/patient00003/study1/view1_frontal.jpg", {"Edema": "yes"}), "Edema is 'yes'"),
        (csv_row("train/patient00003/study1/view1_frontal.jpg", {}).replace("Frontal", "Side"), "is 'Side'"),
        (csv_row(*TRAIN[0]), "stands a second time"),
        ("CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male", "has 2 fields, its header 19"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(
    source: Path, capsys: pytest.CaptureFixture[str], row: str, said: str
) -> None:
    write_csv(source / "train.csv", *(csv_row(*good) for good in TRAIN), row)

    error = error_of(source, capsys)

    assert "train.csv:6" in error
    assert said in error


def test_the_first_row_stands_on_line_2(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(source / "train.csv", csv_row("elsewhere/1.jpg", {}))

    assert "train.csv:2" in error_of(source, capsys)


def test_a_missing_column_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "train.csv").write_text(HEADER.replace("Edema,", "") + "\n")

    assert "train.csv has no column 'Edema'" in error_of(source, capsys)


def test_a_missing_table_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "valid.csv").unlink()

    assert "neither valid.csv nor valid.csv.gz" in error_of(source, capsys)


@pytest.mark.parametrize("damage", [b"\xff\xfe\xff", b"Path,\0\n"])
def test_a_damaged_table_is_named(source: Path, capsys: pytest.CaptureFixture[str], damage: bytes) -> None:
    (source / "train.csv").write_bytes(damage)

    assert "train.csv" in error_of(source, capsys)


def test_a_truncated_gzip_table_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "train.csv.gz").write_bytes(gzip.compress((source / "train.csv").read_bytes())[:-12])
    (source / "train.csv").unlink()

    assert "train.csv.gz cannot be read" in error_of(source, capsys)


@pytest.mark.parametrize("flags", [("--num_proc", "0"), ("--image_size", "5"), ("--image_size", "-1")])
def test_a_flag_out_of_range_is_named(
    source: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, str]
) -> None:
    assert flags[0] in error_of(source, capsys, *flags)
