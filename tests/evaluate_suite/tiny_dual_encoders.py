"""Randomly initialised dual encoders of transformers, tiny, saved with a processor as published ones are."""

from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from tiny_processors import REPORT, special_tokens_around
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AlignConfig,
    AlignModel,
    AlignProcessor,
    BertConfig,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    ChineseCLIPProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Siglip2Config,
    Siglip2Model,
    Siglip2Processor,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipModel,
    SiglipProcessor,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
    ViTConfig,
)
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

WINDOW = 16  # tokens, with the one before and the one after the words
IMAGE_SIZE = 16
WORDS = sorted({*REPORT.split(), "left", "right", "small", "large"})
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_VOCABULARY = {word: place for place, word in enumerate([*_SPECIAL, *WORDS])}
_END = _VOCABULARY["[SEP]"]
_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_IDS = {"vocab_size": len(_VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": _END}
_TEXT = _SIZES | _IDS | {"max_position_embeddings": WINDOW}
_VISION = _SIZES | {"image_size": IMAGE_SIZE, "patch_size": 4}
_SQUARE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, one before and one after; it names no greatest length, so that the model's counts."""
    words = Tokenizer(models.WordLevel(_VOCABULARY, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = special_tokens_around(words)
    fast.model_max_length = int(1e30)
    return fast


def clip() -> tuple[PreTrainedModel, ProcessorMixin]:
    images = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=_SQUARE)
    config = CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=12)
    return CLIPModel(config), CLIPProcessor(images, tokenizer())


def siglip() -> tuple[PreTrainedModel, ProcessorMixin]:
    images = SiglipImageProcessorPil(size=_SQUARE)
    return SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION)), SiglipProcessor(images, tokenizer())


def siglip2() -> tuple[PreTrainedModel, ProcessorMixin]:
    """Of a tokenizer class of its own: one token a letter, padded on the left."""
    letters = {token: place for place, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "▁", *ascii_lowercase])}
    images = Siglip2ImageProcessorPil(patch_size=4, max_num_patches=16)
    vision = _SIZES | {"patch_size": 4, "num_patches": 16}
    text = _TEXT | {"vocab_size": len(letters), "max_position_embeddings": 64}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return model, Siglip2Processor(images, Siglip2Tokenizer(vocab=letters, mask_token="<unk>"))


def align() -> tuple[PreTrainedModel, ProcessorMixin]:
    stages = {"kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 16], "strides": [1, 2]}
    vision = stages | {"num_block_repeats": [1, 1], "expand_ratios": [1, 2], "hidden_dim": 16, "image_size": 16}
    vision |= {"width_coefficient": 1.0, "depth_coefficient": 1.0}
    config = AlignConfig(text_config=_TEXT, vision_config=vision, projection_dim=16)
    images = EfficientNetImageProcessorPil(size=_SQUARE, do_center_crop=False)
    return AlignModel(config), AlignProcessor(images, tokenizer())


def chinese_clip() -> tuple[PreTrainedModel, ProcessorMixin]:
    images = ChineseCLIPImageProcessorPil(size=_SQUARE, do_center_crop=False)
    config = ChineseCLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=12)
    return ChineseCLIPModel(config), ChineseCLIPProcessor(images, tokenizer())


def vision_text_dual_encoder() -> tuple[PreTrainedModel, ProcessorMixin]:
    config = VisionTextDualEncoderConfig.from_vision_text_configs(ViTConfig(**_VISION), BertConfig(**_TEXT))
    images = ViTImageProcessorPil(size=_SQUARE)
    return VisionTextDualEncoderModel(config), VisionTextDualEncoderProcessor(images, tokenizer())


DUAL_ENCODERS: dict[str, Callable[[], tuple[PreTrainedModel, ProcessorMixin]]] = {
    "clip": clip,
    "siglip": siglip,
    "siglip2": siglip2,
    "align": align,
    "chinese_clip": chinese_clip,
    "vision_text_dual_encoder": vision_text_dual_encoder,
}


def build(name: str, seed: int = 0) -> tuple[Any, Any]:
    """A model, in evaluation mode, with its processor."""
    torch.manual_seed(seed)
    model, processor = DUAL_ENCODERS[name]()
    return model.eval(), processor


def save(name: str, folder: Path, seed: int = 0) -> Path:
    """A folder as `AutoModel` and `AutoProcessor` load it."""
    for part in build(name, seed):
        part.save_pretrained(folder)
    return folder
