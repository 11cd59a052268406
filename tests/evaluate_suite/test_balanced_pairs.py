"""The subset of counterfactuals on which blind models are at chance."""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from planted_encoders import dataset, pair

from evaluate_suite import balanced_command
from evaluate_suite.__main__ import main
from evaluate_suite.balanced import balanced_pairs, off_chance, percents, refine, write_selection
from evaluate_suite.controls import NotComputable
from evaluate_suite.controls.blind import wins_of
from evaluate_suite.counterfactual_pairs import CounterfactualPairs, counterfactual_pairs

GAPS = st.integers(0, 40).flatmap(
    lambda n: arrays(np.float64, (n, 2), elements=st.sampled_from([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]))
)


@given(GAPS, st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_both_models_and_their_agreement_are_at_chance_on_what_is_kept(gaps: np.ndarray, cells: int) -> None:
    kept = gaps[refine(gaps, cells)]
    signs = np.sign(kept)
    assert signs[:, 0].sum() == signs[:, 1].sum() == 0
    for both in (-1, 1):
        assert (signs == both).all(axis=1).sum() == (signs == -both).all(axis=1).sum()


@given(GAPS)
@settings(deadline=None, max_examples=100)
def test_no_pair_could_be_added_with_a_counterpart(gaps: np.ndarray) -> None:
    left = gaps[~refine(gaps, cells=1)]
    signs = {tuple(sign) for sign in np.sign(left)}
    assert not any((-one, -other) in signs for one, other in signs)


def test_a_cell_keeps_as_many_as_its_mirror_image_the_first_ones_and_all_double_ties() -> None:
    gaps = np.array([[1, 2], [1, 2], [1, 2], [-1, -2], [1, -2], [0, 0], [0, 3], [0, -3], [0, -3], [0, 0]], dtype=float)
    assert refine(gaps).tolist() == [True, False, False, True, False, True, True, True, False, True]


def test_cells_part_the_sure_from_the_doubtful() -> None:
    gaps = np.array([[0.1, 0.1], [0.2, 0.2], [8.0, 8.0], [9.0, 9.0], [-9.0, -9.0], [-8.0, -8.0]])
    assert refine(gaps, cells=1).tolist() == [True, True, False, False, True, True]
    assert refine(gaps, cells=2).tolist() == [False, False, True, True, True, True]


def reports(n: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows in which the negated report is the more frequent one, so that a blind model tells its edits."""
    rng = np.random.default_rng(first)
    rows = []
    for grey in range(first, first + n):
        words = " ".join(rng.choice(["heart", "lung", "hilum", "apex", "base", "rib"], 4))
        negated, affirmed = f"{words} no mass", f"{words} a mass"
        original, edit = (negated, affirmed) if rng.random() < 0.8 else (affirmed, negated)
        rows.append(pair(grey, f"s{grey // 2}", original, counterfactuals={"negation": edit}))
    return rows


def selection(data: Dataset, others: list[Dataset]) -> set[str]:
    subset = balanced_pairs(data, others)
    return {data["image_id"][int(row)] for row in subset.pairs.rows[subset.selected]}


def test_gaps_that_differ_by_rounding_alone_stand_in_one_cell() -> None:
    gaps = np.array([[0.3, 0.3], [-0.3, -0.3], [0.1 + 0.2, 0.1 + 0.2], [-0.3, -0.3], [0.9, 0.9], [-0.9, -0.9]])
    assert refine(gaps, cells=2).tolist() == refine(gaps.round(6), cells=2).tolist()


def test_blind_models_that_are_good_before_are_at_chance_after() -> None:
    subset = balanced_pairs(dataset(reports(100)), [dataset(reports(100, first=100))])
    for gaps in subset.gaps.values():
        assert wins_of(gaps).mean() > 0.65
        assert wins_of(gaps[subset.selected]).mean() == 0.5
    assert 10 < subset.selected.sum() < 100


def test_every_kind_is_balanced_by_itself() -> None:
    rows = reports(120)
    for row in rows[::2]:
        row["counterfactual"]["finding"] = row["counterfactual"]["negation"]
    subset = balanced_pairs(dataset(rows))
    for kind in np.unique(subset.pairs.kinds):
        chosen = subset.selected & (subset.pairs.kinds == kind)
        assert chosen.any()
        assert [wins_of(gaps[chosen]).mean() for gaps in subset.gaps.values()] == [0.5, 0.5]


def test_the_subset_depends_on_the_data_and_not_on_the_order_of_rows_or_splits() -> None:
    rows, more, most = reports(80), reports(60, first=80), reports(60, first=140)
    straight = selection(dataset(rows), [dataset(more), dataset(most)])
    assert selection(dataset(rows[::-1]), [dataset(most[::-1]), dataset(more)]) == straight
    assert selection(dataset(rows), []) != straight


def test_a_pair_is_scored_by_models_that_did_not_see_its_report() -> None:
    # Reports without a common word: only models that saw a report could tell it from its edits.
    rows = [
        pair(
            grey, f"s{grey}", f"one{grey // 4} two{grey // 4}", counterfactuals={"finding": f"three{grey} four{grey}"}
        )
        for grey in range(80)
    ]
    gaps = balanced_pairs(dataset(rows)).gaps
    assert not gaps["ngram"].any()
    assert not gaps["trigram"].any()


def test_what_cannot_be_balanced_is_told_with_its_reason() -> None:
    with pytest.raises(NotComputable, match="none of the 1 rows has an edit"):
        balanced_pairs(dataset([pair(0, "s", "clear")]))
    with pytest.raises(NotComputable, match="too few distinct reports"):
        balanced_pairs(dataset([pair(0, "s", "clear", counterfactuals={"finding": "mass"})]))
    rows = [
        pair(grey, f"s{grey}", f"no mass {grey}", counterfactuals={"finding": f"any mass {grey}"})
        for grey in range(40)
    ]
    with pytest.raises(NotComputable, match="no two of the 40 pairs"):
        balanced_pairs(dataset(rows))


def test_the_selection_is_written_in_the_order_of_the_data(tmp_path: Path) -> None:
    data = dataset(reports(100))
    subset = balanced_pairs(data)
    write_selection(tmp_path / "subset.csv", data, subset)
    with (tmp_path / "subset.csv").open() as file:
        lines = list(csv.DictReader(file))
    chosen = subset.pairs.rows[subset.selected]
    assert [line["image_id"] for line in lines] == [data["image_id"][int(row)] for row in chosen]
    assert {line["kind"] for line in lines} == {"negation"}


def test_a_selection_that_cannot_be_written_is_named_in_one_line_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    dataset(reports(60)).to_parquet(tmp_path / "data" / "test.parquet")
    out = tmp_path / "absent" / "subset.csv"
    assert main(["balanced", "--data", str(tmp_path / "data"), "--out", str(out)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {out} cannot be written (No such file or directory)")


def test_the_command_writes_the_file_and_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("train", reports(100)), ("test", reports(60, first=100))):
        (tmp_path / "data").mkdir(exist_ok=True)
        dataset(rows).to_parquet(tmp_path / "data" / f"{name}-00000.parquet")
    parser = argparse.ArgumentParser()
    balanced_command.add_arguments(parser)
    balanced_command.run(parser.parse_args(["--data", str(tmp_path), "--out", str(tmp_path / "subset.csv")]))
    n_lines = len((tmp_path / "subset.csv").read_text().splitlines()) - 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].split()[:3] == ["negation", "60", str(n_lines)]
    assert printed[2].count("-> ") == printed[2].count("->  50.0") == 2
    assert printed[3].split() == ["laterality", "0", "0", "-", "->", "-", "-", "->", "-"]
    assert "trigram: 50 +- 2 % overall, +- 5 % by kind: holds" in printed


def test_the_command_measures_the_models_fitted_on_train_too_and_says_whether_they_are_at_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "subset.csv")]
    parser = argparse.ArgumentParser()
    balanced_command.add_arguments(parser)
    (tmp_path / "data").mkdir()
    dataset(reports(80)).to_parquet(tmp_path / "data" / "test-00000.parquet")
    balanced_command.run(parser.parse_args(arguments))
    assert "fitted on the training split: none, the dataset has no training split" in capsys.readouterr().out

    def always_right(train: Dataset, test: Dataset, pairs: CounterfactualPairs) -> Any:
        return {"trigram": np.ones(len(pairs.texts))}, {}

    monkeypatch.setattr(balanced_command, "gaps_fitted_on_train", always_right)
    balanced_command.run(parser.parse_args(arguments))
    fitted_on_train = capsys.readouterr().out.split("which chose nothing, in % right:")[1].splitlines()
    assert fitted_on_train[2].split()[-3:] == ["100.0", "->", "100.0"]
    told = "trigram: 50 +- 2 % overall, +- 5 % by kind: does not hold, all 100.0 %, negation 100.0 %"
    assert fitted_on_train[-1] == told


def test_off_chance_tells_where_a_model_is_further_from_a_half_than_the_tolerances() -> None:
    rows = [pair(grey, "s", f"{grey}", counterfactuals={"negation": "a", "finding": "b"}) for grey in range(100)]
    pairs = counterfactual_pairs(dataset(rows))
    negation = pairs.kinds == pairs.names.index("negation")
    wins = np.zeros(200)
    wins[np.flatnonzero(negation)[:55]] = 1
    wins[np.flatnonzero(~negation)[:47]] = 1
    assert off_chance(wins, pairs) == {}
    wins[np.flatnonzero(negation)[55]] = 1
    assert off_chance(wins, pairs) == {"negation": 0.56}
    wins[np.flatnonzero(~negation)[47:50]] = 1
    assert off_chance(wins, pairs) == {"all": 0.53, "negation": 0.56}
    assert percents(off_chance(wins, pairs)) == "all 53.0 %, negation 56.0 %"
