"""Fresh perturbations in every epoch, from the stored tags: without spaCy, and without the tokenizer."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from datasets_scripts.antonyms import antonym
from datasets_scripts.perturbations import PERTURBATIONS, perturb_words
from modeling_prd import PRDProcessor
from modeling_prd.processing_prd import NO_WORD

from .data import PairCollator, contrast, decode_image, report_id
from .draws import EpochDraws

_CHECKED_REPORTS = 20_000
_CHECKED_AT_ONCE = 1_000

logger = logging.getLogger(__name__)


class NotWordLocalError(ValueError):
    """A tokenizer gives for a text what it does not give for the text's words."""


class WordTokens:
    """The sub-word ids of each word, from which a text of these words is put together as the tokenizer would.

    Args:
        tokenizer: a processor's, which splits a word alike wherever it stands.
        reports: all reports; their words and these words' antonyms are tokenised once, and the first 20,000 distinct
            reports are put together and compared with what the tokenizer gives, forwards and backwards.

    Raises:
        NotWordLocalError: what the tokenizer gives for a report is not what it gives for its words.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, reports: Iterable[str]) -> None:
        self.tokenizer = tokenizer
        distinct = list(dict.fromkeys(reports))
        words = dict.fromkeys(word for report in distinct for word in report.split())
        words |= dict.fromkeys(opposite for word in words if (opposite := antonym(word)) is not None)
        encoding = tokenizer([[word] for word in words], is_split_into_words=True)
        self._ids: dict[str, list[int]] = {}
        self.before: list[int] = []
        self.after: list[int] = []
        for place, word in enumerate(words):
            inside = [index for index, owner in enumerate(encoding.word_ids(place)) if owner is not None]
            row = encoding["input_ids"][place]
            self._ids[word] = [row[index] for index in inside]
            if inside:  # a vocabulary without an unknown token has none for a word it cannot spell
                self.before, self.after = row[: inside[0]], row[inside[-1] + 1 :]
        self._check(distinct[:_CHECKED_REPORTS])

    def ids(self, words: Sequence[str], max_length: int) -> tuple[list[int], list[int]]:
        """A text's token ids and the word of each, `NO_WORD` for special tokens; its first `max_length` tokens.

        Args:
            words: of the reports that this was made of, or antonyms of theirs.
            max_length: special tokens included.
        """
        pieces = [self._ids[word] for word in words]
        room = max_length - len(self.before) - len(self.after)
        tokens = list(chain.from_iterable(pieces))[:room]
        owners = [place for place, piece in enumerate(pieces) for _ in piece][:room]
        no_words = [NO_WORD] * len(self.before), [NO_WORD] * len(self.after)
        return [*self.before, *tokens, *self.after], [*no_words[0], *owners, *no_words[1]]

    def _check(self, reports: list[str]) -> None:
        for start in range(0, len(reports), _CHECKED_AT_ONCE):
            forward = [report.split() for report in reports[start : start + _CHECKED_AT_ONCE]]
            texts = [*forward, *(words[::-1] for words in forward)]
            # Not verbose: it would warn of texts longer than the model takes, which are cut in batches only.
            encoding = self.tokenizer(texts, is_split_into_words=True, truncation=False, verbose=False)
            for words, expected in zip(texts, encoding["input_ids"], strict=True):
                if self.ids(words, sys.maxsize)[0] != expected:
                    raise NotWordLocalError(
                        f"{type(self.tokenizer).__name__} splits the words of {' '.join(words)!r} otherwise together "
                        "than alone"
                    )


class FreshPairCollator(PairCollator):
    """Turns rows into the inputs of `PRDModel.forward`, as `PairCollator`, with perturbations drawn anew each epoch.

    A perturbed report depends on (seed, epoch, image id, name) alone, whatever the batch and the worker.

    Args:
        processor: prepares images, and names the padding.
        max_length: longest report in tokens.
        texts: all training reports, and their counterfactuals where `perturbation_types` names a kind of them. Where
            the tokenizer is not word-local, which is logged, it is called for each text of each batch instead.
        seed: of the draws.
        perturbation_types: as in `PairCollator`; counterfactuals are the stored ones in every epoch.
    """

    def __init__(
        self,
        processor: PRDProcessor,
        max_length: int,
        texts: Iterable[str],
        seed: int,
        perturbation_types: Sequence[str] = PERTURBATIONS,
    ) -> None:
        super().__init__(processor, max_length, perturbation_types)
        self._draws = EpochDraws(seed)
        self.tokens: WordTokens | None = None
        try:
            self.tokens = WordTokens(processor.tokenizer, texts)
        except NotWordLocalError as error:
            logger.warning("perturbations: fresh calls the tokenizer for every text: %s", error)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose perturbations are drawn from now on."""
        self._draws.set_epoch(epoch)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """The inputs of `PRDModel.forward` for B rows, `report_ids` [B] among them."""
        drawn = [self.perturb(row) for row in rows]
        if self.tokens is None:
            texts = [{name: " ".join(words) for name, words in perturbed.items()} for perturbed in drawn]
            return super().__call__([{**row, "perturbed": text} for row, text in zip(rows, texts, strict=True)])
        images = self.processor(images=[decode_image(row) for row in rows], return_tensors="pt")
        reports = [self.tokens.ids(row["report"].split(), self.max_length) for row in rows]
        perturbed = [
            [self.tokens.ids(words, self.max_length)[0] for words in self._contrasts(row, texts)]
            for row, texts in zip(rows, drawn, strict=True)
        ]  # [B][P] of token ids
        originals = [ids for ids, _ in reports]
        input_ids, attention_mask = self._padded(originals)
        perturbed_ids, perturbed_mask = self._padded(list(chain.from_iterable(perturbed)))
        shape = (len(rows), len(self.perturbation_types), -1)
        return {
            "pixel_values": images["pixel_values"],
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "word_ids": self._padded([owners for _, owners in reports], NO_WORD)[0],
            "perturbed_input_ids": perturbed_ids.view(shape),
            "perturbed_attention_mask": perturbed_mask.view(shape),
            "perturbation_mask": torch.tensor(
                [[ids != original for ids in row] for row, original in zip(perturbed, originals, strict=True)]
            ),
            "report_ids": torch.tensor([report_id(row["report"]) for row in rows]),
        }

    def perturb(self, row: dict[str, Any]) -> dict[str, list[str]]:
        """This epoch's perturbed reports of a row, as words."""
        return perturb_words(row["report"].split(), row["tags"].split(), partial(self._draws.random, row["image_id"]))

    def _contrasts(self, row: dict[str, Any], perturbed: dict[str, list[str]]) -> Iterator[list[str]]:
        """The P texts of a row as words; the report itself, which is masked, where it has no such edit."""
        for name in self.perturbation_types:
            yield perturbed[name] if name in perturbed else (contrast(row, name) or row["report"]).split()

    def _padded(self, rows: Sequence[list[int]], value: int | None = None) -> tuple[Tensor, Tensor]:
        """Rows of one length [N, L] by `value` (the padding token by default), and their mask [N, L]."""
        tokenizer = self.processor.tokenizer
        value = tokenizer.pad_token_id if value is None else value
        length = max(map(len, rows))
        left = tokenizer.padding_side == "left"
        fill = [[value] * (length - len(row)) for row in rows]
        kept = [[0] * len(padding) for padding in fill]
        padded = [[*pad, *row] if left else [*row, *pad] for row, pad in zip(rows, fill, strict=True)]
        mask = [
            [*pad, *([1] * len(row))] if left else [*([1] * len(row)), *pad]
            for row, pad in zip(rows, kept, strict=True)
        ]
        return torch.tensor(padded), torch.tensor(mask)
