"""The task `structure` recomputed: a tie is a miss."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from recomputed import TIE, Model, Plan, Tree, dot, mean, measured
from recomputed_blind import Trigrams, fitted_reports
from recomputed_controls import controlled, derangements

Score = Callable[[int, str], float]
"""Of a row of the test split and a text."""


def structure(model: Model, test: Dataset, train: Dataset, plan: Plan) -> Tree:
    rows = [{key: row[key] for key in row if key != "image"} for row in test.remove_columns("image")]
    names = list(rows[0]["perturbed"])
    rivals = [[name for name in names if row["changed"][name]] for row in rows]
    kept = [place for place in range(len(rows)) if rivals[place]]
    studies = [rows[place]["study_id"] for place in kept]
    chance = mean(1 / (1 + len(rivals[place])) for place in kept)

    def outcomes(score: Score) -> dict[str, list[float]]:
        # By name, "" for the task: whether the report beats the perturbation, or all that are rivals.
        beaten = [
            {
                name: float(score(place, rows[place]["report"]) > score(place, rows[place]["perturbed"][name]) + TIE)
                for name in rivals[place]
            }
            for place in kept
        ]
        by_name = {name: [row.get(name, 0.0) for row in beaten] for name in names}
        return {"": [float(all(row.values())) for row in beaten]} | by_name

    def measure(found: dict[str, list[float]]) -> Tree:
        return measured(found[""], studies, chance, plan) | {"by_perturbation": by_perturbation(found)}

    def by_perturbation(found: dict[str, list[float]]) -> Tree:
        tree = {}
        for name in names:
            cases = [case for case, place in enumerate(kept) if name in rivals[place]]
            if cases:
                values, of_studies = [found[name][case] for case in cases], [studies[case] for case in cases]
                tree[name] = measured(values, of_studies, 0.5, plan, among=studies)
        return tree

    def with_images(order: Sequence[int]) -> dict[str, list[float]]:
        return outcomes(lambda place, text: dot(model.images[order[place]], model.text(text)))

    right = with_images(range(len(rows)))
    trigrams = Trigrams(fitted_reports(train, test))
    blind = outcomes(lambda place, text: trigrams.score(text))
    orders = derangements([row["study_id"] for row in rows], [row["report"] for row in rows], plan.seed)
    of_orders = [with_images(order) for order in orders]
    wrong = {
        name: [mean(of_case) for of_case in zip(*(found[name] for found in of_orders), strict=True)]
        for name in ("", *names)
    }
    tree: Tree = {
        "accuracy": measured(right[""], studies, chance, plan),
        "mean_reciprocal_rank": _reciprocal_rank(model, rows, rivals, kept, studies, plan),
        "by_perturbation": by_perturbation(right),
    }
    return tree | controlled(
        right[""], studies, plan, {"blind": (measure(blind), blind[""]), "wrong_image": (measure(wrong), wrong[""])}
    )


def _reciprocal_rank(
    model: Model,
    rows: Sequence[dict[str, Any]],
    rivals: Sequence[Sequence[str]],
    kept: Sequence[int],
    studies: Sequence[str],
    plan: Plan,
) -> Tree:
    # The report takes the worst rank among its ties; by chance all ranks are equally likely.
    values, chances = [], []
    for place in kept:
        own = dot(model.images[place], model.text(rows[place]["report"]))
        others = [dot(model.images[place], model.text(rows[place]["perturbed"][name])) for name in rivals[place]]
        values.append(1 / (1 + sum(other >= own - TIE for other in others)))
        chances.append(mean(1 / rank for rank in range(1, len(others) + 2)))
    return measured(values, studies, mean(chances), plan)
