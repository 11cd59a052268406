"""The image loading benchmark runs from end to end at tiny size, and compares like with like."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.image_loading import draw_radiographs, main

TINY = ["--cache_size", "64", "--image_size", "48", "--batch_size", "2", "--repeats", "3", "--passes", "2"]


def test_both_ways_are_measured_and_give_the_same_input(tmp_path: Path) -> None:
    main(["--images", "3", "--side", "600", *TINY, "--json", str(tmp_path / "out.json")])

    results = json.loads((tmp_path / "out.json").read_text())
    assert results["images"] == 3
    assert results["largest_difference"] == 0
    for way in ("cache", "files"):
        timings = results[way]["timings"]
        assert len(timings) == 3
        assert results[way]["images_per_second"] == sorted(timings)[1]
    assert results["ratio"] == results["cache"]["images_per_second"] / results["files"]["images_per_second"] > 1


def test_files_of_one_s_own_can_be_measured(tmp_path: Path) -> None:
    paths = draw_radiographs(tmp_path / "files", 2, 128)

    main(["--source", str(tmp_path / "files"), "--images", "5", *TINY, "--json", str(tmp_path / "out.json")])

    assert json.loads((tmp_path / "out.json").read_text())["images"] == len(paths)


def test_drawn_files_differ_and_hold_noise(tmp_path: Path) -> None:
    first, second = (np.asarray(Image.open(path), int) for path in draw_radiographs(tmp_path / "files", 2, 128))

    assert first.shape == (128, 128)
    assert (first != second).mean() > 0.5
    assert 1 < np.diff(first, axis=1).std() < 30
