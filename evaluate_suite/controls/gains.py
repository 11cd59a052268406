"""A model's outcomes beside those of its controls, case by case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..statistics import GAIN, SHARE, Bounds, measure_parts
from . import NotComputable

BLIND, WRONG_IMAGE = "blind", "wrong_image"

_VERDICTS = {
    WRONG_IMAGE: "As this model takes it, the test does not need the image: with wrong images the model scores",
    BLIND: "A model that sees no image does as well on this test: it scores",
}

_ROUNDING = 1e-12  # a mean over repeats may differ by that much from the number that it equals

Result = TypeVar("Result")

CaseOutcomes = NDArray[np.float64]
"""[N, 1 + K] what each of N cases contributes to a task's number, column 0, and to its K parts."""


@dataclass(frozen=True)
class Cases:
    """The cases of a task, and how its number and its parts are the means of their outcomes.

    Attributes:
        group: where the parts stand in the tree: `by_kind`, `by_perturbation`.
        names: the K parts.
        counted: [N, 1 + K] which cases count for the task, which is all of them, and for each part.
        studies: [N] index of each case's study, 0 to G - 1.
        chances: 1 + K means that random scores would have.
        n_bootstrap, seed: of the bootstrap over studies.
    """

    group: str
    names: Sequence[str]
    counted: NDArray[np.bool_]
    studies: NDArray[np.int64]
    chances: Sequence[float]
    n_bootstrap: int
    seed: int

    def measure(self, outcomes: CaseOutcomes) -> dict[str, Any]:
        """The task's `Measurement`, with those of its parts under `group`; a part without cases is left out."""
        return self._measure(outcomes, self.chances, SHARE)

    def gain(self, right: CaseOutcomes, control: CaseOutcomes) -> dict[str, Any]:
        """How much higher the model's number is than its control's, and each part's, as `measure` gives them.

        The mean of the differences is the difference of the means, and its cluster bootstrap the paired one; all parts
        are of the same resamples.
        """
        return self._measure(right - control, [0.0] * len(self.chances), GAIN)

    def _measure(self, values: CaseOutcomes, chances: Sequence[float], bounds: Bounds) -> dict[str, Any]:
        whole, *parts = measure_parts(values, self.counted, self.studies, chances, self.n_bootstrap, self.seed, bounds)
        of_parts = {name: part for name, part in zip(self.names, parts, strict=True) if part is not None}
        return {**(whole or {}), self.group: of_parts}


def computed(control: Callable[[], Result]) -> Result | NotComputable:
    """What a control gives, or why there is nothing."""
    try:
        return control()
    except NotComputable as reason:
        return reason


def measure_controls(
    cases: Cases, right: CaseOutcomes, controls: Mapping[str, CaseOutcomes | NotComputable]
) -> dict[str, Any]:
    """The controls' part of a task's tree.

    Args:
        cases: the task's cases.
        right: the model's outcomes, with the right images.
        controls: by name, `blind` and `wrong_image`, the outcomes of the same cases, for wrong images the mean over
            the derangements; or why there are none.

    Returns:
        For each control its `Cases.measure`, and `gain_over_CONTROL`, its `Cases.gain`. With wrong images also
        `needs_image`, whether the whole interval of that gain is above 0. Where it, or that of the gain over blind, is
        not, a `note` says so in words, of both where it holds of both. What cannot be computed is named under
        `skipped` with its reason.
    """
    tree: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for name, outcomes in controls.items():
        if isinstance(outcomes, NotComputable):
            left_out = [name, f"gain_over_{name}", *(["needs_image"] if name == WRONG_IMAGE else [])]
            skipped |= dict.fromkeys(left_out, str(outcomes))
            continue
        tree[name] = cases.measure(outcomes)
        tree[f"gain_over_{name}"] = cases.gain(right, outcomes)
    if WRONG_IMAGE in tree:
        tree["needs_image"] = is_certain(tree[f"gain_over_{WRONG_IMAGE}"])
    notes = [
        verdict(name, float(right[:, 0].mean()), tree[name], tree[f"gain_over_{name}"])
        for name in _VERDICTS
        if name in tree and not is_certain(tree[f"gain_over_{name}"])
    ]
    return tree | ({"note": " ".join(notes)} if notes else {}) | ({"skipped": skipped} if skipped else {})


def is_certain(gain: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a gain is above 0, by more than rounding."""
    return gain["interval"][0] > _ROUNDING


def verdict(name: str, model: float, control: Mapping[str, Any], gain: Mapping[str, Any]) -> str:
    """What it means that the gain over a control, `blind` or `wrong_image`, may be none, in words with the numbers."""
    low, high = (100 * bound for bound in gain["interval"])
    return (
        f"{_VERDICTS[name]} {100 * control['value']:.1f} %, this model with the right images {100 * model:.1f} %, a "
        f"gain of {100 * gain['value']:.1f} points (95 % interval {low:.1f} to {high:.1f})."
    )
