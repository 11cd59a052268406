"""PRDProcessor: radiographs, reports and perturbed reports in, the inputs of `PRDModel` out."""

import copy
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import transformers
from transformers import BatchEncoding, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import ImageInput, is_pil_image, to_numpy_array

NO_WORD = -1
"""Stands in `word_ids` where a token belongs to no word: special tokens and padding."""

PerturbedReport: TypeAlias = Mapping[str, str | None] | Sequence[str | None]


def normalize_report(text: str) -> str:
    """Normalise a report as all text of PRD is: NFKC, lower case, letters and digits only, single spaces.

    Args:
        text: a report as written.

    Returns:
        The report's words joined by single spaces (`"2.5 cm"` -> `"2 5 cm"`); empty if it has no letter and no digit.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    return " ".join("".join(char if char.isalnum() else " " for char in folded).split())


class PRDProcessor(ProcessorMixin):
    """Joins an image processor and a tokenizer, and keeps track of the words.

    Reports are normalised (`normalize_report`), split at spaces and tokenised word by word, so that every sub-word knows
    its word; a byte-level BPE tokenizer is set to `add_prefix_space=True` for that. Images of any mode become RGB, or grey
    when the image processor's `image_mean` has one entry. An image processor of torchvision's is replaced by its Pillow
    twin: the two differ in the pixels, and a saved model must not depend on what else is installed.

    Args:
        image_processor: an image processor of transformers.
        tokenizer: a fast tokenizer of transformers.
        normalize_text: whether reports are normalised first; saved with the processor.

    Raises:
        ValueError: the tokenizer is slow or truncates on the left, or the image processor has no Pillow twin.
    """

    def __init__(
        self, image_processor: BaseImageProcessor, tokenizer: PreTrainedTokenizerBase, normalize_text: bool = True
    ) -> None:
        super().__init__(_with_pillow(image_processor), _for_separate_words(tokenizer))
        self.normalize_text = normalize_text

    @property
    def model_input_names(self) -> list[str]:
        """What `PRDModel.forward` takes of a call's outputs."""
        return [
            "pixel_values",
            "input_ids",
            "attention_mask",
            "word_ids",
            "perturbed_input_ids",
            "perturbed_attention_mask",
            "perturbation_mask",
        ]

    def __call__(
        self,
        images: ImageInput | None = None,
        text: str | Sequence[str] | None = None,
        perturbed_text: PerturbedReport | Sequence[PerturbedReport] | None = None,
        return_tensors: str | None = None,
        padding: bool | str = True,
        truncation: bool | str = True,
        max_length: int | None = None,
    ) -> BatchFeature:
        """Make the model's inputs of images, of reports, or of both.

        Args:
            images: one or many of: Pillow image of any mode; array or tensor [H, W], [C, H, W] or [H, W, C] with C 1 or 3.
                16-bit values count on the full scale 0 to 65535, floats on 0 to 1.
            text: a report or B reports.
            perturbed_text: for each report its P perturbed reports, as a sequence or as a mapping by name; all reports have
                the same P or names. None stands for a perturbation that is left out.
            return_tensors: `"pt"` or `"np"`; None for lists.
            padding, truncation, max_length: as a tokenizer takes them. A report that is too long keeps its first words.

        Returns:
            `pixel_values` [B, C, H, W]; `input_ids`, `attention_mask` [B, L]; `word_ids` [B, L], each token's word counted
            from 0, -1 where there is none; `perturbed_input_ids`, `perturbed_attention_mask` [B, P, L'];
            `perturbation_mask` [B, P], False where the perturbed report is None or equal to the report.

        Raises:
            ValueError: an input is missing, a report or perturbed report has no words (its position is named), or the
                perturbed reports do not match the reports.
        """
        if images is None and text is None:
            raise ValueError("PRDProcessor needs images, text or both")
        if perturbed_text is not None and text is None:
            raise ValueError("perturbed_text needs the reports it was made from: pass text")
        data: dict[str, Any] = {}
        if images is not None:
            data.update(self._process_radiographs(images, return_tensors))
        if text is not None:
            tokenizer_options = {"padding": padding, "truncation": truncation, "max_length": max_length}
            data.update(self._process_reports(text, perturbed_text, tokenizer_options))
        return BatchFeature(data, tensor_type=return_tensors)
