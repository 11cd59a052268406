"""A comparison times both sides, measures each one's memory alone, and reports what it found."""

import argparse
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.comparison import (
    Comparison,
    Run,
    Side,
    _prepare,
    add_flags,
    compare,
    parse,
    relative_difference,
    write_json,
)
from benchmarks.openi_lengths import REPORTS_BY_TOKENS, REPORTS_BY_WORDS, draw_lengths


def _args(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, batches=2, repeats=3)
    return parse(parser, ["--threads", "1", "--device", "cpu", *flags])


def hundred_megabytes_against_ten(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Be a side that allocates 100 MB (ours) or 10 MB and returns 1.1 or 1."""
    torch.full((1,), 1.0).clone()  # what a process loads at its first call is not the side's

    def run() -> list[Tensor]:
        size = 25_000_000 if side == "ours" else 2_500_000
        held = torch.full((size,), 1.1 if side == "ours" else 1.0)
        return [held[:1].clone()]

    return run


def test_time_memory_and_difference_are_those_of_the_sides(tmp_path: Path) -> None:
    found = compare(hundred_megabytes_against_ten, _args(), bound=lambda args, seed: 2.0 + seed)
    assert found.ours_peak_mb == pytest.approx(100, abs=15)
    assert found.peer_peak_mb == pytest.approx(10, abs=8)
    assert found.ours_seconds > found.peer_seconds > 0
    assert 0 < found.ratio < 1
    assert found.bound == 2.5
    assert found.max_relative_difference == pytest.approx(0.1)
    write_json(tmp_path / "figures.json", found)
    assert Comparison(**json.loads((tmp_path / "figures.json").read_text())) == found
    assert f"ratio {found.ratio:.2f}" in found.line()


def ten_megabytes_a_seed(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Be a side that allocates 10 MB, and 40 more for each number of the seed."""
    return lambda: [torch.ones(2_500_000 + 10_000_000 * seed)[:1].clone()]


def test_memory_is_that_of_the_batch_with_the_median_bound() -> None:
    args = _args("--batches", "3", "--repeats", "1", "--without_peer")
    found = compare(ten_megabytes_a_seed, args, bound=lambda args, seed: [9.0, 1.0, 5.0][seed])
    assert found.ours_peak_mb == pytest.approx(90, abs=10)


def test_ours_can_be_measured_alone() -> None:
    found = compare(hundred_megabytes_against_ten, _args("--without_peer"))
    assert found.ours_peak_mb == pytest.approx(100, abs=15)
    assert (found.ratio, found.peer_seconds, found.peer_peak_mb, found.max_relative_difference) == (None,) * 4
    assert "no peer" in found.line()


def fails(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Be a side whose process ends where its memory is measured."""

    def run() -> list[Tensor]:
        if torch.multiprocessing.parent_process() is not None:
            raise SystemExit(3)
        return [torch.ones(1)]

    return run


def test_a_process_that_ends_is_reported() -> None:
    with pytest.raises(RuntimeError, match="the memory of ours ended with 3"):
        compare(fails, _args())


def test_a_gpu_without_a_number_is_the_current_one() -> None:
    _prepare(argparse.Namespace(threads=torch.get_num_threads(), device="cuda"))


def test_a_difference_is_relative_to_the_peers_largest_value() -> None:
    ours = [torch.tensor([1.0, 2.0]), torch.tensor([100.0])]
    peer = [torch.tensor([1.0, 2.5]), torch.tensor([101.0])]
    assert relative_difference(ours, peer) == pytest.approx(0.2)


def test_a_result_that_is_no_number_is_seen() -> None:
    ones = [torch.ones(1), torch.ones(1)]
    assert math.isnan(relative_difference([torch.ones(1), torch.tensor([math.nan])], ones))
    assert relative_difference([torch.zeros(1)], [torch.zeros(1)]) == 0
    assert relative_difference([torch.ones(1)], [torch.zeros(1)]) == math.inf


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--repeats", "0"], "0 is below 1"),
        (["--batches", "x"], "'x' is no whole number"),
        (["--device", "nowhere"], "--device nowhere is not available here"),
        (["--json", "no/folder/figures.json"], "--json no/folder/figures.json lies in no folder"),
    ],
)
def test_bad_flags_end_before_anything_is_measured(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        _args(*flags)
    assert words in capsys.readouterr().err


def test_drawn_lengths_are_those_of_the_corpus() -> None:
    assert sum(REPORTS_BY_WORDS.values()) == sum(REPORTS_BY_TOKENS.values()) == 3425
    drawn = draw_lengths(4000, seed=0)
    assert drawn == draw_lengths(4000, seed=0) != draw_lengths(4000, seed=1)
    assert sum(length.tokens for length in drawn) / 4000 == pytest.approx(51.3, abs=1.5)
    assert sum(length.words for length in drawn) / 4000 == pytest.approx(31.8, abs=1)
    assert all(length.tokens >= length.words + 2 for length in drawn)
