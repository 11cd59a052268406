import json
from pathlib import Path

import pytest

from benchmarks.phantom_inference import main


def test_accuracies_of_each_sentence_and_of_both_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--pairs", "120", "--json", str(tmp_path / "out.json")])
    table = json.loads((tmp_path / "out.json").read_text())
    assert list(table) == ["hypothesis", "premise", "both"]
    assert all(table[name]["all_pairs"] == pytest.approx(1 / 3) for name in ("hypothesis", "premise"))
    assert all(0.0 < row["one_pair_a_block"] < 1.0 and row["n"] == 120 for row in table.values())
    assert "chance 33.3" in capsys.readouterr().out


def test_a_number_of_pairs_that_cuts_a_block_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--pairs", "100"])
    assert "multiple of 12" in capsys.readouterr().err
