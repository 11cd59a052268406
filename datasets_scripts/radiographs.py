"""Radiographs from image files: found by their ids, read as 8-bit grey at the stored size."""

from collections.abc import Callable, Container
from pathlib import Path

import numpy as np
from PIL import Image

UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, depending on where the damage is."""


def index_images(folder: Path, image_ids: Container[str], id_of_file: Callable[[str], str]) -> dict[str, Path]:
    """Find images among the PNG files of a folder and its subfolders.

    Args:
        folder: where to look.
        image_ids: the images to find; other files do not matter.
        id_of_file: from a file name to the image's id.

    Returns:
        The files of those images that are there, by id.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: two files are one image.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the folder that holds the images")
    paths: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.[pP][nN][gG]")):
        image_id = id_of_file(path.name)
        if image_id in image_ids and paths.setdefault(image_id, path) != path:
            raise ValueError(f"{paths[image_id]} and {path} are both image {image_id}; keep one of the two")
    return paths


def load_radiograph(path: Path, shorter_side: int) -> Image.Image:
    """Read a radiograph as 8-bit grey, its shorter side reduced to at most `shorter_side` pixels.

    Args:
        path: an image file that Pillow reads; of 16-bit grey the upper 8 bits are kept.
        shorter_side: pixels; a smaller image stays as it is. Reduced by antialiased bilinear interpolation.

    Raises:
        OSError: the file is missing, truncated or no image; it is named.
    """
    try:
        with Image.open(path) as image:
            grey = _to_grey(image)
    except FileNotFoundError:
        raise
    except UNREADABLE_IMAGE as error:
        raise OSError(f"{path} is truncated or no image ({error})") from error
    scale = shorter_side / min(grey.size)
    if scale >= 1:
        return grey
    width, height = (max(shorter_side, round(side * scale)) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.BILINEAR)


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L")
