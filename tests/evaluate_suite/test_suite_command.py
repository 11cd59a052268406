"""The command line and `evaluate`'s suite, on a model that was trained and loads as anyone's would."""

import json
from pathlib import Path

import pytest
import yaml
from evaluate import EvaluationSuite
from planted_encoders import dataset, pair
from tiny_recipe import TINY_RECIPE

import train
from datasets_scripts import phantom
from evaluate_suite.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SUITE = Path(__file__).parents[2] / "evaluate_suite" / "prd_suite.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PhantomCXR with 24 training, 8 validation and 12 test images of 64 pixels."""
    folder = tmp_path_factory.mktemp("suite") / "phantom"
    phantom.build(folder, train=24, validation=8, test=12, image_size=64, progress=False)
    return folder


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    """A tiny model of two steps."""
    run, recipe = data.parent / "model", data.parent / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**TINY_RECIPE, "data": str(data), "output_dir": str(run), "max_steps": 2}))
    train.main(["--config", str(recipe)])
    return run


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_trained_folder_runs_every_task(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--model", str(model), "--data", str(data), "--out", str(out), "--n_bootstrap", "20"]
    assert main(["run", *arguments, "--batch_size", "5", "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"{out}/report.md\n"
    report = json.loads((out / "report.json").read_text())
    assert list(report["tasks"]) == [
        "structure",
        "counterfactual",
        "retrieval",
        "zero_shot",
        "grounding",
        "robustness",
    ]
    assert (report["model"], report["data"]) == ("model", "PhantomCXR (default)")
    assert (report["split"], report["n_images"]) == ("test", 12)
    assert report["sources"] == {"model": "model", "data": "phantom"}
    assert (report["seed"], report["n_bootstrap"], report["texts"]["truncated"]) == (3, 20, 0)
    for task in ("structure", "counterfactual"):
        assert {"blind", "wrong_image", "gain_over_blind", "gain_over_wrong_image", "needs_image"} <= set(
            report["tasks"][task]
        )
    page = (out / "report.md").read_text()
    assert page.startswith("# model on PhantomCXR (default)\n")
    assert not any(str(data.parent) in (out / name).read_text() for name in ("report.md", "report.json"))
    assert len(list((out / "figures").iterdir())) == page.count("](figures/")


def test_two_reports_are_compared(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, split in (("a", "test"), ("b", "validation")):
        arguments = ["--model", str(model), "--data", str(data), "--out", str(tmp_path / name), "--split", split]
        assert main(["run", *arguments, "--tasks", "retrieval,structure", "--n_bootstrap", "20"]) == 0
    capsys.readouterr()
    reports = [str(tmp_path / "a"), str(tmp_path / "b" / "report.json")]
    assert main(["compare", *reports, "--out", str(tmp_path / "both"), "--n_bootstrap", "20"]) == 0
    printed = capsys.readouterr().out
    assert "| structure: accuracy |" in printed
    assert "not of the same images and texts (PhantomCXR (default), split test, 12 images; PhantomCXR" in printed
    assert (tmp_path / "both" / "comparison.png").exists()


def test_the_suite_of_evaluate_calls_the_same_runner(model: Path, data: Path, tmp_path: Path) -> None:
    suite = EvaluationSuite.load(str(SUITE))
    report = suite.run(str(model), str(data), ["retrieval"], tmp_path / "suite", n_bootstrap=20)
    arguments = ["--model", str(model), "--data", str(data), "--out", str(tmp_path / "command"), "--n_bootstrap", "20"]
    assert main(["run", *arguments, "--tasks", "retrieval"]) == 0
    assert report == json.loads((tmp_path / "command" / "report.json").read_text())
    assert report == json.loads((tmp_path / "suite" / "report.json").read_text())
    assert "retrieval" in repr(suite)


def test_where_nothing_could_be_computed_the_report_is_written_and_the_status_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    dataset([{**pair(grey, f"s{grey}", "clear"), "boxes": []} for grey in range(3)]).to_parquet(data / "test.parquet")
    arguments = ["--model", str(model), "--data", str(data), "--n_bootstrap", "20"]
    message = refused(["run", *arguments, "--out", str(out), "--tasks", "grounding"], capsys)
    assert message == "error: nothing could be computed: grounding: none of the 3 rows has a box"
    assert json.loads((out / "report.json").read_text())["tasks"]["grounding"]["skipped"]
    assert "none of the 3 rows has a box" in (out / "report.md").read_text()
    assert main(["run", *arguments, "--out", str(tmp_path / "some"), "--tasks", "grounding,retrieval"]) == 0


def test_bad_input_is_one_line_and_status_2(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"--model": str(model), "--data": str(data), "--out": str(tmp_path / "out"), "--tasks": "retrieval"}

    def error(**changes: str) -> str:
        arguments = {**good, **{f"--{name}": value for name, value in changes.items()}}
        return refused(["run", *(word for pair in arguments.items() for word in pair)], capsys)

    assert "there is no task 'captions': there are structure, counterfactual" in error(tasks="captions")
    assert "no split 'dev': it has train, validation, test" in error(split="dev")
    assert "no dataset at" in error(data=str(tmp_path))
    assert str(tmp_path) in error(model=str(tmp_path))
    assert error(model="../nope") == "error: no model can be loaded from '../nope': there is no such folder"
    assert "'nope': there is no such folder, and the Hub cannot be reached or has nothing" in error(model="nope")
    assert error(model="nope.pt") == "error: there is no model file nope.pt"
    assert "recipe.yaml', which is a file: give its folder" in error(model=str(model / "recipe.yaml"))
    assert "recipe.yaml', which is a file: give a folder" in error(data=str(model / "recipe.yaml"))
    assert error(data="../nope") == "error: no dataset at '../nope': there is no such folder"
    assert error(data="nope.csv") == "error: there is no annotation file nope.csv"
    assert "device 'abacus' cannot be used here" in error(device="abacus")
    assert "batch_size is 0" in error(batch_size="0")
    assert "holds model, phantom, recipe.yaml: choose an empty" in error(out=str(model.parent))
    assert "no report at" in refused(["compare", str(tmp_path), str(tmp_path)], capsys)
    assert not (tmp_path / "out").exists()
