from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_recipe import TINY_RECIPE
from transformers import AutoTokenizer, BertConfig, BertModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from training.arguments import DEFAULT_RECIPE, DataArguments, ModelArguments, parse_recipe
from training.models import build_model, build_processor, build_tokenizer, load_tokenizer, prefer_channels_last

REPORTS = ["the lungs are clear", "small left pleural effusion", "no pneumothorax"] * 3
SCRATCH = {key: TINY_RECIPE[key] for key in ("vision_config", "text_config", "vision_pooling", "text_pooling")}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(REPORTS, vocab_size=200, max_length=64)


def test_frequent_words_are_whole_and_rare_ones_are_spelt(tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("small left effusions qi")["input_ids"])
    assert tokens == ["[CLS]", "small", "left", "effusion", "##s", "q", "##i", "[SEP]"]


def test_the_vocabulary_keeps_the_most_frequent_words_whatever_the_order_of_texts():
    texts = ["clear lungs clear", "lungs heart", "aorta"]
    spelling = len(build_tokenizer([], 200, 64))
    vocabulary = build_tokenizer(texts, spelling + 3, 64).get_vocab()
    assert [word for word in ("clear", "lungs", "aorta", "heart") if word in vocabulary] == ["clear", "lungs", "aorta"]
    assert build_tokenizer(reversed(texts), spelling + 3, 64).get_vocab() == vocabulary


def test_a_vocabulary_too_small_to_spell_is_an_error():
    with pytest.raises(ValueError, match="vocab_size 10"):
        build_tokenizer(REPORTS, 10, 64)


def test_sizes_follow_the_vocabulary_and_the_images(tokenizer):
    model = build_model(ModelArguments(**SCRATCH, projection_dim=8), image_size=32, tokenizer=tokenizer)
    assert model.config.text_config.vocab_size == len(tokenizer)
    assert model.config.text_config.pad_token_id == tokenizer.pad_token_id
    assert model.config.vision_config.image_size == 32


@pytest.mark.parametrize("recipe", ["phantom", "openi_small"])
def test_the_recipes_from_scratch_build_with_every_setting_known(tokenizer, recipe: str):
    parsed = parse_recipe(["--config", str(DEFAULT_RECIPE.with_name(f"{recipe}.yaml"))])
    model = build_model(parsed.model, parsed.data.image_size, tokenizer)
    assert model.config.text_config.layer_types == parsed.model.text_config["layer_types"]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_images_are_resized_by_the_shorter_side_and_cropped_in_the_middle(tokenizer, channels: int, mode: str):
    processor = build_processor(DataArguments(image_size=16, image_resize=20), tokenizer, channels)
    pixels = np.tile(np.arange(80, dtype=np.uint8), (40, 1))
    values = processor(images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
    assert values.shape == (1, channels, 16, 16)
    reduced = np.asarray(Image.fromarray(pixels).resize((40, 20), Image.Resampling.BILINEAR))[2:18, 12:28]
    np.testing.assert_allclose(values[0, -1].numpy(), reduced / 255, atol=1e-6)


def test_pixels_are_normalised_only_where_the_recipe_says_so(tokenizer):
    image = Image.new("L", (16, 16), 255)
    plain = build_processor(DataArguments(image_size=16), tokenizer, channels=1)
    assert plain(images=image, return_tensors="pt")["pixel_values"].unique().tolist() == [1.0]
    arguments = DataArguments(image_size=16, image_mean=[0.5], image_std=[0.25])
    normalised = build_processor(arguments, tokenizer, channels=1)
    assert normalised(images=image, return_tensors="pt")["pixel_values"].unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"image_resize": 8}, "image_resize 8"), ({"image_mean": [0.5, 0.5]}, r"image_mean \[0.5, 0.5\]")],
)
def test_sizes_and_channels_that_contradict_are_named(tokenizer, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        build_processor(DataArguments(image_size=16, **arguments), tokenizer, channels=3)


@pytest.mark.parametrize(
    ("freeze", "vision", "text"),
    [("none", True, True), ("vision", False, True), ("text", True, False), ("both", False, False)],
)
def test_freezing_stops_the_encoders_and_never_the_heads(tokenizer, freeze: str, vision: bool, text: bool):
    model = build_model(ModelArguments(**SCRATCH, projection_dim=8, freeze=freeze), 32, tokenizer)
    assert all(weight.requires_grad == vision for weight in model.vision_model.parameters())
    assert all(weight.requires_grad == text for weight in model.text_model.parameters())
    assert all(weight.requires_grad for weight in model.image_head.parameters())
    assert all(weight.requires_grad for weight in model.text_head.parameters())


def test_checkpointing_and_attention_reach_the_encoders(tokenizer):
    plain = build_model(ModelArguments(**SCRATCH, projection_dim=8), 32, tokenizer)
    assert not plain.text_model.is_gradient_checkpointing
    changed = ModelArguments(**SCRATCH, projection_dim=8, gradient_checkpointing=True, attn_implementation="eager")
    model = build_model(changed, 32, tokenizer)
    assert model.text_model.is_gradient_checkpointing
    assert plain.text_model.config._attn_implementation == "sdpa"
    assert model.text_model.config._attn_implementation == "eager"


def test_a_published_resnet_can_be_flattened(tmp_path: Path, tokenizer):
    ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1])).save_pretrained(
        tmp_path / "vision"
    )
    BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    ).save_pretrained(tmp_path / "text")
    published = {"vision_model": str(tmp_path / "vision"), "text_model": str(tmp_path / "text")}
    model = build_model(ModelArguments(**published, vision_pooling="flatten"), 64, tokenizer)
    assert model.image_head.flattening.shape.regions == 64


def test_published_encoders_keep_their_weights_and_tokenizer(tmp_path: Path, tokenizer):
    vision = ViTModel(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=16,
            patch_size=8,
        )
    )
    text = BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    )
    vision.save_pretrained(tmp_path / "vision")
    text.save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    arguments = ModelArguments(vision_model=str(tmp_path / "vision"), text_model=str(tmp_path / "text"), alpha=0.3)
    model = build_model(arguments, 16, load_tokenizer(str(tmp_path / "text")))
    assert model.config.alpha == 0.3
    expected = text.embeddings.word_embeddings.weight
    assert model.text_model.embeddings.word_embeddings.weight.equal(expected)
    assert load_tokenizer(str(tmp_path / "text"))("no effusion") == AutoTokenizer.from_pretrained(tmp_path / "text")(
        "no effusion"
    )


def test_cxr_berts_tokenizer_is_berts(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "cxr-bert"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CXRBertTokenizer"}')
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear", "lungs"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    assert load_tokenizer(str(tmp_path))("lungs clear")["input_ids"] == [2, 6, 5, 3]


@pytest.mark.parametrize(("channels", "innermost"), [(4, False), (8, True)])
def test_channels_stand_innermost_but_where_a_kernel_writes_past_its_buffer(channels: int, innermost: bool) -> None:
    config = ResNetConfig(embedding_size=channels, hidden_sizes=[channels, 8], depths=[1, 1], layer_type="basic")
    encoder = ResNetModel(config)
    prefer_channels_last(encoder)
    weight = encoder.embedder.embedder.convolution.weight  # of 7 x 7, for 3 channels
    assert weight.is_contiguous(memory_format=torch.channels_last) == innermost
