"""A plan of the paper's tables whose cells end at once: each writes the numbers that it is told, and that it ran."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluate_suite.tables.corpora import CORPORA, Corpus
from evaluate_suite.tables.numbers import results_file
from evaluate_suite.tables.paper import TABLES, Table
from evaluate_suite.tables.plan import DATA, EVALUATE, PRETRAIN, ROOT, Cell, Plan, make_plan, recipe_files
from evaluate_suite.tables.runner import Result, Runner, claimed

SMALL = ROOT / "recipes" / "small"
METHODS = ("convirt", "prd")
_WRITES = """
import json, pathlib, sys
name, ran, files = sys.argv[1:]
with open(ran, "a") as file:
    print(name, file=file)
for path, text in json.loads(files).items():
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text)
"""


def corpora(names: Sequence[str] = tuple(CORPORA)) -> dict[str, Corpus]:
    return {name: Corpus(name, f"org/{name}", f"Hub id org/{name}") for name in names}


def quick_plan(
    out: Path,
    *,
    there: Sequence[str] = tuple(CORPORA),
    scale: str = "small",
    commands: Mapping[str, Any] | None = None,
    tables: Sequence[Table] = TABLES,
) -> Plan:
    """The plan of two methods with two seeds.

    Args:
        out: its folder.
        there: the corpora that are given.
        scale: small or paper.
        commands: by cells' names, what to run in place of writing numbers.
        tables: that are made.
    """
    files = recipe_files(METHODS, SMALL)
    plan = make_plan(files, SMALL / "finetune", corpora(there), (0, 1), scale, out, tables)
    cells = tuple(replace(cell, command=_command(cell, out, commands or {})) for cell in plan.cells)
    return replace(plan, cells=cells)


def run_plan(plan: Plan, out: Path) -> dict[str, Result]:
    with claimed(out) as lock:
        return Runner(plan, out, 2, lock).run()


def ran(out: Path) -> list[str]:
    """The cells whose processes began, in their order."""
    file = out / "ran.txt"
    return file.read_text().split() if file.exists() else []


def value_of(row: str, seed: int | None) -> float:
    return {"random": 0.3, "convirt": 0.5, "prd": 0.8}.get(row, 0.1) + 0.05 * int(seed or 0)


def measurement(value: float, half_width: float = 0.02) -> dict[str, Any]:
    return {"value": value, "interval": [value - half_width, value + half_width], "chance": 0.1, "n": 100}


def _command(cell: Cell, out: Path, commands: Mapping[str, Any]) -> tuple[str, ...]:
    if cell.name in commands:
        return (sys.executable, "-S", "-c", commands[cell.name])
    files = {str(results_file(cell.step, cell.folder)): json.dumps(_results(cell))}
    if cell.row == DATA:
        files = {str(cell.folder / "README.md"): "a dataset"}
    if cell.step == PRETRAIN:
        files[str(cell.folder / "config.json")] = "{}"
    return (sys.executable, "-S", "-c", _WRITES, cell.name, str(out / "ran.txt"), json.dumps(files))


def _results(cell: Cell) -> dict[str, Any]:
    number, blind = measurement(value_of(cell.row, cell.seed)), measurement(0.99, 0.005)
    if cell.step == EVALUATE:
        task = {"accuracy": number, "blind": blind, "wrong_image": measurement(0.2)}
        grounding = {"skipped": {"grounding": "none of the 100 rows has a box"}}
        tasks = {"structure": task, "counterfactual": task, "grounding": grounding}
        return {"n_images": 100, "n_synthetic": 30, "tasks": tasks}
    rows = {"n_train": 200, "n_synthetic": 0, "n_test": 50, "n_test_synthetic": 20}
    if cell.step == "chexpert":
        by_label = {"Consolidation": number, "Pleural Effusion": number, "mean": number}
        return rows | {"test": {"accuracy": by_label, "auroc": by_label}}
    return rows | {"test": {"accuracy": number, "macro_f1": number, "majority": {"accuracy": measurement(1 / 3)}}}
