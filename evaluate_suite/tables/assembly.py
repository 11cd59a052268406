"""From the cells' results to what `tables.json` holds: ours over the seeds, beside what the paper printed."""

from collections.abc import Mapping
from typing import Any

from ..context import Tree
from ..statistics import Measurement
from .numbers import over_seeds
from .paper import BLIND, CHANCE, HYPOTHESIS, LABELS, MAJORITY, ODDITIES, Column, Table
from .plan import EVALUATE, METHOD_KEYS, Cell, Plan
from .runner import DONE, FAILED, Result

Results = Mapping[str, Result]

_MADE = {
    MAJORITY: "the constant answer: for inference the training split's most frequent class, for an observation the "
    "better of always and never; the AUROC of any constant is 0.5",
    HYPOTHESIS: "a control: fine-tuned from the start as the others, but shown no premise; what is above chance "
    "here can be told without reading both sentences; on whole blocks of the stand-in it is a third by construction",
    CHANCE: "what random scores are expected to reach; a model that was not trained on perturbed copies can be below "
    "it, with any image",
    BLIND: "the best of the models that read the texts alone, which `evaluate_suite run` fits to each split; it finds "
    "no place in an image",
}


def assemble(plan: Plan, results: Results) -> Tree:
    """What `tables.json` holds.

    Args:
        plan: the cells.
        results: of each, by its name.

    Returns:
        `scale`, `seeds`, `corpora`, `tables`, each with the names of its `synthetic` corpora, `rows` (how each was
        made), `time`, `oddities` of the paper, and `cells`, every result as it is on disk. A number is `over_seeds`'s
        tree; one that is not there is named under `missing` with its reason.
    """
    corpora = {
        corpus.name: {
            "source": corpus.display,
            "identity": corpus.identity,
            "stand_in": corpus.stand_in,
            "synthetic": _synthetic(corpus.name, plan, results),
        }
        for corpus in plan.corpora.values()
    }
    return {
        "scale": plan.scale,
        "seeds": list(plan.seeds),
        "corpora": corpora,
        "tables": [
            _table(table, plan, results) | {"synthetic": _synthetic_corpora(table, corpora)} for table in plan.tables
        ],
        "rows": _how_made(plan),
        "time": _time(plan, results),
        "oddities": list(ODDITIES),
        "cells": dict(results),
    }


def _synthetic(corpus: str, plan: Plan, results: Results) -> Tree | None:
    # As `read_synthetic` counts; None before any cell that reads the corpus is done.
    step = EVALUATE if corpus == "pairs" else corpus
    counts = (results[cell.name]["synthetic"] for cell in plan.cells if cell.step == step)
    return next((count for count in counts if count is not None), None)


def _synthetic_corpora(table: Table, corpora: Mapping[str, Tree]) -> list[str]:
    # Those that the table's columns read, and that hold what a program made.
    read = dict.fromkeys("pairs" if column.step == EVALUATE else column.step for column in table.columns)
    there = {name: corpora[name] for name in read if name in corpora}
    return [name for name, of in there.items() if of["stand_in"] or (of["synthetic"] or {}).get("synthetic")]


def _table(table: Table, plan: Plan, results: Results) -> Tree:
    rows = [
        _row(name, LABELS[name], table, plan, results) if name == HYPOTHESIS else _control(name, table, plan, results)
        for name in table.controls
    ]
    rows += [_row(row.name, row.label, table, plan, results) for row in plan.rows]
    return {
        "name": table.name,
        "title": table.title,
        "columns": [
            {"title": column.title, "share": column.share, "printed": bool(column.printed)} for column in table.columns
        ],
        "rows": rows,
    }


def _row(name: str, label: str, table: Table, plan: Plan, results: Results) -> Tree:
    tree: Tree = {"row": name, "label": label, "printed": {}, "ours": {}, "missing": {}}
    for column in table.columns:
        if name in column.printed:
            tree["printed"][column.title] = column.printed[name]
        cells = {seed: plan.cell(name, column.step, seed) for seed in plan.seeds}
        measured = {
            seed: number
            for seed, cell in cells.items()
            if (number := results[cell.name]["numbers"].get(column.number)) is not None
        }
        if measured:
            tree["ours"][column.title] = over_seeds(measured)
        if reason := _why_missing(column, {seed: cells[seed] for seed in cells if seed not in measured}, results):
            tree["missing"][column.title] = reason
    return tree


def _why_missing(column: Column, cells: Mapping[int, Cell], results: Results) -> Tree | None:
    # Of the first seed that lacks the number: `status` is that of its cell, or `not measured`.
    for seed, cell in cells.items():
        result = results[cell.name]
        if result["status"] == DONE:
            return {"seeds": list(cells), "status": "not measured", "reason": result["skipped"].get(column.number)}
        said = f"seed {seed}: {result['error']}" if result["status"] == FAILED else result["error"]
        return {"seeds": list(cells), "status": result["status"], "reason": said}
    return None


def _control(name: str, table: Table, plan: Plan, results: Results) -> Tree:
    tree: Tree = {"row": name, "label": LABELS[name], "printed": {}, "ours": {}, "missing": {}}
    for column in table.columns:
        number = _control_number(name, column, plan, results)
        if number is not None:
            tree["ours"][column.title] = number
        else:
            reason = "no cell of this column is done" if not _numbers_of(column, plan, results) else "there is none"
            tree["missing"][column.title] = {"seeds": [], "status": "not measured", "reason": reason}
    return tree


def _control_number(name: str, column: Column, plan: Plan, results: Results) -> Tree | None:
    # It is the same for every model on the same split, so the first cell's.
    numbers = _numbers_of(column, plan, results)
    if name == BLIND:
        own = numbers.get(f"{column.number}_{BLIND}")
    elif name == MAJORITY and MAJORITY in numbers:
        own = numbers[MAJORITY]
    else:
        return _constant(numbers[column.number]) if column.number in numbers else None
    return None if own is None else {**over_seeds({0: own}), "seeds": {}}


def _numbers_of(column: Column, plan: Plan, results: Results) -> dict[str, Measurement]:
    cells = (cell for cell in plan.cells if cell.step == column.step)
    return next((numbers for cell in cells if (numbers := results[cell.name]["numbers"])), {})


def _constant(number: Measurement) -> Tree:
    chance = number["chance"]
    return {"mean": chance, "deviation": None, "interval": None, "chance": chance, "n": number["n"], "seeds": {}}


def _how_made(plan: Plan) -> list[Tree]:
    controls = dict.fromkeys(name for table in plan.tables for name in table.controls)
    rows: list[Tree] = [{"row": name, "label": LABELS[name], "made": _MADE[name], "method": {}} for name in controls]
    for row in plan.rows:
        method = {key: value for key, value in row.recipe.items() if key in METHOD_KEYS and key != "output_dir"}
        rows.append({"row": row.name, "label": row.label, "made": row.made, "method": method})
    return rows


def _time(plan: Plan, results: Results) -> Tree:
    # Seconds of what is done or failed, by row and step, over the seeds.
    time: dict[str, dict[str, Any]] = {}
    for cell in plan.cells:
        result = results[cell.name]
        if "seconds" not in result:
            continue
        spent = time.setdefault(cell.row, {}).setdefault(
            cell.step, {"cells": 0, "seconds": 0.0, "cpu_seconds": 0.0, "longest": 0.0}
        )
        spent["cells"] += 1
        for key in ("seconds", "cpu_seconds"):
            spent[key] = round(spent[key] + result[key], 1)
        spent["longest"] = max(spent["longest"], result["seconds"])
    return time
