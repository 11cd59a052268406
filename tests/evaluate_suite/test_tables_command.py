"""`python -m evaluate_suite tables`: bad input, a plan that is not run, and the whole on a tiny recipe."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import run
from tables_helpers import SMALL, quick_plan, ran, run_plan
from tiny_recipe import TINY_RECIPE

import finetune
import train
from datasets_scripts import phantom, phantom_nli
from evaluate_suite.__main__ import main
from evaluate_suite.tables.plan import ROOT, Cell
from evaluate_suite.tables.runner import Runner

PROGRAMS = {str(ROOT / "train.py"): train.main, str(ROOT / "finetune.py"): finetune.main, "evaluate_suite": main}


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["tables", *map(str, arguments)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0,x"], "seeds: 'x' is no whole number"),
        (["--seeds", "0,0"], "seeds: 0 stands twice"),
        (["--seeds", "0,00"], "seeds: 0 stands twice"),
        (["--seeds", "4294967296"], "seeds: '4294967296' is no whole number below 2**32"),
        (["--data", "mednli=org/a", "--data", "mednli=org/b"], "data: mednli stands twice"),
        (["--tables", "II,V"], "tables: 'V' is none of II, III, IV"),
        (["--jobs", "0"], "jobs: 0 is below 1"),
        (["--recipes", "clip"], "recipes: 'clip' is not there"),
        (["--data", "pairs=nowhere/at/all"], "pairs=nowhere/at/all is not there"),
        (["--finetuning", "nowhere"], "no recipe at nowhere/chexpert.yaml"),
    ],
)
def test_bad_input_ends_with_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert words in error_of(capsys, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_the_commands_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["tables", "--out", str(tmp_path / "out"), "--dry_run", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "train.py --config recipes/small/gloria.yaml" in printed
    assert "finetune.py --config recipes/small/finetune/nli.yaml --task radnli" in printed
    assert "build phantom_nli" in printed
    assert "published-mednli-seed3: not run" in printed
    assert str(tmp_path) not in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_in_one_line(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Runner, "run", lambda runner: os.kill(os.getpid(), number))
    assert main(["tables", "--out", str(tmp_path)]) == 130
    page = tmp_path / "tables.md"
    assert capsys.readouterr().err == f"stopped; {page} has what was done, and the same call goes on\n"
    assert signal.getsignal(signal.SIGTERM) == before
    assert "the run was stopped before it ended" in page.read_text()


def test_what_changed_is_done_again_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    plan = quick_plan(tmp_path)
    run_plan(plan, tmp_path)
    cell = plan.cell("prd", "mednli", 0)
    cells = tuple(
        replace(each, settings={**each.settings, "seed": 9}) if each == cell else each for each in plan.cells
    )
    monkeypatch.setattr("evaluate_suite.tables_command.make_plan", lambda *given: replace(plan, cells=cells))
    capsys.readouterr()
    assert "prd-mednli-seed0 was begun with other settings (seed was 0 and is 9): set" in error_of(
        capsys, "--out", tmp_path
    )
    before = len(ran(tmp_path))
    assert main(["tables", "--out", str(tmp_path), "--redo_changed"]) == 0
    assert "prd-mednli-seed0: done again, seed was 0 and is 9" in capsys.readouterr().out
    assert ran(tmp_path)[before:] == ["prd-mednli-seed0"]


def test_a_failed_cell_gives_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    plan = quick_plan(tmp_path, commands={"prd-mednli-seed0": "raise SystemExit('error: it is broken')"})
    monkeypatch.setattr("evaluate_suite.tables_command.make_plan", lambda *given: plan)
    assert main(["tables", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(tmp_path / "tables.md"), "failed: prd-mednli-seed0: error: it is broken (status 1)"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of one method on tiny data, without RadNLI and CheXpert."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe = {**TINY_RECIPE, "num_train_epochs": 1, "alpha": 0.0, "beta": 0.5, "max_eval_images": 10}
    (folder / "prd.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "nli.yaml").write_text(yaml.safe_dump({"max_steps": 3, "device": "cpu", "cpu_threads": 1}))
    (folder / "chexpert.yaml").write_text((SMALL / "finetune" / "chexpert.yaml").read_text())
    phantom.build(folder / "pairs", train=24, validation=10, test=12, image_size=32, progress=False)
    phantom_nli.build(folder / "mednli", train=48, validation=24, test=24, progress=False)
    return [
        *("--scale", "paper", "--recipes", str(folder / "prd.yaml"), "--finetuning", str(folder), "--seeds", "0"),
        *("--jobs", "2", "--data", f"pairs={folder / 'pairs'}", f"mednli={folder / 'mednli'}"),
    ]


@pytest.fixture
def others_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method's pre-training starts its program as planned; other cells fork a process that calls theirs."""
    start = Runner._start

    def start_or_fork(runner: Runner, cell: Cell, log: Any) -> Any:
        if (cell.row, cell.step) != ("prd", "pretrain"):
            place = next(place for place, part in enumerate(cell.command) if part in PROGRAMS)
            ended = run(PROGRAMS[cell.command[place]], list(cell.command[place + 1 :]))
            log.write((ended.stdout + ended.stderr).encode())
            log.flush()
            command = (sys.executable, "-S", "-c", f"raise SystemExit({ended.statuses[0]})")
            cell = replace(cell, command=command)
        return start(runner, cell, log)

    monkeypatch.setattr(Runner, "_start", start_or_fork)


@pytest.mark.slow
@pytest.mark.usefixtures("others_forked")
def test_one_method_from_end_to_end(tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["tables", "--out", str(tmp_path), *tiny]
    status = main(arguments)
    first = capsys.readouterr()
    assert status == 0, first
    assert first.out.strip() == str(tmp_path / "tables.md")
    tree = json.loads((tmp_path / "tables.json").read_text())
    status_of = {name: cell["status"] for name, cell in tree["cells"].items()}
    done = {name for name, status in status_of.items() if status == "done"}
    rows = ("hypothesis-mednli", "random-mednli", "random-evaluate", "prd-pretrain", "prd-mednli", "prd-evaluate")
    assert done == {f"{name}-seed0" for name in ("start-pretrain", *rows)}
    assert set(status_of.values()) == {"done", "not run"}
    cell = tree["cells"]["prd-mednli-seed0"]
    assert cell["seconds"] > 0
    metrics = json.loads((tmp_path / "runs" / "prd" / "seed-0" / "mednli" / "metrics.json").read_text())
    assert cell["numbers"]["accuracy"]["value"] == metrics["test"]["accuracy"]["value"]
    structure = next(table for table in tree["tables"] if table["name"] == "IV")["rows"][-1]
    assert 0 <= structure["ours"]["structure"]["mean"] <= 1
    assert structure["ours"]["pointing game"]["n"] > 0

    assert main(arguments) == 0
    assert capsys.readouterr().err.count("done before") == len(done)
    assert json.loads((tmp_path / "tables.json").read_text()) == tree

    data = Path(arguments[-1].removeprefix("mednli="))
    phantom_nli.build(data, train=48, validation=24, test=36, overwrite=True, progress=False)
    capsys.readouterr()
    refused = error_of(capsys, *arguments[1:])
    assert "hypothesis-mednli-seed0 was begun with other settings (data.mednli was" in refused
    assert "--redo_changed" in refused


@pytest.mark.parametrize(
    "heads", [{}, {"vision_pooling": "projected_mean", "vision_projection": "biovil"}], ids=["small", "paper"]
)
def test_the_start_holds_the_weights_that_training_starts_from(heads: dict[str, str], tiny: list[str], tmp_path: Path):
    """The model folder of the rows without pre-training: one step at a learning rate of 0 changes no weight.

    Nor does it change a running statistic, such as those of BioViL's head, which `freeze` leaves alone.
    """
    import torch
    from transformers import set_seed

    from evaluate_suite.tables.corpora import given_corpora
    from evaluate_suite.tables.plan import make_plan, recipe_files
    from modeling_prd import PRDModel
    from training.arguments import parse_recipe
    from training.data import load_pairs, training_texts
    from training.models import build_model, build_tokenizer

    options = dict(zip(tiny[0:8:2], tiny[1:9:2], strict=True))
    corpora = given_corpora([tiny[-2]])
    file = tmp_path / "prd.yaml"
    file.write_text(yaml.safe_dump({"extends": options["--recipes"], **heads}))
    files = recipe_files([str(file)], ROOT / "recipes")
    plan = make_plan(files, Path(options["--finetuning"]), corpora, [5], "paper", tmp_path)
    command = plan.cell("start", "pretrain", 5).command
    train.main(list(command[command.index(str(ROOT / "train.py")) + 1 :]))
    held = PRDModel.from_pretrained(plan.cell("start", "pretrain", 5).folder).state_dict()

    method = plan.cell("prd", "pretrain", 5).command
    recipe = parse_recipe(list(method[method.index(str(ROOT / "train.py")) + 1 :]))
    pairs = load_pairs(recipe.data)
    set_seed(5)
    texts = training_texts(pairs.train_texts, recipe.data.perturbation_types)
    tokenizer = build_tokenizer(texts, recipe.data.vocab_size, recipe.data.max_length)
    start = build_model(recipe.model, recipe.data.image_size, tokenizer).state_dict()
    assert held.keys() == start.keys()
    assert all(torch.equal(held[name], weight) for name, weight in start.items())
