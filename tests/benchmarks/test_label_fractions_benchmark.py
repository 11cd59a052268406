"""The benchmark of label fractions from end to end, on tiny images."""

import json
from pathlib import Path

import pytest
from finetune_helpers import save_prd, write_images

from benchmarks.label_fractions import main


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("fractions")
    model, data = save_prd(folder / "prd"), write_images(folder / "data", train=64, validation=24, test=24)
    return ["--model", str(model), "--data", str(data)]


def test_shares_are_measured_from_both_starts(inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "out.json"
    sizes = ["--epochs", "1", "--min_steps", "3", "--batch_size", "8", "--n_bootstrap", "20"]
    main([*inputs, *sizes, "--fractions", "0.25", "1", "--seeds", "0", "1", "--json", str(file)])
    printed = capsys.readouterr().out
    assert "24 images are reported; 2 seeds." in printed
    assert "| 25 % | 16 |" in printed
    assert "| 100 % | 64 |" in printed
    results = json.loads(file.read_text())
    assert list(results) == ["0.25", "1"]
    for by_init in results.values():
        own, other, gain = (by_init[name] for name in ("pretrained", "random", "gain"))
        assert gain["seeds"] == [pytest.approx(a - b) for a, b in zip(own["seeds"], other["seeds"], strict=True)]
        assert gain["value"] == pytest.approx(own["value"] - other["value"])
        assert gain["interval"][0] <= gain["value"] <= gain["interval"][1]


def test_a_label_that_is_not_there_is_named(inputs: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([*inputs, "--labels", "Cough"])
    assert ended.value.code == 2
    assert "labels: 'Cough' is none of" in capsys.readouterr().err


@pytest.mark.parametrize("fraction", ["0", "1.5", "nan"])
def test_a_share_is_above_0_and_at_most_1(inputs: list[str], fraction: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([*inputs, "--fractions", fraction])
    assert f"{fraction} is not above 0 and at most 1" in capsys.readouterr().err
