"""Radiographs of any mode reach a model as 8-bit RGB of the same brightness."""

import numpy as np
import pytest
from PIL import Image

from evaluate_suite.images import as_rgb


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
