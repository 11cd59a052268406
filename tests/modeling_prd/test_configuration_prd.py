"""PRDConfig holds two encoders' configurations and refuses settings that mean nothing."""

from pathlib import Path

import pytest
from tiny_models import bert_config, modernbert_config, resnet_config, vit_config
from transformers import BertConfig, ResNetConfig

from modeling_prd import PRDConfig


def test_encoders_are_given_as_configurations_or_as_dicts() -> None:
    objects = PRDConfig(vision_config=vit_config(), text_config=modernbert_config())
    dicts = PRDConfig(vision_config=vit_config().to_dict(), text_config=modernbert_config().to_dict())
    assert dicts.vision_config.to_dict() == objects.vision_config.to_dict() == vit_config().to_dict()
    assert dicts.text_config.to_dict() == objects.text_config.to_dict() == modernbert_config().to_dict()
    both = PRDConfig.from_vision_text_configs(vit_config(), modernbert_config(), alpha=0.5)
    assert both.alpha == 0.5
    assert both.vision_config.to_dict() == vit_config().to_dict()


def test_the_default_encoders_are_resnet_50_and_bert_base() -> None:
    config = PRDConfig()
    assert isinstance(config.vision_config, ResNetConfig)
    assert isinstance(config.text_config, BertConfig)


def test_a_configuration_comes_back_from_disk(tmp_path: Path) -> None:
    config = PRDConfig(
        vision_config=resnet_config(), text_config=bert_config(), vision_pooling="flatten", temperature=0.2, alpha=0.3
    )
    config.save_pretrained(tmp_path)
    loaded = PRDConfig.from_pretrained(tmp_path)
    differing = {
        name for name, value in loaded.to_dict().items() if value != config.to_dict().get(name) and name != "dtype"
    }
    assert differing <= {"transformers_version"}
    assert loaded.vision_config.image_size == resnet_config().image_size


def test_the_callers_configuration_is_left_alone() -> None:
    text_config = bert_config()
    text_config._attn_implementation = "eager"
    PRDConfig(vision_config=resnet_config(), text_config=text_config)
    assert text_config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vision_pooling": "max"}, "vision_pooling='max' is not one of pooler, mean, flatten, projected_mean"),
        ({"text_pooling": "max"}, "text_pooling='max' is not one of cls, mean"),
        ({"vision_projection": "mlp"}, "vision_projection='mlp' is not one of linear, biovil"),
        ({"text_projection": "mlp"}, "text_projection='mlp' is not one of linear, cxr_bert"),
        ({"local_variant": "none"}, "local_variant='none' is not one of paper, gloria"),
        ({"duplicate_reports": "drop"}, "duplicate_reports='drop' is not one of mask, negative"),
        ({"temperature": 0.0}, "temperature=0.0 must be a number above 0"),
        ({"local_logit_scale": "10"}, "local_logit_scale='10' must be a number above 0"),
        ({"alpha": -0.1}, "alpha=-0.1 must be a number of at least 0"),
        ({"beta": float("nan")}, "beta=nan must be a number of at least 0"),
        ({"projection_dim": 0}, "projection_dim=0 must be a whole number above 0"),
        ({"text_micro_batch_size": 1.5}, "text_micro_batch_size=1.5 must be a whole number above 0"),
        ({"region_stage": "last"}, "region_stage='last' must be an index into hidden_states, or None"),
        ({"vision_config": {"image_size": 32}}, "vision_config names no model_type"),
        ({"text_config": {"model_type": "cxr-bert"}}, "text_config has model_type='cxr-bert', which transformers"),
    ],
    ids=str,
)
def test_a_bad_setting_is_named_with_its_choices(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        PRDConfig(**settings)
    assert message in str(error.value)
