"""The text encoding benchmark runs from end to end at tiny size, and its batches are what it says."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks import comparison
from benchmarks.openi_lengths import draw_lengths
from benchmarks.text_encoding import batch_of_texts, main, padded_over_real


def test_both_sides_compute_the_same_and_the_figures_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "peak_memory_mb", lambda *_: 1.0)  # in processes of their own, which take long
    sizes = "--reports 3 --perturbations 2 --layers 1 --width 32 --heads 2 --batches 1 --repeats 1 --threads 1"
    main([*sizes.split(), "--device", "cpu", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures.keys() == {
        "ratio",
        "bound",
        "ours_seconds",
        "peer_seconds",
        "ours_peak_mb",
        "peer_peak_mb",
        "max_relative_difference",
    }
    assert figures["max_relative_difference"] < 1e-4
    assert figures["ratio"] == figures["peer_seconds"] / figures["ours_seconds"]
    assert figures["bound"] > 1


def test_a_perturbation_is_as_long_as_its_report_and_no_other_text() -> None:
    args = argparse.Namespace(reports=4, perturbations=3)
    ids, mask = batch_of_texts(args, seed=1)
    lengths = torch.tensor([length.tokens for length in draw_lengths(4, seed=1)])
    assert mask.sum(dim=1).tolist() == lengths.tolist() + lengths.repeat_interleave(3).tolist()
    assert len(ids.unique(dim=0)) == 16
    assert (ids * mask == ids).all()
    assert padded_over_real(args, seed=1) == 4 * max(lengths) / sum(lengths)
