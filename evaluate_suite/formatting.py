"""How reports print numbers, names and tables."""

from collections.abc import Sequence

from .statistics import Measurement

# Names of numbers that are shares of cases, printed in per cent; the others are printed as they are.
_SHARES = ("accuracy", "recall_at", "pointing_game", "by_kind", "by_perturbation", "blind", "wrong_image", "wrong_map")
_NO_SHARES = ("mean_reciprocal_rank",)
_PARTS = ("by_kind", "by_perturbation", "by_label")
_UNSAID = (*_PARTS, "models")
_IN_WORDS = {
    "auroc": "AUROC",
    "cnr": "CNR",
    "mean_iou": "mean IoU",
    "n_null": "rows without such an edit",
    "n_undefined_cnr": "phrases without a CNR",
    "ngram": "n-gram",
}
_LOWER_IS_BETTER = ("median_rank",)


def is_share(path: Sequence[str]) -> bool:
    """Whether the number at this path is a share of cases."""
    if any(name in part for part in path for name in _NO_SHARES):
        return False
    return any(name in part for part in path for name in _SHARES)


def lower_is_better(path: Sequence[str]) -> bool:
    """Whether the number at this path is better the lower it is, as a rank."""
    return any(name in path[-1] for name in _LOWER_IS_BETTER)


def is_gain(path: Sequence[str]) -> bool:
    """Whether the number at this path is a difference."""
    return any(part.startswith("gain_over") for part in path)


def value_text(value: float, path: Sequence[str], *, signed: bool = False) -> str:
    """A value alone: `71.2 %`, `0.712` or, for a difference, `+1.3 points`."""
    signed = signed or is_gain(path)
    sign = "+" if signed else ""
    if lower_is_better(path):
        return f"{value:{sign}.1f}"
    if not is_share(path):
        return f"{value:{sign}.3f}"
    return f"{100 * value:{sign}.1f} {'points' if signed else '%'}"


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
    return f"{number_text(number, path)} (chance {value_text(number['chance'], path)}, n {number['n']:,})"


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
