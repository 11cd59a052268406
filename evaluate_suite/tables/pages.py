"""`tables.md`: the page to read."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..context import Tree
from ..formatting import table
from .charts import chart_name

_NONE = "–"

_SYNTHETIC = (
    "**Images or pairs of {names} are synthetic, made by a program; the numbers on them say nothing about real "
    "radiographs, and are not to be measured against the paper's, which stand beside them so that the order of the "
    "methods can be compared.**"
)

_READING = (
    "In %, but for AUROC. `paper` is what the paper printed, without a deviation. Ours is the mean over the seeds ± "
    "their sample deviation, and a 95 % interval in brackets that allows for other seeds (Student's t) and other "
    "cases (the mean half-width of the seeds' bootstrap intervals), added as independent; of one seed, its bootstrap "
    "interval. Methods share data, start and training, and differ in their losses alone."
)


def page(tree: Mapping[str, Any]) -> str:
    """The page, in Markdown, of what `assemble` gave."""
    return "\n\n".join(block for block in _blocks(tree) if block) + "\n"


def _blocks(tree: Mapping[str, Any]) -> Iterator[str]:
    seeds = ", ".join(map(str, tree["seeds"]))
    *others, last = [each["name"] for each in tree["tables"]]
    yield f"# The paper's Tables {', '.join(others)} and {last}" if others else f"# The paper's Table {last}"
    yield f"Scale: {tree['scale']}. Seeds: {seeds}."
    made = [name for name in tree["corpora"] if any(name in each["synthetic"] for each in tree["tables"])]
    yield _SYNTHETIC.format(names=", ".join(f"`{name}`" for name in made)) if made else ""
    yield _failures(tree)
    yield _READING
    for each in tree["tables"]:
        yield f"## Table {each['name']}: {each['title']}"
        yield _numbers(each)
        yield _reasons(each)
        yield f"![Table {each['name']}](figures/{chart_name(each)}.png)"
    yield "## How each row was made"
    yield table(["row", "how", "losses"], [_made(row) for row in tree["rows"]])
    yield "## Data"
    corpora = [[name, corpus["source"], _synthetic(corpus) or _NONE] for name, corpus in tree["corpora"].items()]
    yield table(["corpus", "what", "synthetic rows"], corpora)
    yield "## Time"
    yield _time(tree["time"])
    yield "## What is odd in the paper's tables"
    yield "\n".join(f"- {each}" for each in tree["oddities"])
    yield "## Commands"
    yield "OUT is the folder of this page; logs are in `OUT/logs`, every result in `OUT/cells` and in `tables.json`."
    yield "```\n" + "\n".join(_commands(tree["cells"])) + "\n```"


def _synthetic(corpus: Tree) -> str:
    count = corpus["synthetic"]
    return f"{count['synthetic']:,} of {count['rows']:,}" if count and count["synthetic"] else ""


def _failures(tree: Mapping[str, Any]) -> str:
    failed = {name: result for name, result in tree["cells"].items() if result["status"] == "failed"}
    if not failed:
        return ""
    lines = [f"- {name}: {result['error']}" for name, result in failed.items()]
    return "**Failed; the same call tries these again:**\n\n" + "\n".join(lines)


def _numbers(each: Tree) -> str:
    header = ["row"]
    for column in each["columns"]:
        header += [f"{column['title']}, paper"] if column["printed"] else []
        header.append(column["title"])
    rows = []
    for row in each["rows"]:
        cells = [row["label"]]
        for column in each["columns"]:
            title = column["title"]
            if column["printed"]:
                cells.append(f"{row['printed'][title]:.2f}" if title in row["printed"] else _NONE)
            cells.append(_ours(row, title, 100 if column["share"] else 1))
        rows.append(cells)
    return table(header, rows)


def _ours(row: Tree, title: str, scale: int) -> str:
    number, missing = row["ours"].get(title), row["missing"].get(title)
    if number is None:
        return missing["status"]
    places = 1 if scale == 100 else 3
    text = f"{scale * number['mean']:.{places}f}"
    if number["deviation"] is not None:
        text += f" ± {scale * number['deviation']:.{places}f}"
    if number["interval"] is not None:
        low, high = (scale * bound for bound in number["interval"])
        text += f" [{low:.{places}f}, {high:.{places}f}]"
    if missing is None:
        return text
    found = len(number["seeds"])
    return f"{text} ({found} of {found + len(missing['seeds'])} seeds)"


def _reasons(each: Tree) -> str:
    # Rows and columns of one reason are named together.
    places: dict[str, dict[str, list[str]]] = {}
    for row in each["rows"]:
        for title, missing in row["missing"].items():
            places.setdefault(missing["reason"], {}).setdefault(row["label"], []).append(title)
    lines = []
    for reason, rows in places.items():
        named = "; ".join(f"{label} ({', '.join(titles)})" for label, titles in rows.items())
        lines.append(f"- {named}: {reason}")
    return "\n".join(lines)


def _made(row: Tree) -> list[str]:
    losses = ", ".join(f"{key} {value}" for key, value in row["method"].items())
    return [row["label"], row["made"], losses or _NONE]


def _time(time: Mapping[str, Any]) -> str:
    rows = [
        [row, step, str(spent["cells"]), *(f"{spent[key]:,.0f}" for key in ("seconds", "longest", "cpu_seconds"))]
        for row, steps in time.items()
        for step, spent in steps.items()
    ]
    total = sum(spent["seconds"] for steps in time.values() for spent in steps.values())
    header = ["row", "step", "cells", "seconds in all", "longest", "of CPU"]
    return (
        f"{table(header, rows)}\n\nIn all {total / 60:,.0f} minutes, summed over what ran at the same time. Of a cell "
        "that was stopped or failed and then gone on with, it is the time of its last call."
    )


def _commands(cells: Mapping[str, Any]) -> Iterator[str]:
    for name, result in cells.items():
        if result["status"] != "not run":
            yield f"# {name}\n{result['command']}"
