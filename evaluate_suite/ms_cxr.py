"""MS-CXR's annotations (Boecking et al. 2022) as datasets that the grounding task takes.

The files `MS_CXR_Local_Alignment_v1.0.0` and `v1.1.0` come as COCO-like JSON and as CSV, one row a box; the images are
MIMIC-CXR-JPG's, which PhysioNet hands out separately. Both are for credentialed users and are read where they lie.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image, UnidentifiedImageError

from datasets_scripts.input_files import read_csv
from datasets_scripts.perturbations import normalize_report

COLUMNS: tuple[str, ...] = (
    "dicom_id",
    "category_name",
    "label_text",
    "path",
    "x",
    "y",
    "w",
    "h",
    "image_width",
    "image_height",
)
"""Of the CSV file; version 1.1.0 has `split` besides."""

SUFFIXES: tuple[str, ...] = (".json", ".csv", ".gz")
"""Of the annotation files."""

SPLITS: Mapping[str, str] = {"train": "train", "val": "validation", "test": "test"}
"""MS-CXR's names of its splits, and ours."""

FEATURES = Features(
    {
        "image": ImageFeature(),
        "image_id": Value("string"),
        "study_id": Value("string"),
        "report": Value("string"),
        "boxes": List({"label": Value("string"), "phrase": Value("string"), "box": List(Value("float32"), length=4)}),
    }
)

_SHAPE_TOLERANCE = 0.02  # of a smaller copy, whose sides are rounded to whole pixels


def read(annotations: Path, images: Path) -> dict[str, Dataset]:
    """Read the annotations, one row an image, in the form that `tasks.grounding` and the suite's runner take.

    Args:
        annotations: the `.csv` or `.json` file.
        images: the folder that the annotations' paths (`files/p10/...`) start from, with or without its `files`. The
            images may be smaller copies: the boxes are scaled along.

    Returns:
        The splits by our names; version 1.0.0 has none and is all `test`. Columns: `image`, `image_id` (the DICOM id),
        `study_id`, `boxes` (label, phrase as written, and box as in the perturbed-pairs dataset), and as `report` the
        image's phrases, normalised.

    Raises:
        ValueError: the file is neither CSV nor JSON of this form, a number or a split in it is none, a box is empty or
            outside its image, or an image has another shape than annotated; the message names the row.
        FileNotFoundError: an image is not there; its row is named.
    """
    by_split: dict[str, dict[str, dict[str, Any]]] = {}
    for where, row in _rows(annotations):
        split = row.get("split", "test")
        if split not in SPLITS:
            raise ValueError(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
        of_split = by_split.setdefault(SPLITS[split], {})
        if row["path"] not in of_split:
            of_split[row["path"]] = _image_row(where, row, images)
        of_split[row["path"]]["boxes"].append(_box(where, row, of_split[row["path"]]["size"]))
    if not by_split:
        raise ValueError(f"{annotations} has no box")
    return {name: _dataset(by_split[name].values()) for name in SPLITS.values() if name in by_split}


def _rows(annotations: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if annotations.suffix == ".json":
        return _json_rows(annotations)
    if annotations.suffix in SUFFIXES:
        return read_csv(annotations, COLUMNS)
    raise ValueError(f"{annotations} is neither .csv nor .json: give an MS_CXR_Local_Alignment file")


def _json_rows(annotations: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The annotations by the columns of the CSV file, as MS-CXR's own `convert_coco_json_to_csv.py` makes it."""
    try:
        coco = json.loads(annotations.read_text(encoding="utf-8"))
        images = {image["id"]: image for image in coco["images"]}
        categories = {category["id"]: category["name"] for category in coco["categories"]}
        for annotation in coco["annotations"]:
            where = f"{annotations}, annotation {annotation['id']}"
            image, box = images[annotation["image_id"]], annotation["bbox"]
            if len(box) != 4:
                raise ValueError(f"{where}: the box {box} has {len(box)} numbers: give x, y, width and height")
            row = {
                "dicom_id": Path(image["file_name"]).stem,
                "category_name": categories[annotation["category_id"]],
                "label_text": annotation["label_text"],
                "path": image["path"],
                **dict(zip(("x", "y", "w", "h"), box, strict=True)),
                **{"image_width": image["width"], "image_height": image["height"]},
            }
            split = {"split": annotation["split"]} if "split" in annotation else {}
            _check_texts(where, row)
            yield where, row | split
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{annotations} is no MS-CXR annotation file ({type(error).__name__}: {error})") from error


def _check_texts(where: str, row: Mapping[str, Any]) -> None:
    for name in ("category_name", "label_text", "path"):
        if not isinstance(row[name], str):
            raise ValueError(f"{where}: {name} is {row[name]!r}, and no text")


def _image_row(where: str, row: Mapping[str, Any], images: Path) -> dict[str, Any]:
    path = Path(row["path"])
    short = Path(*path.parts[1:]) if path.parts[:1] == ("files",) else path
    found = next((place for place in (images / path, images / short) if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{where}: there is no image {images / short}, nor {images / path}")
    try:
        with Image.open(found) as image:
            size = image.size
    except UnidentifiedImageError as error:
        raise ValueError(f"{where}: {found} is no image: get it again") from error
    return {"image": str(found), "image_id": row["dicom_id"], "study_id": path.parent.name, "size": size, "boxes": []}


def _box(where: str, row: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    # The box in the pixels of the image as it is stored, which may be a smaller copy of the annotated one.
    try:
        x, y, w, h, width, height = (float(row[name]) for name in ("x", "y", "w", "h", "image_width", "image_height"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}; boxes and image sizes are numbers") from error
    if not (w > 0 and h > 0 and 0 <= x < width and 0 <= y < height):
        raise ValueError(f"{where}: box {(x, y, w, h)} is empty or outside its image of {width:g} x {height:g} pixels")
    if not normalize_report(row["label_text"]):
        raise ValueError(f"{where}: label_text is {row['label_text']!r}, without a word: leave the row out")
    across, down = size[0] / width, size[1] / height
    if abs(across / down - 1) > _SHAPE_TOLERANCE:
        raise ValueError(
            f"{where}: the image has {size[0]} x {size[1]} pixels, the annotated one {width:g} x {height:g}: "
            "give the original or a smaller copy, neither cropped nor padded"
        )
    return {
        "label": row["category_name"],
        "phrase": row["label_text"],
        "box": [x * across, y * down, (x + w) * across, (y + h) * down],
    }


def _dataset(rows: Iterable[dict[str, Any]]) -> Dataset:
    complete = [
        {name: row[name] for name in ("image", "image_id", "study_id", "boxes")}
        | {"report": normalize_report(" ".join(dict.fromkeys(box["phrase"] for box in row["boxes"])))}
        for row in rows
    ]
    return Dataset.from_list(complete, features=FEATURES)
