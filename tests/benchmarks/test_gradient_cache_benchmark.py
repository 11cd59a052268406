"""The benchmark of gradient caching runs at any size, and both sides have the same loss and gradients."""

import json
from pathlib import Path

from benchmarks.gradient_cache import main


def test_both_sides_have_the_same_loss_and_gradients(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--batch", "5", "--micro_batch_size", "2", "--perturbations", "1", "--width", "32", "--layers", "1"]
    shape = ["--vision_width", "8", "--image_size", "32", "--repeats", "1", "--threads", "1", "--device", "cpu"]
    main([*sizes, *shape, "--json", str(file)])
    figures = json.loads(file.read_text())
    assert figures["max_relative_difference"] < 1e-4
    assert figures["bound"] == 0.75
    assert figures["ratio"] > 0
