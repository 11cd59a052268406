"""Classifiers on a pre-trained folder: which weights they take, which vector they see, and how they run."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_batch, tiny_model
from torch import Tensor

from modeling_prd import PRDConfig, PRDForImageClassification, PRDForSequenceClassification, PRDModel

ENCODERS = ["resnet_bert", "vit_modernbert"]
POOLINGS = ["pooler", "mean", "flatten", "projected_mean"]
CLASSES = [PRDForSequenceClassification, PRDForImageClassification]
TEXT = ("input_ids", "attention_mask")
NEW = {"classifier.weight", "classifier.bias"}


def folder_of(model: PRDModel, path: Path) -> Path:
    model.save_pretrained(path)
    return path


def inputs_of(model_class: type) -> dict[str, Tensor]:
    batch = tiny_batch()
    return {name: batch[name] for name in (TEXT if model_class is PRDForSequenceClassification else ("pixel_values",))}


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize(
    "settings",
    [
        *({"vision_pooling": pooling} for pooling in POOLINGS),
        {"vision_pooling": "flatten", "region_stage": -2, "vision_projection": "biovil"},
        {"text_projection": "cxr_bert", "learn_temperature": True},
    ],
    ids=str,
)
def test_only_the_classifier_of_a_pretrained_folder_is_new(
    model_class: Any, encoders: str, settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pretrained = tiny_model(encoders, **settings)
    folder = folder_of(pretrained, tmp_path)
    with caplog.at_level(logging.WARNING, "transformers"):
        model, info = model_class.from_pretrained(folder, num_labels=3, output_loading_info=True)
    assert set(info["missing_keys"]) == NEW
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert "UNEXPECTED" not in caplog.text
    weights, loaded = pretrained.state_dict(), model.state_dict()
    assert all(weights[name].equal(loaded[name]) for name in loaded.keys() - NEW)


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_weight_that_is_missing_is_reported(model_class: Any, tmp_path: Path) -> None:
    pretrained = tiny_model(vision_pooling="flatten")
    names = [
        name for name in pretrained.state_dict() if name.endswith(("query.weight", "flattening.projection.weight"))
    ]
    state = {name: value for name, value in pretrained.state_dict().items() if name not in names}
    pretrained.save_pretrained(tmp_path, state_dict=state)
    _, info = model_class.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert set(info["missing_keys"]) > NEW


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_weight_has_a_gradient(model_class: Any, pooling: str) -> None:
    config = tiny_model(vision_pooling=pooling).config
    config.num_labels = 3
    model = model_class(config)
    model(**inputs_of(model_class), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_seen_as_the_vector_before_projection(pooling: str, side: str, tmp_path: Path) -> None:
    pretrained, batch = tiny_model(text_pooling=pooling), tiny_batch()
    if side == "left":
        batch = {name: value.flip(1) if name in TEXT else value for name, value in batch.items()}
    pretrained.text_head.projection = torch.nn.Identity()
    expected = pretrained.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
    model = PRDForSequenceClassification.from_pretrained(
        folder_of(tiny_model(text_pooling=pooling), tmp_path), num_labels=3
    )
    logits = model(batch["input_ids"], batch["attention_mask"]).logits
    torch.testing.assert_close(logits, model.classifier(expected))


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_images_are_seen_as_the_vector_of_pretraining(encoders: str, pooling: str, tmp_path: Path) -> None:
    pretrained, batch = tiny_model(encoders, vision_pooling=pooling), tiny_batch()
    model = PRDForImageClassification.from_pretrained(folder_of(pretrained, tmp_path), num_labels=2)
    if pooling in ("pooler", "mean"):
        pretrained.image_head.projection = torch.nn.Identity()
    expected = pretrained.get_image_features(batch["pixel_values"]).pooler_output
    torch.testing.assert_close(model(batch["pixel_values"]).logits, model.classifier(expected))


def test_padding_changes_nothing() -> None:
    config = tiny_model(text_pooling="mean").config
    model, batch = PRDForSequenceClassification(config).eval(), tiny_batch()
    whole = model(batch["input_ids"], batch["attention_mask"]).logits[1:2]
    torch.testing.assert_close(model(batch["input_ids"][1:2, :5]).logits, whole)


def test_the_texts_of_a_pair_are_told_apart_where_the_encoder_can() -> None:
    batch = tiny_batch()
    types = (torch.arange(9) > 3).long().expand(4, 9)
    for encoders, differs in (("resnet_bert", True), ("vit_modernbert", False)):
        model = PRDForSequenceClassification(tiny_model(encoders).config).eval()
        as_pair = model(batch["input_ids"], batch["attention_mask"], types).logits
        as_one = model(batch["input_ids"], batch["attention_mask"]).logits
        assert (not torch.allclose(as_pair, as_one)) == differs


@pytest.mark.parametrize("model_class", CLASSES)
def test_dropout_is_the_configurations_and_in_training_alone(model_class: Any) -> None:
    config = tiny_model("vit_modernbert", classifier_dropout=0.5).config
    model, inputs = model_class(config).eval(), inputs_of(model_class)
    assert model.dropout.p == 0.5
    torch.testing.assert_close(model(**inputs).logits, model(**inputs).logits)
    model.train()
    assert not torch.allclose(model(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_saved_classifier_loads_with_its_labels_and_gives_the_same(model_class: Any, tmp_path: Path) -> None:
    config = tiny_model("vit_modernbert").config
    config.id2label, config.problem_type = {0: "Edema", 1: "Fracture"}, "multi_label_classification"
    model, inputs = model_class(config).eval(), inputs_of(model_class)
    model.save_pretrained(tmp_path)
    loaded = model_class.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "Edema", 1: "Fracture"}
    assert loaded.config.problem_type == "multi_label_classification"
    assert loaded(**inputs).logits.equal(model(**inputs).logits)
    purpose = model_class.__name__.removeprefix("PRDFor")
    assert loaded.config.auto_map == {
        "AutoConfig": "configuration_prd.PRDConfig",
        f"AutoModelFor{purpose}": f"classification_prd.{model_class.__name__}",
    }


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_regression_is_refused(model_class: Any, tmp_path: Path) -> None:
    folder = folder_of(tiny_model(), tmp_path)
    with pytest.raises(ValueError, match="problem_type='regression' is not one of"):
        model_class.from_pretrained(folder, num_labels=1, problem_type="regression")


@pytest.mark.parametrize("value", [-0.1, 1.0, "0.1", None])
def test_a_share_to_drop_is_at_least_0_and_below_1(value: Any) -> None:
    with pytest.raises(ValueError, match=f"classifier_dropout={value!r} must be"):
        PRDConfig(classifier_dropout=value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("model_class", CLASSES)
def test_a_folder_loads_in_half_precision(model_class: Any, encoders: str, dtype: torch.dtype, tmp_path: Path) -> None:
    folder = folder_of(tiny_model(encoders, vision_pooling="flatten"), tmp_path)
    model = model_class.from_pretrained(folder, num_labels=3, dtype=dtype)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    output = model(**inputs_of(model_class), labels=torch.tensor([0, 1, 2, 0]))
    assert output.logits.dtype == dtype
    assert output.logits.isfinite().all()
    assert output.loss.dtype == torch.float32


@pytest.mark.parametrize("model_class", CLASSES)
def test_checkpointing_changes_no_gradient(model_class: Any) -> None:
    config = tiny_model("vit_modernbert", classifier_dropout=0.0).config
    config.num_labels = 3
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = model_class(config)
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
        model.train()(**inputs_of(model_class), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    torch.testing.assert_close(*gradients)


def test_the_attention_of_an_encoder_can_be_chosen(tmp_path: Path) -> None:
    folder = folder_of(tiny_model("vit_modernbert"), tmp_path)
    logits = {}
    for model_class, part in ((CLASSES[0], "text_config"), (CLASSES[1], "vision_config")):
        for attention in ("eager", "sdpa"):
            torch.manual_seed(0)
            model = model_class.from_pretrained(folder, num_labels=3, attn_implementation={part: attention})
            assert getattr(model.config, part)._attn_implementation == attention
            logits[attention] = model(**inputs_of(model_class)).logits
            model.set_attn_implementation({part: "eager"})
            assert getattr(model.config, part)._attn_implementation == "eager"
        torch.testing.assert_close(logits["eager"], logits["sdpa"])


@pytest.mark.parametrize("model_class", CLASSES)
def test_the_encoders_states_and_a_plain_tuple_can_be_asked_for(model_class: Any) -> None:
    model, inputs = model_class(tiny_model("vit_modernbert").config).eval(), inputs_of(model_class)
    output = model(**inputs, output_hidden_states=True)
    assert len(output.hidden_states) == 3
    assert model(**inputs, return_dict=False)[0].equal(output.logits)


def test_token_embeddings_are_the_text_encoders() -> None:
    model = PRDForSequenceClassification(tiny_model().config)
    assert model.get_input_embeddings() is model.text_model.get_input_embeddings()
    model.resize_token_embeddings(60)
    assert model.text_model.get_input_embeddings().num_embeddings == 60
