"""The task `structure` recomputed: a tie is a miss."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from recomputed import SHARE, TIE, Model, Plan, Tree, dot, mean, measured
from recomputed_blind import Trigrams, fitted_reports
from recomputed_controls import WHOLE, Outcomes, Parts, controlled, derangements, mean_of_orders

Score = Callable[[int, str], float]
"""Of a row of the test split and a text."""


def structure(model: Model, test: Dataset, train: Dataset | None, plan: Plan) -> Tree:
    rows = list(test.remove_columns("image"))
    names = list(rows[0]["perturbed"])
    rivals = [[name for name in names if row["changed"][name]] for row in rows]
    kept = [place for place in range(len(rows)) if rivals[place]]
    parts = Parts(
        group="by_perturbation",
        cases={name: [case for case, place in enumerate(kept) if name in rivals[place]] for name in names},
        studies=[rows[place]["study_id"] for place in kept],
        chance=mean(1 / (1 + len(rivals[place])) for place in kept),
        plan=plan,
    )

    def outcomes(score: Score) -> Outcomes:
        # Whether the report beats each perturbation, and all that are its rivals.
        beaten = []
        for place in kept:
            own = score(place, rows[place]["report"])
            beaten.append({name: own > score(place, rows[place]["perturbed"][name]) + TIE for name in rivals[place]})
        of_names = {name: [float(row.get(name, False)) for row in beaten] for name in names}
        return {WHOLE: [float(all(row.values())) for row in beaten]} | of_names

    def with_images(order: Sequence[int]) -> Outcomes:
        return outcomes(lambda place, text: dot(model.images[order[place]], model.text(text)))

    tested = {row["report"] for row in rows} | {
        row["perturbed"][name] for row, of_row in zip(rows, rivals, strict=True) for name in of_row
    }
    right, blind = with_images(range(len(rows))), None
    if train is not None:
        reports, n_left_out = fitted_reports(train, tested)
        trigrams = Trigrams(reports)
        blind = outcomes(lambda place, text: trigrams.score(text))
    orders = derangements([row["study_id"] for row in rows], [row["report"] for row in rows], plan.seed)
    tree = controlled(parts, right, blind, mean_of_orders(orders, with_images))
    if train is not None:
        tree["blind"]["n_left_out"] = {"reports": n_left_out}
    own = parts.measure(right)
    by_perturbation = own.pop("by_perturbation")
    rank = _reciprocal_rank(model, rows, rivals, kept, plan)
    return tree | {"accuracy": own, "by_perturbation": by_perturbation, "mean_reciprocal_rank": rank}


def _reciprocal_rank(
    model: Model, rows: Sequence[dict[str, Any]], rivals: Sequence[Sequence[str]], kept: Sequence[int], plan: Plan
) -> Tree:
    # The report takes the worst rank among its ties; by chance all ranks are equally likely.
    values, chances = [], []
    for place in kept:
        own = dot(model.images[place], model.text(rows[place]["report"]))
        others = [dot(model.images[place], model.text(rows[place]["perturbed"][name])) for name in rivals[place]]
        values.append(1 / (1 + sum(other >= own - TIE for other in others)))
        chances.append(mean(1 / rank for rank in range(1, len(others) + 2)))
    return measured(values, [rows[place]["study_id"] for place in kept], mean(chances), plan, bounds=SHARE)
