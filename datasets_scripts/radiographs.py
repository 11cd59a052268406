"""Radiographs from image files: found by their ids, read as 8-bit grey at the stored size."""

import struct
import textwrap
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from .dicom import UNREADABLE_DICOM, NotOneRadiograph, is_dicom, read_dicom

UNREADABLE_IMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a damaged file, depending on the format and on where the damage is."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
"""What is asked of Pillow; of its other formats, one starts a program (EPS), and none is of radiographs."""

_SIXTEEN_BITS = 65535
_MIN_IS_WHITE = 0
_LONGEST_REASON = 200  # characters; pydicom's go over several lines and may hold the bytes of the file


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
        with Image.open(path, formats=_FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except UNREADABLE_IMAGE:
        return False


def load_radiograph(path: Path, shorter_side: int | None) -> Image.Image:
    """Read a radiograph as 8-bit grey, its shorter side reduced to at most `shorter_side` pixels.

    Args:
        path: a DICOM file (`read_dicom`), or a PNG, JPEG, TIFF, BMP or WebP file of any mode and of one page. 16-bit
            values count on their full scale of 0 to 65535, as in `PRDProcessor`. An image is turned and mirrored as
            its EXIF orientation says, and inverted where a TIFF file says that its lowest value is white.
            A picture of one single grey is refused of a DICOM file alone, whose window or slope made it so; the values
            of the other formats are those that somebody exported to be looked at.
        shorter_side: pixels; 0 or None for full size. A smaller image stays as it is. Reduced as `PRDProcessor`
            reduces it, by antialiased bilinear interpolation, to the size that transformers gives for a shortest edge.

    Raises:
        OSError: the file is missing, truncated, no image or not the picture of one radiograph; it is named.
    """
    try:
        grey = read_dicom(path) if is_dicom(path) else _read_with_pillow(path)
    except FileNotFoundError:
        raise
    except NotOneRadiograph as error:
        raise OSError(f"{path} is no radiograph: {error}") from error
    except UnidentifiedImageError as error:
        raise OSError(f"{path} is truncated or no image (of DICOM, {', '.join(_FORMATS)})") from error
    except (*UNREADABLE_IMAGE, *UNREADABLE_DICOM) as error:
        raise OSError(f"{path} is truncated or no image ({_in_a_line(error)})") from error
    if not shorter_side or shorter_side >= min(grey.size):
        return grey
    width, height = (shorter_side * side // min(grey.size) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.BILINEAR)


def _read_with_pillow(path: Path) -> Image.Image:
    # Given a name, Pillow maps the file into memory, and exchanges height and width of TIFF images that lie on a side.
    with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and image.format != "MPO":  # a camera's JPEG, followed by previews of it
            raise NotOneRadiograph(f"it holds {pages} pages, not one radiograph")
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith(("I", "F")):
            # Pillow inverts values of up to 8 bits itself.
            inverted = (
                isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _MIN_IS_WHITE
            )
            return _eight_bits(np.asarray(image), inverted)
        return image.convert("L")


def _eight_bits(pixels: NDArray[Any], inverted: bool) -> Image.Image:
    """Bring 16-bit values (which Pillow also holds as int32), or floats of 0 to 1, to 8 bits, 0 as white or black."""
    full_scale = 1 if pixels.dtype.kind == "f" else _SIXTEEN_BITS
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= full_scale):  # NaN is neither
        raise NotOneRadiograph(f"its values go from {low} to {high}, not within 0 to {full_scale}")
    grey = pixels.astype(np.float64) * (255 / full_scale)
    return Image.fromarray(np.rint(255 - grey if inverted else grey).astype(np.uint8))


def _in_a_line(error: BaseException) -> str:
    reason = textwrap.shorten(str(error) or type(error).__name__, _LONGEST_REASON, placeholder=" ...")
    return reason if reason.isprintable() else ascii(reason)
