"""`python -m evaluate_suite balanced`: list the counterfactuals of a split that language does not give away."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .balanced import (
    KIND_TOLERANCE,
    OVERALL_TOLERANCE,
    BalancedPairs,
    balanced_pairs,
    off_chance,
    percents,
    write_selection,
)
from .controls import NotComputable
from .controls.blind import gaps_fitted_on_train, wins_of
from .controls.gains import computed
from .data import load_evaluated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, metavar="DIR_OR_ID", help="a perturbed-pairs dataset")
    parser.add_argument("--split", metavar="NAME", help="default: test, or validation where there is none")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.csv", help="gets an image_id and kind a line")


def run(args: argparse.Namespace) -> None:
    """Write the subset that `run` measures as `counterfactual.balanced`, and print its size and balance by kind.

    Raises:
        ValueError: there is no such dataset or split, or its subset cannot be chosen; the message says why.
    """
    evaluated = load_evaluated(args.data, args.split)
    others = [split for split in (evaluated.train, evaluated.validation) if split is not None]
    subset = balanced_pairs(evaluated.test, others)
    write_selection(args.out, evaluated.test, subset)
    print("Blind models that chose the subset, fitted on the half of the reports without the pair's, in % right:")
    _print_models(subset, subset.gaps)
    fitted = computed(lambda: gaps_fitted_on_train(evaluated.train, evaluated.test, subset.pairs))
    if isinstance(fitted, NotComputable):
        print(f"Blind models fitted on the training split: none, {fitted}")
        return
    print("Blind models fitted on the training split, which chose nothing, in % right:")
    _print_models(subset, fitted[0])


def _print_models(subset: BalancedPairs, gaps: Mapping[str, NDArray[np.float64]]) -> None:
    # How many pairs there are and are kept, and each model before and after, by kind; and whether that is near chance.
    pairs = subset.pairs
    print(f"{'kind':12}{'pairs':>8}{'balanced':>10}" + "".join(f"{name + ' %':>20}" for name in gaps))
    for name, counted in [
        *((name, pairs.kinds == kind) for kind, name in enumerate(pairs.names)),
        ("all", np.ones(len(pairs.texts), dtype=bool)),
    ]:
        kept = counted & subset.selected
        before_and_after = (f"{_percent(each[counted]):>11} -> {_percent(each[kept]):>5}" for each in gaps.values())
        print(f"{name:12}{counted.sum():8}{kept.sum():10}" + "".join(before_and_after))
    chosen = np.flatnonzero(subset.selected)
    limits = f"50 +- {100 * OVERALL_TOLERANCE:.0f} % overall, +- {100 * KIND_TOLERANCE:.0f} % by kind"
    for name, each in gaps.items():
        off = off_chance(wins_of(each[chosen]), pairs.take(chosen))
        print(f"{name}: {limits}: " + (f"does not hold, {percents(off)}" if off else "holds"))


def _percent(gaps: NDArray[np.float64]) -> str:
    return f"{100 * wins_of(gaps).mean():.1f}" if len(gaps) else "-"
