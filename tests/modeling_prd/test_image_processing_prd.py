"""PRDImageProcessor: the pixels of PRDProcessor without its tokenizer, saved and loaded alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_processors import image_processor, one_channel, word_piece
from transformers import AutoImageProcessor, ViTImageProcessorPil
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from modeling_prd import PRDImageProcessor, PRDProcessor

GENERATOR = np.random.default_rng(0)
GREY = Image.fromarray(GENERATOR.integers(0, 256, (20, 30), dtype=np.uint8))
COLOUR = Image.fromarray(GENERATOR.integers(0, 256, (30, 20, 3), dtype=np.uint8))
DEEP = GENERATOR.integers(0, 65536, (20, 20), dtype=np.uint16)
SIZES = {"size": {"shortest_edge": 12}, "crop_size": {"height": 8, "width": 8}}


def clip(**settings: Any) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(**SIZES, **settings)


PROCESSORS = [
    image_processor(image_mean=[0.1, 0.2, 0.3]),
    one_channel(),
    clip(do_normalize=False, image_mean=[0.0], image_std=[1.0], do_convert_rgb=False, resample=2),
    clip(),
]


@pytest.mark.parametrize("inner", PROCESSORS)
def test_its_pixels_are_the_processors_before_and_after_saving(inner: BaseImageProcessor, tmp_path: Path):
    processor, images = PRDProcessor(inner, word_piece()), [GREY, COLOUR, DEEP, torch.rand(3, 20, 20)]
    alone = PRDImageProcessor(processor.image_processor)
    alone.save_pretrained(tmp_path)
    expected = processor(images=images, return_tensors="pt")["pixel_values"]
    for made in (alone, PRDImageProcessor.from_pretrained(tmp_path)):
        assert made(images, return_tensors="pt")["pixel_values"].equal(expected)
        assert made.preprocess(images, return_tensors="pt")["pixel_values"].equal(expected)


def test_a_grey_image_comes_out_of_a_pipelines_rgb_as_it_was():
    alone = PRDImageProcessor(one_channel())
    assert np.array_equal(alone(GREY.convert("RGB"))["pixel_values"], alone(GREY)["pixel_values"])


def test_saved_settings_name_the_class_and_hold_the_inner_processors(tmp_path: Path):
    PRDImageProcessor(one_channel()).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["auto_map"] == {"AutoImageProcessor": "image_processing_prd.PRDImageProcessor"}
    assert saved["image_processor"] == json.loads(json.dumps(one_channel().to_dict()))
    assert (tmp_path / "image_processing_prd.py").is_file()
    loaded = AutoImageProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded.image_processor) is ViTImageProcessorPil


def test_an_image_processor_without_a_pillow_twin_is_an_error():
    with pytest.raises(ValueError, match=r"BaseImageProcessor has no Pillow twin \(BaseImageProcessorPil\)"):
        PRDImageProcessor(BaseImageProcessor())


def test_an_image_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match="image 1 is bool"):
        PRDImageProcessor(one_channel())([GREY, np.zeros((8, 8), dtype=bool)])
