"""A report as one page of Markdown: no number without its interval, its chance level and its n."""

from collections.abc import Iterator, Mapping
from typing import Any

from .context import Tree
from .formatting import full_text, is_gain, number_text, table, value_text, words
from .statistics import Measurement
from .tree import CONTROLS, Path, has_controls, is_measurement, measurements, others, reasons

_NOTHING = "–"
_NOTES = ("needs_image", "note")
_READING = """Each number stands with its 95 % interval (cluster bootstrap over studies), the value by chance, and the
number of cases n. *Blind* is a model that reads the texts alone, *wrong image* is this model with each report beside
another study's image: a test that either of them passes measures something else than what the image shows. Gains are
the differences to them, paired, in percentage points; by chance they are 0."""


def markdown(report: Tree) -> str:
    """The page of a report.

    Args:
        report: what `runner.run` returns; its figures are linked where it names them.
    """
    parts = [f"# {report['model']} on {report['data']}", _facts(report), _READING]
    warnings = [f"- **{words(path)}**: {note}" for path, note in flags(report["tasks"])]
    if warnings:
        parts += ["## Tests that do not need the image", "\n".join(warnings)]
    for task, tree in report["tasks"].items():
        parts += [f"## {words([task]).capitalize()}", *_section(tree, (task,))]
        parts += [f"![{each['caption']}]({each['file']})\n\n*{each['caption']}*" for each in report["figures"][task]]
    left_out = [f"- `{path}`: {reason}" for path, reason in (*reasons(report), *reasons(report["tasks"]))]
    if left_out:
        parts += ["## Left out", "\n".join(dict.fromkeys(left_out))]
    return "\n\n".join(parts) + "\n"


def flags(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The tests of a tree on which a wrong image does as well as the right one, each with what is said of it."""
    if tree.get("needs_image") is False:
        yield path, tree.get("note", "with the images exchanged the model scores as well: it does not need the image")
    for key, node in tree.items():
        if isinstance(node, Mapping):
            yield from flags(node, (*path, key))


def _facts(report: Tree) -> str:
    texts = report["texts"]
    window = "not told by the model" if texts["truncated"] is None else f"{texts['truncated']:,} truncated"
    rows = {
        "model": report["model"],
        "data": f"{report['data']}, split `{report['split']}`",
        "cases": f"{report['n_images']:,} images of {report['n_studies']:,} studies, "
        f"{report['n_reports']:,} distinct reports",
        "texts past the model's window": f"{window} (of {texts['distinct']:,} distinct texts)",
        "intervals": f"{report['n_bootstrap']:,} resamples of studies, seed {report['seed']}",
        "versions": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    }
    return table(["", ""], [[name, str(value)] for name, value in rows.items()])


def _section(tree: Mapping[str, Any], path: Path) -> list[str]:
    # The tables of a task, those of its parts that have controls of their own under a heading each.
    if has_controls(tree):
        parts = {key: node for key, node in tree.items() if isinstance(node, Mapping) and has_controls(node)}
        tree = {key: node for key, node in tree.items() if key not in parts}
        tables = [_controlled_table(tree, path)]
    else:
        parts, tables = {}, _plain_tables(tree, path)
    settings = [(names, value) for names, value in others(tree) if names[-1] not in _NOTES]
    if settings:
        tables.append("; ".join(f"{words(names)}: {_setting(value)}" for names, value in settings))
    for key, node in parts.items():
        tables += [f"### {words([key]).capitalize()}", *_section(node, (*path, key))]
    return tables


def _controlled_table(tree: Mapping[str, Any], task: Path) -> str:
    # One line a number, its controls on the same line; then what the controls have besides, each on its own line.
    rows, told = [], set()
    for path, number in measurements({key: node for key, node in tree.items() if key not in CONTROLS}):
        cells = []
        for control in CONTROLS:
            beside = () if path == ("accuracy",) else path
            counterpart = _at(tree.get(control), beside)
            told.add((control, *beside))
            cells.append(_beside(counterpart, number, (*task, control)))
        chance = value_text(number["chance"], (*task, *path))
        rows.append([words(path), number_text(number, (*task, *path)), *cells, chance, f"{number['n']:,}"])
    for path, number in measurements({control: tree[control] for control in CONTROLS if control in tree}):
        if path not in told:
            cells = [number_text(number, (*task, *path)) if path[0] == control else "" for control in CONTROLS]
            rows.append([words(path), "", *cells, value_text(number["chance"], (*task, *path)), f"{number['n']:,}"])
    return table(["", "model", *(control.replace("_", " ") for control in CONTROLS), "chance", "n"], rows)


def _at(tree: Any, path: Path) -> Measurement | None:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if is_measurement(tree) else None


def _beside(control: Measurement | None, number: Measurement, path: Path) -> str:
    # A control's chance and n are told where they are not those of its line; by chance a gain is 0.
    if control is None:
        return _NOTHING
    differing = []
    if control["chance"] != (0 if is_gain(path) else number["chance"]):
        differing.append(f"chance {value_text(control['chance'], path)}")
    if control["n"] != number["n"]:
        differing.append(f"n {control['n']:,}")
    return number_text(control, path) + (f" ({', '.join(differing)})" if differing else "")


def _plain_tables(tree: Mapping[str, Any], task: Path) -> list[str]:
    # Numbers of one depth stand in one table: whichever of the first and the last name has fewer values is the column.
    by_depth: dict[int, dict[Path, Measurement]] = {}
    for path, number in measurements(tree):
        by_depth.setdefault(len(path), {})[path] = number
    return [_pivot(numbers, task) if depth > 1 else _list(numbers, task) for depth, numbers in by_depth.items()]


def _list(numbers: Mapping[Path, Measurement], task: Path) -> str:
    rows = [[words(path), full_text(number, (*task, *path))] for path, number in numbers.items()]
    return table(["", "model"], rows)


def _pivot(numbers: Mapping[Path, Measurement], task: Path) -> str:
    first, last = (list(dict.fromkeys(path[place] for path in numbers)) for place in (0, -1))
    place, columns = (0, first) if len(first) < len(last) else (-1, last)
    rows: dict[Path, dict[str, str]] = {}
    for path, number in numbers.items():
        row = path[1:] if place == 0 else path[:-1]
        rows.setdefault(row, {})[path[place]] = full_text(number, (*task, *path))
    return table(
        ["", *(column.replace("_", " ") for column in columns)],
        [[words(row), *(cells.get(column, _NOTHING) for column in columns)] for row, cells in rows.items()],
    )


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
