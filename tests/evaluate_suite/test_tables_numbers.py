"""Means, deviations and intervals over seeds, and the arithmetic on the paper's own tables."""

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables_helpers import measurement

from evaluate_suite.tables.numbers import over_seeds, read_numbers
from evaluate_suite.tables.paper import ODDITIES, TABLES

T_OF_TWO = 4.302652729911275  # the 97.5 % point of Student's t with two degrees of freedom, from tables


def printed(table: str, column: str) -> dict[str, float]:
    columns = next(each for each in TABLES if each.name == table).columns
    return dict(next(each for each in columns if each.title == column).printed)


def test_three_seeds():
    values = [0.4, 0.5, 0.45]
    summed = over_seeds({seed: measurement(value, 0.02) for seed, value in enumerate(values)})
    half = math.hypot(0.02, T_OF_TWO * statistics.stdev(values) / math.sqrt(3))
    assert summed["mean"] == pytest.approx(0.45)
    assert summed["deviation"] == pytest.approx(statistics.stdev(values))
    assert summed["interval"] == pytest.approx([0.45 - half, 0.45 + half])
    assert (summed["chance"], summed["n"]) == (0.1, 100)
    assert [summed["seeds"][str(seed)]["value"] for seed in range(3)] == values


def test_one_seed_has_its_own_interval_and_no_deviation():
    summed = over_seeds({4: measurement(0.6, 0.03)})
    assert summed["deviation"] is None
    assert summed["interval"] == pytest.approx([0.57, 0.63])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_an_interval_holds_the_mean_and_stays_a_share(values: list[float]):
    summed = over_seeds({seed: measurement(value, 0.1) for seed, value in enumerate(values)})
    low, high = summed["interval"]
    assert 0 <= low <= summed["mean"] + 1e-12
    assert summed["mean"] - 1e-12 <= high <= 1


@pytest.mark.parametrize("other", [{}, {"Pleural Effusion": 0.9, "Edema": 0.7}], ids=["one", "three"])
def test_the_mean_of_other_labels_is_not_taken_for_the_average_of_the_papers_two(
    other: dict[str, float], tmp_path: Path
):
    accuracy = {name: measurement(value) for name, value in {"mean": 0.8, "Consolidation": 0.8, **other}.items()}
    (tmp_path / "metrics.json").write_text(json.dumps({"test": {"accuracy": accuracy, "auroc": accuracy}}))
    numbers, skipped = read_numbers("chexpert", tmp_path)
    assert "average" not in numbers
    assert numbers["consolidation"]["value"] == 0.8
    assert skipped["average"].startswith("the mean is of Consolidation")


def test_the_averages_of_table_ii_are_those_of_its_columns():
    consolidation, effusion = printed("II", "consolidation"), printed("II", "pleural effusion")
    for method, average in printed("II", "average").items():
        assert average == pytest.approx((consolidation[method] + effusion[method]) / 2)


def is_share_of(percent: float, n: int, places: int) -> bool:
    return any(round(100 * count / n, places) == percent for count in range(n + 1))


def test_what_is_said_of_the_papers_tables_holds():
    consolidation, effusion = printed("II", "consolidation"), printed("II", "pleural effusion")
    assert consolidation["gloria"] + effusion["gloria"] == pytest.approx(100)
    shares = {method: is_share_of(consolidation[method], 500, 2) for method in consolidation}
    assert shares == {"convirt": True, "gloria": False, "prd_without_local": True, "prd": True}
    assert [is_share_of(effusion[method], 500, 2) for method in effusion] == [True, False, True, True]
    assert (round(3200 / 45, 2), round(1300 / 45, 2)) == (consolidation["gloria"], effusion["gloria"])
    assert sum(value < 50 for value in [*consolidation.values(), *effusion.values()]) == 4
    mednli, radnli = printed("III", "MedNLI"), printed("III", "RadNLI")
    assert [is_share_of(radnli[method], 480, 2) for method in radnli] == [False, True, True, True]
    assert [is_share_of(mednli[method], 1422, 2) for method in mednli] == [False, True, True, True]
    assert not is_share_of(radnli["convirt"], 960, 2)
    assert min(mednli, key=mednli.__getitem__) == "prd"
    assert min(radnli, key=radnli.__getitem__) == "prd_without_local"
    assert round(4.8 * (radnli["prd"] - radnli["gloria"])) == 3
    structure = list(printed("IV", "structure").values())
    gaps = [after - before for before, after in pairwise(structure)]
    assert (round(min(gaps), 1), round(max(gaps), 1)) == (1.2, 2.7)
    assert all(abs(1.96 * math.sqrt(value * (100 - value) / 469) - 4.5) < 0.1 for value in structure)
    assert all(is_share_of(value, 469, 1) for value in structure)
    assert len(ODDITIES) == 7
