"""LoRA's adapters: what they train, and that they come back alone and merged as they were."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_helpers import metrics, run_finetune, save_bert, save_prd, write_images, write_mednli
from peft import PeftModel
from run_helpers import history, refused, train_killed_at
from safetensors.torch import load_file
from tiny_recipe import VIT
from transformers import BertForMaskedLM, BertForSequenceClassification, BertModel, ResNetConfig, ResNetModel

import train
from modeling_prd import PRDForImageClassification, PRDForSequenceClassification, PRDModel
from training.arguments import LoraArguments
from training.lora import attach_lora, merge_adapter, trainable_share


@pytest.fixture(scope="module")
def prd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prd(tmp_path_factory.mktemp("prd"))


def pair_classifier(prd: Path) -> PRDForSequenceClassification:
    torch.manual_seed(0)
    return PRDForSequenceClassification.from_pretrained(prd, num_labels=3).eval()


def image_classifier(prd: Path) -> PRDForImageClassification:
    torch.manual_seed(0)
    return PRDForImageClassification.from_pretrained(
        prd, num_labels=2, problem_type="multi_label_classification"
    ).eval()


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def step(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    """Moves every trained weight, so that adapters do something."""
    model(**inputs).logits.sum().backward()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn_like(weight)


def test_auto_adapts_the_attention_of_a_transformer(prd: Path):
    model = pair_classifier(prd)
    attach_lora(model, LoraArguments(lora_r=2), ["text_model"], ["classifier"], "base")
    adapted = {name for name in trained(model) if "lora" in name}
    assert adapted
    assert all(".attn." in name for name in adapted)


def test_auto_adapts_convolutions_and_trains_normalisation_of_a_convolutional_encoder(prd: Path):
    model = image_classifier(prd)
    attach_lora(model, LoraArguments(lora_r=2), ["vision_model"], ["classifier"], "base")
    names = trained(model)
    assert any("convolution.lora_A" in name for name in names)
    assert any("normalization.modules_to_save" in name for name in names)
    assert any("classifier.modules_to_save" in name for name in names)


def test_targets_are_ends_of_module_names(prd: Path):
    model = pair_classifier(prd)
    attach_lora(model, LoraArguments(lora_r=2, lora_targets="Wo,Wi"), ["text_model"], ["classifier"], "base")
    adapted = {name.partition(".lora_")[0].rpartition(".")[2] for name in trained(model) if "lora" in name}
    assert adapted == {"Wo", "Wi"}


def test_a_target_that_matches_nothing_is_named_with_what_there_is(prd: Path):
    with pytest.raises(ValueError, match="'key' matches no linear layer or convolution of text_model, which have W"):
        attach_lora(
            pair_classifier(prd), LoraArguments(lora_r=2, lora_targets="key"), ["text_model"], ["classifier"], "base"
        )


def test_without_a_rank_nothing_is_attached(prd: Path):
    model = pair_classifier(prd)
    before = set(model.state_dict())
    assert attach_lora(model, LoraArguments(), ["text_model"], ["classifier"], "base") is None
    assert set(model.state_dict()) == before


def test_the_share_is_of_the_weights_without_adapters(prd: Path):
    model = pair_classifier(prd)
    total = sum(weight.numel() for weight in model.parameters())
    adapted = attach_lora(model, LoraArguments(lora_r=1), ["text_model"], ["classifier"], "base")
    count = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trainable_share(model, adapted) == f"{count:,} of {total:,} weights ({count / total:.2%})"


def test_merged_equals_unmerged_and_has_the_names_of_the_base(prd: Path):
    model, inputs = image_classifier(prd), {"pixel_values": torch.rand(4, 1, 32, 32)}
    names = set(model.state_dict())
    adapted = attach_lora(model, LoraArguments(lora_r=2), ["vision_model", "image_head"], ["classifier"], "base")
    step(model, inputs)
    unmerged = model.eval()(**inputs).logits
    merged = merge_adapter(adapted)
    torch.testing.assert_close(merged(**inputs).logits, unmerged)
    assert set(merged.state_dict()) == names


@pytest.fixture(scope="module")
def adapted_run(prd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapted")
    images = write_images(folder / "images", train=24, validation=12, test=12)
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", images, "--output_dir", folder / "run"),
        *("--max_steps", 4, "--learning_rate", 1e-2, "--lora_r", 2),
    )
    return folder / "run"


def test_an_adapter_alone_makes_the_folders_model_of_the_base(adapted_run: Path, prd: Path):
    base = image_classifier(prd)
    alone = PeftModel.from_pretrained(base, str(adapted_run / "adapter")).eval()
    merged = PRDForImageClassification.from_pretrained(adapted_run).eval()
    images = torch.rand(4, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(alone(pixel_values=images).logits, merged(pixel_values=images).logits)


def test_an_adapter_names_its_base_without_the_machines_folders(adapted_run: Path, prd: Path):
    assert json.loads((adapted_run / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        prd.name
    )
    assert not [file for file in (adapted_run / "adapter").iterdir() if str(prd.parent).encode() in file.read_bytes()]


def test_the_share_is_told(adapted_run: Path):
    assert "weights (" in metrics(adapted_run)["seeds"]["0"]["trained"]


def test_a_classifier_of_transformers_takes_adapters(tmp_path: Path):
    run_finetune(
        *("--task", "mednli", "--model", save_bert(tmp_path / "bert"), "--data", write_mednli(tmp_path / "mednli")),
        *("--output_dir", tmp_path / "run", "--max_steps", 2, "--lora_r", 2),
    )
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert all("attention" in name for name in config["target_modules"])


def test_an_adapter_has_the_pooler_that_the_base_lacks(tmp_path: Path):
    """A checkpoint of masked-language training has none, so that each loading draws another."""
    base = save_bert(tmp_path / "bert", model_class=BertForMaskedLM)
    run_finetune(
        *("--task", "mednli", "--model", base, "--data", write_mednli(tmp_path / "mednli")),
        *("--output_dir", tmp_path / "run", "--max_steps", 2, "--lora_r", 2),
    )
    torch.manual_seed(7)
    drawn = BertForSequenceClassification.from_pretrained(base, num_labels=3)
    alone = PeftModel.from_pretrained(drawn, str(tmp_path / "run" / "adapter")).eval()
    merged = BertForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    tokens = torch.randint(5, 15, (3, 7))
    with torch.inference_mode():
        torch.testing.assert_close(alone(input_ids=tokens).logits, merged(input_ids=tokens).logits)


@pytest.fixture
def published(prd: Path, tmp_path: Path) -> dict[str, Any]:
    """Recipe keys of two published encoders."""
    torch.manual_seed(0)
    config = ResNetConfig(num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path / "vision")
    text = save_bert(tmp_path / "text")
    return {
        "vision_config": None,
        "text_config": None,
        "vision_model": str(tmp_path / "vision"),
        "text_model": str(text),
        "max_length": 60,
    }


def test_pre_training_with_adapters_ends_with_the_merged_model_and_the_adapter(published, write_recipe):
    recipe, run = write_recipe(**published, lora_r=2, num_train_epochs=1)
    train.main(["--config", str(recipe)])
    merged = PRDModel.from_pretrained(run).eval()
    heads = {
        "projection_dim": 8,
        "vision_pooling": "flatten",
        "text_pooling": "mean",
        "vision_image_size": 32,
    }
    base = PRDModel.from_vision_text_pretrained(published["vision_model"], published["text_model"], **heads)
    alone = PeftModel.from_pretrained(base, str(run / "adapter")).eval()
    images, tokens = torch.rand(3, 1, 32, 32), torch.randint(5, 20, (3, 7))
    with torch.inference_mode():
        expected, found = merged(images, tokens), alone(pixel_values=images, input_ids=tokens)
    torch.testing.assert_close(found.image_embeds, expected.image_embeds)
    torch.testing.assert_close(found.text_embeds, expected.text_embeds)
    assert not [name for name in merged.state_dict() if "lora" in name]
    assert history(run)


def test_pre_training_with_adapters_leaves_a_frozen_encoder_alone(published, write_recipe):
    recipe, run = write_recipe(**published, lora_r=2, num_train_epochs=1, freeze="text")
    train.main(["--config", str(recipe)])
    after = PRDModel.from_pretrained(run).text_model.state_dict()
    given = BertModel.from_pretrained(published["text_model"], add_pooling_layer=False).state_dict()
    assert all(torch.equal(after[name], given[name]) for name in given)


def test_pre_training_with_adapters_that_was_killed_ends_with_the_weights_of_one_that_was_not(published, write_recipe):
    changes = {**published, "lora_r": 2, "num_train_epochs": 1, "save_steps": 2}
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])
    killed_recipe, killed = write_recipe("killed", **changes)
    train_killed_at(3, killed_recipe)
    train.main(["--config", str(killed_recipe), "--resume", "auto"])
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        expected, resumed = load_file(whole / file), load_file(killed / file)
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_encoders_from_scratch_take_no_adapters(write_recipe, capsys):
    recipe, _ = write_recipe(lora_r=2, vision_config=VIT)
    assert "these start from scratch" in refused(["--config", str(recipe)], capsys)


def test_two_frozen_encoders_take_no_adapters(published, write_recipe, capsys):
    recipe, _ = write_recipe(**published, lora_r=2, freeze="both")
    assert "there is no encoder to adapt" in refused(["--config", str(recipe)], capsys)
