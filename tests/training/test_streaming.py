"""Streamed training splits: shared out over processes and epochs, and runs of `train.py` on them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from datasets import Dataset
from hub_server import client_environment, running_hub, uploads_to
from run_helpers import LOSSES, history, refused, train_killed_at, trained_losses
from safetensors.torch import load_file
from torch.utils.data import DataLoader

import train
from datasets_scripts.__main__ import main as datasets_scripts
from training.arguments import DataArguments
from training.data import load_pairs, split_digest, training_texts
from training.errors import InputError
from training.streaming import PairStream, read

ROOT = Path(train.__file__).parent


def stream(rows: int, shards: int = 7) -> PairStream:
    """A stream of the numbers below `rows`."""
    numbers = Dataset.from_dict({"number": list(range(rows))}).to_iterable_dataset(num_shards=shards)
    return PairStream(numbers, rows)


def numbers(share: PairStream, epoch: int = 0, workers: int = 0) -> list[int]:
    share.set_epoch(epoch)
    return [row["number"] for row in DataLoader(share, batch_size=None, num_workers=workers)]


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("epoch", [0, 3])
def test_two_processes_share_a_hundred_rows_without_overlap_or_loss(shards: int, epoch: int):
    shares = [numbers(stream(100, shards).share(process, 2, seed=0, buffer=16), epoch) for process in (0, 1)]
    assert [len(share) for share in shares] == [50, 50]
    assert sorted(shares[0] + shares[1]) == list(range(100))


def test_each_process_has_equally_many_rows_where_they_do_not_divide():
    shares = [numbers(stream(101).share(process, 4, seed=0, buffer=16)) for process in range(4)]
    assert [len(share) for share in shares] == [25] * 4
    assert len(set().union(*shares)) == 100


def test_files_of_different_lengths_make_no_process_wait_for_another():
    def rows(files: list[range]) -> Any:
        for file in files:
            yield from ({"number": number} for number in file)

    files = {"files": [range(90), range(90, 100)]}
    uneven = PairStream(datasets.IterableDataset.from_generator(rows, gen_kwargs=files), 100)
    shares = [numbers(uneven.share(process, 2, seed=0, buffer=16)) for process in (0, 1)]
    assert [len(share) for share in shares] == [50, 50]
    assert sorted(shares[0] + shares[1]) == list(range(100))


def test_the_order_follows_from_seed_and_epoch():
    share = stream(100).share(0, 1, seed=0, buffer=16)
    first, second = numbers(share, epoch=0), numbers(share, epoch=1)
    assert first != list(range(100))
    assert first != second
    assert sorted(first) == sorted(second)
    again = stream(100).share(0, 1, seed=0, buffer=16)
    assert (numbers(again, epoch=1), numbers(again, epoch=0)) == (second, first)
    assert numbers(stream(100).share(0, 1, seed=1, buffer=16)) != first


def test_a_worker_reads_what_the_process_itself_would():
    share = stream(100).share(1, 2, seed=0, buffer=16)
    for epoch in (0, 1):
        assert numbers(share, epoch, workers=1) == numbers(share, epoch)


def test_fewer_rows_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 rows for 4 processes"):
        stream(3, shards=1).share(0, 4, seed=0, buffer=16)


def test_a_stream_that_breaks_off_is_bad_input_that_says_how_to_go_on():
    def rows() -> Any:
        yield {"number": 0}
        raise ConnectionError("the Hub is gone")

    with pytest.raises(InputError, match=r"the Hub is gone.*--resume auto"):
        list(read(datasets.IterableDataset.from_generator(rows)))


@pytest.mark.parametrize("most", [None, 5])
def test_streamed_pairs_are_those_that_are_loaded(phantom_dir: Path, most: int | None):
    arguments = {"data": str(phantom_dir), "max_train_images": most, "max_eval_images": most}
    loaded, streamed = (load_pairs(DataArguments(**arguments, streaming=streaming)) for streaming in (False, True))
    assert isinstance(streamed.train, PairStream)
    assert len(streamed.train) == len(loaded.train)
    assert list(streamed.train) == list(loaded.train)
    assert list(streamed.validation) == list(loaded.validation)
    assert "image" not in streamed.train_texts.column_names
    assert split_digest(streamed.train_texts) == split_digest(loaded.train_texts)
    assert list(training_texts(streamed.train_texts)) == list(training_texts(loaded.train_texts))
    assert sum(streamed.train_texts["synthetic"]) == len(loaded.train)


def test_a_streamed_run_trains_all_epochs_with_the_vocabulary_of_one_that_is_not(write_recipe):
    recipe, run = write_recipe(streaming=True)
    train.main(["--config", str(recipe)])
    losses = trained_losses(run)
    assert [line["step"] for line in losses] == list(range(1, 9))  # 32 images in batches of 8, twice
    assert all(math.isfinite(line[name]) for line in losses for name in LOSSES)
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert "32 images" in (run / "README.md").read_text()
    plain_recipe, plain = write_recipe("plain", max_steps=1)
    train.main(["--config", str(plain_recipe)])
    assert (run / "tokenizer.json").read_text() == (plain / "tokenizer.json").read_text()


def test_a_killed_and_resumed_streamed_run_ends_with_the_weights_of_one_that_was_not(write_recipe):
    changes = {"streaming": True, "shuffle_buffer": 8, "save_steps": 3}
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])
    killed_recipe, killed = write_recipe("killed", **changes)
    train_killed_at(7, killed_recipe)
    train.main(["--config", str(killed_recipe), "--resume", "auto"])
    expected, resumed = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert history(killed) == history(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataloader_num_workers": 2}, ["dataloader_num_workers", "2"]),
        ({"data": "nowhere/at/all"}, ["nowhere/at/all"]),
        ({"train_split": "trian"}, ["trian", "train, validation"]),
        ({"shuffle_buffer": 0}, ["shuffle_buffer"]),
    ],
)
def test_bad_input_of_a_streamed_run_is_one_line(
    write_recipe, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: list[str]
):
    recipe, run = write_recipe(streaming=True, **changes)
    message = refused(["--config", str(recipe)], capsys)
    assert all(word in message for word in words), message
    assert not run.exists()


@pytest.mark.parametrize(("streaming", "processes"), [(False, 1), (True, 2)])
def test_a_run_takes_its_data_from_the_hub_by_id(
    phantom_dir: Path, write_recipe, tmp_path: Path, streaming: bool, processes: int
):
    changes = {"num_train_epochs": 1, "batch_size": 8 // processes, "batch_norm": "frozen"}
    recipe, run = write_recipe(data="org/pairs", streaming=streaming, **changes)
    with running_hub() as hub:
        with uploads_to(hub):
            assert datasets_scripts(["push", str(phantom_dir), "--repo_id", "org/pairs"]) == 0
        environment = client_environment(hub, tmp_path / "hf", ACCELERATE_USE_CPU="true")
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
        command = [sys.executable, *(launch if processes > 1 else []), "train.py", "--config", str(recipe)]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-3000:]
        assert bool(hub.partial_reads) is streaming
    assert [line["step"] for line in trained_losses(run)] == [1, 2, 3, 4]
    assert "| data | org/pairs: 32 images" in (run / "README.md").read_text()
    assert json.loads((run / "metrics.json").read_text())["validation"]["structure"]["accuracy"]["n"] == 12
    cached = [path for path in (tmp_path / "hf").rglob("*") if path.suffix in (".parquet", ".arrow")]
    assert bool(cached) is not streaming
    assert os.environ["HF_HUB_OFFLINE"] == "1"
