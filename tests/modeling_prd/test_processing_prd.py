"""PRDProcessor as a whole: what it takes, what it refuses, and a folder that loads without the project."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_processors import byte_level_bpe, gpt2, image_processor, one_channel, word_piece
from transformers import ViTImageProcessorPil

from modeling_prd.processing_prd import PRDProcessor

GREY = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)


@pytest.fixture
def processor() -> PRDProcessor:
    return PRDProcessor(image_processor(), word_piece())


def test_images_and_reports_together_give_what_the_model_takes(processor: PRDProcessor):
    inputs = processor(images=[GREY], text=["heart size"], perturbed_text=[["size heart"]], return_tensors="pt")
    assert sorted(inputs) == sorted(processor.model_input_names)


def test_neither_images_nor_text_is_an_error(processor: PRDProcessor):
    with pytest.raises(ValueError, match="needs images, text or both"):
        processor()
    with pytest.raises(ValueError, match="perturbed_text needs the reports"):
        processor(images=[GREY], perturbed_text=[["size heart"]])
    with pytest.raises(ValueError, match="text holds no report"):
        processor(text=[])
    with pytest.raises(ValueError, match="images holds no image"):
        processor(images=[])
    with pytest.raises(ValueError, match="report 0 holds no perturbed report"):
        processor(text=["heart size"], perturbed_text=[[]])


def test_a_tokenizer_that_truncates_on_the_left_is_an_error():
    tokenizer = word_piece()
    tokenizer.truncation_side = "left"
    with pytest.raises(ValueError, match="truncates on the left"):
        PRDProcessor(image_processor(), tokenizer)


def test_a_slow_tokenizer_is_an_error():
    with pytest.raises(ValueError, match="slow tokenizer"):
        PRDProcessor(image_processor(), transformers.ByT5Tokenizer())


class TorchvisionOnlyImageProcessor(transformers.image_processing_utils.BaseImageProcessor):
    """Stands in for an image processor that has no Pillow twin."""


def test_an_image_processor_without_a_pillow_twin_is_an_error():
    with pytest.raises(ValueError, match="TorchvisionOnlyImageProcessor has no Pillow twin"):
        PRDProcessor(TorchvisionOnlyImageProcessor(), word_piece())


def test_an_image_processor_of_torchvision_is_replaced_by_its_pillow_twin():
    # A class with the name of the torchvision one, so that the test needs no torchvision.
    class ViTImageProcessor(transformers.image_processing_utils.BaseImageProcessor):
        def to_dict(self) -> dict[str, Any]:
            return image_processor(image_mean=[0.1, 0.2, 0.3]).to_dict()

    processor = PRDProcessor(ViTImageProcessor(), word_piece())
    assert type(processor.image_processor) is ViTImageProcessorPil
    assert list(processor.image_processor.image_mean) == [0.1, 0.2, 0.3]


LOAD_ELSEWHERE = """
import sys
sys.modules["modeling_prd"] = None  # importing it fails, installed or not
import torch
from transformers import AutoProcessor
for folder in sys.argv[1:]:
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    assert type(processor.image_processor).__name__ == "ViTImageProcessorPil"
    call = torch.load(f"{folder}/call.pt", weights_only=False)
    torch.save((processor.normalize_text, dict(processor(**call, return_tensors="pt"))), f"{folder}/outputs.pt")
"""


def test_a_saved_processor_loads_without_the_project_and_gives_the_same(tmp_path: Path):
    call = {"images": [GREY], "text": ["Heart size"], "perturbed_text": [["size Heart", None]]}
    saved = {
        "word_piece": PRDProcessor(image_processor(), word_piece()),
        "one_channel": PRDProcessor(one_channel(), byte_level_bpe()),
        "as_written": PRDProcessor(image_processor(), gpt2(), normalize_text=False),
    }
    for folder, processor in saved.items():
        processor.save_pretrained(tmp_path / folder)
        torch.save(call, tmp_path / folder / "call.pt")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    command = [sys.executable, "-c", LOAD_ELSEWHERE, *saved]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for folder, processor in saved.items():
        normalize_text, loaded = torch.load(tmp_path / folder / "outputs.pt")
        assert normalize_text == processor.normalize_text
        expected = processor(**call, return_tensors="pt")
        assert set(loaded) == set(expected)
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
