"""Classifiers to start from: PRD's own, any of transformers, and the published encoders that PRD starts from."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import cached_file, logging

from modeling_prd import PRDConfig, PRDForImageClassification, PRDForSequenceClassification
from modeling_prd.checkpoints_prd import load_text_encoder, load_vision_encoder, naming_damage
from modeling_prd.image_processing_prd import PRDImageProcessor
from modeling_prd.tokenization_prd import report_tokenizer

from ..arguments import DataArguments
from ..models import build_image_processor, load_tokenizer
from .arguments import ClassifierArguments
from .task import Batch

_POOLER = re.compile(r"((?:.*?\.)?pooler)\.")


class TextPreparation:
    """Texts, or pairs of them, to the inputs of a text classifier.

    Args:
        tokenizer: saved with the model; alone it gives the same, as in a pipeline.
        max_length: longest input in tokens; what is longer is cut, the longer text of a pair first.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> None:
        self.tokenizer = tokenizer
        tokenizer.model_max_length = min(max_length or tokenizer.model_max_length, tokenizer.model_max_length)

    def __call__(self, *texts: list[str]) -> Batch:
        """`input_ids` and `attention_mask` [B, L], and `token_type_ids` where the tokenizer gives them."""
        return dict(self.tokenizer(*texts, padding=True, truncation=True, return_tensors="pt"))

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self.tokenizer.save_pretrained(folder)


class ImagePreparation:
    """Images to the inputs of an image classifier.

    Args:
        image_processor: saved with the model.
        mode: Pillow's name of the channels it takes, `L` or `RGB`; None where it sees to that itself.
    """

    def __init__(self, image_processor: BaseImageProcessor, mode: str | None = None) -> None:
        self.image_processor = image_processor
        self.mode = mode

    def __call__(self, images: Sequence[PILImage.Image]) -> Batch:
        """`pixel_values` [B, C, H, W]."""
        converted = [image if self.mode is None else image.convert(self.mode) for image in images]
        return dict(self.image_processor(converted, return_tensors="pt"))

    def save(self, folder: Path) -> None:
        """Writes the image processor."""
        self.image_processor.save_pretrained(folder)

    def normalization(self) -> tuple[Sequence[float] | None, Sequence[float] | None]:
        """Mean and deviation that it normalises with, one value a channel; None where it does not."""
        inner: Any = getattr(self.image_processor, "image_processor", self.image_processor)
        return (inner.image_mean, inner.image_std) if getattr(inner, "do_normalize", False) else (None, None)


@dataclass(frozen=True)
class Classifier:
    """A classifier to be trained.

    Attributes:
        model: with a new classifying layer, where it did not have one of these labels.
        prepare: turns texts or images into its inputs.
        encoders: names of the sub-modules that the checkpoint is for; adapters go there.
        heads: names of those that are always trained whole: the others, the classifying layer among them, and a pooler
            within an encoder whose weights the checkpoint lacks.
    """

    model: PreTrainedModel
    prepare: Any
    encoders: tuple[str, ...]
    heads: tuple[str, ...]


def load_classifier(
    arguments: ClassifierArguments,
    labels: Sequence[str],
    problem_type: str,
    max_length: int | None = None,
) -> Classifier:
    """The classifier of a run; its new weights are drawn from torch's generator.

    Args:
        arguments: where it starts.
        labels: names of its outputs.
        problem_type: `single_label_classification` for texts, `multi_label_classification` for images.
        max_length: longest text in tokens.

    Raises:
        ValueError: the checkpoint is of another architecture, lacks weights of its encoder, or is damaged.
        OSError: there is none.
    """
    settings = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": problem_type,
    }
    images = problem_type == "multi_label_classification"
    if arguments.model.endswith(".pt"):
        if not images:
            raise ValueError(f"model: {arguments.model!r} is a vision encoder and reads no text")
        return _published_vision(arguments, settings)
    try:
        config, _ = PreTrainedConfig.get_config_dict(arguments.model)
    except OSError as error:  # it does not always name what could not be loaded
        raise OSError(f"model: {arguments.model!r} cannot be loaded: {error}") from error
    model_type = config.get("model_type")
    if model_type == "prd":
        return _prd(arguments, settings, images, max_length)
    if model_type == "cxr-bert":
        if images:
            raise ValueError(f"model: {arguments.model!r} is a text encoder and takes no images")
        return _published_text(arguments, settings, max_length)
    return _transformers(arguments, model_type, settings, images, max_length)


def _prd(arguments: ClassifierArguments, settings: dict[str, Any], images: bool, max_length: int | None) -> Classifier:
    name = arguments.model
    model_class = PRDForImageClassification if images else PRDForSequenceClassification
    config = PRDConfig.from_pretrained(name, **settings)
    model, _ = _load(model_class, config, arguments, "classifier")
    if images:
        prepare = ImagePreparation(_prd_image_processor(name))
        return Classifier(model, prepare, ("vision_model", "image_head"), ("classifier",))
    # Not by AutoTokenizer, which would run the folder's own code.
    tokenizer = report_tokenizer(PreTrainedTokenizerFast.from_pretrained(name), normalize_text=True)
    text = TextPreparation(tokenizer, _longest(config.text_config, max_length))
    return Classifier(model, text, ("text_model",), ("classifier",))


def _prd_image_processor(name: str) -> PRDImageProcessor:
    """That of a pre-trained folder, where it stands within the processor, or of a fine-tuned one."""
    file = cached_file(name, "processor_config.json", _raise_exceptions_for_missing_entries=False)
    if file is None:
        return PRDImageProcessor.from_pretrained(name)
    settings = json.loads(Path(file).read_text())
    return PRDImageProcessor(settings["image_processor"])


def _transformers(
    arguments: ClassifierArguments,
    model_type: str | None,
    settings: dict[str, Any],
    images: bool,
    max_length: int | None,
) -> Classifier:
    name = arguments.model
    known: Any
    known, kind = (
        (MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, "image")
        if images
        else (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "text")
    )
    if model_type is None:
        raise ValueError(f"model: {name!r} is no model: it has no config.json that names a model_type")
    if model_type not in CONFIG_MAPPING or CONFIG_MAPPING[model_type] not in known:
        raise ValueError(f"model: {name!r} is a {model_type}, of which transformers has no {kind} classifier")
    config = AutoConfig.from_pretrained(name, **settings)
    auto = AutoModelForImageClassification if images else AutoModelForSequenceClassification
    prepare: TextPreparation | ImagePreparation
    if images:
        prepare = ImagePreparation(AutoImageProcessor.from_pretrained(name, backend="pil"), _mode(config))
    else:
        tokenizer = AutoTokenizer.from_pretrained(name)
        if tokenizer.pad_token is None:  # as decoders have it; their classifiers read the last token before padding
            tokenizer.pad_token = tokenizer.eos_token
        if config.get_text_config().pad_token_id is None:
            config.get_text_config().pad_token_id = tokenizer.pad_token_id
        prepare = TextPreparation(tokenizer, _longest(config, max_length))
    model, new = _load(auto, config, arguments, None)
    encoders = _encoders(model)
    heads = [
        name
        for name, child in model.named_children()
        if name not in encoders and any(True for _ in child.parameters())
    ]
    heads += dict.fromkeys(found[1] for key in new if key.startswith(encoders) and (found := _POOLER.match(key)))
    return Classifier(model, prepare, encoders, tuple(heads))


def _encoders(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the sub-modules that a classifier of transformers shares with its checkpoint."""
    if hasattr(model, model.base_model_prefix):
        return (model.base_model_prefix,)
    # One half of a dual encoder, as in CLIPForImageClassification, stands under its own name.
    return tuple(name for name, child in model.named_children() if isinstance(child, PreTrainedModel))


def _load(
    model_class: Any, config: PreTrainedConfig, arguments: ClassifierArguments, head: str | None
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model, in float32, and the names of the weights that its checkpoint lacks, none where all are drawn anew.

    Only `head` may be new, or, of a model of transformers (None), what is outside its encoder, and a pooler.
    """
    if arguments.init == "random":
        build = getattr(model_class, "from_config", model_class)
        return build(config).float(), ()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it reports of new weights is checked here
    try:
        with naming_damage(arguments.model):
            model, info = model_class.from_pretrained(
                arguments.model,
                config=config,
                dtype=torch.float32,  # a checkpoint in half precision is not trained in it
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    finally:
        logging.set_verbosity(verbosity)
    new = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    encoders = tuple(f"{name}." for name in _encoders(model))
    lost = [
        key
        for key in new
        if (not key.startswith(f"{head}.") if head else key.startswith(encoders) and not _POOLER.match(key))
    ]
    if lost:
        raise ValueError(
            f"model: {arguments.model!r} lacks {len(lost)} weights of {type(model).__name__}, such as {lost[0]!r}: it "
            "is of another architecture"
        )
    return model, tuple(new)


def _published_vision(arguments: ClassifierArguments, settings: dict[str, Any]) -> Classifier:
    published = load_vision_encoder(arguments.model, torch.float32, {"image_size": arguments.image_size})
    config = PRDConfig(vision_config=published.encoder.config, **published.settings, **settings)
    model = PRDForImageClassification(config)
    if arguments.init == "pretrained":
        model.vision_model.load_state_dict(published.encoder.state_dict())
        if published.projection is not None:
            model.image_head.projection.load_state_dict(published.projection.state_dict())
    data = DataArguments(image_size=arguments.image_size)
    processor = PRDImageProcessor(build_image_processor(data, channels=config.vision_config.num_channels))
    return Classifier(model, ImagePreparation(processor), ("vision_model", "image_head"), ("classifier",))


def _published_text(arguments: ClassifierArguments, settings: dict[str, Any], max_length: int | None) -> Classifier:
    published = load_text_encoder(arguments.model, torch.float32, {})
    config = PRDConfig(text_config=published.encoder.config, **published.settings, **settings)
    model = PRDForSequenceClassification(config)
    if arguments.init == "pretrained":
        model.text_model.load_state_dict(published.encoder.state_dict())
    tokenizer = report_tokenizer(load_tokenizer(arguments.model), normalize_text=True)
    prepare = TextPreparation(tokenizer, _longest(config.text_config, max_length))
    return Classifier(model, prepare, ("text_model",), ("classifier",))


def _longest(config: PreTrainedConfig, max_length: int | None) -> int | None:
    """The longest text that both the user and the encoder's learned positions allow."""
    positions = getattr(config, "max_position_embeddings", None)
    allowed = [length for length in (max_length, positions) if length is not None]
    return min(allowed, default=None)


def _mode(config: PreTrainedConfig) -> str:
    return "L" if getattr(config, "num_channels", 3) == 1 else "RGB"
