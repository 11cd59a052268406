"""The benchmark of reports' counterfactuals at tiny size."""

from pathlib import Path

import pytest

from benchmarks.report_counterfactuals import main
from datasets_scripts.schema import COUNTERFACTUAL_KINDS


def test_table_and_examples_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(40):
        findings = f"Mild scarring in the left upper lobe. Heart size is normal. Study {number}. No effusion."
        (tmp_path / f"{number}.xml").write_text(
            f'<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>'
            f'<AbstractText Label="FINDINGS">{findings}</AbstractText>'
            "</Abstract></Article></MedlineCitation></eCitation>"
        )

    main(["--openi", str(tmp_path), "--examples", "2"])

    printed = capsys.readouterr().out
    assert "40 of 40 reports (100.0 %)" in printed
    for kind in COUNTERFACTUAL_KINDS:
        assert f"| {kind} | 40 | 0 | " in printed
        assert f"\n## {kind}\n" in printed
    assert printed.count("[left -> right]") == 2
