"""PRDProcessor on images of any mode."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_processors import image_processor, one_channel, word_piece

from modeling_prd.processing_prd import PRDProcessor


@pytest.fixture
def processor() -> PRDProcessor:
    return PRDProcessor(image_processor(), word_piece())


GREY = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
SAME_GREY = [
    Image.fromarray(GREY),
    Image.fromarray(GREY).convert("RGB"),
    Image.fromarray(GREY).convert("RGBA"),
    Image.fromarray(GREY.astype(np.uint16) * 257),
    Image.fromarray(GREY.astype(np.int32) * 257),
    Image.fromarray(GREY.astype(np.float32) / 255),
    GREY,
    GREY[None],
    np.stack([GREY] * 3, axis=-1),
    GREY.astype(np.uint16) * 257,
    torch.from_numpy(GREY).expand(3, 8, 8),
    torch.from_numpy(GREY) / 255,
]


def test_grey_images_of_every_mode_give_the_same_pixels(processor: PRDProcessor):
    pixels = processor(images=SAME_GREY, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (len(SAME_GREY), 3, 8, 8)
    expected = torch.from_numpy(GREY).float() / 255 * 2 - 1  # mean and deviation are 0.5
    torch.testing.assert_close(pixels, expected.expand_as(pixels), rtol=0, atol=1e-6)


def test_one_channel_is_kept_where_the_image_processor_has_one():
    pixels = PRDProcessor(one_channel(), word_piece())(images=SAME_GREY, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (len(SAME_GREY), 1, 8, 8)
    expected = torch.from_numpy(GREY).float() / 255 * 2 - 1
    torch.testing.assert_close(pixels, expected.expand_as(pixels), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "images", [Image.fromarray(GREY), GREY, torch.from_numpy(GREY)[None, None], np.stack([GREY] * 3, axis=-1)[None]]
)
def test_one_image_and_a_batch_array_are_taken(processor: PRDProcessor, images: Any):
    assert processor(images=images, return_tensors="pt")["pixel_values"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((8, 8), 2.0), r"image 1 is float64 with values from 2\.0 to 2\.0; expected 0 to 1"),
        (np.full((8, 8), np.nan), "image 1 is float64 with values from nan"),
        (np.zeros((8, 8), np.int64), "image 1 is int64; expected uint8, uint16, or floats"),
        (np.zeros((5, 8, 8), np.uint8), r"image 1 has shape \(5, 8, 8\)"),
    ],
)
def test_images_that_cannot_be_read_are_named(processor: PRDProcessor, image: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        processor(images=[GREY, image])


@pytest.mark.parametrize("mode", ["L", "I;16"])
@pytest.mark.parametrize("suffix", ["PNG", "TIFF"])
def test_a_truncated_image_file_is_named(processor: PRDProcessor, mode: str, suffix: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8 if mode == "L" else np.uint16)
    whole = BytesIO()
    Image.fromarray(noise).save(whole, suffix)
    truncated = Image.open(BytesIO(whole.getvalue()[: len(whole.getvalue()) // 2]))
    assert truncated.mode == mode
    with pytest.raises(ValueError, match=r"image 1 cannot be read: .*truncated"):
        processor(images=[GREY, truncated])
