"""Published checkpoints give their authors' outputs, and one that does not fit says which keys."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from published_checkpoints import FIXTURES, biovil_state, cxr_bert_state, write_biovil, write_cxr_bert
from safetensors.torch import load_file, save_file
from tiny_models import bert_config, resnet_config
from transformers import BertForMaskedLM, BertModel, ResNetModel

from modeling_prd import PRDModel

Change: TypeAlias = Callable[[dict[str, torch.Tensor], str], str]
"""Spoils a key of a state dict and returns what the error is to say of it."""

BIOVIL_KEY = "encoder.encoder.layer3.2.conv2.weight"
CXR_BERT_KEY = "bert.encoder.layer.1.output.dense.weight"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of every kind of encoder, the published ones as stand-ins with the reference's weights."""
    root = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    ResNetModel(resnet_config()).save_pretrained(root / "resnet")
    BertModel(bert_config()).save_pretrained(root / "bert")
    BertForMaskedLM(bert_config()).save_pretrained(root / "masked_lm")
    write_biovil(root / "biovil.pt", biovil_state())
    write_cxr_bert(root / "cxr_bert", cxr_bert_state())
    write_cxr_bert(root / "cxr_bert_bin", cxr_bert_state(), safetensors=False)
    names = ("resnet", "bert", "masked_lm", "cxr_bert", "cxr_bert_bin")
    return {name: root / name for name in names} | {"biovil": root / "biovil.pt"}


@torch.no_grad()
def test_biovil_gives_its_published_outputs(encoders: dict[str, Path]) -> None:
    golden = np.load(FIXTURES / "biovil_resnet50_golden.npz")
    image = np.random.default_rng(1234).random((2, 3, 96, 96), dtype=np.float32)
    image[:, 1:] = image[:, :1]
    pixel_values = torch.from_numpy(image)

    model = PRDModel.from_vision_text_pretrained(encoders["biovil"], encoders["bert"])

    trunk = model.vision_model(pixel_values).pooler_output.flatten(1)
    torch.testing.assert_close(trunk, torch.from_numpy(golden["img_embedding"]), rtol=1e-4, atol=1e-4)
    patches = model.get_image_regions(pixel_values).transpose(1, 2).unflatten(2, (3, 3))
    torch.testing.assert_close(patches, torch.from_numpy(golden["projected_patch_embeddings"]), rtol=1e-4, atol=1e-4)
    projected = model.get_image_features(pixel_values).pooler_output
    golden_projected = torch.from_numpy(golden["projected_global_embedding"])
    torch.testing.assert_close(projected, golden_projected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("text", ["cxr_bert", "cxr_bert_bin"])
def test_cxr_bert_gives_its_published_outputs_without_its_remote_code(encoders: dict[str, Path], text: str) -> None:
    golden = np.load(FIXTURES / "cxrbert_tiny_golden.npz")
    input_ids = torch.from_numpy(golden["input_ids"])
    mask = (input_ids != 0).long()

    model = PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders[text])

    features = model.get_text_features(input_ids, mask)
    real = mask.bool()
    last = torch.from_numpy(golden["last_hidden_state"])
    torch.testing.assert_close(features.last_hidden_state[real], last[real], rtol=1e-4, atol=1e-4)
    projected = torch.from_numpy(golden["cls_projected_embedding"])
    torch.testing.assert_close(features.pooler_output, projected, rtol=1e-4, atol=1e-4)


def test_a_published_head_sets_pooling_projection_and_width(encoders: dict[str, Path]) -> None:
    biovil = PRDModel.from_vision_text_pretrained(encoders["biovil"], encoders["bert"], alpha=0.0).config
    assert (biovil.vision_pooling, biovil.vision_projection, biovil.projection_dim) == (
        "projected_mean",
        "biovil",
        128,
    )
    cxr_bert = PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders["cxr_bert"]).config
    assert (cxr_bert.text_pooling, cxr_bert.text_projection, cxr_bert.projection_dim) == ("cls", "cxr_bert", 16)


@pytest.mark.parametrize(
    "settings", [{"projection_dim": 64}, {"text_pooling": "mean"}, {"text_projection": "linear"}], ids=str
)
def test_a_setting_that_contradicts_a_published_head_is_an_error(
    encoders: dict[str, Path], settings: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.* contradicts .*cxr_bert"):
        PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders["cxr_bert"], **settings)


def test_two_published_heads_of_different_width_are_an_error(encoders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"projection_dim=128 contradicts .*cxr_bert.* has 16"):
        PRDModel.from_vision_text_pretrained(encoders["biovil"], encoders["cxr_bert"])


def _drop(state: dict[str, torch.Tensor], key: str) -> str:
    del state[key]
    return f"{key} is missing"


def _add(state: dict[str, torch.Tensor], key: str) -> str:
    state[f"{key}.more"] = torch.zeros(1)
    return f"{key}.more is not part of the model"


def _reshape(state: dict[str, torch.Tensor], key: str) -> str:
    state[key] = state[key][:-1].clone()
    return f"{key} has shape"


@pytest.mark.parametrize("key", [BIOVIL_KEY, "projector.model.3.weight", "encoder.encoder.bn1.running_var"])
@pytest.mark.parametrize("change", [_drop, _add, _reshape])
def test_biovil_names_a_key_that_does_not_fit(
    encoders: dict[str, Path], tmp_path: Path, change: Change, key: str
) -> None:
    state = torch.load(encoders["biovil"])
    message = change(state, key)
    file = write_biovil(tmp_path / "changed.pt", state)
    with pytest.raises(ValueError, match=f"changed.pt does not fit: {message}"):
        PRDModel.from_vision_text_pretrained(file, encoders["bert"])


@pytest.mark.parametrize("key", [CXR_BERT_KEY, "cls_projection_head.dense_to_output.weight"])
@pytest.mark.parametrize("change", [_drop, _add, _reshape])
def test_cxr_bert_names_a_key_that_does_not_fit(
    encoders: dict[str, Path], tmp_path: Path, change: Change, key: str
) -> None:
    state = load_file(encoders["cxr_bert"] / "model.safetensors")
    message = change(state, key)
    folder = write_cxr_bert(tmp_path / "changed", state)
    with pytest.raises(ValueError, match=f"does not fit: {message}"):
        PRDModel.from_vision_text_pretrained(encoders["resnet"], folder)


@pytest.mark.parametrize("change", [_drop, _add, _reshape])
def test_a_transformers_folder_names_a_key_that_does_not_fit(
    encoders: dict[str, Path], tmp_path: Path, change
) -> None:
    state = load_file(encoders["bert"] / "model.safetensors")
    message = change(state, CXR_BERT_KEY.removeprefix("bert."))
    (tmp_path / "config.json").write_bytes((encoders["bert"] / "config.json").read_bytes())
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"does not fit: {message}"):
        PRDModel.from_vision_text_pretrained(encoders["resnet"], tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("text", ["bert", "masked_lm"])
def test_a_transformers_encoder_is_loaded_without_its_pooler_and_its_head(
    encoders: dict[str, Path], text: str
) -> None:
    model = PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders[text], vision_pooling="mean")
    peer = BertModel.from_pretrained(encoders[text])
    input_ids = torch.tensor([[1, 2, 3]])
    states = model.get_text_features(input_ids).last_hidden_state
    torch.testing.assert_close(states, peer(input_ids).last_hidden_state, rtol=0, atol=0)
    assert not any("pooler" in name for name, _ in model.named_parameters())
    assert model.config.vision_pooling == "mean"


def test_prefixed_arguments_go_to_the_encoders(encoders: dict[str, Path]) -> None:
    model = PRDModel.from_vision_text_pretrained(
        encoders["resnet"], encoders["bert"], text_hidden_dropout_prob=0.3, vision_image_size=96, alpha=0.2
    )
    assert model.config.text_config.hidden_dropout_prob == 0.3
    assert model.config.vision_config.image_size == 96
    assert model.config.alpha == 0.2


def test_a_resnet_saved_without_an_image_size_takes_one(encoders: dict[str, Path], tmp_path: Path) -> None:
    config = resnet_config()
    del config.image_size  # as of every ResNet on the Hub
    ResNetModel(config).save_pretrained(tmp_path)
    model = PRDModel.from_vision_text_pretrained(
        tmp_path, encoders["bert"], vision_pooling="flatten", vision_image_size=64
    )
    assert model.config.vision_config.image_size == 64
    assert model(torch.rand(1, 3, 64, 64)).image_embeds.shape == (1, model.config.projection_dim)


@pytest.mark.parametrize("damage", ["cut", "other content", "empty"])
@pytest.mark.parametrize("name", ["biovil.pt", "resnet/model.safetensors", "cxr_bert_bin/pytorch_model.bin"])
def test_a_damaged_file_is_named(encoders: dict[str, Path], tmp_path: Path, name: str, damage: str) -> None:
    root = encoders["bert"].parent
    source = root / name.split("/")[0]
    spoilt = tmp_path / source.name
    shutil.copytree(source, spoilt) if source.is_dir() else shutil.copy(source, spoilt)
    whole = (root / name).read_bytes()
    content = {"cut": whole[: len(whole) // 2], "other content": b"<html>404</html>" * 99, "empty": b""}[damage]
    (tmp_path / name).write_bytes(content)
    pair = (encoders["resnet"], spoilt) if source.name == "cxr_bert_bin" else (spoilt, encoders["bert"])
    with pytest.raises((ValueError, OSError), match=re.escape(str(spoilt))):
        PRDModel.from_vision_text_pretrained(*pair)


def test_an_unknown_argument_is_an_error(encoders: dict[str, Path]) -> None:
    with pytest.raises(TypeError, match="alhpa"):
        PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders["bert"], alhpa=0.1)


def test_half_precision_is_asked_for_and_never_taken_from_a_checkpoint(
    encoders: dict[str, Path], tmp_path: Path
) -> None:
    BertModel(bert_config()).half().save_pretrained(tmp_path)
    model = PRDModel.from_vision_text_pretrained(encoders["resnet"], tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for dtype in (torch.bfloat16, "bfloat16"):
        half = PRDModel.from_vision_text_pretrained(encoders["resnet"], encoders["bert"], dtype=dtype)
        assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_a_missing_file_is_named(encoders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        PRDModel.from_vision_text_pretrained(tmp_path / "nowhere.pt", encoders["bert"])


def test_a_folder_without_weights_is_an_error(encoders: dict[str, Path], tmp_path: Path) -> None:
    config = json.loads((encoders["cxr_bert"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no weights"):
        PRDModel.from_vision_text_pretrained(encoders["resnet"], tmp_path)
