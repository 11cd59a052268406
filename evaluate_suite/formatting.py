"""How reports print numbers, names and tables."""

from collections.abc import Mapping, Sequence
from typing import Literal

from .statistics import Measurement

Unit = Literal["share", "rank", "plain"]
"""How a number is printed: as a share of cases in per cent, with one decimal place, or with three."""

# By the names of numbers, and of what holds numbers of one measure.
_MEASURES: Mapping[Unit, tuple[str, ...]] = {
    "share": (
        *("accuracy", "recall_at_1", "recall_at_5", "recall_at_10", "pointing_game", "wrong_map"),
        *("by_kind", "by_perturbation", "blind", "blind_fitted_on_train", "wrong_image"),
        *("gain_over_blind", "gain_over_blind_fitted_on_train", "gain_over_wrong_image"),
        *("structure_accuracy", "counterfactual_accuracy", "image_to_text_recall_at_1", "text_to_image_recall_at_1"),
    ),
    "rank": ("median_rank",),
    "plain": ("mean_reciprocal_rank", "auroc", "average_precision", "mean_iou", "cnr", "signed_cnr"),
}
_UNITS: Mapping[str, Unit] = {name: unit for unit, names in _MEASURES.items() for name in names}
_HEADLINES = ("accuracy", "recall_at_1", "pointing_game")
_MEAN_AUROC = ("auroc", "mean")
_PARTS = ("by_kind", "by_perturbation", "by_label")
_UNSAID = (*_PARTS, "models")
_IN_WORDS = {
    "auroc": "AUROC",
    "cnr": "CNR",
    "signed_cnr": "signed CNR",
    "mean_iou": "mean IoU",
    "n_null": "rows without such an edit",
    "n_undefined_cnr": "phrases without a CNR",
    "ngram": "n-gram",
    "jpeg": "JPEG",
}


def unit(path: Sequence[str]) -> Unit:
    """How the number at this path is printed, which the last measure named on it decides; `plain` where none is."""
    return next((_UNITS[name] for name in reversed(path) if name in _UNITS), "plain")


def lower_is_better(path: Sequence[str]) -> bool:
    """Whether the number at this path is better the lower it is, as a rank."""
    return unit(path) == "rank"


def is_headline(path: Sequence[str]) -> bool:
    """Whether the number at this path is a main one of its task."""
    of_all = path[-1] in _HEADLINES and not is_part(path) and not is_gain(path)
    return of_all or tuple(path[-2:]) == _MEAN_AUROC


def is_gain(path: Sequence[str]) -> bool:
    """Whether the number at this path is a difference."""
    return any(part.startswith("gain_over") for part in path)


def value_text(value: float, path: Sequence[str], *, signed: bool = False) -> str:
    """A value alone: `71.2 %`, `0.712` or, for a difference, `+1.3 points`."""
    signed = signed or is_gain(path)
    sign = "+" if signed else ""
    match unit(path):
        case "share":
            return f"{100 * value:{sign}.1f} {'points' if signed else '%'}"
        case "rank":
            return f"{value:{sign}.1f}"
        case _:
            return f"{value:{sign}.3f}"


def interval_text(interval: Sequence[float], path: Sequence[str], *, signed: bool = False) -> str:
    """A 95 % interval in the unit of its value, which stands before it: `[68.9, 73.4]`."""
    bounds = (value_text(bound, path, signed=signed).split()[0] for bound in interval)
    return f"[{', '.join(bounds)}]"


def number_text(number: Measurement, path: Sequence[str], *, signed: bool = False) -> str:
    """Value and interval: `71.2 % [68.9, 73.4]`."""
    value = value_text(number["value"], path, signed=signed)
    return f"{value} {interval_text(number['interval'], path, signed=signed)}"


def full_text(number: Measurement, path: Sequence[str]) -> str:
    """Value, interval, chance and n: `71.2 % [68.9, 73.4] (chance 50.0 %, n 964)`."""
    return f"{number_text(number, path)} ({chance_text(number, path)})"


def chance_text(number: Measurement, path: Sequence[str]) -> str:
    """What a number is to be read against: `chance 50.0 %, n 964`."""
    return f"chance {value_text(number['chance'], path)}, n {number['n']:,}"


def is_part(path: Sequence[str]) -> bool:
    """Whether the number at this path is that of a part of the cases, such as one kind of edit."""
    return any(name in _PARTS for name in path)


def label(path: Sequence[str]) -> str:
    """A number's name in a row of a table: `by_kind`, `heart_size` as "heart size"."""
    return words([name for name in path if name not in _UNSAID])


def words(path: Sequence[str]) -> str:
    """A path in words: `counterfactual`, `heart_size` as "counterfactual: heart size"."""
    return ": ".join(_IN_WORDS.get(part, part).replace("_", " ") for part in path)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar within a cell does not end it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
