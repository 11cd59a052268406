"""A phrase's map is word . region, or text . patch, on the grid in which the model sees the image."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_dual_encoders import build
from tiny_processors import word_piece
from transformers import BertConfig, PreTrainedConfig, ResNetConfig, SwinConfig, ViTConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from evaluate_suite.dual_encoders import TransformersEncoder
from evaluate_suite.encoders import LocalMaps, PRDEncoder
from evaluate_suite.errors import NotSupportedError
from evaluate_suite.regions import region_grid
from modeling_prd import PRDConfig, PRDModel, PRDProcessor

PHRASES = ["no pleural effusion", "clear", "left sided apex"]
ROWS, COLUMNS = 64, 96
RESNET = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", image_size=[64, 96])
VIT = ViTConfig(image_size=[64, 96], patch_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
SWIN = SwinConfig(image_size=[64, 96], patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
VISION = {"resnet": (RESNET, (8, 12)), "vit": (VIT, (4, 6)), "swin": (SWIN, (8, 12))}


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (40, 60), dtype=np.uint8)) for _ in range(3)]


def prd(vision: PreTrainedConfig, size: Sequence[int] = (ROWS, COLUMNS), **settings: object) -> PRDEncoder:
    torch.manual_seed(0)
    tokenizer = word_piece()
    text = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    text.intermediate_size = 16
    config = PRDConfig.from_vision_text_configs(vision, text, projection_dim=6, vision_pooling="mean", **settings)
    images = ViTImageProcessorPil(size={"height": size[0], "width": size[1]})
    return PRDEncoder(PRDModel(config).eval(), PRDProcessor(images, tokenizer), batch_size=2)


@pytest.mark.parametrize("vision", VISION)
@torch.no_grad()
def test_a_value_is_the_mean_over_the_phrases_words_of_word_by_region(vision: str, images: list[Image.Image]) -> None:
    config, (rows, columns) = VISION[vision]
    encoder = prd(config)
    maps = encoder.phrase_maps(images, PHRASES)
    assert isinstance(encoder, LocalMaps)
    for image, phrase, phrase_map in zip(images, PHRASES, maps, strict=True):
        inputs = encoder.processor(images=[image], text=[phrase], return_tensors="pt")
        regions = encoder.model.get_image_regions(inputs["pixel_values"])[0].double().numpy()  # [M, D]
        words, mask = encoder.model.get_word_embeddings(
            inputs["input_ids"], inputs["attention_mask"], inputs["word_ids"]
        )
        vectors = words[0].double().numpy()[mask[0].numpy()]  # [W, D]
        assert phrase_map.dtype == np.float32
        assert phrase_map.shape == (rows, columns)
        for row in range(rows):
            for column in range(columns):
                region = regions[row * columns + column]
                expected = sum(float(word @ region) for word in vectors) / len(vectors)
                assert math.isclose(phrase_map[row, column], expected, rel_tol=1e-4, abs_tol=1e-5)


def test_regions_of_an_earlier_stage_have_their_own_grid(images: list[Image.Image]) -> None:
    assert [entry.shape for entry in prd(RESNET, region_stage=0).phrase_maps(images, PHRASES)] == [(16, 24)] * 3


def test_a_bright_place_is_found_where_it_is() -> None:
    """The rows of a map go down the image and its columns to the right."""
    encoder = prd(RESNET)
    dark = np.zeros((ROWS, COLUMNS), np.uint8)
    spot = dark.copy()
    spot[40:48, 80:88] = 255  # row 5, column 10 of a grid of 8 x 12
    before, after = encoder.phrase_maps([Image.fromarray(dark), Image.fromarray(spot)], ["clear", "clear"])
    row, column = np.unravel_index(np.abs(after - before).argmax(), before.shape)
    assert abs(row - 5) <= 1
    assert abs(column - 10) <= 1


@pytest.mark.parametrize("name", ["clip", "chinese_clip"])
@torch.no_grad()
def test_clips_value_is_the_cosine_of_the_text_and_the_projected_patch(name: str, images: list[Image.Image]) -> None:
    model, processor = build(name)
    maps = TransformersEncoder(model, processor, batch_size=2).phrase_maps(images, PHRASES)
    for image, phrase, phrase_map in zip(images, PHRASES, maps, strict=True):
        pixels = processor.image_processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
        states = model.vision_model(pixel_values=pixels).last_hidden_state[0]  # [1 + M, C], the class token first
        inputs = processor.tokenizer([phrase], return_tensors="pt")
        text = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output[0]
        assert phrase_map.shape == (4, 4)
        for place, state in enumerate(states[1:]):
            patch = model.visual_projection(model.vision_model.post_layernorm(state))
            expected = float(torch.cosine_similarity(patch.double(), text.double(), dim=0))
            assert math.isclose(phrase_map[place // 4, place % 4], expected, abs_tol=1e-5)


@torch.no_grad()
def test_aligns_patches_are_those_whose_mean_is_the_image(images: list[Image.Image]) -> None:
    model, processor = build("align")
    encoder = TransformersEncoder(model, processor)
    pixels = processor.image_processor([image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]
    outputs = model.get_image_features(pixels)
    torch.testing.assert_close(outputs.last_hidden_state.mean(dim=(2, 3)), outputs.pooler_output)
    texts = torch.from_numpy(encoder.encode_texts(PHRASES))
    patches = torch.nn.functional.normalize(outputs.last_hidden_state, dim=1)  # [B, D, 4, 4]
    expected = torch.einsum("bdhw,bd->bhw", patches, texts)
    np.testing.assert_allclose(np.stack(encoder.phrase_maps(images, PHRASES)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["siglip", "siglip2", "vision_text_dual_encoder"])
def test_a_model_without_patches_in_the_space_of_its_texts_says_so(name: str, images: list[Image.Image]) -> None:
    encoder = TransformersEncoder(*build(name))
    with pytest.raises(NotSupportedError, match=r"^\w+ does not project single patches"):
        encoder.phrase_maps(images, PHRASES)


def test_one_phrase_belongs_to_one_image(images: list[Image.Image]) -> None:
    for encoder in (prd(VIT), TransformersEncoder(*build("clip"))):
        with pytest.raises(ValueError, match="got 3 images, 1 phrases"):
            encoder.phrase_maps(images, ["clear"])


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([4, 7, 16, 32]))
def test_the_grid_of_one_stride_is_known_from_the_number_of_regions(rows: int, columns: int, stride: int) -> None:
    assert region_grid(rows * columns, (rows * stride, columns * stride)) == (rows, columns)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 32), st.integers(1, 32))
def test_the_grid_of_patches_is_theirs(rows: int, columns: int, height: int, width: int) -> None:
    assert region_grid(rows * columns, (rows * height, columns * width), (height, width)) == (rows, columns)


def test_regions_that_are_no_grid_are_not_supported() -> None:
    with pytest.raises(NotSupportedError, match="7 regions are no grid over images of 64 x 64 pixels"):
        region_grid(7, (64, 64), patch_size=16)
