"""Small records, and datasets read back, for the tests of `datasets_scripts`."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub import DatasetCard
from PIL import Image

from datasets_scripts.card import DatasetInfo
from datasets_scripts.schema import Record

INFO = DatasetInfo(
    name="Test pairs",
    source="Made for a test.",
    licence="cc-by-4.0",
    description="A few pairs.",
    command="python -m test",
    synthetic_images=False,
)


def grey_image(value: int) -> Callable[[], Image.Image]:
    return lambda: Image.fromarray(np.full((4, 6), value, np.uint8))


def record(image_id: str, report: str, **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "study_id": f"study of {image_id}",
        "findings": f"{report.capitalize()}.",
        "impression": "",
        "image": grey_image(7),
        "synthetic": False,
    }
    return Record(image_id=image_id, report=report, **{**defaults, **fields})


def load(folder: Path, config: str | None = None, streaming: bool = False) -> Any:
    """`datasets.load_dataset`, its cache beside the dataset."""
    return datasets.load_dataset(str(folder), config, streaming=streaming, cache_dir=str(folder.parent / "cache"))


def image_ids(dataset: Any) -> dict[str, list[str]]:
    return {split: sorted(row["image_id"] for row in rows) for split, rows in dataset.items()}


def file_hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def licence_in(folder: Path) -> tuple[str | None, ...]:
    """The licence of a dataset's card as the Hub's client reads it: its identifier there, its name, its link."""
    data = DatasetCard.load(folder / "README.md", ignore_metadata_errors=False).data
    return tuple(data.get(field) for field in ("license", "license_name", "license_link"))
