"""From the name of a model to its encoder: ours, transformers', open_clip's, or a file of OpenAI's CLIP."""

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import GatedRepoError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from PIL import Image
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor
from transformers.image_processing_backends import PilBackend

from .data import no_such_folder
from .dual_encoders import FEATURE_METHODS, TransformersEncoder
from .encoders import DualEncoder, PRDEncoder
from .open_clip_encoder import PREFIX, OpenClipEncoder, split_name
from .openai_clip import load_openai_clip

_OPENAI_PROCESSOR = "openai/clip-vit-base-patch32"
_OURS = "prd"  # the model_type of PRDConfig
_NOT_THERE = (HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError)


def load_encoder(
    model: str | os.PathLike[str],
    *,
    processor: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    trust_remote_code: bool = True,
) -> DualEncoder:
    """Load a model as the suite runs it: in float32, with its own preprocessing, images resized by Pillow.

    Args:
        model: a folder or Hub id of a PRD model or of a dual encoder of transformers; `open_clip:NAME[:PRETRAINED]`;
            or a `.pt` file with the weights of OpenAI's CLIP (ViT), as CheXzero's are.
        processor: folder or Hub id of the processor; None for the model's own, and for a `.pt` file OpenAI's. CheXzero
            was trained with another mean (0.3980) and deviation (0.3272) of the pixels: give it a processor with
            these.
        batch_size: images or texts that go through the model at once.
        device: where to compute; None for the CPU.
        trust_remote_code: whether a model's own code may run, which a PRD model needs.

    Returns:
        The encoder; as it may, also a `TextWindow`, a `LocalMaps`, a `LocalSimilarity`.

    Raises:
        FileNotFoundError: there is no such `.pt` file.
        ImportError: open_clip is not installed.
        ValueError: the model cannot be loaded or is no dual encoder, or the processor is not one for it.
    """
    name = os.fspath(model)
    if name.startswith(PREFIX):
        if processor is not None:
            raise ValueError(f"{name} has its own preprocessing: leave processor={os.fspath(processor)!r} out")
        return OpenClipEncoder(*split_name(name), batch_size=batch_size, device=device)
    if Path(name).suffix == ".pt":
        clip = load_openai_clip(name)
        clip_processor = _clip_processor(name, clip, processor, trust_remote_code)
        _check_processor(name, clip, clip_processor)
        return TransformersEncoder(clip, clip_processor, batch_size, device)
    config = _load_config(name, trust_remote_code)
    loaded = _load_model(name, config, trust_remote_code)
    loaded_processor = _load_processor(os.fspath(processor or name), trust_remote_code)
    encoder = PRDEncoder if config.model_type == _OURS else TransformersEncoder
    return encoder(loaded, loaded_processor, batch_size, device)


def _load_config(name: str, trust_remote_code: bool) -> Any:
    if Path(name).is_file():
        raise ValueError(f"no model can be loaded from {name!r}, which is a file: give its folder, or a .pt file")
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = f"there is {no_such_folder(name)}" if _is_not_there(name, error) else _in_one_line(error)
        raise ValueError(f"no model can be loaded from {name!r}: {reason}") from error
    if "AutoModel" in getattr(config, "auto_map", {}):
        return config  # its class is known once its code has run
    found = MODEL_MAPPING.get(type(config), None)
    classes = found if isinstance(found, tuple) else (found,)
    if not all(hasattr(model_class, method) for model_class in classes for method in FEATURE_METHODS):
        raise ValueError(_no_dual_encoder(name, config))
    return config


def _is_not_there(name: str, error: Exception) -> bool:
    # What the Hub has and refuses, or transformers cannot read, is there.
    cause = error.__cause__
    return not Path(name).exists() and isinstance(cause, _NOT_THERE) and not isinstance(cause, GatedRepoError)


def _load_model(name: str, config: Any, trust_remote_code: bool) -> Any:
    try:
        model, report = AutoModel.from_pretrained(
            name, trust_remote_code=trust_remote_code, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"the weights of {name!r} cannot be loaded: {_in_one_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"{name!r} lacks {len(missing)} weights of {type(model).__name__}, the first is {missing[0]}")
    if not all(hasattr(model, method) for method in FEATURE_METHODS):
        raise ValueError(_no_dual_encoder(name, config))
    return model


def _load_processor(name: str, trust_remote_code: bool) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=trust_remote_code)
        for part in ("image_processor", "tokenizer"):
            if getattr(processor, part, None) is None:
                raise ValueError(f"{type(processor).__name__} has no {part}")
        if not isinstance(processor.image_processor, PilBackend):
            # Pixels must not depend on whether torchvision is installed.
            processor.image_processor = AutoImageProcessor.from_pretrained(name, backend="pil")
    except (OSError, ValueError) as error:
        raise ValueError(f"{name!r} has no processor of a dual encoder: {_in_one_line(error)}") from error
    return processor


def _clip_processor(name: str, model: Any, processor: str | os.PathLike[str] | None, trust_remote_code: bool) -> Any:
    if processor is not None:
        return _load_processor(os.fspath(processor), trust_remote_code)
    try:
        return _load_processor(_OPENAI_PROCESSOR, trust_remote_code)
    except ValueError as error:
        size, tokens = model.config.vision_config.image_size, model.config.text_config.vocab_size
        raise ValueError(
            f"{name} brings no processor, and {_OPENAI_PROCESSOR!r} cannot be had from the Hub: give --processor DIR, "
            f"a folder of a CLIPProcessor for images of {size} x {size} pixels and the {tokens} tokens of the file"
        ) from error


def _check_processor(name: str, model: Any, processor: Any) -> None:
    # A file tells sizes only: what a processor of other sizes would do is named before the first image.
    size = model.config.vision_config.image_size
    probe = processor(images=[Image.new("RGB", (size, size))], return_tensors="pt")["pixel_values"]
    height, width = probe.shape[-2:]
    if (height, width) != (size, size):
        raise ValueError(f"{name} takes images of {size} x {size} pixels, its processor makes {height} x {width}")
    if len(processor.tokenizer) > model.config.text_config.vocab_size:
        raise ValueError(
            f"{name} knows {model.config.text_config.vocab_size} tokens, its processor {len(processor.tokenizer)}"
        )


def _no_dual_encoder(name: str, config: Any) -> str:
    found = ", ".join(config.architectures or [type(config).__name__])
    methods = " and ".join(FEATURE_METHODS)
    return f"{name!r} is no dual encoder: its architecture is {found} ({config.model_type}), which lacks {methods}"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
