"""Radiographs from image files: found by their ids, read as 8-bit grey at the stored size."""

from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .dicom import UNREADABLE_DICOM, is_dicom, read_dicom

UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, depending on where the damage is."""

_SIXTEEN_BITS = 65535


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


def is_image(path: Path) -> bool:
    """Whether a file begins as an image that `load_radiograph` reads; damage further inside is not seen.

    Raises:
        OSError: the file cannot be opened.
    """
    if is_dicom(path):
        return True
    try:
        with Image.open(path):
            return True
    except (UnidentifiedImageError, SyntaxError, ValueError):
        return False
    except Image.DecompressionBombError:
        return True


def load_radiograph(path: Path, shorter_side: int | None) -> Image.Image:
    """Read a radiograph as 8-bit grey, its shorter side reduced to at most `shorter_side` pixels.

    Args:
        path: a DICOM file (`read_dicom`) or an image file that Pillow reads, of any mode. 16-bit values count on their
            full scale of 0 to 65535, as in `PRDProcessor`.
        shorter_side: pixels; 0 or None for full size. A smaller image stays as it is. Reduced as `PRDProcessor`
            reduces it, by antialiased bilinear interpolation, to the size that transformers gives for a shortest edge.

    Raises:
        OSError: the file is missing, truncated or no image; it is named.
    """
    try:
        grey = read_dicom(path) if is_dicom(path) else _read_with_pillow(path)
    except FileNotFoundError:
        raise
    except (*UNREADABLE_IMAGE, *UNREADABLE_DICOM) as error:
        reason = " ".join(str(error).split())  # pydicom's go over several lines
        raise OSError(f"{path} is truncated or no image ({reason})") from error
    if not shorter_side or shorter_side >= min(grey.size):
        return grey
    width, height = (shorter_side * side // min(grey.size) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.BILINEAR)


def _read_with_pillow(path: Path) -> Image.Image:
    with Image.open(path) as image:
        if image.mode.startswith(("I", "F")):
            return _eight_bits(np.asarray(image))
        return image.convert("L")


def _eight_bits(pixels: NDArray[Any]) -> Image.Image:
    """Bring 16-bit values (which Pillow also holds as int32), or floats of 0 to 1, to 8 bits."""
    full_scale = 1 if pixels.dtype.kind == "f" else _SIXTEEN_BITS
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= full_scale):  # NaN is neither
        raise ValueError(f"its values go from {low} to {high}, not within 0 to {full_scale}")
    return Image.fromarray(np.rint(pixels.astype(np.float64) * (255 / full_scale)).astype(np.uint8))
