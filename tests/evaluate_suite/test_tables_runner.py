"""Running cells: what is done is kept, what fails is said, what was killed goes on, what changed is not reused."""

import fcntl
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tables_helpers import quick_plan, ran, run_plan

from evaluate_suite.tables.assembly import assemble
from evaluate_suite.tables.output import write_tables
from evaluate_suite.tables.plan import Plan
from evaluate_suite.tables.runner import Store, changed_cells, claimed

FAILS = (
    "import sys; print('some line'); print('error: data: it is broken', file=sys.stderr); print('more'); sys.exit(2)"
)


def test_every_cell_is_run_once_and_kept(tmp_path: Path):
    plan = quick_plan(tmp_path)
    first = run_plan(plan, tmp_path)
    began = ran(tmp_path)
    assert sorted(began) == sorted(cell.name for cell in plan.cells if cell.missing is None)
    assert began.index("prd-pretrain-seed0") < began.index("prd-mednli-seed0")
    assert run_plan(plan, tmp_path) == first
    assert ran(tmp_path) == began


def test_stand_ins_are_built_before_what_reads_them(tmp_path: Path):
    plan = quick_plan(tmp_path, there=("mednli",))
    results = run_plan(plan, tmp_path)
    built = ["data-build_chexpert", "data-build_chexpert_source", "data-build_pairs", "data-build_radnli"]
    assert sorted(ran(tmp_path)[:4]) == built
    assert {results[name]["status"] for name in built} == {"done"}
    assert results["prd-radnli-seed1"]["status"] == "done"


def test_what_needs_a_stand_in_that_failed_is_not_run(tmp_path: Path):
    results = run_plan(quick_plan(tmp_path, there=(), commands={"data-build_mednli": FAILS}), tmp_path)
    assert results["prd-radnli-seed0"]["error"] == "needs data-build_mednli, which failed"
    assert results["prd-chexpert-seed0"]["status"] == "done"


def test_more_seeds_are_added_to_those_there(tmp_path: Path):
    plan = quick_plan(tmp_path)
    run_plan(replace(plan, seeds=(0,), cells=tuple(cell for cell in plan.cells if cell.seed == 0)), tmp_path)
    before = len(ran(tmp_path))
    run_plan(plan, tmp_path)
    assert all(name.endswith("seed1") for name in ran(tmp_path)[before:])


def test_a_failed_cell_is_said_with_its_error_and_the_rest_goes_on(tmp_path: Path):
    results = run_plan(quick_plan(tmp_path, commands={"prd-pretrain-seed0": FAILS}), tmp_path)
    failed = results["prd-pretrain-seed0"]
    assert (failed["status"], failed["error"]) == ("failed", "error: data: it is broken (status 2)")
    for step in ("mednli", "radnli", "chexpert", "evaluate"):
        assert results[f"prd-{step}-seed0"]["status"] == "not run"
        assert results[f"prd-{step}-seed0"]["error"] == "needs prd-pretrain-seed0, which failed"
        assert results[f"prd-{step}-seed1"]["status"] == "done"
    assert "some line" in (tmp_path / "logs" / "prd-pretrain-seed0.log").read_text()


def test_a_failed_cell_is_tried_again(tmp_path: Path):
    run_plan(quick_plan(tmp_path, commands={"prd-mednli-seed1": FAILS}), tmp_path)
    before = len(ran(tmp_path))
    results = run_plan(quick_plan(tmp_path), tmp_path)
    assert results["prd-mednli-seed1"]["status"] == "done"
    assert ran(tmp_path)[before:] == ["prd-mednli-seed1"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("pass", "metrics.json cannot be read"),
        ("import os; os.kill(os.getpid(), 9)", "it said nothing (ended by signal 9)"),
        ("raise KeyError('x')", "KeyError: 'x' (status 1)"),
    ],
)
def test_how_a_cell_ended_is_said(script: str, words: str, tmp_path: Path):
    results = run_plan(quick_plan(tmp_path, commands={"prd-mednli-seed0": script}), tmp_path)
    assert results["prd-mednli-seed0"]["status"] == "failed"
    assert words in results["prd-mednli-seed0"]["error"]


def test_a_pretraining_whose_folder_is_gone_is_run_again(tmp_path: Path):
    plan = quick_plan(tmp_path)
    run_plan(plan, tmp_path)
    before = len(ran(tmp_path))
    (plan.cell("prd", "pretrain", 0).folder / "config.json").unlink()
    run_plan(plan, tmp_path)
    assert ran(tmp_path)[before:] == ["prd-pretrain-seed0"]


@pytest.mark.parametrize(("given", "seen"), [(None, "3"), ("5", "5")])
def test_what_runs_at_once_shares_the_cores(
    given: str | None, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("evaluate_suite.tables.runner.available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    tells = "import os; print('error:', os.environ['OMP_NUM_THREADS']); raise SystemExit(1)"
    results = run_plan(quick_plan(tmp_path, commands={"prd-mednli-seed0": tells}), tmp_path)
    assert results["prd-mednli-seed0"]["error"] == f"error: {seen} (status 1)"


KILLED = """
import sys
from pathlib import Path
from tables_helpers import quick_plan, run_plan

kills = "import os; os.kill(os.getppid(), 9)"
out = Path(sys.argv[1])
run_plan(quick_plan(out, commands={"prd-mednli-seed1": kills, "convirt-evaluate-seed1": kills}), out)
"""


def test_a_killed_run_goes_on_and_does_nothing_twice(tmp_path: Path):
    helpers = str(Path(__file__).parent)
    script = f"import sys; sys.path.insert(0, {helpers!r})\n{KILLED}"
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # what the killed run had started ends first
    files = (tmp_path / "cells").glob("*.json")
    done = {file.stem for file in files if json.loads(file.read_text())["status"] == "done"}
    assert "start-pretrain-seed0" in done
    before = len(ran(tmp_path))
    results = run_plan(quick_plan(tmp_path), tmp_path)
    assert not done & set(ran(tmp_path)[before:])
    assert {result["status"] for name, result in results.items() if not name.startswith("published")} == {"done"}


INTERRUPTS = "import os, signal; os.kill(os.getppid(), signal.SIGINT); signal.pause()"


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_ends_what_it_started_and_stores_no_result_of_it(tmp_path: Path):
    plan = quick_plan(tmp_path, commands={"prd-chexpert-seed0": INTERRUPTS})
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path)
    assert Store(tmp_path).read(plan.cell("prd", "chexpert", 0))["status"] == "begun"
    assert Store(tmp_path).read(plan.cell("prd", "mednli", 0))["status"] == "done"
    with claimed(tmp_path):  # nothing that was started is left to hold the folder
        pass


def test_a_folder_in_use_is_refused(tmp_path: Path):
    with claimed(tmp_path), pytest.raises(ValueError, match="in use by another run"), claimed(tmp_path):
        pass


def with_changed_settings(plan: Plan, name: str) -> Plan:
    return replace(
        plan,
        cells=tuple(
            replace(cell, settings={**cell.settings, "recipe.batch_size": 7}) if cell.name == name else cell
            for cell in plan.cells
        ),
    )


def test_what_changed_is_named_with_all_that_reads_it(tmp_path: Path):
    plan = quick_plan(tmp_path)
    run_plan(plan, tmp_path)
    assert changed_cells(plan, Store(tmp_path)) == {}
    changed = changed_cells(with_changed_settings(plan, "prd-pretrain-seed1"), Store(tmp_path))
    assert changed["prd-pretrain-seed1"] == "recipe.batch_size was 64 and is 7"
    steps = ("pretrain", "mednli", "radnli", "chexpert", "evaluate")
    assert set(changed) == {f"prd-{step}-seed1" for step in steps}


@pytest.mark.usefixtures("interruptible")
def test_what_was_begun_with_other_settings_is_named_though_it_did_not_end(tmp_path: Path):
    """Its checkpoints are of those settings: the programs would refuse them, or, of another start, go on with them."""
    plan = quick_plan(tmp_path, commands={"prd-mednli-seed0": INTERRUPTS})
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path)
    changed = changed_cells(with_changed_settings(plan, "prd-pretrain-seed0"), Store(tmp_path))
    assert {"prd-pretrain-seed0", "prd-mednli-seed0"} <= set(changed)


def test_a_damaged_result_is_named(tmp_path: Path):
    plan = quick_plan(tmp_path)
    run_plan(plan, tmp_path)
    (tmp_path / "cells" / "prd-mednli-seed0.json").write_text('{"row": ')
    with pytest.raises(ValueError, match=r"prd-mednli-seed0.json is damaged"):
        changed_cells(plan, Store(tmp_path))


def test_the_json_holds_every_cell_as_it_is_on_disk(tmp_path: Path):
    plan = quick_plan(tmp_path)
    write_tables(assemble(plan, run_plan(plan, tmp_path)), tmp_path)
    cells = json.loads((tmp_path / "tables.json").read_text())["cells"]
    for file in (tmp_path / "cells").glob("*.json"):
        assert cells[file.stem] == json.loads(file.read_text())
