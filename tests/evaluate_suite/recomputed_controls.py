"""Wrong images, gains and notes recomputed."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from recomputed import Plan, Tree, mean, measured

N_DERANGEMENTS = 20


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
    for _ in range(N_DERANGEMENTS):
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


def mean_of_orders(orders: Sequence[Sequence[int]], outcomes: Callable[[Sequence[int]], list[float]]) -> list[float]:
    """What each case scores on average, from the image of each row."""
    of_orders = [outcomes(order) for order in orders]
    return [mean(of_case) for of_case in zip(*of_orders, strict=True)]


def controlled(
    right: Sequence[float], studies: Sequence[str], plan: Plan, controls: Mapping[str, tuple[Tree, Sequence[float]]]
) -> Tree:
    """The controls' part of a task: each control's tree, given with its cases' outcomes, and the gain over it."""
    tree: Tree = {}
    for name, (measurement, outcomes) in controls.items():
        gains = [own - other for own, other in zip(right, outcomes, strict=True)]
        tree[name] = measurement
        tree[f"gain_over_{name}"] = measured(gains, studies, 0.0, plan)
    wrong, gain = tree["wrong_image"], tree["gain_over_wrong_image"]
    tree["needs_image"] = gain["interval"][0] > 0
    if not tree["needs_image"]:
        percents = [wrong["value"], mean(right), gain["value"], 0.95, *gain["interval"]]
        tree["note"] = " ".join(f"{100 * share:.6f}" for share in percents)
    return tree
