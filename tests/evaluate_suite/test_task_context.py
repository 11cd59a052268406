"""What tasks leave: outcomes case by case, which are checked when they come, and figures with names of their own."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evaluate_suite.context import Figures, Outcomes


def test_outcomes_are_one_row_a_case(tmp_path: Path) -> None:
    outcomes = Outcomes()
    outcomes.add("retrieval", "image_to_text.recall_at_1", ["a", "b"], ["s", "t"], np.array([True, False]))
    outcomes.add("retrieval", "image_to_text.median_rank", ["a"], ["s"], [3], statistic="median")
    outcomes.to_parquet(tmp_path / "outcomes.parquet")
    assert pq.read_table(tmp_path / "outcomes.parquet").to_pylist() == [
        {
            "task": "retrieval",
            "metric": f"image_to_text.{metric}",
            "statistic": statistic,
            "part": "",
            "case": case,
            "study": study,
            "target": -1,
            "value": value,
        }
        for metric, statistic, case, study, value in [
            ("recall_at_1", "mean", "a", "s", 1.0),
            ("recall_at_1", "mean", "b", "t", 0.0),
            ("median_rank", "median", "a", "s", 3.0),
        ]
    ]


def test_without_outcomes_the_table_has_its_columns_all_the_same(tmp_path: Path) -> None:
    Outcomes().to_parquet(tmp_path / "outcomes.parquet")
    table = pq.read_table(tmp_path / "outcomes.parquet")
    assert table.column_names == ["task", "metric", "statistic", "part", "case", "study", "target", "value"]
    assert len(table) == 0


@pytest.mark.parametrize(
    ("cases", "studies", "values", "message"),
    [
        (["a", "b"], ["s", "t"], [1.0], r"structure.accuracy are 2 cases, 2 studies, and values of shape \(1,\)"),
        (["a", "b"], ["s"], [1.0, 0.0], "2 cases, 1 studies"),
        (["a", "a"], ["s", "t"], [1.0, 0.0], "a case that stands twice among the 2"),
        (["a", "b"], ["s", "t"], [1.0, np.nan], "structure.accuracy have case 'b' with a value of NaN"),
    ],
)
def test_outcomes_that_cannot_be_paired_are_refused(
    cases: list[str], studies: list[str], values: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Outcomes().add("structure", "accuracy", cases, studies, values)


def test_a_case_may_stand_in_several_parts_and_once_in_each(tmp_path: Path) -> None:
    outcomes = Outcomes()
    outcomes.add(
        "zero_shot",
        "auroc.mean",
        ["a", "a"],
        ["s", "s"],
        [0.5, 0.1],
        statistic="auroc",
        targets=np.array([True, False]),
        parts=["Edema", "Fracture"],
    )
    outcomes.to_parquet(tmp_path / "outcomes.parquet")
    rows = pq.read_table(tmp_path / "outcomes.parquet").to_pylist()
    assert [(row["part"], row["case"], row["target"]) for row in rows] == [("Edema", "a", 1), ("Fracture", "a", 0)]
    with pytest.raises(ValueError, match="a case that stands twice"):
        outcomes.add("zero_shot", "accuracy.mean", ["a", "a"], ["s", "s"], [1, 1], parts=["Edema", "Edema"])


def test_a_statistic_that_cannot_be_had_is_refused() -> None:
    outcomes = Outcomes()
    with pytest.raises(ValueError, match="need targets for auroc, average_precision, and only for these"):
        outcomes.add("zero_shot", "auroc", ["a"], ["s"], [1.0], statistic="auroc")
    with pytest.raises(ValueError, match="and only for these"):
        outcomes.add("zero_shot", "accuracy", ["a"], ["s"], [1.0], targets=[True])
    with pytest.raises(ValueError, match="no mean over parts of medians"):
        outcomes.add("retrieval", "median_rank", ["a"], ["s"], [1.0], statistic="median", parts=["x"])


def test_a_number_gets_its_cases_once() -> None:
    outcomes = Outcomes()
    outcomes.add("structure", "accuracy", ["a"], ["s"], [1.0])
    with pytest.raises(ValueError, match=r"outcomes of structure.accuracy were added before"):
        outcomes.add("structure", "accuracy", ["b"], ["s"], [1.0])


def test_figures_have_names_that_are_files_and_differ() -> None:
    figures = Figures()
    figures.add("one_2", lambda figure: None, "caption")
    with pytest.raises(ValueError, match="two figures called 'one_2'"):
        figures.add("one_2", lambda figure: None, "caption")
    with pytest.raises(ValueError, match=r"figure '\.\./up' is to be a file's name"):
        figures.add("../up", lambda figure: None, "caption")
