"""What `build table` makes of good rows, in three formats."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_helpers import file_hashes, image_ids, licence_in, load
from PIL import Image
from pydicom.data import get_testdata_file
from table_helpers import build, damage, save_image, write_csv

from datasets_scripts.__main__ import main
from datasets_scripts.image_file import HasFile
from datasets_scripts.table_images import RowImage

ROWS: list[dict[str, Any]] = [
    {"image": "a.png", "report": "The lungs are clear.\nNo effusion.", "id": 1, "study": "s1", "split": "train"},
    {"image": "deep/b.png", "report": "Große Erguß, links.", "id": 2, "study": "s1", "split": "TRAIN"},
    {"image": "a.png", "report": "Heart enlarged.", "id": 3, "study": "s2", "split": "val"},
    {"image": "a.png", "report": "Small nodule.", "id": 4, "study": "s3", "split": "test"},
]
LABELS = [("1", "0.0"), ("-1", ""), ("", "nan"), ("true", "FALSE")]
FLAGS = ["--id_column", "id", "--study_column", "study", "--split_column", "split"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    save_image(tmp_path / "images/a.png", 0)
    save_image(tmp_path / "images/deep/b.png", 1)
    return tmp_path / "images"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix.lower() == ".csv":
        return write_csv(path, list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "T.CSV"])
def test_each_format_gives_the_rows_of_the_table(tmp_path: Path, images: Path, name: str) -> None:
    table = write(tmp_path / name, ROWS)

    assert build(table, images, tmp_path / "out", *FLAGS) == 0

    dataset = load(tmp_path / "out")
    assert image_ids(dataset) == {"train": ["1", "2"], "validation": ["3"], "test": ["4"]}
    first = dataset["train"][0]
    assert (first["study_id"], first["findings"]) == ("s1", ROWS[0]["report"])
    assert first["report"] == "the lungs are clear no effusion"
    assert dataset["train"][1]["report"] == "große erguß links"
    assert not first["synthetic"]
    np.testing.assert_array_equal(np.asarray(first["image"].size), (19, 16))


def test_a_csv_with_a_byte_order_mark_and_quotes_is_read(tmp_path: Path, images: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeffimage,report\na.png,"Small, ""round"" nodule."\n', encoding="utf-8")

    assert build(tmp_path / "t.csv", images, tmp_path / "out", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["findings"] == ['Small, "round" nodule.']


@pytest.mark.parametrize(
    ("columns", "flags"),
    [
        (("Cardiomegaly", "Pleural Effusion"), ()),
        (("cardiomegaly", "pleural_effusion"), ()),
        (("y_Cardiomegaly", "y_Pleural-Effusion"), ("--labels_prefix", "y_")),
    ],
)
def test_columns_named_as_labels_are_labels(
    tmp_path: Path, images: Path, columns: tuple[str, str], flags: tuple[str, ...]
) -> None:
    rows = [row | dict(zip(columns, labels, strict=True)) for row, labels in zip(ROWS, LABELS, strict=True)]
    table = write(tmp_path / "t.csv", rows)

    assert build(table, images, tmp_path / "out", "--id_column", "id", "--validation", "0", *flags) == 0

    labels = load(tmp_path / "out")["train"]["labels"]
    pairs = [(row["Cardiomegaly"], row["Pleural Effusion"]) for row in labels]
    assert pairs == [(1, 0), (-1, None), (None, None), (1, 0)]
    assert all(row["Edema"] is None for row in labels)


def test_labels_of_json_are_numbers_truth_values_and_null(tmp_path: Path, images: Path) -> None:
    values = [1, 0.0, None, True]
    table = write(tmp_path / "t.jsonl", [row | {"Edema": value} for row, value in zip(ROWS, values, strict=True)])

    assert build(table, images, tmp_path / "out", "--validation", "0") == 0

    assert [row["Edema"] for row in load(tmp_path / "out")["train"]["labels"]] == [1, 0, None, 1]


def test_without_an_id_column_path_and_row_number_are_the_id_and_no_row_is_a_duplicate(
    tmp_path: Path, images: Path
) -> None:
    table = write(tmp_path / "t.csv", [ROWS[0], ROWS[1], ROWS[0]])

    assert build(table, images, tmp_path / "out", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["image_id"] == ["a.png:1", "deep/b.png:2", "a.png:3"]


def test_reports_get_counterfactuals(tmp_path: Path, images: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("a.png", "There is a small left pleural effusion.")])

    assert build(table, images, tmp_path / "out", "--validation", "0") == 0

    edits = load(tmp_path / "out")["train"][0]["counterfactual"]
    assert edits["laterality"]["text"] == "there is a small right pleural effusion"


def many(tmp_path: Path, images: Path, studies: int) -> Path:
    rows = [
        ("a.png", f"Nodule number {number}.", f"study {number // 2}", f"row {number}") for number in range(2 * studies)
    ]
    return write_csv(tmp_path / "many.csv", ("image", "report", "study", "id"), rows)


def test_studies_go_to_validation_by_a_hash_of_seed_and_study(tmp_path: Path, images: Path) -> None:
    table = many(tmp_path, images, 100)
    flags = ("--study_column", "study", "--id_column", "id", "--validation", "0.3")

    for out, seed in (("first", "0"), ("again", "0"), ("other", "1")):
        assert build(table, images, tmp_path / out, *flags, "--seed", seed) == 0

    studies = {
        out: {name: set(rows["study_id"]) for name, rows in load(tmp_path / out).items()}
        for out in ("first", "again", "other")
    }
    assert studies["first"] == studies["again"] != studies["other"]
    assert not studies["first"]["train"] & studies["first"]["validation"]
    assert 18 <= len(studies["first"]["validation"]) <= 42  # 30 expected, deviation 4.6


def test_rows_of_one_image_share_a_split_without_a_study_column(tmp_path: Path, images: Path) -> None:
    rows = [(f"{number % 20}.png", f"Nodule number {number}.") for number in range(60)]
    for number in range(20):
        save_image(images / f"{number}.png", number)
    table = write_csv(tmp_path / "t.csv", ("image", "report"), rows)

    assert build(table, images, tmp_path / "out", "--validation", "0.5") == 0

    splits = [{row.split(":")[0] for row in ids} for ids in image_ids(load(tmp_path / "out")).values()]
    assert len(splits) == 2
    assert not splits[0] & splits[1]


def test_dicom_and_full_size(tmp_path: Path, images: Path) -> None:
    (images / "c.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("c.dcm", "Vertebra.")])

    assert build(table, images, tmp_path / "out", "--validation", "0", "--image_size", "0") == 0

    image = load(tmp_path / "out")["train"][0]["image"]
    assert (image.mode, image.size) == ("L", (128, 128))


def test_generated_images_are_labelled_synthetic(tmp_path: Path, images: Path) -> None:
    table = write(tmp_path / "t.csv", ROWS)

    assert build(table, images, tmp_path / "out", "--synthetic", "--validation", "0") == 0

    assert set(load(tmp_path / "out")["train"]["synthetic"]) == {True}
    assert "**The images are synthetic" in (tmp_path / "out/README.md").read_text()


def test_the_card_names_columns_licence_input_and_the_command_without_folders(tmp_path: Path, images: Path) -> None:
    table = write(tmp_path / "t.csv", ROWS)

    assert build(table, images, tmp_path / "out", *FLAGS, "--licence", "cc-by-4.0") == 0

    card = (tmp_path / "out/README.md").read_text()
    assert "Image: `image`. Report: `report`. Id: `id`. Study: `study`. Split: `split`. Labels: none." in card
    assert "license: cc-by-4.0" in card
    assert "- input `t.csv`: SHA-256" in card
    assert (
        "build table --table t.csv --image_root images --out DIR --image_column image --report_column report" in card
    )
    assert str(tmp_path) not in card


def test_the_card_says_of_a_licence_that_the_hub_has_no_name_for_that_its_terms_decide(
    tmp_path: Path, images: Path
) -> None:
    table = write(tmp_path / "t.csv", ROWS)

    assert build(table, images, tmp_path / "out", *FLAGS, "--licence", "other") == 0

    assert licence_in(tmp_path / "out") == ("other", None, None)
    assert "its terms decide" in (tmp_path / "out/README.md").read_text()


def test_the_number_of_processes_does_not_change_the_bytes(tmp_path: Path, images: Path) -> None:
    table = many(tmp_path, images, 10)

    for out, num_proc in (("one", "1"), ("two", "2")):
        assert build(table, images, tmp_path / out, "--study_column", "study", "--num_proc", num_proc) == 0

    assert file_hashes(tmp_path / "one") == file_hashes(tmp_path / "two")


def test_an_image_root_above_the_working_directory_is_used(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("a.png", "Clear."), (f"{images}/a.png", "Wide.")])

    assert build(table, Path("../images"), tmp_path / "out", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["image_id"] == ["a.png:1", "a.png:2"]


def test_an_image_root_above_a_link_is_above_what_the_link_leads_to(tmp_path: Path, images: Path) -> None:
    save_image(tmp_path / "here/images/wrong.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "folder")
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("a.png", "Clear."), ("wrong.png", "Wide.")])

    assert build(table, tmp_path / "here/link/../images", tmp_path / "out", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["image_id"] == ["a.png:1"]


def test_an_image_root_of_no_folder_on_the_disk_is_an_error_though_its_parts_name_one(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("a.png", "Clear.")])

    assert build(table, tmp_path / "absent/../images", tmp_path / "out") == 2
    assert "absent/../images (--image_root) is no folder" in capsys.readouterr().err


def test_columns_without_a_name_may_be_several(tmp_path: Path, images: Path) -> None:
    (tmp_path / "t.csv").write_text("image,report,,\na.png,Clear.,,\n")

    assert build(tmp_path / "t.csv", images, tmp_path / "out", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["findings"] == ["Clear."]


def test_an_image_is_told_from_one_that_was_changed_when_a_killed_build_is_taken_up(images: Path) -> None:
    image = RowImage(1, images / "a.png", 16, "a.png")
    before = image.identity()

    save_image(images / "a.png", seed=5, size=(30, 30))

    assert isinstance(image, HasFile)
    assert image.identity() != before


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("image,report\n", (), "no row of .*t.csv can be used: it has no row"),
        ("image,report\nabsent.png,Clear.\n", (), "no row of .*t.csv can be used: 1 image file missing"),
        ("", (), r"no column 'image' \(--image_column\)"),
        ("image;report\n", (), r"no column 'image' \(--image_column\); its columns are 'image;report'"),
        ("image,text\na.png,Clear.\n", (), r"no column 'report' \(--report_column\); its columns are 'image', 'text'"),
        ("image,report\na.png,Clear.\n", ("--id_column", "key"), r"no column 'key' \(--id_column\)"),
        ("image,report,image\n", (), "two columns 'image'"),
        ("image,report,Edema,edema\n", (), "two columns are the label 'Edema'"),
        ("image,report,Edema,Edema\n", (), "two columns are the label 'Edema'"),
        ("image,report\n", ("--label_column", "label"), r"no column 'label' \(--label_column\)"),
        ("image,report\n", ("--labels_prefix", "y_"), "no column is 'y_'"),
        ("image,report,Edema\na.png,Clear.,mild\n", (), "1 label Edema is none of .*; --no_labels leaves columns"),
        ("image,report,Edema\na.png,,1\n", (), "can be used: 1 no report$"),
        ("image,report\n", ("--validation", "1"), "--validation must be a share"),
        ("image,report\n", ("--image_size", "3"), "--image_size must be 16 to 8192 pixels, or 0"),
        ("image,report\n", ("--image_root", "absent"), r"absent \(--image_root\) is no folder"),
        ("image,report\n", ("--table", "absent.csv"), "absent.csv is no file"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line_and_the_status_is_2(
    tmp_path: Path,
    images: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
    flags: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "t.csv").write_text(content)

    assert build(tmp_path / "t.csv", images, tmp_path / "out", *flags) == 2

    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(f"error: .*{message}", error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["t.txt", "t.parquet"])
def test_a_file_that_is_no_table_is_an_error(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("image,report\n")

    assert build(tmp_path / name, images, tmp_path / "out") == 2
    assert name in capsys.readouterr().err


def test_an_unreadable_only_table_is_an_error(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(images / "c.jpg")
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("c.jpg", "Clear.")])

    assert build(table, images, tmp_path / "out") == 2
    assert "image unreadable" in capsys.readouterr().err.splitlines()[-1]


def test_images_are_reduced_as_they_are_stored(tmp_path: Path, images: Path) -> None:
    Image.fromarray(np.tile(np.array([0, 200], np.uint8), (64, 32))).save(images / "stripes.png")
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("stripes.png", "Stripes.")])

    assert build(table, images, tmp_path / "out", "--validation", "0") == 0

    stored = np.asarray(load(tmp_path / "out")["train"][0]["image"])
    assert stored.shape == (16, 16)
    assert abs(stored[2:-2, 2:-2].astype(int) - 100).max() <= 2


def test_the_help_of_the_image_column_names_every_format_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["build", "table", "--help"])

    words = capsys.readouterr().out.upper().replace(",", " ").split()
    assert {"DICOM", "PNG", "JPEG", "TIFF", "BMP", "WEBP"} <= set(words)
