"""PhantomCXR in CheXpert's layout: `build chexpert` reads it, and nothing of it passes for CheXpert."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import file_hashes, licence_in, load
from PIL import Image

import datasets_scripts.phantom_chexpert as phantom_chexpert
from datasets_scripts.__main__ import main
from datasets_scripts.phantom import generator, study_image, study_state
from datasets_scripts.phantom_chexpert import reported_labels
from datasets_scripts.phantom_report import Choices, write_report
from datasets_scripts.phantom_state import Finding, PhantomState, chexpert_labels
from datasets_scripts.schema import CHEXPERT_LABELS

# As Stanford publishes it.
HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
SMALL = ("--train", "6", "--validation", "3", "--image_size", "32")


def build(out: Path, *more: str) -> int:
    return main(["build", "phantom_chexpert", "--out", str(out), *SMALL, *more])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def choices_of(seed: int) -> Choices:
    return Choices(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-in") / "source"
    assert build(folder) == 0
    return folder


def test_it_has_the_files_the_header_and_the_paths_of_chexpert(source: Path) -> None:
    assert (source / "train.csv").read_text().splitlines()[0] == HEADER
    for name, count in (("train", 6), ("valid", 3)):
        rows = rows_of(source / f"{name}.csv")
        assert len(rows) == count
        for row in rows:
            root, _, path = row["Path"].partition("/")
            assert root == "PhantomCXR-chexpert"
            assert Image.open(source / path).format == "JPEG"
            assert Image.open(source / path).size == (32, 32)
    assert rows_of(source / "train.csv")[0]["Path"].endswith("train/patient00001/study1/view1_frontal.jpg")
    assert rows_of(source / "valid.csv")[0]["Path"].endswith("valid/patient00007/study1/view1_frontal.jpg")


def test_build_chexpert_reads_it_and_marks_images_and_card_as_synthetic(source: Path, tmp_path: Path) -> None:
    assert main(["build", "chexpert", "--source", str(source), "--out", str(tmp_path / "out")]) == 0

    dataset = load(tmp_path / "out")
    assert {name: len(rows) for name, rows in dataset.items()} == {"train": 6, "validation": 3}
    assert all(row["synthetic"] for rows in dataset.values() for row in rows)
    assert dataset["validation"][1]["labels"]["Pleural Effusion"] in (0.0, 1.0)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# PhantomCXR in CheXpert's layout" in card
    assert "The images are synthetic" in card
    assert "Stanford" not in card
    assert licence_in(tmp_path / "out") == ("apache-2.0", None, None)


def test_its_own_folder_says_that_it_is_not_chexpert(source: Path) -> None:
    card = (source / "README.md").read_text()
    assert "This is not CheXpert" in card
    assert "--train 6 --validation 3 --image_size 32 --seed 1 --difficulty default --uncertain 0.05" in card


def test_images_are_the_phantoms_of_another_seed_than_the_default_dataset(source: Path) -> None:
    stored = np.asarray(Image.open(source / "train/patient00003/study1/view1_frontal.jpg"), float)
    drawn, other = (np.asarray(study_image(seed, "train", 2, "default", 32)[0], float) for seed in (1, 0))
    assert np.abs(stored - drawn).mean() < 3.0
    assert np.abs(stored - other).mean() > 8.0


def test_valid_has_the_labels_of_the_state_and_train_those_of_the_report(source: Path) -> None:
    for index, row in enumerate(rows_of(source / "valid.csv")):
        expected = chexpert_labels(study_state(1, "validation", index, "default"))
        assert {name: float(row[name]) for name in CHEXPERT_LABELS if row[name]} == expected
    for index, row in enumerate(rows_of(source / "train.csv")):
        state = study_state(1, "train", index, "default")
        choices = Choices(generator(1, "train", index, "report"))
        expected = reported_labels(state, choices, generator(1, "train", index, "labels"), 0.05)
        assert {name: float(row[name]) for name in CHEXPERT_LABELS if row[name]} == expected


WORDS = {"Pneumothorax": ("pneumothorax", "pleural air"), "Pleural Effusion": ("effusion", "pleural fluid")}


@pytest.mark.parametrize("label", WORDS)
def test_a_label_is_blank_where_the_report_does_not_mention_it(label: str) -> None:
    blanks = 0
    for seed in range(200):
        labels = reported_labels(PhantomState(), choices_of(seed), np.random.default_rng(0), uncertain=0.0)
        report = write_report(PhantomState(), choices_of(seed)).report
        assert (label in labels) == any(word in report for word in WORDS[label])
        blanks += label not in labels
    assert 0 < blanks < 40


def test_what_is_present_is_1_whatever_the_report_would_deny() -> None:
    state = PhantomState("mild", findings=(Finding("effusion", "left", None, "small"),))
    for seed in range(50):
        labels = reported_labels(state, choices_of(seed), np.random.default_rng(0), uncertain=0.0)
        assert (labels["Pleural Effusion"], labels["Cardiomegaly"]) == (1.0, 1.0)
        assert "No Finding" not in labels
        assert "Support Devices" not in labels


def test_lungs_that_are_clear_have_no_opacity_and_no_finding_is_1_or_blank() -> None:
    seen: Counter[tuple[float | None, float | None]] = Counter()
    for seed in range(300):
        labels = reported_labels(PhantomState(), choices_of(seed), np.random.default_rng(0), uncertain=0.0)
        seen[labels.get("Lung Opacity"), labels.get("No Finding")] += 1
        assert ("Lung Opacity" in labels) == ("clear" in write_report(PhantomState(), choices_of(seed)).report)
    assert set(seen) == {(0.0, 1.0), (None, 1.0)}


def test_the_asked_share_of_stated_labels_is_uncertain() -> None:
    values: Counter[float] = Counter()
    for seed in range(1500):
        labels = reported_labels(PhantomState(), choices_of(seed), np.random.default_rng(seed), uncertain=0.2)
        assert labels.get("No Finding", 1.0) == 1.0
        assert "No Finding" not in labels or -1.0 not in labels.values()
        values.update(value for name, value in labels.items() if name != "No Finding")
    assert values[-1.0] / values.total() == pytest.approx(0.2, abs=0.02)


def test_two_builds_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    assert file_hashes(tmp_path / "again") == file_hashes(source)


def test_a_build_that_was_interrupted_goes_on_with_the_images_that_are_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, int]] = []

    def draw(seed: int, split: str, index: int, difficulty: str, image_size: int):  # type: ignore[no-untyped-def]
        if len(drawn) == 4:
            raise KeyboardInterrupt
        drawn.append((split, index))
        return study_image(seed, split, index, difficulty, image_size)

    monkeypatch.setattr(phantom_chexpert, "study_image", draw)
    assert build(tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()
    first, drawn = drawn, []
    monkeypatch.setattr(phantom_chexpert, "study_image", lambda *a: drawn.append(a[1:3]) or study_image(*a))
    assert build(tmp_path / "out") == 0
    assert not set(first) & set(drawn)
    assert file_hashes(tmp_path / "out") == file_hashes(source)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_other_arguments_left_is_not_taken_up(source: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".out.partial"
    shutil.copytree(source, partial)
    (partial / "arguments.json").write_text(json.dumps({"seed": 5}))
    (partial / "train/patient00001/study1/view1_frontal.jpg").write_bytes(b"of another seed")
    build(tmp_path / "out")
    assert file_hashes(tmp_path / "out") == file_hashes(source)


def test_a_hidden_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "thesis.txt").write_text("years of work")
    assert build(tmp_path / "out") == 2
    assert "none of ours" in capsys.readouterr().err
    assert (tmp_path / ".out.partial" / "thesis.txt").exists()


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path / "out")
    (tmp_path / "out" / "old.txt").write_text("old")
    assert build(tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert build(tmp_path / "out", "--overwrite") == 0
    assert not (tmp_path / "out" / "old.txt").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--train", "0"), "'train': 0"),
        (("--seed", "-1"), "'seed': -1"),
        (("--uncertain", "1.5"), "1.5"),
        (("--image_size", "8"), "8"),
    ],
)
def test_bad_arguments_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    assert build(tmp_path / "out", *flags) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_files_that_mix_the_stand_in_with_others_are_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(source, mixed)
    text = (mixed / "valid.csv").read_text().replace("PhantomCXR-chexpert/", "CheXpert-v1.0-small/")
    (mixed / "valid.csv").write_text(text)
    assert main(["build", "chexpert", "--source", str(mixed), "--out", str(tmp_path / "out")]) == 2
    assert "in folders of their own" in capsys.readouterr().err.splitlines()[-1]
