"""The task `counterfactual` recomputed, with its balanced subset: a tie counts as half."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset
from recomputed import TIE, Model, Plan, Tree, dot, measured, percentile, win
from recomputed_blind import Pair, blind_gaps, edits_of, fitted_reports
from recomputed_controls import controlled, derangements, mean_of_orders

CELLS = 4

Wins = list[float]


@dataclass(frozen=True)
class Edits:
    """The pairs of a report and its edit, row by row and in the order of the kinds."""

    rows: list[int]
    kinds: list[str]
    studies: list[str]
    images: list[str]
    texts: list[Pair]
    names: list[str]

    def take(self, places: Sequence[int]) -> "Edits":
        columns = [
            [column[place] for place in places]
            for column in (self.rows, self.kinds, self.studies, self.images, self.texts)
        ]
        return Edits(*columns, self.names)


def read_edits(data: Dataset) -> Edits:
    edits = Edits([], [], [], [], [], list(data.features["counterfactual"]))
    for place, row in enumerate(data.remove_columns("image")):
        for kind in edits.names:
            edit = row["counterfactual"][kind]
            if edit is not None and edit["text"] is not None:
                edits.rows.append(place)
                edits.kinds.append(kind)
                edits.studies.append(row["study_id"])
                edits.images.append(row["image_id"])
                edits.texts.append((row["report"], edit["text"]))
    return edits


def pair_wins(images: Sequence[Sequence[float]], model: Model, edits: Edits, order: Sequence[int]) -> Wins:
    return [
        win(dot(images[order[row]], model.text(report)), dot(images[order[row]], model.text(edit)))
        for row, (report, edit) in zip(edits.rows, edits.texts, strict=True)
    ]


def counterfactual(model: Model, test: Dataset, train: Dataset, others: Sequence[Dataset], plan: Plan) -> Tree:
    edits = read_edits(test)
    right = pair_wins(model.images, model, edits, range(len(test)))
    orders = derangements(test["study_id"][:], test["report"][:], plan.seed)
    wrong = mean_of_orders(orders, lambda order: pair_wins(model.images, model, edits, order))
    gaps = blind_gaps(fitted_reports(train, test), edits_of([train]), edits.kinds, edits.texts)
    blind = {name: [win(gap, 0.0) for gap in of_model] for name, of_model in gaps.items()}
    tree = _with_controls(edits, right, blind, wrong, plan)
    tree["n_null"] = {name: len(test) - edits.kinds.count(name) for name in edits.names}

    choosing, chosen = balanced(edits, test, others)
    part = edits.take(chosen)
    taken = [[wins[place] for place in chosen] for wins in (right, wrong)]
    tree["balanced"] = _with_controls(
        part,
        taken[0],
        {name: [win(gaps[place], 0.0) for place in chosen] for name, gaps in choosing.items()},
        taken[1],
        plan,
    )
    on_train = {name: [wins[place] for place in chosen] for name, wins in blind.items()}
    tree["balanced"]["blind_fitted_on_train"] = _measure_blind(part, on_train, plan)
    return tree


def _with_controls(edits: Edits, right: Wins, blind: dict[str, Wins], wrong: Wins, plan: Plan) -> Tree:
    own = _measure(edits, right, plan)
    tree: Tree = {"by_kind": own.pop("by_kind"), "accuracy": own}
    missing = [name for name in edits.names if name not in edits.kinds]
    if missing:
        tree["skipped"] = {f"by_kind.{name}": "" for name in missing}
    controls = {
        "blind": (_measure_blind(edits, blind, plan), _better(blind, range(len(right)))),
        "wrong_image": (_measure(edits, wrong, plan), wrong),
    }
    return tree | controlled(right, edits.studies, plan, controls)


def _measure(edits: Edits, wins: Wins, plan: Plan) -> Tree:
    return _overall_and_by_kind(edits, dict.fromkeys(["", *edits.names], wins), plan)


def _overall_and_by_kind(edits: Edits, wins: dict[str, Wins], plan: Plan) -> Tree:
    # `wins` of all pairs, for the whole "" and for each kind.
    by_kind = {}
    for name in edits.names:
        cases = [case for case, kind in enumerate(edits.kinds) if kind == name]
        if cases:
            values, studies = [wins[name][case] for case in cases], [edits.studies[case] for case in cases]
            by_kind[name] = measured(values, studies, 0.5, plan, among=edits.studies)
    return measured(wins[""], edits.studies, 0.5, plan) | {"by_kind": by_kind}


def _measure_blind(edits: Edits, blind: dict[str, Wins], plan: Plan) -> Tree:
    better = {"": _better(blind, range(len(edits.rows)))}
    for name in edits.names:
        better[name] = _better(blind, [case for case, kind in enumerate(edits.kinds) if kind == name])
    models = {name: _measure(edits, wins, plan) for name, wins in blind.items()}
    return _overall_and_by_kind(edits, better, plan) | {"models": models}


def _better(blind: dict[str, Wins], cases: Sequence[int]) -> Wins:
    # The wins of the model that wins most of these cases, the trigram model where they are equal.
    trigram, ngram = (sum(blind[name][case] for case in cases) for name in ("trigram", "ngram"))
    return blind["trigram" if trigram >= ngram else "ngram"]


def balanced(edits: Edits, test: Dataset, others: Sequence[Dataset]) -> tuple[dict[str, list[float]], list[int]]:
    """The score gaps of the models fitted on the other half of all reports, and which pairs are selected."""
    splits = (test, *others)
    reports = {report for split in splits for report in split["report"]}
    learnt = edits_of(splits)
    gaps = {"trigram": [0.0] * len(edits.rows), "ngram": [0.0] * len(edits.rows)}
    for half in (0, 1):
        of_half = [case for case, (report, _) in enumerate(edits.texts) if _half(report) == half]
        part = edits.take(of_half)
        found = blind_gaps([report for report in reports if _half(report) != half], learnt, part.kinds, part.texts)
        for name, values in found.items():
            for case, value in zip(of_half, values, strict=True):
                gaps[name][case] = value
    selected: list[int] = []
    for name in set(edits.kinds):
        cases = sorted(
            (case for case, kind in enumerate(edits.kinds) if kind == name),
            key=lambda case: (_digest(f"{edits.studies[case]}\0{edits.kinds[case]}"), edits.images[case]),
        )
        cells = list(
            zip(*(_cells([gaps[model][case] for case in cases]) for model in ("trigram", "ngram")), strict=True)
        )
        size, seen = Counter(cells), Counter[tuple[int, int]]()
        for case, cell in zip(cases, cells, strict=True):
            seen[cell] += 1
            if seen[cell] <= size[-cell[0], -cell[1]]:
                selected.append(case)
    return gaps, sorted(selected)


def _cells(gaps: Sequence[float]) -> list[int]:
    # 0 for a tie; else 1 to 4 by the quarter in which the gap's size lies, with the gap's sign.
    sizes = [abs(gap) for gap in gaps if abs(gap) > TIE]
    edges = [percentile(sizes, quarter / CELLS) for quarter in range(1, CELLS)] if sizes else []
    cells = []
    for gap in gaps:
        cell = 1 + sum(abs(gap) >= edge - TIE for edge in edges)
        cells.append(0 if abs(gap) <= TIE else cell if gap > 0 else -cell)
    return cells


def _half(report: str) -> int:
    return int(_digest(report)[:2], 16) % 2


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
