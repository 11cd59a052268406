"""A run's numbers as people read them: a headline, a table, curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Tree = dict[str, Any]

_HEADLINE = {
    "structure accuracy": ("validation", "structure", "accuracy"),
    "image-to-text R@1": ("validation", "retrieval", "image_to_text", "recall_at_1"),
    "text-to-image R@1": ("validation", "retrieval", "text_to_image", "recall_at_1"),
    "counterfactual accuracy": ("validation", "counterfactual", "accuracy"),
}
_SECTIONS = {
    "validation": "validation",
    "validation_unseen_reports": "reports not in training",
    "validation_abnormal": "abnormal studies",
}


def headline(tree: Tree) -> dict[str, float]:
    """The few numbers that tell how a run stands; one that the corpus cannot give is left out."""
    found = {name: _lookup(tree, path) for name, path in _HEADLINE.items()}
    return {name: leaf["value"] for name, leaf in found.items() if leaf is not None}


def results_table(tree: Tree) -> str:
    """All numbers of an evaluation as a Markdown table, each with its interval, chance and count."""
    rows = [("on", "task", "measure", "value", "95 % interval", "chance", "n")]
    for section, title in _SECTIONS.items():
        for path, leaf in _leaves(tree.get(section, {})):
            interval = leaf.get("interval")
            rows.append(
                (
                    title,
                    path[0].replace("_", " "),
                    " ".join(path[1:]).replace("_", " "),
                    _number(leaf["value"]),
                    f"{_number(interval[0])} to {_number(interval[1])}" if interval else "",
                    _number(leaf["chance"]),
                    str(leaf["n"]),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def draw_curves(history: list[Tree], path: Path) -> None:
    """Draws losses and evaluations over the optimizer steps as a picture; dotted lines are chance."""
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    trained = [line for line in history if "loss" in line]
    for name in ("loss_global", "loss_local", "loss_perturbation"):
        lines = [line for line in trained if name in line]
        losses.plot([line["step"] for line in lines], [line[name] for line in lines], label=name.removeprefix("loss_"))
    losses.set(xlabel="optimizer step", ylabel="training loss", title="Losses")
    evaluated = [line for line in history if "validation" in line]
    for name, keys in _HEADLINE.items():
        found = [(line["step"], _lookup(line, keys)) for line in evaluated]
        points = [(step, leaf) for step, leaf in found if leaf is not None]
        if points:
            steps, leaves = zip(*points, strict=True)
            (curve,) = scores.plot(steps, [leaf["value"] for leaf in leaves], marker="o", label=name)
            scores.plot(steps, [leaf["chance"] for leaf in leaves], ":", color=curve.get_color())
    scores.set(xlabel="optimizer step", ylabel="share right (dotted: chance)", title="Validation", ylim=(0, 1.02))
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)  # below, where no curve runs
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _lookup(tree: Tree, path: tuple[str, ...]) -> Tree | None:
    node: Any = tree
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return None
        node = node[key]
    return node


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    for key, node in tree.items():
        if isinstance(node, dict) and "value" in node:
            yield (*path, key), node
        elif isinstance(node, dict):
            yield from _leaves(node, (*path, key))


def _number(value: float) -> str:
    return f"{value:.4g}" if value < 100 else f"{value:.1f}"
