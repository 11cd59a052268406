"""Dual encoders: what the suite needs of a model, and PRD's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import ProcessorMixin

_ATTENTION_WEIGHTS_AT_ONCE = 2**24  # of every region, word, image and text in memory: 64 MiB


class DualEncoder(Protocol):
    """A model that puts images and texts into one space, where their dot product tells how well they match."""

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32] | Tensor:
        """Encode N images as L2-normalised vectors [N, D] float32."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | Tensor:
        """Encode N texts as L2-normalised vectors [N, D] float32."""
        ...


@runtime_checkable
class LocalSimilarity(Protocol):
    """What an encoder has besides, if it can match the regions of an image with the words of a text."""

    def local_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """The local score S of each of N images with each of T texts, [N, T] float32, higher = better match."""
        ...


class PRDEncoder:
    """A `PRDModel` with its `PRDProcessor`, ours or loaded as remote code, as a `DualEncoder` with `local_similarity`.

    The model is put into evaluation mode for each call and then left as it was found.

    Args:
        model: the model; its weights are used where they are, and not copied.
        processor: its processor.
        batch_size: images or texts that go through the model at once.
        device: where to compute; None for where the model is.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: ProcessorMixin,
        batch_size: int = 64,
        device: torch.device | str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: at least one image or text goes through the model at once")
        self.model: Any = model if device is None else model.to(device)
        self.processor: Any = processor
        self.batch_size = batch_size

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Encode N images of any mode as L2-normalised vectors [N, D] float32."""
        with _evaluating(self.model):
            batches = [
                _unit_vectors(self.model.get_image_features(self._pixel_values(images[start:stop])).pooler_output)
                for start, stop in self._batches(len(images))
            ]
        return np.concatenate(batches)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode N texts as L2-normalised vectors [N, D] float32, texts of similar length together."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        with _evaluating(self.model):
            batches = []
            for start, stop in self._batches(len(texts)):
                inputs = self._text_inputs([texts[place] for place in order[start:stop]])
                features = self.model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
                batches.append(_unit_vectors(features.pooler_output))
        ordered = np.concatenate(batches)
        embeds = np.empty_like(ordered)
        embeds[order] = ordered
        return embeds

    def local_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """The local score S of each of N images with each of T texts, [N, T] float32, as the model is trained with it.

        The variant and the length normalisation are those of the model's configuration. Regions [N, M, D] are held for
        all images, words for one batch of texts at a time.
        """
        with _evaluating(self.model):
            regions = torch.cat(
                [
                    self.model.get_image_regions(self._pixel_values(images[start:stop]))
                    for start, stop in self._batches(len(images))
                ]
            )  # [N, M, D]
            order = np.argsort([len(text) for text in texts], kind="stable")
            scores = np.empty((len(images), len(texts)), dtype=np.float32)
            for start, stop in self._batches(len(texts)):
                columns = order[start:stop]
                inputs = self._text_inputs([texts[place] for place in columns])
                scores[:, columns] = self._local_scores(regions, inputs).float().cpu().numpy()
        return scores

    def _local_scores(self, regions: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        # S of all images [N, M, D] with one batch of texts, [N, T].
        words, word_mask = self.model.get_word_embeddings(
            inputs["input_ids"], inputs["attention_mask"], inputs["word_ids"]
        )  # [T, W, D], [T, W]
        images_at_once = max(1, _ATTENTION_WEIGHTS_AT_ONCE // (word_mask.numel() * regions.shape[1]))
        blocks = [self.model.local_similarity(block, words, word_mask) for block in regions.split(images_at_once)]
        return torch.cat(blocks)

    def _batches(self, total: int) -> Iterator[tuple[int, int]]:
        if not total:
            raise ValueError("there is nothing to encode: give at least one image or text")
        for start in range(0, total, self.batch_size):
            yield start, min(start + self.batch_size, total)

    def _pixel_values(self, images: Sequence[Image.Image]) -> Tensor:
        pixel_values = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixel_values.to(device=self.model.device, dtype=self.model.dtype)

    def _text_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        inputs = self.processor(text=list(texts), return_tensors="pt")
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    # Each module's flag is put back by itself: a trainer may hold a frozen part in evaluation mode.
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in flags.items():
            module.training = training


def _unit_vectors(features: Tensor) -> NDArray[np.float32]:
    return normalize(features.float(), dim=-1).cpu().numpy()
