"""What users of transformers expect of a model, on a CNN with BERT and on a ViT with ModernBERT."""

from pathlib import Path

import pytest
import torch
from tiny_models import ENCODERS, modernbert_config, resnet_config, tiny_batch, tiny_model

from modeling_prd import PRDConfig, PRDModel

VARIANTS = [
    {"vision_pooling": "pooler", "text_pooling": "cls"},
    {"vision_pooling": "flatten", "text_pooling": "mean", "learn_temperature": True},
    {"vision_pooling": "projected_mean", "vision_projection": "biovil", "text_projection": "cxr_bert"},
    {"vision_pooling": "mean", "region_stage": 1, "local_variant": "gloria"},
]


def _gradients(model: PRDModel) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**tiny_batch()).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_parameter_has_a_gradient(encoders: str, settings: dict[str, object]) -> None:
    gradients = _gradients(tiny_model(encoders, **settings).train())
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.parametrize("encoders", ENCODERS)
def test_a_loss_without_weight_still_reaches_every_parameter(encoders: str) -> None:
    gradients = _gradients(tiny_model(encoders, alpha=0.0, global_weight=0.0).train())
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert not gradients["text_head.word_projection.weight"].any()


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_saved_model_comes_back_bitwise(encoders: str, settings: dict[str, object], tmp_path: Path) -> None:
    model, batch = tiny_model(encoders, **settings), tiny_batch()
    model.save_pretrained(tmp_path)
    loaded = PRDModel.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    expected, actual = model(**batch), loaded(**batch)
    assert list(actual) == list(expected)
    for name in expected:
        assert actual[name].equal(expected[name]), name


@pytest.mark.parametrize("encoders", ENCODERS)
def test_weights_that_a_folder_lacks_are_initialised(encoders: str, tmp_path: Path) -> None:
    settings = {"vision_pooling": "flatten", "learn_temperature": True, "temperature": 0.2}
    tiny_model(encoders).save_pretrained(tmp_path)
    config = PRDConfig.from_pretrained(tmp_path, **settings)
    torch.manual_seed(0)
    loaded = PRDModel.from_pretrained(tmp_path, config=config)
    assert loaded.temperature.item() == pytest.approx(0.2)
    flattening = loaded.image_head.flattening
    for parameter in flattening.parameters():
        assert 0.01 < parameter.std() < 0.03
    assert loaded(**tiny_batch()).loss.isfinite()


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_model_loads_and_trains_in_half_precision(encoders: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(encoders, vision_pooling="flatten", learn_temperature=True)
    model.save_pretrained(tmp_path)
    half = PRDModel.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    expected, actual = model(**tiny_batch()), half(**tiny_batch())
    assert actual.loss.dtype == torch.float32
    torch.testing.assert_close(actual.loss, expected.loss, rtol=0.05, atol=0.05)
    actual.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in half.parameters())


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_bfloat16_autocast_is_near_single_precision(encoders: str, variant: str) -> None:
    model = tiny_model(encoders, local_variant=variant)
    expected = model(**tiny_batch())
    with torch.autocast("cpu", torch.bfloat16):
        actual = model(**tiny_batch())
    for name in ("loss", "loss_global", "loss_local", "loss_perturbation"):
        torch.testing.assert_close(actual[name], expected[name], rtol=0.05, atol=0.05)
    actual.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_gradient_checkpointing_reaches_the_encoders_and_changes_no_gradient(encoders: str) -> None:
    model = tiny_model(encoders).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    expected = _gradients(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    switched = [name for name, module in model.named_modules() if getattr(module, "gradient_checkpointing", False)]
    assert any(name.startswith("text_model") for name in switched)
    # transformers' ResNet has no gradient checkpointing
    assert any(name.startswith("vision_model") for name in switched) == (encoders == "vit_modernbert")
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize(("encoders", "variant"), [("resnet_bert", "paper"), ("vit_modernbert", "gloria")])
def test_the_forward_with_its_losses_is_one_graph(encoders: str, variant: str) -> None:
    model = tiny_model(encoders, local_variant=variant, vision_pooling="flatten", learn_temperature=True)
    expected = model(**tiny_batch())
    actual = torch.compile(model, fullgraph=True, backend="eager")(**tiny_batch())
    for name in ("loss", "loss_global", "loss_local", "loss_perturbation", "logits_per_image", "perturbation_logits"):
        torch.testing.assert_close(actual[name], expected[name], msg=name)
    actual.loss.backward()
    assert model.log_temperature.grad.isfinite()


@pytest.mark.slow
def test_compiled_code_gives_the_same_output() -> None:
    vision, text = resnet_config(depths=[1], hidden_sizes=[8]), modernbert_config(num_hidden_layers=1)
    model = PRDModel(PRDConfig(vision_config=vision, text_config=text, projection_dim=8)).eval()
    with torch.no_grad():
        expected = model(**tiny_batch())
        actual = torch.compile(model, fullgraph=True)(**tiny_batch())
    for name in ("loss", "loss_global", "loss_local", "loss_perturbation", "logits_per_image"):
        torch.testing.assert_close(actual[name], expected[name], msg=name)


@pytest.mark.parametrize("encoders", ENCODERS)
def test_attention_is_chosen_for_each_encoder(encoders: str, tmp_path: Path) -> None:
    model = tiny_model(encoders)
    assert model.text_model.config._attn_implementation == "sdpa"
    assert (
        model.vision_model.config._attn_implementation == {"resnet_bert": "eager", "vit_modernbert": "sdpa"}[encoders]
    )
    model.save_pretrained(tmp_path)
    eager = PRDModel.from_pretrained(tmp_path, attn_implementation={"text_config": "eager"})
    assert eager.text_model.config._attn_implementation == "eager"
    assert eager.config.text_config is eager.text_model.config
    torch.testing.assert_close(eager(**tiny_batch()).loss, model(**tiny_batch()).loss)


def test_layers_that_must_stay_whole_are_the_encoders() -> None:
    assert {"BertLayer", "ResNetConvLayer"} <= set(tiny_model("resnet_bert")._no_split_modules)
    assert {"ModernBertEncoderLayer", "ViTLayer"} <= set(tiny_model("vit_modernbert")._no_split_modules)
