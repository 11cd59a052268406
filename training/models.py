"""From a recipe to a processor and a model: published encoders, or configurations trained from scratch."""

import difflib
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from string import ascii_lowercase, digits
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from PIL.Image import Resampling
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoTokenizer,
    BertTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from modeling_prd import PRDConfig, PRDModel, PRDProcessor

from .arguments import DataArguments, ModelArguments
from .data import PairCollator

_SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_LEAST_CHANNELS = 8
_HEAD_KEYS = (
    "projection_dim",
    "vision_pooling",
    "text_pooling",
    "vision_projection",
    "text_projection",
    "region_stage",
    "temperature",
    "learn_temperature",
    "global_weight",
    "alpha",
    "beta",
    "local_variant",
    "local_length_normalized",
    "duplicate_reports",
    "text_micro_batch_size",
    "local_loss_memory_mb",
)


def build_tokenizer(texts: Iterable[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer for normalised reports, for a text encoder that is trained from scratch.

    Its vocabulary is letters and digits, so that every word can be spelt, and the most frequent whole words; equal
    counts go by the alphabet. So it is the same on every machine and in every process, which the trainers of
    `tokenizers` do not promise.

    Args:
        texts: normalised reports of the training split, perturbed ones too, so that antonyms are words of their own.
        vocab_size: most entries, special tokens included.
        max_length: longest input that it says it takes.

    Raises:
        ValueError: `vocab_size` does not hold the letters.
    """
    counts = Counter(word for text in texts for word in text.split())
    letters = sorted({*ascii_lowercase, *digits, *(letter for word in counts for letter in word)})
    spelling = [*_SPECIAL_TOKENS.values(), *letters, *(f"##{letter}" for letter in letters)]
    if vocab_size < len(spelling):
        raise ValueError(f"vocab_size {vocab_size} is below {len(spelling)}, the entries that spell any word")
    words = sorted(counts.keys() - set(letters), key=lambda word: (-counts[word], word))
    entries = [*spelling, *words][:vocab_size]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=_SPECIAL_TOKENS["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    first, last = _SPECIAL_TOKENS["cls_token"], _SPECIAL_TOKENS["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, vocabulary[token]) for token in (first, last)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **_SPECIAL_TOKENS)


def load_tokenizer(text_model: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a published text encoder; CXR-BERT's is BERT's, whatever class its files name."""
    config, _ = PreTrainedConfig.get_config_dict(text_model)
    if config.get("model_type") == "cxr-bert":
        return BertTokenizer.from_pretrained(text_model)
    return AutoTokenizer.from_pretrained(text_model)


def build_processor(data: DataArguments, tokenizer: PreTrainedTokenizerBase, channels: int) -> PRDProcessor:
    """The processor of a recipe.

    Args:
        data: sizes and normalisation.
        tokenizer: of the text encoder.
        channels: 1 or 3, as the vision encoder takes.

    Raises:
        ValueError: as `build_image_processor`.
    """
    tokenizer.model_max_length = data.max_length  # so that evaluation and users cut where training did
    return PRDProcessor(build_image_processor(data, channels), tokenizer)


def build_image_processor(data: DataArguments, channels: int) -> CLIPImageProcessorPil:
    """Resizes the shorter side, crops the centre and scales to [0, 1], with Pillow.

    Args:
        data: sizes and normalisation.
        channels: 1 or 3, as the vision encoder takes.

    Raises:
        ValueError: `image_resize` is below `image_size`, or mean or deviation have not one value a channel.
    """
    resize = data.image_resize or data.image_size
    if resize < data.image_size:
        raise ValueError(f"image_resize {resize} is smaller than image_size {data.image_size}")
    mean, std = data.image_mean or [0.0] * channels, data.image_std or [1.0] * channels
    if len(mean) != channels or len(std) != channels:
        raise ValueError(f"image_mean {mean} and image_std {std} must have one value for each of {channels} channels")
    return CLIPImageProcessorPil(
        size={"shortest_edge": resize},
        crop_size={"height": data.image_size, "width": data.image_size},
        resample=Resampling.BILINEAR,
        do_convert_rgb=channels == 3,
        do_normalize=data.image_mean is not None or data.image_std is not None,
        image_mean=mean,  # its length tells the processor how many channels the model takes
        image_std=std,
    )


def build_model(arguments: ModelArguments, image_size: int, tokenizer: PreTrainedTokenizerBase) -> PRDModel:
    """The model of a recipe: two published encoders, or two from scratch whose sizes follow image and vocabulary.

    Raises:
        ValueError: a configuration names an unknown `model_type`, or a setting contradicts a checkpoint.
        OSError: a checkpoint is not there.
    """
    heads = {key: getattr(arguments, key) for key in _HEAD_KEYS if getattr(arguments, key) is not None}
    if arguments.vision_model is not None and arguments.text_model is not None:
        if arguments.vision_pooling == "flatten":
            heads["vision_image_size"] = image_size
        model = PRDModel.from_vision_text_pretrained(arguments.vision_model, arguments.text_model, **heads)
    else:
        vocabulary = {"vocab_size": len(tokenizer)}
        for kind in ("pad", "bos", "eos", "cls", "sep"):
            vocabulary[f"{kind}_token_id"] = getattr(tokenizer, f"{kind}_token_id")
        vision_config = {"image_size": image_size, **(arguments.vision_config or {})}
        text_config = {**vocabulary, **(arguments.text_config or {})}
        _check_keys("vision_config", arguments.vision_config or {})
        _check_keys("text_config", arguments.text_config or {})
        try:
            model = PRDModel(PRDConfig(vision_config=vision_config, text_config=text_config, **heads))
        except (StrictDataclassError, AttributeError, KeyError, TypeError) as error:
            # What an encoder raises for a value that its configuration let pass.
            raise ValueError(f"vision_config or text_config: {type(error).__name__}: {error}") from error
    if arguments.attn_implementation is not None:
        model.set_attn_implementation({"text_config": arguments.attn_implementation})
    if arguments.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.text_model.config.use_cache = False  # else it warns in each step, which breaks a compiled graph
    for encoder in frozen_encoders(arguments.freeze):
        model.get_submodule(encoder).requires_grad_(False)
    prefer_channels_last(model)
    return model


def prefer_channels_last(model: nn.Module) -> None:
    """Puts the channels of convolutions innermost, with which a small ResNet trains in half the time on a CPU.

    Not where a 1x1 convolution of fewer than eight channels has a stride: torch 2.13's CPU kernel of that writes past
    its buffer, which may end the process.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not any(
        layer.kernel_size == (1, 1) and layer.stride != (1, 1) and layer.in_channels < _LEAST_CHANNELS
        for layer in convolutions
    ):
        nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)


def check_fit(model: PRDModel, processor: PRDProcessor, train: Iterable[dict[str, Any]], max_length: int) -> None:
    """Runs the first pairs through the model, so that sizes that contradict each other show before training.

    Raises:
        ValueError: the model does not take them.
    """
    batch = PairCollator(processor, max_length)(list(islice(train, 2)))
    longest = batch["input_ids"].new_full((1, max_length), len(processor.tokenizer) - 1)
    try:
        with torch.inference_mode():
            model.eval()(**batch)
            model.get_text_features(longest)
    except (RuntimeError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the encoders do not take these images and reports (image_size, max_length): {error}"
        ) from error


def _check_keys(name: str, config: dict[str, Any]) -> None:
    """Refuses a key that the configuration's class does not know: transformers would keep it and do nothing."""
    model_type = str(config.get("model_type"))
    if model_type not in CONFIG_MAPPING:
        return  # PRDConfig says so
    known = {*CONFIG_MAPPING[model_type]().to_dict(), "image_size"}
    for key in config.keys() - known:
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ValueError(f"{name}: {model_type} has no setting {key!r}{hint}")


def frozen_encoders(freeze: str) -> tuple[str, ...]:
    """The names in a `PRDModel` of the encoders that `ModelArguments.freeze` names."""
    names = {"none": (), "vision": ("vision_model",), "text": ("text_model",), "both": ("vision_model", "text_model")}
    return names[freeze]
