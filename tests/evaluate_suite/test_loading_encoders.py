"""A model is loaded by its name alone, and what is none is named in one line with what was found."""

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from PIL import Image
from tiny_dual_encoders import IMAGE_SIZE, build, save
from tiny_processors import image_processor, word_piece
from transformers import AutoConfig, BertConfig, BertModel, CLIPModel, ResNetConfig
from transformers.utils import logging

from evaluate_suite.dual_encoders import TransformersEncoder
from evaluate_suite.encoders import LocalMaps, LocalSimilarity, PRDEncoder, TextWindow
from evaluate_suite.loading import load_encoder
from modeling_prd import PRDConfig, PRDModel, PRDProcessor

REFUSED = httpx.Response(403, request=httpx.Request("GET", "https://hub/our/model"))
REPORTS = ["the lungs are clear", "no pleural effusion"]


@pytest.fixture
def prd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PRDEncoder:
    """A PRD model whose folder, `tmp_path`, holds its code."""
    monkeypatch.setattr(PRDConfig, "_auto_class", "AutoConfig")
    monkeypatch.setattr(PRDModel, "_auto_class", "AutoModel")
    torch.manual_seed(0)
    tokenizer = word_piece()
    vision = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    text = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    text.intermediate_size = 16
    model = PRDModel(PRDConfig.from_vision_text_configs(vision, text, projection_dim=8, vision_pooling="mean"))
    processor = PRDProcessor(image_processor(), tokenizer)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return PRDEncoder(model, processor)


def test_a_prd_folder_runs_by_its_own_code(prd: PRDEncoder, tmp_path: Path) -> None:
    encoder = load_encoder(str(tmp_path), batch_size=1)
    assert isinstance(encoder, PRDEncoder)
    assert all(isinstance(encoder, protocol) for protocol in (TextWindow, LocalMaps, LocalSimilarity))
    images = [Image.new("L", (8, 8), grey) for grey in (10, 90)]
    np.testing.assert_allclose(encoder.encode_images(images), prd.encode_images(images), atol=1e-6)
    np.testing.assert_allclose(encoder.encode_texts(REPORTS), prd.encode_texts(REPORTS), atol=1e-6)


def test_a_prd_models_window_is_its_tokenizers(prd: PRDEncoder) -> None:
    fits, too_long = "the " * 62, "the " * 63  # 64 tokens, of which two stand around the words
    assert prd.text_window == 64
    assert prd.truncated(["clear", fits, too_long, too_long, "lungs " * 80]) == 2


def test_a_prd_model_without_a_bound_truncates_nothing(prd: PRDEncoder) -> None:
    prd.processor.tokenizer.model_max_length = int(1e30)
    assert PRDEncoder(prd.model, prd.processor).truncated(["the " * 999]) == 0


def test_counting_long_texts_warns_of_none(prd: PRDEncoder, caplog: pytest.LogCaptureFixture) -> None:
    logging.enable_propagation()
    try:
        prd.truncated(["the " * 99])
    finally:
        logging.disable_propagation()
    assert not caplog.records


def one_line(error: pytest.ExceptionInfo[ValueError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_model_that_is_no_dual_encoder_is_named_before_its_weights_are_read(tmp_path: Path) -> None:
    BertModel(BertConfig(hidden_size=16, num_attention_heads=2)).config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is no dual encoder") as caught:
        load_encoder(tmp_path)
    assert "its architecture is BertConfig (bert), which lacks get_image_features" in one_line(caught)


def test_the_architecture_that_was_saved_is_named(tmp_path: Path) -> None:
    build("clip")[0].vision_model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"its architecture is CLIPVisionModel \(clip_vision_model\)"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["nobody/nothing-at-all", "/no/such/folder"])
def test_a_name_that_leads_nowhere_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"no model can be loaded from '{name}': ") as caught:
        load_encoder(name)
    one_line(caught)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (OSError("You are trying to access a gated repo."), GatedRepoError("403", response=REFUSED)),
        (OSError("our/model does not appear to have a file named config.json."), None),
        (ValueError("Unrecognized model in our/model."), None),
    ],
)
def test_what_the_hub_has_and_cannot_be_loaded_is_not_said_to_be_missing(
    reason: Exception, cause: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise reason from cause

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ValueError, match=f"no model can be loaded from 'our/model': {reason}"):
        load_encoder("our/model")


def test_an_architecture_that_transformers_does_not_know_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "telepathy"}')
    with pytest.raises(ValueError, match="model type `telepathy`") as caught:
        load_encoder(tmp_path)
    one_line(caught)


def test_weights_that_are_missing_damaged_or_incomplete_are_named(tmp_path: Path) -> None:
    save("clip", tmp_path)
    weights = tmp_path / "model.safetensors"
    model = CLIPModel.from_pretrained(tmp_path)
    state = {name: value for name, value in model.state_dict().items() if name != "visual_projection.weight"}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match=r"lacks 1 weights of CLIPModel, the first is visual_projection.weight"):
        load_encoder(tmp_path)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"the weights of '{tmp_path}' cannot be loaded: "):
        load_encoder(tmp_path)
    weights.unlink()
    with pytest.raises(ValueError, match=r"cannot be loaded: .*model.safetensors") as caught:
        load_encoder(tmp_path)
    one_line(caught)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    model, processor = build("clip")
    processor.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    model.config.projection_dim = 5
    model.config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cannot be loaded: ") as caught:
        load_encoder(tmp_path)
    one_line(caught)


def test_a_model_without_a_processor_says_so(tmp_path: Path) -> None:
    model, processor = build("clip")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no processor of a dual encoder") as caught:
        load_encoder(tmp_path)
    one_line(caught)
    processor.tokenizer.save_pretrained(tmp_path / "words")
    with pytest.raises(ValueError, match="words' has no processor of a dual encoder") as caught:
        load_encoder(tmp_path, processor=tmp_path / "words")
    one_line(caught)


def test_the_device_is_where_the_model_goes(tmp_path: Path) -> None:
    encoder = load_encoder(save("clip", tmp_path), device="cpu")
    assert isinstance(encoder, TransformersEncoder)
    assert encoder.device == torch.device("cpu")
    assert encoder.encode_images([Image.new("RGB", (IMAGE_SIZE, 30))]).shape == (1, 12)
