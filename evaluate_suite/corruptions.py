"""What happens to radiographs on their way to a model: noise, blur, contrast, rotation, JPEG.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (ICLR
2019), at three severities instead of five.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageStat

SEVERITIES: tuple[int, ...] = (1, 2, 3)
"""From what a reader hardly notices to what a reader would send back."""

MODES: tuple[str, ...] = ("L", "RGB")
"""The Pillow modes that can be corrupted: what the datasets hold."""

_WHITE = 255


@dataclass(frozen=True)
class Corruption:
    """One way to spoil an image.

    Attributes:
        sizes: how strong it is at severity 1, 2 and 3.
        label: the size in words, a format of one number.
        apply: gives the spoilt image from an image, a size and random numbers.
    """

    sizes: tuple[float, float, float]
    label: str
    apply: Callable[[Image.Image, float, np.random.Generator], Image.Image]


def corrupt(image: Image.Image, corruption: str, severity: int, *, image_id: str, seed: int = 0) -> Image.Image:
    """Spoil an image; what is drawn hangs on (seed, image_id, corruption, severity) alone, on no order.

    Args:
        image: 8-bit, grey (`L`) or colour (`RGB`).
        corruption: a name in `CORRUPTIONS`.
        severity: 1, 2 or 3.
        image_id: the image's name.
        seed: of all random numbers.

    Returns:
        A new image of the same size and mode.

    Raises:
        ValueError: the corruption or the severity is unknown, or the image has another mode.
    """
    if corruption not in CORRUPTIONS:
        raise ValueError(f"corruption {corruption!r} is none of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r} is none of {', '.join(map(str, SEVERITIES))}")
    if image.mode not in MODES:
        raise ValueError(f"image {image_id!r} has mode {image.mode}: convert it to one of {', '.join(MODES)}")
    chosen = CORRUPTIONS[corruption]
    return chosen.apply(image, chosen.sizes[severity - 1], _generator(seed, image_id, corruption, severity))


def size_label(corruption: str, severity: int) -> str:
    """The physical size of a corruption in words, such as `JPEG quality 20`."""
    chosen = CORRUPTIONS[corruption]
    return chosen.label.format(chosen.sizes[severity - 1])


def _generator(seed: int, image_id: str, corruption: str, severity: int) -> np.random.Generator:
    # Hashed as JSON, so that no two keys run into one another; Python's own hash differs from process to process.
    key = json.dumps([seed, image_id, corruption, severity]).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "big"))


def _noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    # White Gaussian noise of a detector, which has one channel: equal in all channels of a colour image.
    pixels = np.asarray(image, dtype=np.float32)  # [H, W] or [H, W, 3]
    noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * (deviation * _WHITE)
    noisy = pixels + noise.reshape(noise.shape + (1,) * (pixels.ndim - 2))
    return Image.fromarray(np.clip(np.rint(noisy), 0, _WHITE).astype(np.uint8))


def _blur(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    # Relative to the image, so that a stored image of any resolution loses the same structures.
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def _contrast(image: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    # Every grey level moves towards the image's mean, in one table for all channels, so that no hue changes.
    mean = ImageStat.Stat(image.convert("L")).mean[0]
    table = [round(mean + factor * (level - mean)) for level in range(_WHITE + 1)]
    return image.point(table * len(image.getbands()))


def _rotation(image: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    # About the centre, to either side; what comes into the picture is black, as beside a tilted cassette.
    return image.rotate(math.copysign(degrees, rng.random() - 0.5), resample=Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image, quality: float, rng: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    with Image.open(file) as read:
        read.load()
        return read.copy()


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption((0.02, 0.05, 0.1), "noise of {:.0%} of full scale", _noise),
    "blur": Corruption((0.005, 0.01, 0.02), "blur of {:.1%} of the side", _blur),
    "contrast": Corruption((0.75, 0.5, 0.25), "contrast x {:g}", _contrast),
    "rotation": Corruption((2, 5, 10), "rotation by {:g} degrees", _rotation),
    "jpeg": Corruption((50, 20, 8), "JPEG quality {:g}", _jpeg),
}
"""The corruptions by name, with their physical sizes.

- `noise`: standard deviation of white Gaussian noise a stored pixel, as a share of full scale (255 grey levels).
- `blur`: standard deviation of a Gaussian blur, as a share of the shorter side: 1.75, 3.5 and 7 mm of 35 cm.
- `contrast`: what the contrast about the image's mean is multiplied with, as by a wider window.
- `rotation`: angle in degrees, clockwise or counter-clockwise.
- `jpeg`: quality of Pillow's JPEG encoder, 95 to 1, on blocks of 8 x 8 stored pixels.
"""
