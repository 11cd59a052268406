"""Any dual encoder of transformers, loaded by its path, gives the vectors of its own `get_*_features`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_dual_encoders import DUAL_ENCODERS, IMAGE_SIZE, WINDOW, build, save, tokenizer
from transformers import (
    CLIPModel,
    RobertaConfig,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
    ViTConfig,
)
from transformers.image_processing_backends import PilBackend
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from evaluate_suite import loading
from evaluate_suite.dual_encoders import TransformersEncoder
from evaluate_suite.encoders import TextWindow
from evaluate_suite.loading import load_encoder

REPORTS = ["clear", "no pleural effusion or pneumothorax", "the left", "there is no large effusion", "right lungs"]
ONE_WORD_A_TOKEN = [name for name in DUAL_ENCODERS if name != "siglip2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(name, tmp_path_factory.mktemp(name)) for name in DUAL_ENCODERS}


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (20, 24), dtype=np.uint8)) for _ in range(5)]


def unit(vectors: list[torch.Tensor]) -> np.ndarray:
    stacked = torch.cat(vectors).double().numpy()
    return stacked / np.sqrt((stacked**2).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("name", DUAL_ENCODERS)
@torch.no_grad()
def test_images_get_the_models_unit_vectors(name: str, folders: dict[str, Path], images: list[Image.Image]) -> None:
    model, processor = build(name)
    rows = [processor.image_processor(image.convert("RGB"), return_tensors="pt") for image in images]
    expected = unit([model.get_image_features(**row).pooler_output for row in rows])
    embeds = load_encoder(folders[name], batch_size=2).encode_images(images)
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, expected, atol=1e-6)


@pytest.mark.parametrize("name", DUAL_ENCODERS)
@torch.no_grad()
def test_texts_get_the_models_unit_vectors_in_their_order(name: str, folders: dict[str, Path]) -> None:
    model, processor = build(name)
    window = model.config.text_config.max_position_embeddings
    padding = {"padding": "max_length", "max_length": window} if name.startswith("siglip") else {}
    expected = []
    for report in REPORTS:
        inputs = processor.tokenizer([report], return_tensors="pt", **padding)
        expected.append(model.get_text_features(**inputs).pooler_output)
    embeds = load_encoder(folders[name], batch_size=2).encode_texts(REPORTS)
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, unit(expected), atol=1e-6)


@pytest.mark.parametrize("name", DUAL_ENCODERS)
def test_the_batch_size_does_not_matter(name: str, folders: dict[str, Path], images: list[Image.Image]) -> None:
    one, all_at_once = (load_encoder(folders[name], batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one.encode_images(images), all_at_once.encode_images(images), atol=1e-6)
    np.testing.assert_allclose(one.encode_texts(REPORTS), all_at_once.encode_texts(REPORTS), atol=1e-6)


@pytest.mark.parametrize("name", ONE_WORD_A_TOKEN)
def test_distinct_texts_past_the_window_are_counted(name: str, folders: dict[str, Path]) -> None:
    encoder = load_encoder(folders[name])
    fits, too_long = "the " * (WINDOW - 2), "the " * (WINDOW - 1)  # one token before and one after the words
    assert isinstance(encoder, TextWindow)
    assert encoder.truncated(["clear", fits]) == 0
    assert encoder.truncated([fits, too_long, "left " * 99, too_long]) == 2
    assert encoder.truncated([]) == 0


def test_a_window_is_counted_in_the_tokenizers_own_tokens(folders: dict[str, Path]) -> None:
    encoder = load_encoder(folders["siglip2"])  # one token a letter
    assert encoder.truncated(["a" * 64, "a" * 65]) == 1


@pytest.mark.parametrize("name", ONE_WORD_A_TOKEN)
def test_a_text_past_the_window_is_read_up_to_it(name: str, folders: dict[str, Path]) -> None:
    words = ["left", "clear", *["the"] * (WINDOW - 4)]
    whole, cut = load_encoder(folders[name]).encode_texts([" ".join([*words, *["effusion"] * 9]), " ".join(words)])
    np.testing.assert_allclose(whole, cut, atol=1e-6)


def test_a_tokenizers_own_bound_counts_where_it_is_the_lower_one() -> None:
    model, processor = build("clip")
    processor.tokenizer.model_max_length = 5
    encoder = TransformersEncoder(model, processor)
    assert encoder.text_window == 5
    assert encoder.truncated(["the left lungs", "the left lungs clear"]) == 1


def test_positions_behind_the_paddings_are_not_counted_as_window() -> None:
    text = RobertaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, pad_token_id=1)
    text.intermediate_size, text.max_position_embeddings = 16, WINDOW + 2  # positions 2 to WINDOW + 1 are a token's
    vision = ViTConfig(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    model = VisionTextDualEncoderModel(VisionTextDualEncoderConfig.from_vision_text_configs(vision, text))
    images = ViTImageProcessorPil(size={"height": 16, "width": 16})
    encoder = TransformersEncoder(model, VisionTextDualEncoderProcessor(images, tokenizer()))
    assert encoder.text_window == WINDOW
    assert np.isfinite(encoder.encode_texts(["left " * 99])).all()


@pytest.mark.parametrize("name", DUAL_ENCODERS)
def test_pillow_makes_the_pixels_whatever_else_is_installed(name: str, folders: dict[str, Path]) -> None:
    encoder: Any = load_encoder(folders[name])
    assert isinstance(encoder.processor.image_processor, PilBackend)


def test_an_image_processor_of_another_back_end_is_replaced(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(loading, "PilBackend", SiglipImageProcessorPil)  # so that CLIP's counts as another
    load = loading.AutoImageProcessor.from_pretrained
    monkeypatch.setattr(
        loading.AutoImageProcessor,
        "from_pretrained",
        lambda name, **options: found.append(options) or load(name, **options),
    )
    encoder: Any = load_encoder(folders["clip"])
    assert found[-1] == {"backend": "pil"}
    assert isinstance(encoder.processor.image_processor, CLIPImageProcessorPil)
    assert encoder.processor.image_processor.crop_size.height == IMAGE_SIZE


def test_half_precision_weights_are_computed_with_in_float32(tmp_path: Path, images: list[Image.Image]) -> None:
    model, processor = build("clip")
    processor.save_pretrained(tmp_path)
    model.half().save_pretrained(tmp_path)
    encoder: Any = load_encoder(tmp_path)
    assert encoder.model.dtype == torch.float32
    expected = TransformersEncoder(model.float(), processor).encode_images(images)
    np.testing.assert_allclose(encoder.encode_images(images), expected, atol=1e-6)


def test_a_model_is_given_what_it_takes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = build("clip")
    processor.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as BERT's
    features = model.get_text_features

    def strict(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return features(input_ids, attention_mask)

    monkeypatch.setattr(model, "get_text_features", strict)
    assert TransformersEncoder(model, processor).encode_texts(REPORTS).shape == (5, 12)


def test_the_model_is_left_as_it_was(images: list[Image.Image]) -> None:
    model, processor = build("clip")
    model.train()
    model.text_model.eval()
    flags = [module.training for module in model.modules()]
    encoder = TransformersEncoder(model, processor)
    encoder.encode_images(images)
    encoder.encode_texts(REPORTS)
    encoder.phrase_maps(images, REPORTS)
    assert [module.training for module in model.modules()] == flags


def test_what_is_no_dual_encoder_is_named() -> None:
    model, processor = build("clip")
    with pytest.raises(TypeError, match="CLIPVisionModel is no dual encoder: it lacks the method get_image_features"):
        TransformersEncoder(model.vision_model, processor)
    processor.tokenizer = None
    with pytest.raises(TypeError, match="CLIPProcessor is no processor of a dual encoder: it lacks the tokenizer"):
        TransformersEncoder(model, processor)


def test_a_processor_may_be_another_folders(tmp_path: Path, folders: dict[str, Path]) -> None:
    build("clip")[0].save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path, processor=folders["clip"])
    expected = load_encoder(folders["clip"]).encode_texts(REPORTS)
    np.testing.assert_array_equal(encoder.encode_texts(REPORTS), expected)
    assert isinstance(encoder, TransformersEncoder)
    assert isinstance(encoder.model, CLIPModel)
    assert encoder.model.config.vision_config.image_size == IMAGE_SIZE
