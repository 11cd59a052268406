"""Fresh perturbations: the ids put together from words are the tokenizer's, and every epoch draws anew."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import train_killed_at, trained_losses
from tiny_processors import (
    CORPUS,
    REPORT,
    SPECIAL,
    byte_level_bpe,
    image_processor,
    roberta,
    special_tokens_around,
    word_piece,
)
from tiny_recipe import TINY_RECIPE
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

import train
from datasets_scripts.openi_reports import read_reports
from datasets_scripts.perturbations import PERTURBATIONS, ReportPerturber, normalize_report
from modeling_prd import PRDProcessor
from training.data import PairCollator, load_split
from training.fresh import FreshPairCollator, NotWordLocalError, WordTokens

ARCHIVE = os.environ.get("PRD_OPENI_REPORTS")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(phantom_dir: Path) -> list[Row]:
    return list(load_split(str(phantom_dir), "default", "train"))


def collator(tokenizer: PreTrainedTokenizerFast, rows: list[Row], max_length: int = 200) -> FreshPairCollator:
    processor = PRDProcessor(image_processor(), tokenizer)
    return FreshPairCollator(processor, max_length, [row["report"] for row in rows], seed=0)


def with_texts(fresh: FreshPairCollator, row: Row) -> Row:
    """The row with the perturbed reports of this epoch written out, as `PairCollator` reads them."""
    return {**row, "perturbed": {name: " ".join(words) for name, words in fresh.perturb(row).items()}}


@pytest.mark.parametrize("max_length", [40, 200])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("tokenizer", [word_piece, byte_level_bpe, roberta])
def test_the_inputs_are_what_the_tokenizer_gives_for_the_same_texts(
    rows: list[Row], tokenizer: Any, padding_side: str, max_length: int
):
    fresh = collator(tokenizer(), rows, max_length)
    fresh.processor.tokenizer.padding_side = padding_side
    actual = fresh(rows)
    expected = PairCollator(fresh.processor, max_length)([with_texts(fresh, row) for row in rows])
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def test_stored_counterfactuals_stand_beside_fresh_perturbations(rows: list[Row]):
    names = ["severity", "shuffle_all_words", "finding"]
    processor = PRDProcessor(image_processor(), word_piece())
    edits = [row["counterfactual"][name]["text"] for row in rows for name in names[::2] if row["counterfactual"][name]]
    fresh = FreshPairCollator(processor, 200, [*(row["report"] for row in rows), *edits], 0, names)
    actual = fresh(rows)
    expected = PairCollator(processor, 200, names)([with_texts(fresh, row) for row in rows])
    assert torch.equal(actual["perturbation_mask"], expected["perturbation_mask"])
    kept = expected["perturbation_mask"]
    for name in ("perturbed_input_ids", "perturbed_attention_mask"):
        length = min(actual[name].shape[-1], expected[name].shape[-1])
        assert torch.equal(actual[name][..., :length][kept], expected[name][..., :length][kept])


@pytest.mark.skipif(ARCHIVE is None, reason="PRD_OPENI_REPORTS names no archive of Open-I's reports")
@pytest.mark.parametrize("tokenizer", [word_piece, byte_level_bpe, roberta])
def test_the_ids_of_500_real_reports_are_the_tokenizers(tokenizer: Any):
    findings = (normalize_report(report.findings) for report in read_reports(Path(str(ARCHIVE))))
    reports = list(dict.fromkeys(filter(None, findings)))[:500]
    processor = PRDProcessor(image_processor(), tokenizer())
    tokens = WordTokens(processor.tokenizer, reports)
    for perturbed in ReportPerturber(seed=3).perturb_batch(reports):
        for text in perturbed.values():
            expected = processor(text=text, max_length=512)
            assert tokens.ids(text.split(), 512) == (expected["input_ids"][0], expected["word_ids"][0])


def test_every_epoch_draws_anew_and_an_epoch_draws_alike(rows: list[Row]):
    fresh = collator(word_piece(), rows)
    first = [fresh.perturb(row) for row in rows]
    assert [fresh.perturb(row) for row in reversed(rows)] == first[::-1]
    fresh.set_epoch(1)
    second = [fresh.perturb(row) for row in rows]
    for name in PERTURBATIONS:
        drawn = name.startswith("shuffle")
        assert any(a[name] != b[name] for a, b in zip(first, second, strict=True)) == drawn, name
    assert all(list(perturbed) == list(PERTURBATIONS) for perturbed in second)


def test_workers_that_persist_see_the_epoch(rows: list[Row]):
    fresh = collator(word_piece(), rows)
    loader = DataLoader(rows, batch_size=4, collate_fn=fresh, num_workers=1, persistent_workers=True)
    for epoch in range(2):
        fresh.set_epoch(epoch)
        ids = [batch["perturbed_input_ids"] for batch in loader]
        assert all(
            torch.equal(batch, fresh(rows[4 * i : 4 * i + 4])["perturbed_input_ids"]) for i, batch in enumerate(ids)
        )


def test_a_word_that_the_vocabulary_cannot_spell_has_no_token_as_in_the_text():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=60, special_tokens=SPECIAL))
    processor = PRDProcessor(image_processor(), special_tokens_around(bpe))
    report = "the lungs are クリア clear"
    expected = processor(text=report)
    assert expected["word_ids"][0][-2:] == [4, -1]
    assert 3 not in expected["word_ids"][0]
    ids = WordTokens(processor.tokenizer, [report]).ids(report.split(), 64)
    assert ids == (expected["input_ids"][0], expected["word_ids"][0])


def test_reports_longer_than_the_model_takes_raise_no_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    tokenizer = word_piece()
    tokenizer.model_max_length = 16
    with caplog.at_level(logging.WARNING):
        WordTokens(tokenizer, [REPORT])
    assert caplog.text == ""


class FirstWordTokenizer(PreTrainedTokenizerFast):
    """Marks the first token of a text of several words, so it is not word-local."""

    def _encode_plus(self, *args: Any, **options: Any) -> Any:
        encoding = super()._encode_plus(*args, **options)
        batched = encoding["input_ids"] if isinstance(encoding["input_ids"][0], list) else [encoding["input_ids"]]
        for row in batched:
            if len(row) > 3:
                row[1] = 5
        return encoding


def test_a_tokenizer_that_is_not_word_local_is_said_and_called_for_every_text(
    rows: list[Row], caplog: pytest.LogCaptureFixture
):
    tokenizer = word_piece()
    tokenizer.__class__ = FirstWordTokenizer
    with caplog.at_level(logging.WARNING):
        fresh = collator(tokenizer, rows)
    assert "FirstWordTokenizer splits the words of" in caplog.text
    assert fresh.tokens is None
    actual, expected = fresh(rows), PairCollator(fresh.processor, 200)([with_texts(fresh, row) for row in rows])
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    with pytest.raises(NotWordLocalError, match="otherwise together than alone"):
        WordTokens(fresh.processor.tokenizer, [row["report"] for row in rows])


def test_reports_are_checked_past_the_first_batch_and_in_reverse_order():
    class LateTokenizer(PreTrainedTokenizerFast):
        """Gives the word `zebra` another id where it follows another word."""

        def _encode_plus(self, *args: Any, **options: Any) -> Any:
            encoding = super()._encode_plus(*args, **options)
            for words, row in zip(options["text"], encoding["input_ids"], strict=True):
                if "zebra" in words[1:]:
                    row[1] = 5
            return encoding

    tokenizer = word_piece()
    tokenizer.__class__ = LateTokenizer
    reports = [f"the lungs are clear {number}" for number in range(1500)]
    WordTokens(tokenizer, reports)
    with pytest.raises(NotWordLocalError, match="clear are lungs zebra"):
        WordTokens(tokenizer, [*reports, "zebra lungs are clear"])


def test_a_run_draws_fresh_perturbations_and_one_that_was_killed_draws_the_same(write_recipe):
    # Weights large enough for the order of words to tell.
    common = {"text_config": {**TINY_RECIPE["text_config"], "initializer_range": 0.5}}
    changes = {**common, "perturbations": "fresh", "save_steps": 3, "dataloader_num_workers": 1}
    stored_recipe, stored = write_recipe("stored", **common)
    train.main(["--config", str(stored_recipe)])
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])
    assert trained_losses(whole)[0]["loss_global"] == pytest.approx(trained_losses(stored)[0]["loss_global"])
    different, expected = (trained_losses(run)[0]["loss_perturbation"] for run in (whole, stored))
    assert abs(different - expected) > 1e-3
    killed_recipe, killed = write_recipe("killed", **changes)
    train_killed_at(7, killed_recipe)
    train.main(["--config", str(killed_recipe), "--resume", "auto"])
    assert trained_losses(killed) == trained_losses(whole)
