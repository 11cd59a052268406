"""The images of Open-I: PNG files, of one view where it is asked for, or stand-ins drawn from MeSH codes."""

import hashlib
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .image_file import ImageFile
from .openi_mesh import state_from_mesh
from .openi_reports import OpenIReport
from .phantom_drawing import draw
from .radiographs import index_images

ImageSource = Callable[[OpenIReport, str], Callable[[], Image.Image] | None]
"""From a report and the id of one of its images to what reads or draws that image; None if there is no such image."""


def image_files(folder: Path, image_ids: Collection[str], image_size: int) -> ImageSource:
    """The images whose PNG file is in a folder.

    Args:
        folder: where to look, subfolders too.
        image_ids: of the corpus.
        image_size: shorter side, in pixels, to which larger images are reduced.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: two files are one image.
    """
    paths = index_images(folder, image_ids, image_id_of_file)

    def read(report: OpenIReport, image_id: str) -> Callable[[], Image.Image] | None:
        return ImageFile(paths[image_id], image_size) if image_id in paths else None

    return read


def drawn_images(seed: int, image_size: int) -> ImageSource:
    """A stand-in for every image, square, with sides of `image_size` pixels."""
    return lambda report, image_id: partial(draw_stand_in, report, image_id, seed, image_size)


def only(image_ids: Collection[str], images: ImageSource) -> ImageSource:
    """Of a source of images those that are named."""
    return lambda report, image_id: images(report, image_id) if image_id in image_ids else None


def image_id_of_file(name: str) -> str:
    """The id for a file name of the NLM (`CXR1000_IM-0003-1001.png`) or of Kaggle (`1000_IM-0003-1001.dcm.png`)."""
    stem = name[: -len(".png")].removesuffix(".dcm")
    if stem.startswith("CXR"):
        return stem
    # The NLM writes the number of study 1, and of no other, twice: CXR1_1_IM-0001-3001.
    return f"CXR1_{stem}" if stem.startswith("1_") else f"CXR{stem}"


def draw_stand_in(report: OpenIReport, image_id: str, seed: int, image_size: int) -> Image.Image:
    """Draw a stand-in for an image: what it shows is the same in all images of a study, the pose is not."""
    state = state_from_mesh(report.mesh, _generator(seed, report.study_id))
    pixels, _ = draw(state, image_size, _generator(seed, image_id))
    return Image.fromarray(pixels)


def seeded_number(seed: int, key: str) -> int:
    """A number of 128 bits that depends on the seed and the key alone."""
    return int.from_bytes(hashlib.sha256(f"openi\0{seed}\0{key}".encode()).digest()[:16], "big")


def _generator(seed: int, key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seeded_number(seed, key)))
