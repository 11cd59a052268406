"""Wrong images, gains over the controls and their notes recomputed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from recomputed import GAIN, SHARE, TIE, Plan, Tree, mean, measured, told

WHOLE = ""
"""The name of the task's own number among those of its parts."""

Outcomes = Mapping[str, Sequence[float]]
"""What each case contributes to the whole and to each part."""

_DERANGEMENTS = 20


@dataclass(frozen=True)
class Parts:
    """The cases of a task and of its parts, which stand under `group`; all are resampled together."""

    group: str
    cases: Mapping[str, Sequence[int]]
    studies: Sequence[str]
    chance: float
    plan: Plan

    def measure(self, outcomes: Outcomes) -> Tree:
        return self._measure(outcomes, self.chance, 0.5, SHARE)

    def gain(self, right: Outcomes, control: Outcomes) -> Tree:
        gains = {
            name: [own - other for own, other in zip(right[name], control[name], strict=True)] for name in control
        }
        return self._measure(gains, 0.0, 0.0, GAIN)

    def _measure(self, outcomes: Outcomes, chance: float, chance_of_part: float, bounds: tuple[float, float]) -> Tree:
        parts = {
            name: measured(
                [outcomes[name][case] for case in cases],
                [self.studies[case] for case in cases],
                chance_of_part,
                self.plan,
                among=self.studies,
                bounds=bounds,
            )
            for name, cases in self.cases.items()
            if cases
        }
        return measured(outcomes[WHOLE], self.studies, chance, self.plan, bounds=bounds) | {self.group: parts}


def controlled(parts: Parts, right: Outcomes, blind: Outcomes | None, wrong: Outcomes) -> Tree:
    """The controls' part of a task; a note gives the numbers of each control that the model may not beat.

    Without a training split there is no blind model, and a reason instead.
    """
    controls = {"wrong_image": wrong} | ({"blind": blind} if blind is not None else {})
    tree: Tree = {}
    for name, outcomes in controls.items():
        tree |= {name: parts.measure(outcomes), f"gain_over_{name}": parts.gain(right, outcomes)}
    if blind is None:
        tree["skipped"] = {"blind": told(), "gain_over_blind": told()}
    tree["needs_image"] = tree["gain_over_wrong_image"]["interval"][0] > TIE
    verdicts = [
        verdict(mean(right[WHOLE]), tree[name], tree[f"gain_over_{name}"])
        for name in controls
        if tree[f"gain_over_{name}"]["interval"][0] <= TIE
    ]
    return tree | ({"note": " ".join(verdicts)} if verdicts else {})


def verdict(right: float, control: Tree, gain: Tree) -> str:
    """The numbers of a note, in percent."""
    return told(*(100 * share for share in (control["value"], right, gain["value"], 0.95, *gain["interval"])))


def derangements(studies: Sequence[str], reports: Sequence[str], seed: int) -> list[list[int]]:
    """20 orders of the images in which no row has one of its own study or report.

    One generator of the seed draws them all: each is a permutation, in which every row, from the first, that was given
    a forbidden image and still has it, exchanges it with one of the rows, all equally likely, where that makes both
    allowed.
    """
    generator = np.random.default_rng(seed)
    rows = range(len(studies))

    def forbidden(image: int, row: int) -> bool:
        return studies[image] == studies[row] or reports[image] == reports[row]

    orders = []
    for _ in range(_DERANGEMENTS):
        order = generator.permutation(len(studies)).tolist()
        for row in [row for row in rows if forbidden(order[row], row)]:
            if forbidden(order[row], row):
                free = [
                    other for other in rows if not forbidden(order[other], row) and not forbidden(order[row], other)
                ]
                other = int(generator.choice(free))
                order[row], order[other] = order[other], order[row]
        orders.append(order)
    return orders


def mean_of_orders(
    orders: Sequence[Sequence[int]], outcomes: Callable[[Sequence[int]], Outcomes]
) -> dict[str, list[float]]:
    """What each case scores on average over the orders, given what it scores with the image of each row."""
    of_orders = [outcomes(order) for order in orders]
    return {
        name: [mean(of_case) for of_case in zip(*(found[name] for found in of_orders), strict=True)]
        for name in of_orders[0]
    }
