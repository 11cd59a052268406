"""The benchmark of the local loss runs at any size, and both sides compute the same."""

import json
from pathlib import Path

import pytest

from benchmarks.local_loss import main


def test_both_sides_have_the_same_loss_and_gradients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--batch", "4", "--dim", "16", "--regions", "9", "--repeats", "1", "--threads", "1"]
    main([*sizes, "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["max_relative_difference"] < 1e-4
    assert figures["ratio"] > 0
    assert capsys.readouterr().out.startswith("gloria, batch 4, D 16, 9 regions: ratio ")


def test_a_size_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--batch", "0"])
    assert "--batch: 0 is below 1" in capsys.readouterr().err
