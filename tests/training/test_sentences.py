"""ConVIRT's sentence sampling: what the model sees is one sentence, another in each epoch, the same when resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import refused, train_killed_at, trained_losses
from safetensors.torch import load_file
from tiny_processors import image_processor, word_piece
from torch.utils.data import DataLoader

import train
from datasets_scripts.report_sentences import SentenceSplitter
from modeling_prd import PRDProcessor
from training.data import PairCollator, load_split, report_id
from training.sentences import SentenceCollator

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(phantom_dir: Path) -> list[Row]:
    return list(load_split(str(phantom_dir), "default", "train"))


def collator(seed: int = 0) -> SentenceCollator:
    return SentenceCollator(PRDProcessor(image_processor(), word_piece()), 200, seed)


def sentences(collate: SentenceCollator, rows: list[Row], epoch: int = 0) -> list[str]:
    collate.set_epoch(epoch)
    return [collate.sentence(row) for row in rows]


def test_the_model_sees_one_sentence_of_the_findings_and_no_perturbed_report(rows: list[Row]) -> None:
    collate = collator()
    seen = collate(rows)
    texts = sentences(collate, rows)
    for row, text in zip(rows, texts, strict=True):
        assert text in SentenceSplitter().split(row["findings"])
        assert text != row["report"]
    expected = collate.processor(text=texts, max_length=200, return_tensors="pt")
    assert all(torch.equal(seen[name], tensor) for name, tensor in expected.items())
    assert seen["report_ids"].tolist() == [report_id(text) for text in texts]
    whole = PairCollator(collate.processor, 200)(rows)
    assert seen["input_ids"].shape[1] < whole["input_ids"].shape[1]
    assert set(whole) - set(seen) == {"perturbed_input_ids", "perturbed_attention_mask", "perturbation_mask"}
    assert torch.equal(seen["pixel_values"], whole["pixel_values"])


def test_epochs_and_seeds_draw_other_sentences_and_an_epoch_the_same_in_any_order(rows: list[Row]) -> None:
    first = sentences(collator(), rows)
    assert sentences(collator(), rows[::-1]) == first[::-1]
    assert sentences(collator(), rows, epoch=1) != first
    assert sentences(collator(seed=1), rows) != first


def test_each_sentence_is_as_likely(rows: list[Row]) -> None:
    collate, row = collator(), rows[0]
    possible = SentenceSplitter().split(row["findings"])
    drawn = [sentences(collate, [row], epoch)[0] for epoch in range(600)]
    for sentence in possible:
        assert drawn.count(sentence) == pytest.approx(600 / len(possible), abs=5 * (600 / len(possible)) ** 0.5)


def test_workers_that_persist_see_the_epoch(rows: list[Row]) -> None:
    collate = collator()
    loader = DataLoader(rows, batch_size=len(rows), collate_fn=collate, num_workers=1, persistent_workers=True)
    for epoch in range(2):
        collate.set_epoch(epoch)
        (batch,) = loader
        assert batch["report_ids"].tolist() == [report_id(text) for text in sentences(collate, rows, epoch)]


def test_a_killed_and_resumed_run_ends_with_the_weights_of_one_that_was_not(write_recipe) -> None:
    plain_recipe, plain = write_recipe("plain", beta=0.0)
    train.main(["--config", str(plain_recipe)])
    changes = {"sentence_sampling": True, "beta": 0.0, "save_steps": 3, "dataloader_num_workers": 1}
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])
    assert trained_losses(whole)[0]["loss_global"] != trained_losses(plain)[0]["loss_global"]
    assert "loss_perturbation" not in trained_losses(whole)[0]
    killed_recipe, killed = write_recipe("killed", **changes)
    train_killed_at(7, killed_recipe)
    train.main(["--config", str(killed_recipe), "--resume", "auto"])
    assert trained_losses(killed) == trained_losses(whole)
    expected, resumed = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_a_streamed_run_samples_sentences_too(write_recipe) -> None:
    recipe, run = write_recipe(sentence_sampling=True, beta=0.0, streaming=True, max_steps=2)
    train.main(["--config", str(recipe)])
    assert len(trained_losses(run)) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta": 0.1}, ["sentence_sampling", "beta: 0.1", "set beta to 0"]),
        ({"beta": 0.0, "perturbations": "fresh"}, ["sentence_sampling", "perturbations: fresh", "stored"]),
    ],
)
def test_sampling_beside_perturbations_is_refused(
    write_recipe, capsys: pytest.CaptureFixture[str], changes: Row, words: list[str]
) -> None:
    recipe, run = write_recipe(sentence_sampling=True, **changes)
    message = refused(["--config", str(recipe)], capsys)
    assert all(word in message for word in words), message
    assert not run.exists()


def test_findings_without_a_sentence_are_named_before_training(
    phantom_dir: Path, write_recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for split, name in (("train", "train"), ("validation", "validation")):
        rows = load_split(str(phantom_dir), "default", split)
        blank = rows.map(lambda row, place: {"findings": "" if place == 5 else row["findings"]}, with_indices=True)
        (data / "data").mkdir(parents=True, exist_ok=True)
        blank.to_parquet(data / "data" / f"{name}-00000-of-00001.parquet")
    recipe, run = write_recipe(sentence_sampling=True, beta=0.0, data=str(data))
    message = refused(["--config", str(recipe)], capsys)
    assert "phantom-default-0-train-000005" in message
    assert "sentence_sampling" in message
    assert not run.exists()
