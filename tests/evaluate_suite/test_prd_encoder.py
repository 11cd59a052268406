"""PRDEncoder gives what the model gives, in the order asked for, and leaves the model as it was."""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast, ResNetConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from evaluate_suite import encoders
from evaluate_suite.encoders import LocalSimilarity, PRDEncoder
from modeling_prd import PRDConfig, PRDModel
from modeling_prd.processing_prd import PRDProcessor

WORDS = ["clear", "effusion", "left", "lung", "no", "nodule", "right", "the"]
REPORTS = ["clear", "no nodule left the right lung", "effusion left", "the lung clear", "nodule"]


@pytest.fixture(scope="module")
def processor() -> PRDProcessor:
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    return PRDProcessor(ViTImageProcessorPil(size={"height": 32, "width": 32}), fast)


@pytest.fixture
def model() -> PRDModel:
    torch.manual_seed(0)
    vision = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    text = BertConfig(
        vocab_size=len(WORDS) + 2,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=0.5,
    )
    config = PRDConfig.from_vision_text_configs(vision, text, projection_dim=8, vision_pooling="mean")
    return PRDModel(config).train()


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)) for _ in range(5)]


def unit(vectors: torch.Tensor) -> np.ndarray:
    return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()


@torch.no_grad()
def test_images_get_the_models_unit_vectors(
    model: PRDModel, processor: PRDProcessor, images: list[Image.Image]
) -> None:
    embeds = PRDEncoder(model, processor, batch_size=2).encode_images(images)
    model.eval()
    expected = [
        unit(model.get_image_features(processor(images=image, return_tensors="pt")["pixel_values"]).pooler_output)
        for image in images
    ]
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, np.concatenate(expected), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-6)


@torch.no_grad()
def test_texts_get_the_models_unit_vectors_in_their_order(model: PRDModel, processor: PRDProcessor) -> None:
    embeds = PRDEncoder(model, processor, batch_size=2).encode_texts(REPORTS)
    model.eval()
    expected = []
    for report in REPORTS:
        inputs = processor(text=report, return_tensors="pt")
        expected.append(unit(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output))
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, np.concatenate(expected), atol=1e-6)


def test_texts_of_similar_length_go_together(
    model: PRDModel, processor: PRDProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[int, ...]] = []
    encode = model.get_text_features
    monkeypatch.setattr(model, "get_text_features", lambda ids, mask: batches.append(ids.shape) or encode(ids, mask))
    PRDEncoder(model, processor, batch_size=2).encode_texts(["the " * 9, "clear", "the " * 8, "no", "nodule"])
    assert batches == [(2, 1), (2, 8), (1, 9)]


@pytest.mark.parametrize(("variant", "length_normalized"), [("paper", True), ("paper", False), ("gloria", False)])
@torch.no_grad()
def test_local_similarity_is_the_s_that_the_model_trains_with(
    model: PRDModel,
    processor: PRDProcessor,
    images: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    length_normalized: bool,
) -> None:
    model.config.local_variant, model.config.local_length_normalized = variant, length_normalized
    monkeypatch.setattr(encoders, "_ATTENTION_WEIGHTS_AT_ONCE", 1)  # one image at a time
    encoder = PRDEncoder(model, processor, batch_size=2)
    scores = encoder.local_similarity(images, REPORTS)
    model.eval()
    inputs = processor(images=images, text=REPORTS, return_tensors="pt")
    logits = model(**inputs).local_logits_per_image
    scale = 1 / model.config.temperature if variant == "paper" else model.config.local_logit_scale
    assert isinstance(encoder, LocalSimilarity)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, (logits / scale).numpy(), rtol=1e-5, atol=1e-5)


def test_each_modules_training_flag_is_left_as_it_was(
    model: PRDModel, processor: PRDProcessor, images: list[Image.Image]
) -> None:
    model.vision_model.eval()  # as a trainer leaves a frozen side
    flags = [module.training for module in model.modules()]
    encoder = PRDEncoder(model, processor)
    encoder.encode_images(images)
    encoder.encode_texts(REPORTS)
    encoder.local_similarity(images, REPORTS)
    with pytest.raises(ValueError, match="no words"):
        encoder.encode_texts(["clear", "..."])
    assert [module.training for module in model.modules()] == flags


def test_half_precision_weights_still_give_float32_unit_vectors(
    model: PRDModel, processor: PRDProcessor, images: list[Image.Image]
) -> None:
    encoder = PRDEncoder(model.to(torch.bfloat16), processor)
    for embeds in (encoder.encode_images(images), encoder.encode_texts(REPORTS)):
        assert embeds.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-6)
    assert np.isfinite(encoder.local_similarity(images, REPORTS)).all()


def test_the_device_is_where_the_model_goes(model: PRDModel, processor: PRDProcessor) -> None:
    assert PRDEncoder(model, processor, device="cpu").model.device == torch.device("cpu")


def test_bad_arguments_are_named(model: PRDModel, processor: PRDProcessor) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        PRDEncoder(model, processor, batch_size=0)
    with pytest.raises(ValueError, match="nothing to encode"):
        PRDEncoder(model, processor).encode_texts([])
