"""Tables of image-report pairs, and the command that builds them, for the tests of `build table`."""

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

import datasets_scripts.table as table_module
from datasets_scripts.__main__ import main
from datasets_scripts.schema import Counterfactual
from datasets_scripts.table import Table
from datasets_scripts.table_rows import Layout


def save_image(path: Path, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size[::-1], np.uint8)).save(path)
    return path


def damage(path: Path) -> None:
    """A JPEG whose beginning is whole."""
    save_image(path, size=(200, 160))
    path.write_bytes(path.read_bytes()[:-4000])


def csv_line(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    path.write_bytes(b"".join(csv_line(row) for row in (header, *rows)))
    return path


def build(table: Path, root: Path, out: Path, *more: str) -> int:
    """Run `build table` on columns called `image` and `report`."""
    where = ["--table", str(table), "--image_root", str(root), "--out", str(out)]
    columns = ["--image_column", "image", "--report_column", "report"]
    return main(["build", "table", *where, *columns, "--image_size", "16", *more])


class NoEdits:
    """Stands in for `ReportEditor`, whose spaCy pipeline takes seconds to load and memory of its own."""

    def __init__(self, seed: int) -> None:
        pass

    def edit(self, findings: str, report: str, study_id: str) -> dict[str, Counterfactual]:
        return {}


def without_edits() -> AbstractContextManager[object]:
    return patch.object(table_module, "ReportEditor", NoEdits)


def scan(table: Path, layout: Layout) -> tuple[dict[str, int], list[str]]:
    """What is left out, and the ids of the rows that stay."""
    rows = Table(table, layout, image_size=16, validation=0, seed=0, synthetic=False)
    left_out = rows.scan()
    with without_edits():
        return left_out, [record.image_id for records in rows.splits().values() for record in records]
