"""`python -m evaluate_suite balanced`: list the counterfactuals of a split that language does not give away."""

import argparse
from pathlib import Path

import numpy as np

from .balanced import balanced_pairs, write_selection
from .controls.blind import wins_of
from .data import load_evaluated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, metavar="DIR_OR_ID", help="a perturbed-pairs dataset")
    parser.add_argument("--split", metavar="NAME", help="default: test, or validation where there is none")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.csv", help="gets an image_id and kind a line")


def run(args: argparse.Namespace) -> None:
    """Write the subset that `run` measures as `counterfactual.balanced`, and print its size by kind.

    Raises:
        ValueError: there is no such dataset or split, or its subset cannot be chosen; the message says why.
    """
    evaluated = load_evaluated(args.data, args.split)
    others = [split for split in (evaluated.train, evaluated.validation) if split is not None]
    subset = balanced_pairs(evaluated.test, others)
    write_selection(args.out, evaluated.test, subset)
    pairs = subset.pairs
    print(f"{'kind':12}{'pairs':>8}{'balanced':>10}" + "".join(f"{name + ' %':>20}" for name in subset.gaps))
    for name, counted in [
        *((name, pairs.kinds == kind) for kind, name in enumerate(pairs.names)),
        ("all", np.ones(len(pairs.texts), dtype=bool)),
    ]:
        kept = counted & subset.selected
        before_and_after = (
            f"{_percent(gaps[counted]):>11} -> {_percent(gaps[kept]):>5}" for gaps in subset.gaps.values()
        )
        print(f"{name:12}{counted.sum():8}{kept.sum():10}" + "".join(before_and_after))


def _percent(gaps: np.ndarray) -> str:
    return f"{100 * wins_of(gaps).mean():.1f}" if len(gaps) else "-"
