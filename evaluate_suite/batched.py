"""Encoding in batches: what all encoders that run a model have in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerBase
from transformers.tokenization_utils_base import LARGE_INTEGER


class BatchedEncoder(ABC):
    """A `DualEncoder`, `TextWindow` and `Described` over a model; a subclass says how one batch becomes features.

    The model is put into evaluation mode for each call and then left as it was found.

    Args:
        model: the model; its weights are used where they are, and not copied.
        batch_size: images or texts that go through the model at once.
        device: where to compute; None for where the model is.

    Attributes:
        text_window: the tokens that the model takes of a text, special ones included; None where it has no bound.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    text_window: int | None

    def __init__(self, model: nn.Module, batch_size: int = 64, device: torch.device | str | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: at least one image or text goes through the model at once")
        self.model: Any = model if device is None else model.to(device)
        self.batch_size = batch_size

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Encode N images of any mode as L2-normalised vectors [N, D] float32."""
        with evaluating(self.model):
            batches = [
                _unit_vectors(self._image_features(images[start:stop])) for start, stop in self._batches(len(images))
            ]
        return np.concatenate(batches)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode N texts as L2-normalised vectors [N, D] float32, texts of similar length together."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        with evaluating(self.model):
            batches = [
                _unit_vectors(self._text_features([texts[place] for place in order[start:stop]]))
                for start, stop in self._batches(len(texts))
            ]
        ordered = np.concatenate(batches)
        embeds = np.empty_like(ordered)
        embeds[order] = ordered
        return embeds

    def truncated(self, texts: Sequence[str]) -> int:
        """How many distinct texts are longer than the text window, so that the model sees their first part only."""
        if self.text_window is None:
            return 0
        distinct = list(dict.fromkeys(texts))
        return sum(count > self.text_window for count in self._token_counts(distinct)) if distinct else 0

    def facts(self) -> dict[str, Any]:
        """The model's class, how images are prepared for it, and its text window, as JSON has them."""
        return {
            "class": type(self.model).__name__,
            "preprocessing": self._preprocessing(),
            "text_window": self.text_window,
        }

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @abstractmethod
    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        # The vectors [B, D] of one batch, normalised or not.
        ...

    @abstractmethod
    def _text_features(self, texts: Sequence[str]) -> Tensor:
        # The vectors [B, D] of one batch, normalised or not.
        ...

    @abstractmethod
    def _preprocessing(self) -> dict[str, Any]:
        # The settings by which images become the model's pixels, among them size, mean and standard deviation.
        ...

    @abstractmethod
    def _token_counts(self, texts: Sequence[str]) -> Sequence[int]:
        # The length of each text before truncation, special tokens included.
        ...

    def _batches(self, total: int) -> Iterator[tuple[int, int]]:
        if not total:
            raise ValueError("there is nothing to encode: give at least one image or text")
        for start in range(0, total, self.batch_size):
            yield start, min(start + self.batch_size, total)


def processor_settings(processor: Any) -> dict[str, Any]:
    """The settings of a processor's image processor, after the processor's class."""
    return {"processor": type(processor).__name__, **json.loads(processor.image_processor.to_json_string())}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode, without gradients, and leave it as it was found.

    Each module's flag is put back by itself: a trainer may hold a frozen part in evaluation mode.
    """
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in flags.items():
            module.training = training


def bounded_length(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The tokens to which a tokenizer truncates; None where it has no bound."""
    return tokenizer.model_max_length if tokenizer.model_max_length < LARGE_INTEGER else None


def _unit_vectors(features: Tensor) -> NDArray[np.float32]:
    return normalize(features.float(), dim=-1).cpu().numpy()
