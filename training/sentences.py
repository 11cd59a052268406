"""ConVIRT's sampling: an image is matched with one sentence of its report, another one in each epoch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from datasets_scripts.report_sentences import SentenceSplitter
from modeling_prd import PRDProcessor

from .data import PairCollator, decode_image, report_id
from .draws import EpochDraws


class SentenceCollator(PairCollator):
    """Turns rows into the inputs of `PRDModel.forward`, with a random sentence of each report in the report's place.

    So ConVIRT samples (Zhang et al. 2022): each sentence as likely. The draw depends on (seed, epoch,
    image id) alone. There are no perturbed reports; `report_ids` are the sentences'.

    Args:
        processor: prepares images and text.
        max_length: longest sentence in tokens.
        seed: of the draws.
    """

    def __init__(self, processor: PRDProcessor, max_length: int, seed: int) -> None:
        super().__init__(processor, max_length)
        self._splitter = SentenceSplitter()
        self._draws = EpochDraws(seed)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose sentences are drawn from now on."""
        self._draws.set_epoch(epoch)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """The inputs of `PRDModel.forward` for B rows, `report_ids` [B] among them, less the perturbed reports."""
        sentences = [self.sentence(row) for row in rows]
        inputs = self.processor(
            images=[decode_image(row) for row in rows],
            text=sentences,
            max_length=self.max_length,
            return_tensors="pt",
        )
        return {**inputs, "report_ids": torch.tensor([report_id(sentence) for sentence in sentences])}

    def sentence(self, row: dict[str, Any]) -> str:
        """This epoch's sentence of a row, normalised."""
        return self._draws.random(row["image_id"], "sentence").choice(self._splitter.split(row["findings"]))
