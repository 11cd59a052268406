"""MS-CXR's annotation files: five boxes of three images, made up in the files' form."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted_encoders import text_vector
from tiny_dual_encoders import save

from evaluate_suite import ms_cxr
from evaluate_suite.__main__ import main
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import grounding

FIRST, SECOND, THIRD = (
    "files/p10/p10000001/s50000001/aaaa-01.jpg",
    "files/p10/p10000002/s50000002/bbbb-02.jpg",
    "files/p11/p11000003/s50000003/cccc-03.jpg",
)

ROWS = [
    ("aaaa-01", "Pneumothorax", "Large right-sided pneumothorax.", FIRST, 10, 20, 30, 40, 100, 200, "test"),
    ("aaaa-01", "Atelectasis", "bibasilar atelectasis", FIRST, 10, 150, 20, 30, 100, 200, "test"),
    ("aaaa-01", "Atelectasis", "bibasilar atelectasis", FIRST, 60, 150, 20, 30, 100, 200, "test"),
    ("bbbb-02", "Edema", "mild edema", SECOND, 0, 0, 50, 50, 100, 50, "val"),
    ("cccc-03", "Edema", "Severe edema", THIRD, 5, 5, 10, 10, 40, 40, "test"),
]
"""By the columns of version 1.1.0's CSV file: `ms_cxr.COLUMNS` and `split`."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for path, size in ((FIRST, (100, 200)), (SECOND, (100, 50)), (THIRD, (40, 40))):
        file = tmp_path / "images" / path
        file.parent.mkdir(parents=True)
        Image.new("L", size, 90).save(file)
    return tmp_path / "images"


def write_csv(folder: Path, rows=ROWS, columns=(*ms_cxr.COLUMNS, "split")) -> Path:
    path = folder / "MS_CXR_Local_Alignment_v1.1.0.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(row[: len(columns)] for row in rows)
    return path


def write_json(folder: Path, rows=ROWS) -> Path:
    """As MS-CXR's JSON has it: an image that is annotated for two findings may stand there twice."""
    categories = sorted({row[1] for row in rows})
    pictures = list(dict.fromkeys((row[3], row[1]) for row in rows))
    coco = {
        "info": {"version": "1.1.0"},
        "categories": [{"id": place, "name": name} for place, name in enumerate(categories, start=1)],
        "images": [
            {
                "id": place,
                "file_name": Path(path).name,
                "path": path,
                **next({"width": row[8], "height": row[9]} for row in rows if row[3] == path),
            }
            for place, (path, _) in enumerate(pictures)
        ],
        "annotations": [
            {
                "id": place,
                "image_id": pictures.index((row[3], row[1])),
                "category_id": categories.index(row[1]) + 1,
                "label_text": row[2],
                "bbox": list(row[4:8]),
                "width": row[8],
                "height": row[9],
                "split": row[10],
            }
            for place, row in enumerate(rows)
        ],
    }
    path = folder / "MS_CXR_Local_Alignment_v1.1.0.json"
    path.write_text(json.dumps(coco))
    return path


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_a_row_an_image_holds_its_boxes_by_split(tmp_path, images, write):
    splits = ms_cxr.read(write(tmp_path), images)
    assert list(splits) == ["validation", "test"]
    first, third = splits["test"]
    assert (first["image_id"], first["study_id"]) == ("aaaa-01", "s50000001")
    assert first["image"].size == (100, 200)
    assert first["boxes"] == [
        {"label": "Pneumothorax", "phrase": "Large right-sided pneumothorax.", "box": [10, 20, 40, 60]},
        {"label": "Atelectasis", "phrase": "bibasilar atelectasis", "box": [10, 150, 30, 180]},
        {"label": "Atelectasis", "phrase": "bibasilar atelectasis", "box": [60, 150, 80, 180]},
    ]
    assert first["report"] == "large right sided pneumothorax bibasilar atelectasis"
    assert third["image_id"] == "cccc-03"
    assert splits["validation"]["image_id"][:] == ["bbbb-02"]


def test_the_first_version_has_no_splits_and_is_all_test(tmp_path, images):
    splits = ms_cxr.read(write_csv(tmp_path, columns=ms_cxr.COLUMNS), images)
    assert {name: len(split) for name, split in splits.items()} == {"test": 3}


def test_the_images_may_lie_in_a_folder_without_files(tmp_path, images):
    assert len(ms_cxr.read(write_csv(tmp_path), images / "files")["test"]) == 2


def test_boxes_are_scaled_to_a_smaller_copy_of_the_image(tmp_path, images):
    Image.new("L", (50, 100)).save(images / FIRST)
    assert ms_cxr.read(write_csv(tmp_path), images)["test"][0]["boxes"][0]["box"] == [5, 10, 20, 30]


def test_an_image_of_another_shape_is_refused(tmp_path, images):
    Image.new("L", (64, 64)).save(images / FIRST)
    with pytest.raises(ValueError, match=r"v1.1.0.csv:2: the image has 64 x 64 pixels, the annotated one 100 x 200"):
        ms_cxr.read(write_csv(tmp_path), images)


def test_an_image_that_is_missing_is_named(tmp_path, images):
    shutil.rmtree(images / "files/p11")
    with pytest.raises(FileNotFoundError, match=r"csv:6: there is no image .*cccc-03\.jpg"):
        ms_cxr.read(write_csv(tmp_path), images)


def test_a_file_that_is_no_image_is_named(tmp_path, images):
    (images / THIRD).write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"csv:6: .*cccc-03\.jpg is no image"):
        ms_cxr.read(write_csv(tmp_path), images)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (4, "left", "could not convert string to float: 'left'"),
        (6, 0, "is empty or outside its image"),
        (4, 100, "is empty or outside its image"),
        (2, "-", "label_text is '-', without a word"),
        (10, "dev", "split 'dev' is none of train, val, test"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path, images, place, value, message):
    broken = [*ROWS[0][:place], value, *ROWS[0][place + 1 :]]
    with pytest.raises(ValueError, match=rf"csv:2: .*{message}"):
        ms_cxr.read(write_csv(tmp_path, [broken]), images)


def test_a_missing_column_is_named(tmp_path, images):
    with pytest.raises(ValueError, match="has no column 'image_height'"):
        ms_cxr.read(write_csv(tmp_path, columns=ms_cxr.COLUMNS[:-1]), images)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [], "categories": []}'])
def test_a_json_file_of_another_form_is_refused(tmp_path, images, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other.json is no MS-CXR annotation file"):
        ms_cxr.read(path, images)


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("annotations", "bbox", [1, 2, 3], r"the box \[1, 2, 3\] has 3 numbers"),
        ("annotations", "bbox", [None, 2, 3, 4], "boxes and image sizes are numbers"),
        ("annotations", "label_text", None, "label_text is None, and no text"),
        ("images", "width", None, "boxes and image sizes are numbers"),
        ("images", "path", None, "path is None, and no text"),
    ],
)
def test_an_annotation_that_makes_no_sense_is_named(tmp_path, images, part, name, value, message):
    path = write_json(tmp_path)
    coco = json.loads(path.read_text())
    coco[part][0][name] = value
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match=rf"json, annotation 0: .*{message}"):
        ms_cxr.read(path, images)


def test_a_file_of_another_kind_and_one_without_boxes_are_refused(tmp_path, images):
    with pytest.raises(ValueError, match=r"neither .csv nor .json"):
        ms_cxr.read(tmp_path / "boxes.txt", images)
    with pytest.raises(ValueError, match="has no box"):
        ms_cxr.read(write_csv(tmp_path, []), images)


def test_the_grounding_task_takes_what_is_read(tmp_path, images):
    class Encoder:
        def encode_images(self, images):
            return np.stack([text_vector("image") for _ in images])

        def encode_texts(self, texts):
            return np.stack([text_vector(text) for text in texts])

        def phrase_maps(self, images, phrases):
            return [np.eye(4, dtype=np.float32) for _ in phrases]

    splits = ms_cxr.read(write_json(tmp_path), images)
    tree = grounding.evaluate(Embeddings(Encoder()), splits["test"], splits["validation"], n_bootstrap=20)
    assert tree["pointing_game"]["n"] == 3
    assert set(tree["by_label"]) == {"Atelectasis", "Edema", "Pneumothorax"}


def evaluated(folder: Path, annotations: Path, images: Path) -> dict:
    """The report of the command, on a tiny CLIP with random weights."""
    arguments = ["--model", str(save("clip", folder / "clip")), "--data", str(annotations), "--tasks", "grounding"]
    arguments += ["--image_root", str(images), "--out", str(folder / "out"), "--n_bootstrap", "20"]
    assert main(["run", *arguments]) == 0
    return json.loads((folder / "out" / "report.json").read_text())


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_the_command_evaluates_an_annotation_file(tmp_path, images, write):
    annotations = write(tmp_path)
    report = evaluated(tmp_path, annotations, images)
    assert (report["data"], report["split"], report["n_images"]) == (annotations.name, "test", 2)
    tree = report["tasks"]["grounding"]
    assert tree["pointing_game"]["n"] == 3
    assert set(tree["by_label"]) == {"Atelectasis", "Edema", "Pneumothorax"}
    assert set(tree["thresholds"]["by_label"]) == {"Edema"}
    assert (tmp_path / "out" / "report.md").read_text().startswith(f"# clip on {annotations.name}\n")
    assert report["sources"]["data"] == annotations.name


def test_the_first_version_is_evaluated_at_fixed_thresholds(tmp_path, images):
    report = evaluated(tmp_path, write_csv(tmp_path, columns=ms_cxr.COLUMNS), images)
    tree = report["tasks"]["grounding"]
    assert tree["pointing_game"]["n"] == 4
    assert tree["thresholds"]["others"] == list(grounding.FIXED_THRESHOLDS)
    assert "without a validation split" in tree["thresholds"]["source"]


def test_an_annotation_file_and_the_folder_of_its_images_go_together(tmp_path, images, capsys):
    common = ["run", "--model", "none", "--out", str(tmp_path / "out"), "--tasks", "grounding", "--data"]
    assert main([*common, str(write_csv(tmp_path))]) == 2
    assert "is an annotation file of MS-CXR: name the folder of its images as image_root" in capsys.readouterr().err
    assert main([*common, str(tmp_path), "--image_root", str(images)]) == 2
    assert "data is no annotation file of MS-CXR: leave it out" in capsys.readouterr().err
    assert main([*common, str(tmp_path / "absent.csv"), "--image_root", str(images)]) == 2
    assert "absent.csv" in capsys.readouterr().err
