"""Radiographs of any mode reach a model as 8-bit RGB of the same brightness."""

import numpy as np
import pytest
from PIL import Image
from tiny_processors import image_processor, word_piece

from evaluate_suite.images import as_rgb
from modeling_prd import PRDProcessor


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (np.full((2, 3), 128, np.uint8), "L"),
        (np.full((2, 3, 3), 128, np.uint8), "RGB"),
        (np.full((2, 3), 128 * 257, np.uint16), "I;16"),
        (np.full((2, 3), 128 * 257, np.int32), "I"),
        (np.full((2, 3), 128 / 255, np.float32), "F"),
    ],
)
def test_every_mode_gives_the_same_grey(pixels: np.ndarray, mode: str) -> None:
    image = Image.fromarray(pixels)
    assert image.mode == mode
    converted = as_rgb(image)
    assert converted.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(converted), np.full((2, 3, 3), 128, np.uint8))


@pytest.mark.parametrize(
    ("pixels", "values"),
    [
        (np.array([[0, 65536]], np.int32), "values from 0 to 65536; expected 0 to 65535"),
        (np.array([[-0.5, 1]], np.float32), "values from -0.5 to 1.0; expected 0 to 1"),
        (np.array([[np.nan, 1]], np.float32), "values from nan to nan"),
    ],
)
def test_values_off_the_scale_are_named(pixels: np.ndarray, values: str) -> None:
    with pytest.raises(ValueError, match=values):
        as_rgb(Image.fromarray(pixels))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "I;16B", "F"])
def test_an_image_of_any_mode_is_what_the_models_own_processor_makes_of_it(mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (32, 32))
    match mode:
        case "I" | "F":
            image = Image.fromarray((levels / (1 if mode == "I" else 65535)).astype(np.int32 if mode == "I" else "f4"))
        case "I;16" | "I;16B":
            image = Image.frombytes(mode, (32, 32), levels.astype("<u2" if mode == "I;16" else ">u2").tobytes())
        case _:
            image = Image.fromarray((levels // 256).astype(np.uint8)).convert(mode)
    assert image.mode == mode
    processor = PRDProcessor(image_processor(), word_piece())
    theirs, ours = (processor(images=[each], return_tensors="np")["pixel_values"] for each in (image, as_rgb(image)))
    np.testing.assert_array_equal(ours, theirs)
