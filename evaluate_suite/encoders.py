"""Dual encoders: what the suite needs of a model, what more it can use, and PRD's own."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import ProcessorMixin

from .batched import BatchedEncoder, bounded_length, evaluating, processor_settings
from .regions import check_pairs, region_maps

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
class TextWindow(Protocol):
    """What an encoder has besides, if it knows how much of a text its model takes."""

    def truncated(self, texts: Sequence[str]) -> int:
        """How many distinct texts are longer than the model's text window, which sees their first part only."""
        ...


@runtime_checkable
class Described(Protocol):
    """What an encoder has besides, if it can tell what a report should say of its model."""

    def facts(self) -> Mapping[str, Any]:
        """What the numbers hang on besides the weights, as JSON has it: at least the model's `class`."""
        ...


@runtime_checkable
class LocalSimilarity(Protocol):
    """What an encoder has besides, if it can match the regions of an image with the words of a text."""

    def local_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """The local score S of each of N images with each of T texts, [N, T] float32, higher = better match."""
        ...


@runtime_checkable
class LocalMaps(Protocol):
    """What an encoder has besides, if it can say where in an image a phrase matches."""

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[NDArray[np.float32]]:
        """The maps of N images with one phrase each: N arrays [H, W] on the grid of the regions.

        Higher is a better match. A map covers the image as the model takes it, after its processor's resizing and
        cropping.

        Raises:
            NotSupportedError: the model has no region vectors that compare with a text.
        """
        ...


class PRDEncoder(BatchedEncoder):
    """A `PRDModel` with its `PRDProcessor`, ours or loaded as remote code: a `DualEncoder` with all that is besides.

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
        super().__init__(model, batch_size, device)
        self.processor: Any = processor
        self.text_window = bounded_length(self.processor.tokenizer)

    def local_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """The local score S of each of N images with each of T texts, [N, T] float32, as the model is trained with it.

        The variant and the length normalisation are those of the model's configuration. Regions [N, M, D] are held for
        all images, words for one batch of texts at a time.
        """
        with evaluating(self.model):
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

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[NDArray[np.float32]]:
        """The maps of N images with one phrase each: N arrays [H, W] on the grid of the regions.

        A value is the mean over the phrase's words of word . region, the vectors as the model gives them. The phrase
        is encoded alone. A map covers the image as the model takes it, after its processor's resizing and cropping.

        Raises:
            NotSupportedError: the regions are no grid.
            ValueError: there is not one phrase an image, or a phrase has no word.
        """
        check_pairs(images, phrases)
        patch_size = getattr(self.model.config.vision_config, "patch_size", None)
        maps: list[NDArray[np.float32]] = []
        with evaluating(self.model):
            for start, stop in self._batches(len(images)):
                pixel_values = self._pixel_values(images[start:stop])
                regions = self.model.get_image_regions(pixel_values)  # [B, M, D]
                inputs = self._text_inputs(phrases[start:stop])
                words, word_mask = self.model.get_word_embeddings(
                    inputs["input_ids"], inputs["attention_mask"], inputs["word_ids"]
                )  # [B, W, D], [B, W]
                word_mask = word_mask.float()
                mean_word = torch.einsum("bwd,bw->bd", words.float(), word_mask / word_mask.sum(dim=1, keepdim=True))
                height, width = pixel_values.shape[-2:]
                maps += region_maps(regions, mean_word, (height, width), patch_size)
        return maps

    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self.model.get_image_features(self._pixel_values(images)).pooler_output

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        inputs = self._text_inputs(texts)
        return self.model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output

    def _preprocessing(self) -> dict[str, Any]:
        return processor_settings(self.processor)

    def _token_counts(self, texts: Sequence[str]) -> Sequence[int]:
        # max_length cuts nothing without truncation; named, it spares the tokenizer's warning of a long text.
        whole = self.processor(text=list(texts), padding=False, truncation=False, max_length=self.text_window)
        return [len(row) for row in whole["input_ids"]]

    def _pixel_values(self, images: Sequence[Image.Image]) -> Tensor:
        pixel_values = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixel_values.to(device=self.model.device, dtype=self.model.dtype)

    def _text_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        inputs = self.processor(text=list(texts), return_tensors="pt")
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
