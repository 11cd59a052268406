"""The benchmark of gradient caching runs at any size, and both sides have the same loss and gradients."""

import json
from pathlib import Path

import pytest

from benchmarks import comparison, gradient_cache
from benchmarks.gradient_cache import main

TINY = ["--batch", "5", "--micro_batch_size", "2", "--perturbations", "1", "--width", "32", "--layers", "1"]
TINY += ["--vision_width", "8", "--image_size", "32", "--repeats", "1", "--threads", "1", "--device", "cpu"]


def test_both_sides_have_the_same_loss_and_gradients(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    main([*TINY, "--json", str(file)])
    figures = json.loads(file.read_text())
    assert figures["max_relative_difference"] < 1e-4
    assert figures["bound"] == 0.75
    assert figures["ratio"] > 0


@pytest.mark.parametrize(("flags", "largest"), [(["--precision", "bf16"], 0.1), (["--without_peer"], None)])
def test_other_precisions_and_ours_alone_are_measured(
    flags: list[str], largest: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (comparison, gradient_cache):  # in processes of their own, which take long
        monkeypatch.setattr(module, "peak_memory_mb", lambda *_: 1.0)
    file = tmp_path / "figures.json"
    main([*TINY, *flags, "--json", str(file)])
    difference = json.loads(file.read_text())["max_relative_difference"]
    assert difference is None if largest is None else difference < largest
