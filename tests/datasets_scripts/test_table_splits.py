"""Which rows of a table go to which split: by the column, by a hash, and where a study is claimed by two."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from dataset_helpers import image_ids, load
from table_helpers import build, damage, save_image, without_edits, write_csv

import datasets_scripts.table as table_module
from datasets_scripts.table import STUDY_SPLIT, Table
from datasets_scripts.table_rows import Layout


def table_of(folder: Path, studies: int, validation: float) -> Table:
    """Scanned: two rows for each study."""
    save_image(folder / "a.png")
    rows = [("a.png", f"Nodule {number}.", f"study {number % studies}") for number in range(2 * studies)]
    table = write_csv(folder / "t.csv", ("image", "report", "study"), rows)
    scanned = Table(table, Layout(folder, "image", "report", study="study"), 16, validation, seed=0, synthetic=False)
    scanned.scan()
    return scanned


def studies_of(table: Table) -> dict[str, set[str]]:
    with without_edits():
        return {name: {record.study_id for record in records} for name, records in table.splits().items()}


@pytest.mark.parametrize(
    ("studies", "validation", "expected"), [(2, 0.01, 1), (2, 0.99, 1), (19, 0.001, 1), (3, 0.999, 2)]
)
def test_of_few_studies_one_at_least_is_for_validation_and_one_for_training(
    tmp_path: Path, studies: int, validation: float, expected: int
) -> None:
    found = studies_of(table_of(tmp_path, studies, validation))

    assert set(found) == {"train", "validation"}
    assert len(found["validation"]) == expected
    assert len(found["train"]) == studies - expected
    assert not found["train"] & found["validation"]


def test_the_studies_that_stand_in_for_the_hash_are_the_ones_it_would_take_first(tmp_path: Path) -> None:
    by_hash = studies_of(table_of(tmp_path, 19, 0.5))["validation"]

    table = table_of(tmp_path, 19, 0.001)

    assert studies_of(table)["validation"] < by_hash
    assert table.notes == [
        "The hash put all 19 studies with a readable image into one split, so validation was given the 1 of lowest"
        " hash: more studies may change which ones."
    ]


def test_where_the_hash_fills_both_splits_it_alone_decides(tmp_path: Path) -> None:
    few, more = (studies_of(table_of(tmp_path, studies, 0.3)) for studies in (30, 60))

    assert few["validation"] <= more["validation"]
    assert not table_of(tmp_path, 30, 0.3).notes


@pytest.mark.parametrize(("studies", "validation"), [(1, 0.1), (2, 0)])
def test_one_study_and_a_share_of_none_leave_validation_empty(tmp_path: Path, studies: int, validation: float) -> None:
    table = table_of(tmp_path, studies, validation)

    assert set(studies_of(table)) == {"train"}
    assert not table.notes


def test_the_summary_and_the_card_say_that_few_studies_were_shared_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        save_image(tmp_path / name)
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("a.png", "Clear."), ("b.png", "Wide.")])

    assert build(table, tmp_path, tmp_path / "out", "--validation", "0.001") == 0

    assert {name: len(ids) for name, ids in image_ids(load(tmp_path / "out")).items()} == {"train": 1, "validation": 1}
    for text in (capsys.readouterr().out, (tmp_path / "out/README.md").read_text()):
        assert "The hash put all 2 studies with a readable image into one split" in text


def damaged_in(folder: Path, names: Iterable[str], validation: float) -> dict[str, set[str]]:
    """The studies of each split in a table of ten studies of an image each, of which these are damaged."""
    for number in range(10):
        (damage if str(number) in names else save_image)(folder / f"{number}.jpg")
    rows = [(f"{number}.jpg", f"Nodule {number}.", str(number)) for number in range(10)]
    table = write_csv(folder / "t.csv", ("image", "report", "study"), rows)
    flags = ("--study_column", "study", "--validation", str(validation), "--overwrite")
    assert build(table, folder, folder / "out", *flags) == 0
    return {name: set(rows["study_id"]) for name, rows in load(folder / "out").items()}


@pytest.mark.parametrize(("validation", "expected"), [(0.001, 1), (0.32, 3)])  # the hash takes no study, and one
def test_a_study_of_damaged_images_does_not_stand_for_validation(
    tmp_path: Path, validation: float, expected: int
) -> None:
    (first,) = damaged_in(tmp_path, (), validation)["validation"]

    found = damaged_in(tmp_path, (first,), validation)

    assert len(found["validation"]) == expected
    assert len(found["train"]) == 9 - expected
    assert not found["validation"] & {*found["train"], first}


def test_a_study_with_one_good_image_of_two_stands_for_validation(tmp_path: Path) -> None:
    save_image(tmp_path / "good.png")
    damage(tmp_path / "damaged.jpg")
    images = ("damaged.jpg", "good.png")
    rows = [(image, f"Nodule {study}.", f"{study}") for study in (1, 2) for image in images]
    table = write_csv(tmp_path / "t.csv", ("image", "report", "study"), rows)

    assert build(table, tmp_path, tmp_path / "out", "--study_column", "study", "--validation", "0.001") == 0

    assert {name: len(ids) for name, ids in image_ids(load(tmp_path / "out")).items()} == {"train": 1, "validation": 1}


def test_images_of_one_study_are_not_read_to_share_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(table_module, "is_readable", lambda path: not read.append(path))

    table_of(tmp_path, 1, 0.1)

    assert len(read) <= 1


def test_a_study_belongs_to_the_split_of_its_first_row_that_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "good.png")
    damage(tmp_path / "damaged.jpg")
    rows = [
        ("damaged.jpg", "First.", "s1", "test"),
        ("absent.png", "Second.", "s1", "test"),
        ("good.png", "Third.", "s1", "train"),
        ("good.png", "Fourth.", "s1", "validation"),
        ("good.png", "Fifth.", "s1", "train"),
        ("damaged.jpg", "Sixth.", "s2", "train"),
        ("damaged.jpg", "Seventh.", "s2", "test"),
    ]
    table = write_csv(tmp_path / "t.csv", ("image", "report", "study", "split"), rows)

    flags = ("--study_column", "study", "--split_column", "split")
    assert build(table, tmp_path, tmp_path / "out", *flags) == 0

    assert {name: rows["findings"] for name, rows in load(tmp_path / "out").items()} == {"train": ["Third.", "Fifth."]}
    stderr = capsys.readouterr().err
    assert f"row 4: {STUDY_SPLIT}: good.png" in stderr
    for number in (1, 6, 7):
        assert f"row {number}: image unreadable: damaged.jpg" in stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "a.png,Added,study 0\n",
        lambda text: text[: text.rindex("\n", 0, -1) + 1],
        lambda text: text.replace("Nodule 1.", "."),
        lambda text: text.replace("report", "text"),
        lambda text: "",
    ],
)
def test_a_table_that_changes_during_the_build_is_named(tmp_path: Path, change: Callable[[str], str]) -> None:
    table = table_of(tmp_path, 5, 0.5)
    table.path.write_text(change(table.path.read_text()))

    with pytest.raises(ValueError, match=r"t\.csv has changed"):
        studies_of(table)
