"""A state dict of OpenAI's layout, as CheXzero's, becomes the CLIP of transformers that gives the same vectors."""

import json
from pathlib import Path

import numpy as np
import openai_layout
import pytest
import torch
from openai_layout import CONTEXT, END, GRID, JOINT, PATCH, START, VOCABULARY, random_state
from PIL import Image
from tiny_dual_encoders import tokenizer
from torch import nn
from transformers import CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from evaluate_suite.loading import load_encoder
from evaluate_suite.openai_clip import convert_openai_clip, load_openai_clip

SIZE = PATCH * GRID
TEXTS = [[START, 3, 4, END], [START, 5, END], [START, *range(7, 7 + CONTEXT - 2), END]]


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return random_state()


@torch.no_grad()
def test_images_have_the_vectors_of_openais_layout(state: dict[str, torch.Tensor]) -> None:
    pixels = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    features = convert_openai_clip(state).get_image_features(pixels).pooler_output
    expected = torch.stack([openai_layout.encode_image(state, image) for image in pixels])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_texts_have_the_vectors_of_openais_layout(state: dict[str, torch.Tensor]) -> None:
    model = convert_openai_clip(state)
    for tokens in TEXTS:
        padded = torch.tensor([tokens + [END] * (CONTEXT - len(tokens))])  # as transformers' tokenizer pads
        features = model.get_text_features(padded).pooler_output[0]
        np.testing.assert_allclose(features, openai_layout.encode_text(state, tokens), rtol=1e-4, atol=1e-5)


def test_the_sizes_are_read_off_the_weights(state: dict[str, torch.Tensor]) -> None:
    config = convert_openai_clip(state).config
    assert config.projection_dim == JOINT
    assert (config.vision_config.image_size, config.vision_config.patch_size) == (SIZE, PATCH)
    assert (config.vision_config.num_attention_heads, config.text_config.num_attention_heads) == (2, 1)
    assert (config.text_config.max_position_embeddings, config.text_config.vocab_size) == (CONTEXT, VOCABULARY)
    assert config.vision_config.hidden_act == config.text_config.hidden_act == "quick_gelu"


def test_no_weight_is_lost_or_changed(state: dict[str, torch.Tensor]) -> None:
    converted = convert_openai_clip({name: value.half() for name, value in state.items()}).state_dict()
    assert {value.dtype for value in converted.values()} == {torch.float32}
    assert sum(value.numel() for value in converted.values()) == sum(value.numel() for value in state.values())
    values = torch.cat([value.flatten() for value in converted.values()]).sort().values
    halved = torch.cat([value.half().float().flatten() for value in state.values()]).sort().values
    torch.testing.assert_close(values, halved, rtol=0, atol=0)


def save_processor(folder: Path, size: int = SIZE) -> Path:
    square = {"height": size, "width": size}
    CLIPProcessor(CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=square), tokenizer()).save_pretrained(
        folder
    )
    return folder


def test_a_pt_file_loads_with_the_processor_that_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(state, path)
    encoder = load_encoder(path, processor=save_processor(tmp_path / "processor"))
    images = encoder.encode_images([Image.new("L", (30, 20), grey) for grey in (0, 200)])
    assert images.shape == (2, JOINT)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="takes images of 16 x 16 pixels, its processor makes 20 x 20"):
        load_encoder(path, processor=save_processor(tmp_path / "other", size=20))


def test_without_a_processor_the_error_says_which_one_to_give(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="brings no processor, and 'openai/clip-vit-base-patch32' cannot") as caught:
        load_encoder(tmp_path / "weights.pt")
    expected = f"CLIPProcessor for images of {SIZE} x {SIZE} pixels and the {VOCABULARY} tokens of the file"
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_processor_that_is_used_can_be_told_from_the_facts(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pt")
    processor = CLIPProcessor.from_pretrained(save_processor(tmp_path / "processor"), backend="pil")
    processor.image_processor.image_mean, processor.image_processor.image_std = [0.39799] * 3, [0.32721] * 3
    processor.save_pretrained(tmp_path / "chexzero")
    facts = load_encoder(tmp_path / "weights.pt", processor=tmp_path / "chexzero").facts()
    assert (facts["class"], facts["text_window"]) == ("CLIPModel", CONTEXT)
    preprocessing = facts["preprocessing"]
    assert preprocessing["processor"] == "CLIPProcessor"
    assert (preprocessing["image_mean"], preprocessing["image_std"]) == ([0.39799] * 3, [0.32721] * 3)
    assert preprocessing["crop_size"] == {"height": SIZE, "width": SIZE}
    assert json.loads(json.dumps(facts)) == facts


def test_a_processor_with_tokens_that_the_weights_lack_is_named(tmp_path: Path) -> None:
    state = random_state()
    state["token_embedding.weight"] = state["token_embedding.weight"][:8]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights.pt knows 8 tokens, its processor \d+"):
        load_encoder(tmp_path / "weights.pt", processor=save_processor(tmp_path / "processor"))


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in random_state().items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"conv1.weight": torch.ones(1), "fc.bias": torch.ones(1)},
            "lacks 'ln_final.bias' and has 'conv1.weight', 'fc",
        ),
        ({"epoch": 3, "state_dict": {}}, "lacks 'ln_final.bias' and has 'epoch', 'state_dict'"),
        ([1, 2], "it holds a list, not named weights"),
        (random_state() | {"extra.weight": torch.ones(1)}, "it has 'extra.weight', which that layout has not"),
        (without("visual.transformer.resblocks.0.ln_1.bias"), "Missing key.*layers.0.layer_norm1.bias"),
        (random_state() | {"ln_final.bias": torch.ones(3)}, "size mismatch for text_model.final_layer_norm.bias"),
        (random_state() | {"token_embedding.weight": torch.ones(40, 65)}, "its width 65 is no multiple of 64"),
        (random_state() | {"ln_final.bias": "three"}, "'ln_final.bias' is a str, not a weight"),
    ],
)
def test_a_file_of_another_layout_is_named_in_one_line(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message) as caught:
        load_openai_clip(path)
    assert str(caught.value).startswith(f"{path} is no CLIP of OpenAI's layout: ")
    assert "\n" not in str(caught.value)


class Tree(nn.Module):
    """Weights with dots in their names, as a module that can be scripted."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name in {name.split(".")[0] for name in state}:
            part = {key.partition(".")[2]: value for key, value in state.items() if key.split(".")[0] == name}
            if "" in part:
                self.register_buffer(name, part[""])
            else:
                self.add_module(name, Tree(part))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_torchscript_archive_as_openais_own_is_read_too(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "ViT.pt"
    numbers = {"input_resolution": torch.tensor(SIZE), "context_length": torch.tensor(CONTEXT)}
    torch.jit.save(torch.jit.script(Tree(state | numbers)), path)
    expected = convert_openai_clip(state).state_dict()
    for name, value in load_openai_clip(path).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"", nn.Linear(2, 2)])
def test_a_file_that_holds_no_weights_or_more_is_named(content: object, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"other.pt cannot be read: it is damaged, or holds more than named weights$"):
        load_openai_clip(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.pt"):
        load_openai_clip(tmp_path / "absent.pt")
