"""The benchmark of the training step runs at any size, and both sides have the same losses and gradients."""

import json
from pathlib import Path

from benchmarks.training_step import main


def test_both_sides_have_the_same_losses_and_gradients(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--batch", "3", "--perturbations", "2", "--image_size", "32", "--layers", "1", "--width", "32"]
    shape = ["--heads", "2", "--embedding", "8", "--hidden_sizes", "8", "16", "--depths", "1", "1"]
    main([*sizes, *shape, "--batches", "1", "--threads", "1", "--device", "cpu", "--json", str(file)])
    figures = json.loads(file.read_text())
    assert figures["max_relative_difference"] < 1e-4
    assert figures["ratio"] > 0
    assert 1 < figures["bound"] < 3
