"""One run: tasks share embeddings, the report holds what they give, and its folder is whole or is not there."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from matplotlib.figure import Figure
from PIL import Image
from planted_encoders import PlantedEncoder, oracle, stranger

from evaluate_suite import output, runner
from evaluate_suite.context import TaskContext
from evaluate_suite.runner import run
from evaluate_suite.tasks import TASKS, retrieval
from evaluate_suite.tree import measurements

ALL_TASKS = ["structure", "counterfactual", "retrieval", "zero_shot", "grounding", "robustness"]


@pytest.fixture
def splits(pairs: Dataset) -> dict[str, Dataset]:
    return {"train": pairs, "test": pairs}


def test_the_tasks_are_six_in_the_order_of_the_report() -> None:
    assert list(TASKS) == ALL_TASKS


def test_a_run_gives_every_task_in_the_fixed_order(splits: dict[str, Dataset]) -> None:
    report = run(stranger(), splits, ["retrieval", "structure"], n_bootstrap=20)
    assert list(report["tasks"]) == ["structure", "retrieval"]


def test_tasks_may_stand_in_one_text_with_commas(splits: dict[str, Dataset]) -> None:
    assert list(run(stranger(), splits, "retrieval", n_bootstrap=20)["tasks"]) == ["retrieval"]
    report = run(stranger(), splits, "retrieval, structure", n_bootstrap=20)
    assert list(report["tasks"]) == ["structure", "retrieval"]


def test_the_report_has_the_numbers_of_the_task_alone(splits: dict[str, Dataset], pairs: Dataset) -> None:
    report = run(stranger(), splits, ["retrieval"], n_bootstrap=20, seed=3)
    alone = retrieval.evaluate(runner.Embeddings(stranger()), pairs, n_bootstrap=20, seed=3)
    assert report["tasks"]["retrieval"] == alone


def test_every_image_and_text_is_encoded_once_for_all_tasks(splits: dict[str, Dataset]) -> None:
    encoder = stranger()
    run(encoder, splits, ["structure", "counterfactual", "retrieval"], n_bootstrap=20)
    assert sorted(encoder.images_seen) == list(range(8))
    assert len(encoder.texts_seen) == len(set(encoder.texts_seen))


def test_a_run_is_the_same_each_time(splits: dict[str, Dataset]) -> None:
    first, second = (run(stranger(), splits, ["structure", "retrieval"], n_bootstrap=20, seed=1) for _ in range(2))
    assert first == second


def test_the_report_says_what_was_evaluated(splits: dict[str, Dataset]) -> None:
    report = run(stranger(), splits, ["retrieval"], n_bootstrap=20, seed=5)
    facts = {
        key: report[key] for key in ("model", "split", "n_images", "n_studies", "n_reports", "seed", "n_bootstrap")
    }
    assert facts == {
        "model": "PlantedEncoder",
        "split": "test",
        "n_images": 8,
        "n_studies": 5,
        "n_reports": 4,
        "seed": 5,
        "n_bootstrap": 20,
    }


def test_the_report_says_of_the_model_what_its_encoder_tells(splits: dict[str, Dataset]) -> None:
    class Told(PlantedEncoder):
        def facts(self) -> dict[str, Any]:
            return {"class": "CLIPModel", "preprocessing": {"image_mean": [0.5]}, "text_window": 77}

    encoder = stranger()
    assert run(encoder, splits, ["retrieval"], n_bootstrap=20)["encoder"] == {"class": "PlantedEncoder"}
    told = Told(encoder.image_vector)
    assert run(told, splits, ["retrieval"], n_bootstrap=20)["encoder"] == told.facts()


def test_texts_past_the_window_are_counted_where_the_model_tells(splits: dict[str, Dataset]) -> None:
    class ShortSighted(PlantedEncoder):
        def truncated(self, texts: list[str]) -> int:
            return sum(len(text.split()) > 1 for text in texts)

    encoder = stranger()
    assert run(encoder, splits, ["retrieval"], n_bootstrap=20)["texts"] == {"distinct": 4, "truncated": None}
    short = ShortSighted(encoder.image_vector)
    assert run(short, splits, ["retrieval"], n_bootstrap=20)["texts"] == {"distinct": 4, "truncated": 2}


def test_of_all_tasks_those_that_lack_a_column_are_left_out_with_the_reason(pairs: Dataset) -> None:
    columns = ["image", "image_id", "study_id", "report", "boxes"]
    report = run(stranger(), {"test": pairs.select_columns(columns)}, n_bootstrap=20)
    assert list(report["tasks"]) == ["retrieval", "grounding"]
    assert report["skipped"]["structure"] == "the data has no column 'perturbed' and no column 'changed'"
    assert set(report["skipped"]) == {"structure", "counterfactual", "zero_shot", "robustness"}


def test_a_task_that_was_asked_for_needs_its_columns(pairs: Dataset) -> None:
    data = {"test": pairs.remove_columns("labels")}
    with pytest.raises(ValueError, match="task 'zero_shot' cannot run on 'data': the data has no column 'labels'"):
        run(stranger(), data, ["zero_shot"])


def test_the_folder_holds_report_page_pictures_and_cases(splits: dict[str, Dataset], tmp_path: Path) -> None:
    report = run(oracle(splits["test"]), splits, ["retrieval"], tmp_path / "out", n_bootstrap=20)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "figures",
        "outcomes.parquet",
        "report.json",
        "report.md",
    ]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    with Image.open(tmp_path / "out" / "figures" / "retrieval.png") as picture:
        assert picture.width == 960
    page = (tmp_path / "out" / "report.md").read_text()
    links = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert links == ["figures/retrieval.png"]


def test_the_means_of_the_kept_cases_are_the_numbers_of_the_report(splits: dict[str, Dataset], tmp_path: Path) -> None:
    tasks = ["structure", "counterfactual", "retrieval", "robustness"]
    report = run(stranger(), splits, tasks, tmp_path / "out", n_bootstrap=20)
    numbers = {".".join(path): number for path, number in measurements(report["tasks"])}
    cases: dict[str, list[float]] = {}
    for row in pq.read_table(tmp_path / "out" / "outcomes.parquet").to_pylist():
        if row["statistic"] == "mean":
            cases.setdefault(f"{row['task']}.{row['metric']}", []).append(row["value"])
    assert {"structure.accuracy", "counterfactual.accuracy", "retrieval.image_to_text.recall_at_1"} <= set(cases)
    for name, values in cases.items():
        assert sum(values) / len(values) == pytest.approx(numbers[name]["value"], abs=1e-12), name
        assert len(values) == numbers[name]["n"], name


def test_a_folder_with_something_in_it_is_refused_before_anything_is_computed(
    splits: dict[str, Dataset], tmp_path: Path
) -> None:
    encoder = stranger()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes.txt: choose an empty or a new folder"):
        run(encoder, splits, ["retrieval"], tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file: --out names a folder"):
        run(encoder, splits, ["retrieval"], tmp_path / "notes.txt")
    assert encoder.images_seen == []


def test_a_report_is_replaced_only_when_that_is_said(splits: dict[str, Dataset], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(stranger(), splits, ["structure"], out, n_bootstrap=20)
    with pytest.raises(ValueError, match="holds a report: choose another folder, or say --overwrite"):
        run(stranger(), splits, ["retrieval"], out, n_bootstrap=20)
    run(stranger(), splits, ["retrieval"], out, n_bootstrap=20, overwrite=True)
    assert list(json.loads((out / "report.json").read_text())["tasks"]) == ["retrieval"]
    assert [path.name for path in (out / "figures").iterdir()] == ["retrieval.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    splits: dict[str, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(stranger(), splits, ["retrieval"], out, n_bootstrap=20)
    before = (out / "report.json").read_text()

    def full_disk(report: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "markdown", full_disk)
    with pytest.raises(OSError, match=r"out cannot be written \(No space left on device\)"):
        run(oracle(splits["test"]), splits, ["retrieval"], out, n_bootstrap=20, overwrite=True)
    assert (out / "report.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_number_that_is_not_finite_is_never_written(
    splits: dict[str, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: TaskContext) -> dict[str, Any]:
        return {"accuracy": {"value": float("nan"), "interval": [0.0, 1.0], "chance": 0.5, "n": 8}}

    monkeypatch.setattr(runner, "TASKS", {"retrieval": broken})
    with pytest.raises(ValueError, match="JSON compliant"):
        run(stranger(), splits, ["retrieval"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_named(splits: dict[str, Dataset]) -> None:
    with pytest.raises(ValueError, match="no task 'captions': there are structure, counterfactual, retrieval"):
        run(stranger(), splits, ["retrieval", "captions"])
    with pytest.raises(ValueError, match="no task 'captions'"):
        run(stranger(), splits, "captions")
    with pytest.raises(ValueError, match=r"tasks is empty: name some of structure, .*, or leave it out"):
        run(stranger(), splits, [])
    with pytest.raises(ValueError, match="n_bootstrap is 0"):
        run(stranger(), splits, n_bootstrap=0)
    with pytest.raises(ValueError, match="seed -1"):
        run(stranger(), splits, seed=-1)
    with pytest.raises(ValueError, match="Figure has no encode_images and no encode_texts: give a folder, a Hub id"):
        run(Figure(), splits)
