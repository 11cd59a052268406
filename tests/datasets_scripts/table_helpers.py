"""Tables of image-report pairs, and the command that builds them, for the tests of `build table`."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets_scripts.__main__ import main


def save_image(path: Path, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size[::-1], np.uint8)).save(path)
    return path


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
