"""From the region vectors of an image to maps of where a text matches."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .errors import NotSupportedError


def region_maps(
    regions: Tensor, texts: Tensor, image_size: tuple[int, int], patch_size: int | Sequence[int] | None
) -> list[NDArray[np.float32]]:
    """Dot every region of an image with the text that belongs to it, on the grid of the regions.

    Args:
        regions: [B, M, D], row by row.
        texts: [B, D].
        image_size: (rows, columns) in pixels of the images as the model takes them.
        patch_size: of the vision encoder, in pixels; None where it has none.

    Returns:
        B maps [H, W] with H * W = M.

    Raises:
        NotSupportedError: M regions are no grid over such images.
    """
    scores = torch.einsum("bmd,bd->bm", regions.float(), texts.float())  # [B, M]
    rows, columns = region_grid(regions.shape[1], image_size, patch_size)
    return list(scores.unflatten(1, (rows, columns)).cpu().numpy())


def region_grid(
    regions: int, image_size: tuple[int, int], patch_size: int | Sequence[int] | None = None
) -> tuple[int, int]:
    """The rows and columns in which a vision encoder lays its regions over an image.

    They are its patches where as many as regions fit on the image; otherwise (convolutions, merged patches) the
    encoder has one stride, the same along rows and columns, which their number gives away.

    Raises:
        NotSupportedError: no grid of that many regions covers the image.
    """
    height, width = image_size
    if patch_size is not None:
        patch_height, patch_width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
        rows, columns = height // patch_height, width // patch_width
        if rows * columns == regions:
            return rows, columns
    stride = math.sqrt(height * width / regions)
    rows, columns = round(height / stride), round(width / stride)
    if rows * columns != regions:
        raise NotSupportedError(f"{regions} regions are no grid over images of {height} x {width} pixels")
    return rows, columns


def check_pairs(images: Sequence[Image.Image], phrases: Sequence[str]) -> None:
    """Raise ValueError unless there is one phrase an image."""
    if len(images) != len(phrases):
        raise ValueError(f"a map belongs to an image and its phrase: got {len(images)} images, {len(phrases)} phrases")
