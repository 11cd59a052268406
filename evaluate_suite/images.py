"""Radiographs of any Pillow mode, as the image processors of transformers and open_clip take them."""

import numpy as np
from PIL import Image

_FULL_SCALES = {"I": 65535, "F": 1}  # by the first letter of a mode


def as_rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB, by the rule of `PRDProcessor`: 16-bit values count on 0 to 65535, floats on 0 to 1.

    Pillow's own `convert` clips those values at 255, and would make most radiographs white.

    Raises:
        ValueError: a value is outside that scale.
    """
    full_scale = _FULL_SCALES.get(image.mode[0])
    if full_scale is None:
        return image.convert("RGB")
    pixels = np.asarray(image)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= full_scale):  # NaN is neither
        raise ValueError(f"an image of mode {image.mode} has values from {low} to {high}; expected 0 to {full_scale}")
    return Image.fromarray((pixels.astype(np.float64) * (255 / full_scale)).round().astype(np.uint8)).convert("RGB")
