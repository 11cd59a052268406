"""Any dual encoder of transformers: CLIP, SigLIP, SigLIP2, VisionTextDualEncoder, ALIGN, Chinese-CLIP and more."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import ProcessorMixin

from .batched import BatchedEncoder, bounded_length, evaluating, processor_settings
from .errors import NotSupportedError
from .images import as_rgb
from .regions import check_pairs, region_maps

FEATURE_METHODS = ("get_image_features", "get_text_features")
"""What makes a model of transformers a dual encoder."""


class TransformersEncoder(BatchedEncoder):
    """A dual encoder of transformers with its processor, as a `DualEncoder`, with its `TextWindow` and `LocalMaps`.

    Vectors are those of the model's `get_image_features` and `get_text_features`. Texts are padded to the longest of
    their batch, SigLIP's to the full window: it was trained so, and reads a text at its last position.

    Args:
        model: a model with `get_image_features` and `get_text_features`; its weights are used where they are.
        processor: its processor, with an image processor and a tokenizer.
        batch_size: images or texts that go through the model at once.
        device: where to compute; None for where the model is.

    Raises:
        TypeError: the model or the processor lacks one of these.
        ValueError: `batch_size` is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: ProcessorMixin,
        batch_size: int = 64,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(model, batch_size, device)
        for name in FEATURE_METHODS:
            if not hasattr(model, name):
                raise TypeError(f"{type(model).__name__} is no dual encoder: it lacks the method {name}")
        for name in ("image_processor", "tokenizer"):
            if getattr(processor, name, None) is None:
                raise TypeError(f"{type(processor).__name__} is no processor of a dual encoder: it lacks the {name}")
        self.processor: Any = processor
        self.text_window = _text_window(self.model, self.processor)
        self._padding: str | bool = True
        if _text_config(self.model).model_type.startswith("siglip"):
            self._padding = "max_length"

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[NDArray[np.float32]]:
        """The maps of N images with one phrase each: N arrays [H, W] on the grid of the patches.

        A value is the cosine of the phrase's vector with the patch's, projected as the model projects the whole image.
        A map covers the image as the model takes it, after its processor's resizing and cropping.

        Raises:
            NotSupportedError: the model has no patch vectors in the space of its texts.
            ValueError: there is not one phrase an image.
        """
        check_pairs(images, phrases)
        vision_config = getattr(self.model.config, "vision_config", None)
        patch_size = getattr(vision_config, "patch_size", None)
        maps: list[NDArray[np.float32]] = []
        with evaluating(self.model):
            for start, stop in self._batches(len(images)):
                inputs = self._image_inputs(images[start:stop])
                outputs = self.model.get_image_features(**inputs)
                patches = normalize(_patch_vectors(self.model, outputs).float(), dim=-1)  # [B, M, D]
                texts = normalize(self._text_features(phrases[start:stop]).float(), dim=-1)  # [B, D]
                height, width = inputs["pixel_values"].shape[-2:]
                maps += region_maps(patches, texts, (height, width), patch_size)
        return maps

    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self.model.get_image_features(**self._image_inputs(images)).pooler_output

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        inputs = self.processor.tokenizer(
            list(texts),
            padding=self._padding,
            truncation=self.text_window is not None,
            max_length=self.text_window,
            return_tensors="pt",
        )
        return self.model.get_text_features(**self._accepted(self.model.get_text_features, inputs)).pooler_output

    def _preprocessing(self) -> dict[str, Any]:
        return processor_settings(self.processor)

    def _token_counts(self, texts: Sequence[str]) -> Sequence[int]:
        whole = self.processor.tokenizer(list(texts), verbose=False)  # says nothing of a text that is too long
        return [len(row) for row in whole["input_ids"]]

    def _image_inputs(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        # Not through the processor, whose class holds settings (SigLIP2's patches) that go before the model's own.
        inputs = self.processor.image_processor([as_rgb(image) for image in images], return_tensors="pt")
        return self._accepted(self.model.get_image_features, inputs)

    def _accepted(self, method: Callable[..., Any], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # A processor may give more than its model takes: CLIP's text encoder takes no token_type_ids.
        names = inspect.signature(method).parameters
        accepted = {name: tensor.to(self.device) for name, tensor in inputs.items() if name in names}
        return {
            name: tensor.to(self.model.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in accepted.items()
        }


def _text_config(model: Any) -> Any:
    return model.config.get_text_config()


def _text_window(model: Any, processor: Any) -> int | None:
    # The least of what the tokenizer and the model's table of positions hold.
    bounds = [bounded_length(processor.tokenizer), getattr(_text_config(model), "max_position_embeddings", None)]
    for name, module in model.named_modules():
        # RoBERTa's positions are counted from behind the padding's.
        if name.startswith("text_model.") and name.endswith("position_embeddings") and module.padding_idx is not None:
            bounds.append(module.num_embeddings - module.padding_idx - 1)
    return min((bound for bound in bounds if bound is not None), default=None)


def _patch_vectors(model: Any, outputs: Any) -> Tensor:
    # The patches [B, M, D] of what `get_image_features` gave, projected as the model projects the whole image.
    state = outputs.last_hidden_state
    if model.config.model_type == "align" and model.config.vision_config.pooling_type == "mean":
        return state.flatten(2).transpose(1, 2)  # from [B, D, rows, columns]: the image's vector is their mean
    vision: Any = getattr(model, "vision_model", None)
    reads_class_token = hasattr(vision, "post_layernorm") and hasattr(vision.embeddings, "class_embedding")
    if reads_class_token and hasattr(model, "visual_projection"):
        return model.visual_projection(vision.post_layernorm(state[:, 1:]))  # [B, M, D], without the class token
    raise NotSupportedError(
        f"{type(model).__name__} does not project single patches into the space of its texts, as CLIP projects its "
        "class token and ALIGN the mean of its regions"
    )
