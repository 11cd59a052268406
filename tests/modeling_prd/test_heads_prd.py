"""Encoders of every shape give regions, words and pooled vectors as loops over tokens do."""

import pytest
import torch
from tiny_models import IMAGE_SIZE, bert_config, resnet_config, tiny_batch, tiny_model, vit_config
from transformers import ConvNextConfig, DeiTConfig, PreTrainedConfig, SwinConfig

from modeling_prd import PRDConfig, PRDModel
from modeling_prd.encoders_prd import patch_count, region_states
from modeling_prd.heads_prd import pool_words


def _swin() -> PreTrainedConfig:
    return SwinConfig(image_size=IMAGE_SIZE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)


def _convnext() -> PreTrainedConfig:
    return ConvNextConfig(image_size=IMAGE_SIZE, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1])


def _deit() -> PreTrainedConfig:
    return DeiTConfig(
        image_size=IMAGE_SIZE,
        patch_size=16,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )


def _model(vision_config: PreTrainedConfig, **settings: object) -> PRDModel:
    torch.manual_seed(0)
    config = PRDConfig(vision_config=vision_config, text_config=bert_config(), projection_dim=8, **settings)
    return PRDModel(config).eval()


@pytest.mark.parametrize(
    ("vision_config", "regions"),
    [(resnet_config(), 4), (_convnext(), 4), (vit_config(), 16), (_deit(), 16), (_swin(), 64)],
    ids=lambda value: getattr(value, "model_type", ""),
)
@pytest.mark.parametrize("pooling", ["pooler", "mean", "projected_mean", "flatten"])
def test_every_vision_encoder_gives_one_vector_an_image_and_one_a_region(
    vision_config: PreTrainedConfig, regions: int, pooling: str
) -> None:
    model = _model(vision_config, vision_pooling=pooling)
    pixel_values = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert model.get_image_features(pixel_values).pooler_output.shape == (2, 8)
    assert model.get_image_regions(pixel_values).shape == (2, regions, 8)


def test_a_class_token_is_no_region() -> None:
    hidden = torch.arange(1 + 4.0).view(1, 5, 1)
    assert region_states(hidden, patches=4).flatten().tolist() == [1, 2, 3, 4]


def test_regions_of_a_feature_map_go_row_by_row() -> None:
    feature_map = torch.arange(6.0).view(1, 1, 2, 3)
    assert region_states(feature_map, patches=None).flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_patches_are_counted_in_rows_and_columns() -> None:
    assert patch_count(vit_config(), torch.zeros(1, 3, 64, 32)) == 8
    assert patch_count(vit_config(patch_size=(16, 8)), torch.zeros(1, 3, 64, 32)) == 16
    assert patch_count(resnet_config(), torch.zeros(1, 3, 64, 32)) is None


def test_the_pooler_of_a_vit_is_its_class_token_and_of_a_resnet_the_mean_over_space() -> None:
    pixel_values = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    vit = _model(vit_config())
    states = vit.vision_model(pixel_values).last_hidden_state
    projected = vit.image_head.projection(states[:, 0])
    torch.testing.assert_close(vit.get_image_features(pixel_values).pooler_output, projected)
    resnet = _model(resnet_config())
    states = resnet.vision_model(pixel_values).last_hidden_state
    projected = resnet.image_head.projection(states.mean(dim=(2, 3)))
    torch.testing.assert_close(resnet.get_image_features(pixel_values).pooler_output, projected)


def test_projected_mean_is_the_mean_of_the_regions() -> None:
    model = _model(vit_config(), vision_pooling="projected_mean", vision_projection="biovil")
    pixel_values = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    features = model.get_image_features(pixel_values).pooler_output
    torch.testing.assert_close(features, model.get_image_regions(pixel_values).mean(dim=1))


def test_flatten_tells_a_mirrored_image_from_the_image_and_a_mean_does_not() -> None:
    regions = torch.rand(1, 16, 24)
    mirrored = regions.view(1, 4, 4, 24).flip(2).reshape(1, 16, 24)
    for pooling, differs in (("flatten", True), ("projected_mean", False)):
        head = _model(vit_config(), vision_pooling=pooling).image_head
        vectors = [head(states, None, states, 16)[0] for states in (regions, mirrored)]
        assert (not torch.allclose(*vectors, atol=1e-5)) == differs


def test_flatten_adds_a_position_to_every_region() -> None:
    model = _model(vit_config(), vision_pooling="flatten")
    pixel_values = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    states = model.vision_model(pixel_values).last_hidden_state[:, 1:]
    expected = model.image_head.projection(states) + model.image_head.flattening.positions
    torch.testing.assert_close(model.get_image_regions(pixel_values), expected)
    assert model.image_head.flattening.positions.std() > 0


def test_flatten_refuses_another_image_size() -> None:
    model = _model(resnet_config(), vision_pooling="flatten")
    with pytest.raises(ValueError, match=r"holds 4 regions, those of images of 64 x 64 pixels, .* have 9 regions"):
        model.get_image_features(torch.rand(1, 3, 96, 96))


def test_flatten_needs_an_image_size() -> None:
    with pytest.raises(ValueError, match=r"set vision_config\.image_size"):
        _model(resnet_config(image_size=None), vision_pooling="flatten")


@pytest.mark.parametrize("pooling", ["pooler", "mean", "projected_mean", "flatten"])
def test_a_region_stage_moves_the_regions_and_not_the_image_vector(pooling: str) -> None:
    model = _model(resnet_config(), vision_pooling=pooling, region_stage=2)
    pixel_values = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    stage = model.vision_model(pixel_values, output_hidden_states=True).hidden_states[2]  # [2, 12, 8, 8]
    expected = model.image_head.region_projection(stage.flatten(2).transpose(1, 2))
    torch.testing.assert_close(model.get_image_regions(pixel_values), expected)
    last = model.vision_model(pixel_values).last_hidden_state
    features, _ = model.image_head(last, None, stage, None)
    torch.testing.assert_close(model.get_image_features(pixel_values).pooler_output, features)


def test_a_region_stage_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="region_stage=9 does not exist: the vision encoder has 5 hidden states"):
        _model(resnet_config(), region_stage=9)


@pytest.mark.parametrize("text_pooling", ["cls", "mean"])
def test_padding_on_either_side_leaves_a_texts_vector(text_pooling: str) -> None:
    head = tiny_model(text_pooling=text_pooling).text_head
    states = torch.randn(1, 5, 16)
    padding = torch.randn(1, 3, 16)
    ones, zeros = torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)
    alone = head.pool(states, ones)
    right = head.pool(torch.cat([states, padding], dim=1), torch.cat([ones, zeros], dim=1))
    left = head.pool(torch.cat([padding, states], dim=1), torch.cat([zeros, ones], dim=1))
    torch.testing.assert_close(head.pool(states, None), alone)
    torch.testing.assert_close(right, alone)
    torch.testing.assert_close(left, alone)


def test_mean_text_pooling_averages_the_real_tokens() -> None:
    model, batch = tiny_model(text_pooling="mean"), tiny_batch()
    features = model.get_text_features(batch["input_ids"], batch["attention_mask"])
    means = [
        states[mask.bool()].mean(dim=0)
        for states, mask in zip(features.last_hidden_state, batch["attention_mask"], strict=True)
    ]
    torch.testing.assert_close(features.pooler_output, model.text_head.projection(torch.stack(means)))


def test_a_word_is_the_mean_of_its_sub_words() -> None:
    torch.manual_seed(0)
    states = torch.randn(2, 6, 3)
    word_ids = torch.tensor([[-1, 0, 0, 0, 2, -1], [-1, 0, -1, -1, -1, -1]])  # word 1 has lost its tokens
    words, mask = pool_words(states, word_ids)
    assert mask.tolist() == [[True, False, True], [True, False, False]]
    torch.testing.assert_close(words[0, 0], states[0, 1:4].mean(dim=0))
    torch.testing.assert_close(words[0, 2], states[0, 4])
    torch.testing.assert_close(words[1, 0], states[1, 1])


def test_sub_words_are_averaged_in_single_precision() -> None:
    torch.manual_seed(0)
    states = (1 + torch.randn(1, 301, 64)).bfloat16()
    words, _ = pool_words(states, torch.zeros(1, 301, dtype=torch.long))
    assert words.dtype == torch.bfloat16
    expected = states[0].double().mean(dim=0).bfloat16()
    torch.testing.assert_close(words[0, 0], expected, rtol=2**-8, atol=0)  # the last bit, at most
