"""PRDProcessor: radiographs, reports and perturbed reports in, the inputs of `PRDModel` out."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, TypeAlias, cast

from transformers import BatchEncoding, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import ImageInput

from .image_processing_prd import process_radiographs, with_pillow
from .normalization_prd import normalize_report
from .tokenization_prd import report_tokenizer

NO_WORD = -1
"""Stands in `word_ids` where a token belongs to no word: special tokens and padding."""

PerturbedReport: TypeAlias = Mapping[str, str | None] | Sequence[str | None]


class PRDProcessor(ProcessorMixin):
    """Joins an image processor and a tokenizer, and keeps track of the words.

    Reports are normalised (`normalize_report`), split at spaces and tokenised word by word, so that every sub-word
    knows its word. The tokenizer becomes one that normalises too (`report_tokenizer`): alone, saved or on pairs of
    texts it gives the same tokens. Images of any mode become RGB, or grey where the image processor's `image_mean` has
    one entry. An image processor with the torchvision back end is replaced by its Pillow twin: their pixels differ,
    and a model must not depend on what else is installed.

    Args:
        image_processor: an image processor of transformers.
        tokenizer: a fast tokenizer of transformers.
        normalize_text: whether reports are normalised first; saved with the processor and in its tokenizer.

    Raises:
        ValueError: the tokenizer is slow or truncates on the left, or the image processor has no Pillow twin.
    """

    def __init__(
        self, image_processor: BaseImageProcessor, tokenizer: PreTrainedTokenizerBase, normalize_text: bool = True
    ) -> None:
        super().__init__(image_processor, tokenizer)
        self.image_processor = with_pillow(self.image_processor)
        self.tokenizer = report_tokenizer(self.tokenizer, normalize_text)
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
            images: a radiograph, or B of them in a list or in a 4-dimensional array: Pillow images of any mode, arrays
                or tensors [H, W], [C, H, W] or [H, W, C] with 1 or 3 channels. 16-bit values count on their full scale
                of 0 to 65535, floats on 0 to 1.
            text: a report or B reports.
            perturbed_text: for each report its P perturbed reports, in a sequence or in a mapping by name; all reports
                have the same P or names. None stands for a perturbation that is left out.
            return_tensors: `"pt"` or `"np"`; None for lists.
            padding, truncation, max_length: as for a tokenizer. A report that is too long keeps its first words.

        Returns:
            `pixel_values` [B, C, H, W]; `input_ids`, `attention_mask` [B, L]; `word_ids` [B, L], the word of each
            token, counted from 0, -1 where there is none; `perturbed_input_ids`, `perturbed_attention_mask`
            [B, P, L']; `perturbation_mask` [B, P], False where the perturbed report is None or has the report's tokens
            (it equals the report, or does once both are truncated), which no encoder could tell apart.

        Raises:
            ValueError: an input is missing, an image cannot be read or a report or perturbed report has no words (its
                position is named), or the perturbed reports do not match the reports.
        """
        if images is None and text is None:
            raise ValueError("PRDProcessor needs images, text or both")
        if text is not None and len(text) == 0 and not isinstance(text, str):
            raise ValueError("text holds no report")
        if perturbed_text is not None and text is None:
            raise ValueError("perturbed_text needs the reports it was made from: pass text")
        data: dict[str, Any] = {}
        if images is not None:
            data.update(process_radiographs(self.image_processor, images, return_tensors))
        if text is not None:
            tokenizer_options = {"padding": padding, "truncation": truncation, "max_length": max_length}
            reports = [text] if isinstance(text, str) else text
            if perturbed_text is not None and isinstance(text, str):
                perturbed_text = [cast(PerturbedReport, perturbed_text)]
            perturbed_reports = cast(Sequence[PerturbedReport] | None, perturbed_text)
            data.update(self._process_reports(reports, perturbed_reports, tokenizer_options))
        return BatchFeature(data, tensor_type=return_tensors)

    def _process_reports(
        self,
        reports: Sequence[str],
        perturbed_reports: Sequence[PerturbedReport] | None,
        tokenizer_options: Mapping[str, Any],
    ) -> dict[str, Any]:
        words = [self._words(report, f"report {index}") for index, report in enumerate(reports)]
        perturbed = self._perturbed_words(perturbed_reports, len(words)) if perturbed_reports is not None else []
        # A perturbation that is left out is tokenised as its report: its row is a proper one, and masked as equal.
        flat = [entry or original for original, row in zip(words, perturbed, strict=False) for entry in row]
        encoding = self.tokenizer(
            words + flat, is_split_into_words=True, return_attention_mask=True, **tokenizer_options
        )
        trimmed = tokenizer_options["padding"] in (True, "longest")
        tokens = {name: encoding[name] for name in ("input_ids", "attention_mask")}
        data = self._block(tokens | {"word_ids": _word_ids(encoding, len(words))}, slice(len(words)), trimmed)
        if perturbed:
            size = len(perturbed[0])
            rows = _attended_ids(encoding)
            originals, rivals = rows[: len(words)], _in_groups(rows[len(words) :], size)
            data["perturbation_mask"] = [
                [rival != original for rival in row] for original, row in zip(originals, rivals, strict=True)
            ]
            for name, block in self._block(tokens, slice(len(words), None), trimmed).items():
                data[f"perturbed_{name}"] = _in_groups(block, size)
        return data

    def _block(self, tokens: Mapping[str, list[list[int]]], part: slice, trimmed: bool) -> dict[str, Any]:
        """Part of the rows, without the columns of padding that only longer rows elsewhere needed."""
        block = {name: rows[part] for name, rows in tokens.items()}
        if not trimmed:
            return block
        longest = max(sum(mask) for mask in block["attention_mask"])
        columns = slice(longest) if self.tokenizer.padding_side == "right" else slice(-longest, None)
        return {name: [row[columns] for row in rows] for name, rows in block.items()}

    def _perturbed_words(
        self, perturbed_reports: Sequence[PerturbedReport], count: int
    ) -> list[list[list[str] | None]]:
        return [
            [
                None if entry is None else self._words(entry, f"perturbed report {name!r} of report {index}")
                for name, entry in row.items()
            ]
            for index, row in enumerate(_by_name(perturbed_reports, count))
        ]

    def _words(self, report: str, where: str) -> list[str]:
        if not isinstance(report, str):
            raise ValueError(f"{where} must be a string, got {type(report).__name__}: {report!r}")
        words = (normalize_report(report) if self.normalize_text else report).split()
        if not words:
            raise ValueError(f"{where} has no words: {report!r}; leave it out with its image")
        return words


def _attended_ids(encoding: BatchEncoding) -> list[list[int]]:
    """Each text's token ids without its padding."""
    rows = zip(encoding["input_ids"], encoding["attention_mask"], strict=True)
    return [list(compress(ids, mask)) for ids, mask in rows]


def _in_groups(rows: list[list[int]], size: int) -> list[list[list[int]]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _word_ids(encoding: BatchEncoding, count: int) -> list[list[int]]:
    """The first `count` texts' words by token: 0, 1, ..., or `NO_WORD`."""
    rows = []
    for index in range(count):
        row = [NO_WORD if word is None else word for word in encoding.word_ids(index)]
        if max(row) == NO_WORD:
            raise ValueError(
                f"report {index} has no word left after truncation to {len(row)} tokens; raise max_length"
            )
        rows.append(row)
    return rows


def _by_name(perturbed_reports: Sequence[PerturbedReport], count: int) -> list[dict[Any, str | None]]:
    """Each report's perturbed reports by name (in a sequence, by position), all in the first one's order."""
    if len(perturbed_reports) != count:
        raise ValueError(f"perturbed_text is for {len(perturbed_reports)} reports, text holds {count}")
    rows: list[dict[Any, str | None]] = []
    for index, entry in enumerate(perturbed_reports):
        if entry is None or isinstance(entry, str):
            raise ValueError(f"perturbed_text of report {index} must be a sequence or a mapping, got {entry!r}")
        row: Mapping[Any, str | None] = entry if isinstance(entry, Mapping) else dict(enumerate(entry))
        names = list(rows[0] if rows else row)
        if not names:
            raise ValueError(f"perturbed_text of report {index} holds no perturbed report; leave perturbed_text out")
        if set(row) != set(names):
            raise ValueError(f"perturbed_text of report {index} has {list(row)}, that of report 0 {names}")
        rows.append({name: row[name] for name in names})
    return rows


PRDProcessor.register_for_auto_class("AutoProcessor")
