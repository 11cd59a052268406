"""Labels of a table that names one class for each image."""

from pathlib import Path

import pytest
from dataset_helpers import load
from table_helpers import build, save_image, scan, write_csv

from datasets_scripts.schema import CHEXPERT_LABELS
from datasets_scripts.table_files import TableRow
from datasets_scripts.table_rows import Layout, bad_label, labels_of_class, read_pair

PATHOLOGIES = [name for name in CHEXPERT_LABELS if name not in ("No Finding", "Support Devices")]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("pneumonia", {"Pneumonia": 1, "No Finding": 0}),
        (" PLEURAL_effusion", {"Pleural Effusion": 1, "No Finding": 0}),
        ("no_finding", {"No Finding": 1, **dict.fromkeys(PATHOLOGIES, 0)}),
        ("Support Devices", {"Support Devices": 1}),
        ("covid", {}),
        ("", {}),
    ],
)
def test_a_class_is_the_label_of_its_name_with_what_follows_from_it(name: str, labels: dict[str, float]) -> None:
    assert labels_of_class(name) == labels


def test_a_label_column_gives_labels_and_its_other_values_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "a.png")
    classes = ["pneumonia", "covid", "no_finding", "", "nan", "covid", "Other | thing"]
    rows = [("a.png", f"Nodule {number}.", name) for number, name in enumerate(classes)]
    table = write_csv(tmp_path / "t.csv", ("image", "report", "label"), rows)

    assert build(table, tmp_path, tmp_path / "out", "--label_column", "label", "--validation", "0") == 0

    labels = load(tmp_path / "out")["train"]["labels"]
    assert [(row["Pneumonia"], row["No Finding"], row["Edema"]) for row in labels] == [
        (1, 0, None),
        (None, None, None),
        (0, 1, 0),
        *[(None, None, None)] * 4,
    ]
    note = "Values of the label column `label` that are none of CheXpert's fourteen labels: covid 2, Other | thing 1."
    card = (tmp_path / "out/README.md").read_text()
    assert note in capsys.readouterr().out
    assert note in card
    assert "Labels: `label` (the name of one)." in card
    assert "--label_column label" in card


def test_a_column_of_the_labels_own_goes_before_the_class(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    rows = [("a.png", "Clear.", "pneumonia", "-1"), ("a.png", "Wide.", "pneumonia", "")]
    table = write_csv(tmp_path / "t.csv", ("image", "report", "label", "Pneumonia"), rows)

    assert build(table, tmp_path, tmp_path / "out", "--label_column", "label", "--validation", "0") == 0

    assert [row["Pneumonia"] for row in load(tmp_path / "out")["train"]["labels"]] == [-1, 1]


def test_no_labels_leaves_columns_alone_that_have_the_name_of_a_label(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    header = ("image", "report", "label", "Fracture", "Edema", "edema")
    table = write_csv(tmp_path / "t.csv", header, [("a.png", "Clear.", "pneumonia", "of the rib", "1", "0")])

    flags = ("--no_labels", "--label_column", "label", "--validation", "0")
    assert build(table, tmp_path, tmp_path / "out", *flags) == 0

    (row,) = load(tmp_path / "out")["train"]
    assert {name for name, value in row["labels"].items() if value is not None} == {"Pneumonia", "No Finding"}
    card = (tmp_path / "out/README.md").read_text()
    assert "Labels: `label` (the name of one)." in card
    assert "--label_column label --no_labels --validation" in card


@pytest.mark.parametrize("unknown", ["", " ", "NaN", "None", "null", "NA", "na", "N/A", "n/a"])
def test_a_value_that_says_unknown_is_no_label_and_no_fault(tmp_path: Path, unknown: str) -> None:
    row = TableRow(1, {"image": "a.png", "report": "Clear.", "Edema": unknown, "class": unknown})

    pair = read_pair(row, Layout(tmp_path, "image", "report", labels={"Edema": "Edema"}, label="class"))

    assert (pair.labels, pair.other_class) == ({}, "")


def test_a_value_that_is_no_label_is_a_fault_that_names_the_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "a.png")
    rows = [("a.png", "Clear.", "Yes"), ("a.png", "Wide.", "1")]
    table = write_csv(tmp_path / "t.csv", ("image", "report", "support_devices"), rows)

    left_out, kept = scan(table, Layout(tmp_path, "image", "report", labels={"support_devices": "Support Devices"}))

    assert left_out == {"label Support Devices is none of 1, 0, -1 and blank": 1}
    assert f"row 1: {bad_label('Support Devices')}: a.png" in capsys.readouterr().err
    assert kept == ["a.png:2"]
