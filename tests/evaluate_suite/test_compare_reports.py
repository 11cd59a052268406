"""Reports beside each other: paired differences against a loop written here, the best in bold, what to beware of."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from PIL import Image
from planted_encoders import constant, dataset, oracle, pair, stranger
from tiny_phantom import load_tiny_phantom

from evaluate_suite.compare import compare
from evaluate_suite.comparison import markdown, write_comparison
from evaluate_suite.context import Outcomes
from evaluate_suite.output import write_report
from evaluate_suite.paired_cases import PairedCases
from evaluate_suite.runner import run
from evaluate_suite.tasks import TASKS


class RandomModel:
    """Vectors and maps that have nothing to do with what is shown or said."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        vectors = self.generator.standard_normal((len(images), 8))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.encode_images(texts)

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[np.ndarray]:
        return list(self.generator.random((len(images), 4, 4)))


@pytest.fixture(scope="module")
def phantom_splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load_tiny_phantom(tmp_path_factory.mktemp("phantom"))


NUMBER = {"value": 0.5, "interval": [0.0, 1.0], "chance": 0.1, "n": 4}
RECALL, RANK = ("retrieval", "way", "recall_at_1"), ("retrieval", "way", "median_rank")


def write(folder: Path, model: str, cases: list[str], hits: np.ndarray, ranks: np.ndarray, mark: str = "x") -> Path:
    """A report of one task with the outcomes of these cases; two cases make a study."""
    outcomes = Outcomes()
    studies = [f"study-{int(case) // 2}" for case in cases]
    outcomes.add("retrieval", "way.recall_at_1", cases, studies, hits)
    outcomes.add("retrieval", "way.median_rank", cases, studies, ranks, statistic="median")
    numbers = {
        name: {**NUMBER, "value": float(value), "n": len(cases)}
        for name, value in (("recall_at_1", hits.mean()), ("median_rank", np.median(ranks)))
    }
    write_tree(folder, model, {"retrieval": {"way": numbers}}, outcomes, mark)
    return folder


def write_tree(folder: Path, model: str, tasks: dict[str, Any], outcomes: Outcomes, mark: str = "x") -> None:
    report = {
        "model": model,
        "data": "phantom",
        "sources": {"model": model, "data": "phantom"},
        "split": "test",
        "fingerprint": mark,
        "n_images": 4,
        "n_studies": 2,
        "n_reports": 4,
        "n_synthetic": 0,
        "texts": {"distinct": 1, "truncated": None},
        "seed": 0,
        "n_bootstrap": 10,
        "versions": {},
        "tasks": tasks,
        "figures": {task: [] for task in tasks},
        "skipped": {},
    }
    write_report(folder, report, outcomes, [])


@pytest.fixture
def two(tmp_path: Path) -> tuple[list[Path], list[np.ndarray], list[np.ndarray]]:
    """Two reports of 40 cases that differ at random."""
    generator = np.random.default_rng(0)
    hits = [(generator.random(40) < rate).astype(float) for rate in (0.4, 0.7)]
    ranks = [generator.integers(1, 30, 40).astype(float) for _ in range(2)]
    cases = [str(case) for case in range(40)]
    paths = [
        write(tmp_path / name, name, cases, *each)
        for name, each in zip("ab", zip(hits, ranks, strict=True), strict=True)
    ]
    return paths, hits, ranks


def loop_interval(differences: list[float]) -> list[float]:
    return list(np.percentile(differences, [2.5, 97.5]))


def test_the_interval_of_a_difference_is_that_of_a_loop_which_draws_whole_studies(
    two: tuple[list[Path], list[np.ndarray], list[np.ndarray]],
) -> None:
    paths, hits, ranks = two
    comparison = compare(paths, n_bootstrap=80, seed=4)
    # Studies are numbered in the order of their sorted names.
    names = sorted({f"study-{case // 2}" for case in range(40)})
    members = {name: [case for case in range(40) if f"study-{case // 2}" == name] for name in names}
    means, medians = [], []
    for draw in np.random.default_rng(4).integers(20, size=(80, 20)):
        drawn = [case for number in draw for case in members[names[number]]]
        means.append(np.mean([hits[1][case] for case in drawn]) - np.mean([hits[0][case] for case in drawn]))
        medians.append(np.median([ranks[1][case] for case in drawn]) - np.median([ranks[0][case] for case in drawn]))
    recall, rank = (comparison.differences[path][0].number for path in (RECALL, RANK))
    assert recall["value"] == pytest.approx(hits[1].mean() - hits[0].mean(), abs=1e-12)
    assert recall["interval"] == pytest.approx(loop_interval(means), abs=1e-12)
    assert rank["value"] == np.median(ranks[1]) - np.median(ranks[0])
    assert rank["interval"] == pytest.approx(loop_interval(medians), abs=1e-12)
    assert recall["chance"] == 0
    assert recall["n"] == 40


def test_the_difference_of_mean_areas_is_that_of_a_loop_over_resamples_and_parts(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    targets = {part: generator.random(20) < 0.4 for part in ("Edema", "Fracture")}
    scores = [{part: generator.integers(0, 6, 20).astype(float) for part in targets} for _ in range(2)]
    studies = [f"s{case // 2:02}" for case in range(20)]
    paths = []
    for name, of_part in zip("ab", scores, strict=True):
        outcomes = Outcomes()
        outcomes.add(
            "zero_shot",
            "auroc.mean",
            [str(case) for case in range(20)] * 2,
            studies * 2,
            np.concatenate(list(of_part.values())),
            statistic="auroc",
            targets=np.concatenate(list(targets.values())),
            parts=["Edema"] * 20 + ["Fracture"] * 20,
        )
        write_tree(tmp_path / name, name, {"zero_shot": {"auroc": {"mean": NUMBER}}}, outcomes)
        paths.append(tmp_path / name)

    def mean_area(of_part: dict[str, np.ndarray], drawn: list[int]) -> float:
        areas = []
        for part, values in of_part.items():
            positive = [values[case] for case in drawn if targets[part][case]]
            negative = [values[case] for case in drawn if not targets[part][case]]
            right = sum((left > right) + 0.5 * (left == right) for left in positive for right in negative)
            areas.append(right / (len(positive) * len(negative)))
        return float(np.mean(areas))

    differences = []
    for draw in np.random.default_rng(4).integers(10, size=(60, 10)):
        drawn = [case for study in draw for case in (2 * study, 2 * study + 1)]
        differences.append(mean_area(scores[1], drawn) - mean_area(scores[0], drawn))
    number = compare(paths, n_bootstrap=60, seed=4).differences["zero_shot", "auroc", "mean"][0].number
    every_case = list(range(20))
    assert number["value"] == pytest.approx(mean_area(scores[1], every_case) - mean_area(scores[0], every_case))
    assert number["interval"] == pytest.approx(loop_interval(differences))
    assert number["n"] == 40


def test_a_difference_is_over_the_cases_that_both_have_and_says_how_many(tmp_path: Path) -> None:
    hits = np.array([1.0, 0.0, 1.0, 0.0])
    first = write(tmp_path / "a", "a", ["0", "1", "2", "3"], hits, hits)
    other = write(tmp_path / "b", "b", ["3", "2", "9"], np.array([1.0, 1.0, 0.0]), np.ones(3))
    comparison = compare([first, other], n_bootstrap=10)
    difference = comparison.differences[RECALL][0]
    assert difference.number["value"] == 0.5  # 1 and 1 less 1 and 0
    assert (difference.number["n"], difference.n_first, difference.n_other) == (2, 4, 3)
    assert "+50.0 points" in markdown(comparison, chart=False)
    assert "(n 2, in both of 4 and 3)" in markdown(comparison, chart=False)


def test_reports_without_a_common_case_have_no_difference(tmp_path: Path) -> None:
    hits = np.array([1.0, 0.0])
    paths = [write(tmp_path / name, name, cases, hits, hits) for name, cases in (("a", ["0", "1"]), ("b", ["2", "3"]))]
    comparison = compare(paths, n_bootstrap=10)
    assert comparison.differences[RECALL] == [None]


def test_the_best_of_a_line_is_bold_and_for_a_rank_that_is_the_lowest(tmp_path: Path) -> None:
    cases = ["0", "1"]
    paths = [
        write(tmp_path / "a", "a", cases, np.array([0.0, 1.0]), np.array([9.0, 9.0])),
        write(tmp_path / "b", "b", cases, np.array([1.0, 1.0]), np.array([2.0, 2.0])),
        write(tmp_path / "c", "c", cases, np.array([1.0, 1.0]), np.array([4.0, 4.0])),
    ]
    rows = [line.split(" | ") for line in markdown(compare(paths, n_bootstrap=10), chart=False).splitlines()]
    recall, rank = (next(row for row in rows if row[0].endswith(name)) for name in ("recall at 1", "median rank"))
    assert [cell.startswith("**") for cell in recall[1:4]] == [False, True, True]
    assert [cell.startswith("**") for cell in rank[1:4]] == [False, True, False]


def test_controls_are_shown_and_none_of_them_is_the_best(pairs: Dataset, tmp_path: Path) -> None:
    splits = {"train": pairs, "test": pairs}
    paths = [tmp_path / "oracle", tmp_path / "constant"]
    for encoder, path in zip((oracle(pairs), constant()), paths, strict=True):
        run(encoder, splits, ["counterfactual"], path, n_bootstrap=20)
    page = markdown(compare(paths, n_bootstrap=20), chart=False)
    wrong = [line for line in page.splitlines() if line.startswith("| counterfactual: wrong image")]
    assert wrong
    assert not any("**" in line for line in wrong)
    assert "| counterfactual: accuracy | **100.0 %" in page


def test_the_page_begins_with_the_headline_numbers_and_leaves_gains_on_parts_to_the_json(
    phantom_splits: dict[str, Dataset], tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        run(RandomModel(seed), phantom_splits, ["structure", "counterfactual"], tmp_path / name, n_bootstrap=20)
    comparison = compare([tmp_path / "a", tmp_path / "b"], n_bootstrap=20)
    write_comparison(comparison, tmp_path / "both")
    first, _, rest = (tmp_path / "both" / "comparison.md").read_text().partition("## The other numbers")
    rows = [line.split(" | ")[0] for line in first.splitlines() if line.startswith("| ")]
    assert rows[2:4] == ["| structure: accuracy", "| counterfactual: accuracy"]
    assert "| structure: gain over blind |" in rest
    assert "| structure: reverse sentence |" in rest
    assert "gain over blind: " not in rest
    written = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert set(written["numbers"]) == set(written["differences"]) == {".".join(path) for path in comparison.numbers}
    assert "structure.gain_over_blind.by_perturbation.reverse_sentence" in written["numbers"]


def area_difference(folder: Path, *scores: dict[str, np.ndarray]) -> list[float]:
    """The interval of the mean AUROC of the second of two models less the first's; of ten cases, four are positive."""
    for name, of_part in zip("ab", scores, strict=True):
        outcomes = Outcomes()
        outcomes.add(
            "zero_shot",
            "auroc.mean",
            list("0123456789") * len(of_part),
            [f"study-{case}" for case in range(10)] * len(of_part),
            np.concatenate(list(of_part.values())),
            statistic="auroc",
            targets=np.array(([True] * 4 + [False] * 6) * len(of_part)),
            parts=[part for part in of_part for _ in range(10)],
        )
        write_tree(folder / name, name, {"zero_shot": {"auroc": {"mean": NUMBER}}}, outcomes)
    comparison = compare([folder / "a", folder / "b"], n_bootstrap=50)
    return comparison.differences["zero_shot", "auroc", "mean"][0].number["interval"]


PERFECT, MIXED, OTHER = -np.arange(10.0), np.array([9.0, 8, 3, 1, 7, 6, 5, 4, 2, 0]), np.arange(10.0) % 4
UNSEEN = 1 - 0.025 ** (1 / 4)  # of four studies


def test_two_perfect_areas_differ_by_what_unseen_studies_may_change(tmp_path: Path) -> None:
    assert area_difference(tmp_path, {"Edema": PERFECT}, {"Edema": PERFECT}) == pytest.approx([-UNSEEN, UNSEEN])


def test_a_perfect_area_differs_from_another_by_what_unseen_studies_may_change_too(tmp_path: Path) -> None:
    low, high = area_difference(tmp_path, {"Edema": MIXED}, {"Edema": PERFECT})
    resampled = PairedCases(
        parts=np.array([""] * 10, dtype=object),
        targets=np.array([1] * 4 + [0] * 6, dtype=np.int8),
        groups=np.arange(10),
        n_bootstrap=50,
        seed=0,
    ).estimate("auroc", MIXED)[1]
    ends = np.nanpercentile(resampled, [2.5, 97.5])
    assert (low, high) == pytest.approx((1 - UNSEEN - ends[1], 1 - ends[0]))


def test_of_a_mean_only_the_perfect_areas_differ_by_what_unseen_studies_may_change(tmp_path: Path) -> None:
    first, other = {"Edema": MIXED, "Fracture": PERFECT}, {"Edema": OTHER, "Fracture": PERFECT}
    low, high = area_difference(tmp_path / "both", first, other)
    paired = area_difference(tmp_path / "one", {"Edema": MIXED}, {"Edema": OTHER})
    assert (low, high) == pytest.approx(((paired[0] - UNSEEN) / 2, (paired[1] + UNSEEN) / 2))


def test_every_number_of_two_reports_has_a_paired_difference(
    phantom_splits: dict[str, Dataset], tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        run(RandomModel(seed), phantom_splits, None, tmp_path / name, n_bootstrap=20)
    comparison = compare([tmp_path / "a", tmp_path / "b"], n_bootstrap=20)
    assert {path[0] for path in comparison.numbers} == set(TASKS)
    assert [path for path, difference in comparison.differences.items() if difference == [None]] == []
    for path, (first, other) in comparison.numbers.items():
        difference = comparison.differences[path][0].number["value"]
        assert difference == pytest.approx(other["value"] - first["value"], abs=1e-9), path


def test_the_difference_of_gains_is_paired_case_by_case(phantom_splits: dict[str, Dataset], tmp_path: Path) -> None:
    # The blind model is the same beside both: their gains differ as the models do, on the same resamples.
    for seed, name in enumerate("ab"):
        run(RandomModel(seed), phantom_splits, ["structure"], tmp_path / name, n_bootstrap=20)
    differences = compare([tmp_path / "a", tmp_path / "b"], n_bootstrap=50).differences
    gain = differences["structure", "gain_over_blind"][0].number
    assert gain["interval"] == pytest.approx(differences["structure", "accuracy"][0].number["interval"], abs=1e-12)
    low, high = differences["structure", "blind"][0].number["interval"]
    assert -low == high > 0  # equal on every study here, which does not make them equal on every study there is


def test_equal_models_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    hits = np.array([1.0, 0.0])
    paths = [write(tmp_path / name, "ours", ["0", "1"], hits, hits) for name in ("first", "second")]
    assert compare(paths, n_bootstrap=10).names == ["ours (first)", "ours (second)"]


def test_other_data_are_remarked(tmp_path: Path) -> None:
    hits = np.array([1.0, 0.0])
    paths = [write(tmp_path / name, name, ["0", "1"], hits, hits, mark=name) for name in ("a", "b")]
    assert "not of the same images and texts" in markdown(compare(paths, n_bootstrap=10), chart=False)
    assert compare([paths[0], paths[0] / "report.json"], n_bootstrap=10).remarks == []


def test_the_same_data_are_the_same_whatever_the_model(tmp_path: Path) -> None:
    data = dataset([pair(grey, f"s{grey}", f"report {grey}") for grey in range(6)])
    for encoder, name in ((oracle(data), "oracle"), (stranger(), "stranger")):
        run(encoder, {"test": data}, ["retrieval"], tmp_path / name, n_bootstrap=20)
    comparison = compare([tmp_path / "oracle", tmp_path / "stranger"], n_bootstrap=20)
    assert comparison.remarks == []
    difference = comparison.differences["retrieval", "image_to_text", "recall_at_1"][0].number
    assert difference["value"] < 0
    assert difference["n"] == 6


def test_the_comparison_is_written_with_its_chart(
    two: tuple[list[Path], list[np.ndarray], list[np.ndarray]], tmp_path: Path
) -> None:
    comparison = compare(two[0], n_bootstrap=10)
    write_comparison(comparison, tmp_path / "out")
    write_comparison(comparison, tmp_path / "out")  # over its own files
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.json",
        "comparison.md",
        "comparison.png",
    ]
    numbers = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert numbers["differences"]["retrieval.way.recall_at_1"][0] == {
        "number": comparison.differences[RECALL][0].number,
        "n_first": 40,
        "n_other": 40,
    }
    assert "](comparison.png)" in (tmp_path / "out" / "comparison.md").read_text()
    with Image.open(tmp_path / "out" / "comparison.png") as chart:
        assert chart.width == 960


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 report to compare"):
        compare([tmp_path])
    with pytest.raises(ValueError, match="no report at"):
        compare([tmp_path, tmp_path])
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ValueError, match=r"report\.json is no report"):
        compare([tmp_path, tmp_path])
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ValueError, match="no report of this suite"):
        compare([tmp_path, tmp_path])
    hits = np.array([1.0])
    whole = write(tmp_path / "a", "a", ["0"], hits, hits)
    (whole / "outcomes.parquet").unlink()
    with pytest.raises(ValueError, match=r"outcomes.parquet is missing or damaged"):
        compare([whole, whole])
    pq.write_table(pa.table({"case": ["0"]}), whole / "outcomes.parquet")
    with pytest.raises(ValueError, match=r"outcomes.parquet is missing or damaged"):
        compare([whole, whole])
