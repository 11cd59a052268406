"""A report as one page of Markdown: no number without its interval, its chance level and its n."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .context import Tree
from .formatting import chance_text, full_text, is_gain, is_part, label, number_text, table, value_text, words
from .headlines import headlines
from .statistics import Measurement
from .tree import (
    CONTROLS,
    SKIPPED,
    Path,
    has_controls,
    is_measurement,
    is_test,
    measurements,
    node_at,
    others,
    reasons,
)

_NOTHING = "–"
_NOTES = ("needs_image", "note")  # they stand on top
_READING = """Each number stands with its 95 % interval (cluster bootstrap over studies), the value by chance, and the
number of cases n. *Blind* is a model that reads the texts alone, *wrong image* is this model with each report beside
another study's image (in grounding, its maps of other phrases on other images): a test that either of them passes
measures something else than what the image shows. Gains are the differences to them, paired, in percentage points; by
chance they are 0. Every number and setting stands in `report.json`."""


def markdown(report: Tree) -> str:
    """The page of a report: its main numbers, what to beware of, and then each task, its tables folded.

    Args:
        report: what `runner.run` returns; its figures are linked where it names them.
    """
    tasks = report["tasks"]
    parts = [f"# {report['model']} on {report['data']}", _cases(report), *_headline_table(tasks), _READING]
    warnings = [f"- **{words(path)}**: {note}" for path, note in flags(tasks)]
    if warnings:
        parts += ["## Results that say little about the image", "\n".join(warnings)]
    for task, tree in tasks.items():
        parts.append(f"## {words([task]).capitalize()}")
        parts += [f"![{words([task])}]({each['file']})\n\n*{each['caption']}*" for each in report["figures"][task]]
        parts += _folded(f"{words([task]).capitalize()} in numbers", _section(tree, (task,)))
    left_out: dict[str, list[str]] = {}
    for path, reason in (*report["skipped"].items(), *reasons(tasks)):
        left_out.setdefault(reason, []).append(f"`{path}`")
    if left_out:
        parts += ["## Left out", "\n".join(f"- {', '.join(paths)}: {reason}" for reason, paths in left_out.items())]
    return "\n\n".join([*parts, "## What was run", _facts(report)]) + "\n"


def _cases(report: Tree) -> str:
    drawn, images = report["n_synthetic"], report["n_images"]
    share = "All" if drawn == images else f"{drawn:,}"
    synthetic = (
        f" **{share} of the images are synthetic: drawn by a program, not taken of patients.**" if drawn else ""
    )
    return (
        f"{images:,} images of {report['n_studies']:,} studies with {report['n_reports']:,} distinct reports, split "
        f"`{report['split']}`.{synthetic}"
    )


def _headline_table(tasks: Mapping[str, Any]) -> list[str]:
    rows = [
        [each.name, *_controlled_cells(each.number, [each.controls.get(control) for control in CONTROLS], each.path)]
        for each in headlines(tasks)
    ]
    return [_controls_table(rows)] if rows else []


def _folded(summary: str, parts: Sequence[str]) -> list[str]:
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"] if parts else []


def flags(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The tests of a tree that a control passes as well as the model, each with the note that says so."""
    if (is_test(tree) or is_measurement(tree)) and "note" in tree:
        yield path, tree["note"]
    for key, node in tree.items():
        if isinstance(node, Mapping):
            yield from flags(node, (*path, key))


def _facts(report: Tree) -> str:
    texts = report["texts"]
    window = "not told by the model" if texts["truncated"] is None else f"{texts['truncated']:,} truncated"
    rows = {
        "model": f"`{report['sources']['model']}`",
        "data": f"`{report['sources']['data']}`, split `{report['split']}`",
        "texts past the model's window": f"{window} (of {texts['distinct']:,} distinct texts)",
        "intervals": f"{report['n_bootstrap']:,} resamples of studies, seed {report['seed']}",
        "versions": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    }
    return table(["", ""], [[name, value] for name, value in rows.items()])


def _section(tree: Mapping[str, Any], path: Path) -> list[str]:
    # The tables of a task, those of its parts that have controls of their own under a heading each.
    if has_controls(tree):
        parts = {key: node for key, node in tree.items() if isinstance(node, Mapping) and has_controls(node)}
        tree = {key: node for key, node in tree.items() if key not in parts}
        tables = [_controlled_table(tree, path)]
    else:
        parts, tables = {}, _plain_tables(tree, path)
    tables += _settings(tree, path[-1])
    for key, node in parts.items():
        tables += [f"### {words([key]).capitalize()}", *_section(node, (*path, key))]
    return tables


def _settings(tree: Mapping[str, Any], task: str) -> list[str]:
    # Counts, thresholds and the like: those two names deep as a table, the others that stand together in one line.
    lines: dict[Path, dict[str, str]] = {}
    tables: dict[Path, dict[str, dict[str, str]]] = {}
    notes = []
    for path, value in others(tree):
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        if path == ("note",):
            notes += [] if is_test(tree) else [text]  # a test's stands on top
        elif path[-1] not in _NOTES and len(path) > 2:
            tables.setdefault(path[:-2], {}).setdefault(path[-2], {})[path[-1]] = text
        elif path[-1] not in _NOTES:
            lines.setdefault(path[:-1], {})[words(path[-1:])] = text
    parts = [_settings_table(path, rows) for path, rows in tables.items()]
    for path, texts in lines.items():
        parts.append(f"{words(path)}: " * bool(path) + ", ".join(f"{name} {text}" for name, text in texts.items()))
    whole = tree.get(SKIPPED, {}).get(task)
    return [*parts, *notes, *([f"Not computed: {whole}"] if whole else [])]


def _settings_table(path: Path, rows: Mapping[str, Mapping[str, str]]) -> str:
    # Turned where that makes it the shorter.
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    if len(columns) < len(rows):
        turned = {column: {row: cells[column] for row, cells in rows.items() if column in cells} for column in columns}
        rows, columns = turned, list(rows)
    lines = [[words([row]), *(cells.get(column, _NOTHING) for column in columns)] for row, cells in rows.items()]
    return table([words(path), *(words([column]) for column in columns)], lines)


def _controlled_table(tree: Mapping[str, Any], task: Path) -> str:
    # One line a number of the model's with its controls; then one for each further control, such as each blind model.
    # What these are for each part stands in report.json alone.
    rows, told = [], {(control,) for control in CONTROLS}
    controls = {key: node for key, node in tree.items() if key.startswith(CONTROLS)}
    for path, number in measurements({key: node for key, node in tree.items() if key not in controls}):
        beside = () if path == ("accuracy",) else path
        found = [node_at(tree, (control, *beside)) for control in CONTROLS]
        cells = [node if is_measurement(node) else None for node in found]
        rows.append([label(path), *_controlled_cells(number, cells, (*task, *path))])
    for path, number in measurements(controls):
        if path not in told and not is_part(path):
            texts = [number_text(number, (*task, *path)) if path[0].startswith(each) else "" for each in CONTROLS]
            rows.append([label(path), "", *texts, *_chance_and_n(number, (*task, *path))])
    return _controls_table(rows)


def _controls_table(rows: Sequence[Sequence[str]]) -> str:
    return table(["", "model", *(words([control]) for control in CONTROLS), "chance", "n"], rows)


def _controlled_cells(number: Measurement, controls: Sequence[Measurement | None], path: Path) -> list[str]:
    # A number with its controls, in the order of CONTROLS, on one line.
    beside = [_beside(found, number, path, name) for found, name in zip(controls, CONTROLS, strict=True)]
    return [number_text(number, path), *beside, *_chance_and_n(number, path)]


def _chance_and_n(number: Measurement, path: Path) -> tuple[str, str]:
    return value_text(number["chance"], path), f"{number['n']:,}"


def _beside(control: Measurement | None, number: Measurement, path: Path, name: str) -> str:
    # A control's chance and n are told where they are not those of its line; by chance a gain is 0.
    if control is None:
        return _NOTHING
    path, differing = (name, *path), []
    if control["chance"] != (0 if is_gain(path) else number["chance"]):
        differing.append(f"chance {value_text(control['chance'], path)}")
    if control["n"] != number["n"]:
        differing.append(f"n {control['n']:,}")
    return number_text(control, path) + (f" ({', '.join(differing)})" if differing else "")


def _plain_tables(tree: Mapping[str, Any], task: Path) -> list[str]:
    # Numbers with a name of their own in one table, those with two and more names in another.
    numbers = dict(measurements(tree))
    nested = {path: number for path, number in numbers.items() if len(path) > 1}
    single = {path: number for path, number in numbers.items() if path not in nested}
    return ([_list(single, task)] if single else []) + ([_pivot(nested, task)] if nested else [])


def _list(numbers: Mapping[Path, Measurement], task: Path) -> str:
    rows = [[words(path), full_text(number, (*task, *path))] for path, number in numbers.items()]
    return table(["", "model"], rows)


def _pivot(numbers: Mapping[Path, Measurement], task: Path) -> str:
    # Columns are the first names or the last: the last where there are three names, otherwise whichever are fewer.
    # Chance and n that are the same for a whole column stand in its heading.
    first, last = (list(dict.fromkeys(path[place] for path in numbers)) for place in (0, -1))
    turned = max(map(len, numbers)) == 2 and len(first) <= len(last)
    place, columns = (0, first) if turned else (-1, last)
    in_column = {
        column: [(path, number) for path, number in numbers.items() if path[place] == column] for column in columns
    }
    headings, rows = [], dict[Path, dict[str, str]]()
    for column, found in in_column.items():
        shared = {chance_text(number, (*task, *path)) for path, number in found}
        headings.append(words([column]) + (f" ({shared.pop()})" if len(shared) == 1 else ""))
        text = full_text if shared else number_text
        for path, number in found:
            row = path[1:] if place == 0 else path[:-1]
            rows.setdefault(row, {})[column] = text(number, (*task, *path))
    return table(
        ["", *headings],
        [[label(row), *(cells.get(column, _NOTHING) for column in columns)] for row, cells in rows.items()],
    )
