"""The benchmark of reports' counterfactuals: its trigram model, and the whole at tiny size."""

import math
from pathlib import Path

import pytest

from benchmarks.report_counterfactuals import TrigramModel, main, trigram_accuracy
from datasets_scripts.schema import COUNTERFACTUAL_KINDS


def test_the_trigram_model_interpolates_the_three_frequencies_and_counts_the_end() -> None:
    model = TrigramModel(["no effusion", "no mass", "no effusion", "no mass"])

    # Twelve words with the ends: `no` 4, `effusion` 2, the end 4; each of the three words of the report:
    no = 0.1 * 4 / 12 + 0.3 * 1 + 0.6 * 1
    effusion = 0.1 * 2 / 12 + 0.3 * 2 / 4 + 0.6 * 2 / 4
    end = 0.1 * 4 / 12 + 0.3 * 1 + 0.6 * 1
    assert model.score("no effusion") == pytest.approx(sum(map(math.log, (no, effusion, end))) / 3, abs=1e-6)


def test_a_word_of_one_report_alone_is_unknown() -> None:
    model = TrigramModel(["no effusion", "no cavity"])

    assert model.score("no cavity") == model.score("no effusion") == model.score("no unheard")


def test_the_original_of_a_pair_wins_where_it_is_more_probable_and_a_tie_is_half() -> None:
    model = TrigramModel(["no effusion"] * 9 + ["an effusion"] * 2)

    assert trigram_accuracy(model, [("no effusion", "an effusion"), ("an effusion", "no effusion")]) == 0.5
    assert trigram_accuracy(model, [("no effusion", "no effusion")]) == 0.5
    assert trigram_accuracy(model, [("no effusion", "an effusion")]) == 1.0


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
