"""The task `counterfactual` recomputed, with its balanced subset: a tie counts as half."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset
from recomputed import TIE, Model, Plan, Tree, dot, mean, percentile, told, win
from recomputed_blind import Pair, blind_gaps, edits_of, fitted_reports
from recomputed_controls import WHOLE, Outcomes, Parts, controlled, derangements, mean_of_orders, verdict

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
        return Edits(
            rows=[self.rows[place] for place in places],
            kinds=[self.kinds[place] for place in places],
            studies=[self.studies[place] for place in places],
            images=[self.images[place] for place in places],
            texts=[self.texts[place] for place in places],
            names=self.names,
        )


def read_edits(data: Dataset) -> Edits:
    edits = Edits([], [], [], [], [], list(data.features["counterfactual"]))
    for place, row in enumerate(data.select_columns(["image_id", "study_id", "report", "counterfactual"])):
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


def counterfactual(model: Model, test: Dataset, train: Dataset | None, others: Sequence[Dataset], plan: Plan) -> Tree:
    edits = read_edits(test)
    right = pair_wins(model.images, model, edits, range(len(test)))
    orders = derangements(test["study_id"][:], test["report"][:], plan.seed)
    wrong = mean_of_orders(orders, lambda order: {WHOLE: pair_wins(model.images, model, edits, order)})[WHOLE]
    blind, n_left_out = _blind_on_train(edits, test, train) if train is not None else (None, None)
    tree = _with_controls(edits, right, blind, wrong, plan)
    if blind is not None:
        tree["blind"]["n_left_out"] = n_left_out
    tree["n_null"] = {name: len(test) - edits.kinds.count(name) for name in edits.names}

    gaps, chosen = balanced(edits, test, others)
    part, own = edits.take(chosen), [right[place] for place in chosen]
    choosing = {name: [win(of_model[place], 0.0) for place in chosen] for name, of_model in gaps.items()}
    subset = _with_controls(part, own, choosing, [wrong[place] for place in chosen], plan)
    subset["at_chance"] = {"blind": _at_chance(part, choosing)}
    if blind is None:
        left_out = dict.fromkeys(("blind_fitted_on_train", "gain_over_blind_fitted_on_train"), told())
        subset["skipped"] = subset.get("skipped", {}) | left_out
    else:
        on_train = {name: [wins[place] for place in chosen] for name, wins in blind.items()}
        subset |= _beside_blind_on_train(part, own, on_train, plan)
        subset["at_chance"]["blind_fitted_on_train"] = _at_chance(part, on_train)
    return tree | {"balanced": subset}


def _blind_on_train(edits: Edits, test: Dataset, train: Dataset) -> tuple[dict[str, Wins], Tree]:
    # Neither a report nor an edit of the test is learnt from, whichever it is in the training split.
    tested = {*test["report"], *(text for _, text in edits.texts)}
    reports, n_reports = fitted_reports(train, tested)
    of_train = edits_of([train])
    learnt = {
        kind: {(report, edit) for report, edit in pairs if report not in tested and edit not in tested}
        for kind, pairs in of_train.items()
    }
    n_edits = sum(len(of_train[kind]) - len(learnt[kind]) for kind in of_train)
    gaps = blind_gaps(reports, learnt, edits.kinds, edits.texts)
    wins = {name: [win(gap, 0.0) for gap in of_model] for name, of_model in gaps.items()}
    return wins, {"reports": n_reports, "edits": n_edits}


def _with_controls(edits: Edits, right: Wins, blind: dict[str, Wins] | None, wrong: Wins, plan: Plan) -> Tree:
    parts = _parts(edits, plan)
    better = _better(edits, blind) if blind is not None else None
    tree = controlled(parts, _for_all(edits, right), better, _for_all(edits, wrong))
    if blind is not None:
        tree["blind"]["models"] = {name: parts.measure(_for_all(edits, wins)) for name, wins in blind.items()}
    own = parts.measure(_for_all(edits, right))
    tree |= {"by_kind": own.pop("by_kind"), "accuracy": own}
    missing = [name for name in edits.names if name not in edits.kinds]
    skipped = tree.get("skipped", {}) | {f"by_kind.{name}": told() for name in missing}
    return tree | ({"skipped": skipped} if skipped else {})


def _beside_blind_on_train(edits: Edits, right: Wins, blind: dict[str, Wins], plan: Plan) -> Tree:
    parts, better = _parts(edits, plan), _better(edits, blind)
    tree, gain = parts.measure(better), parts.gain(_for_all(edits, right), better)
    notes = [told(*(100 * share for wins in blind.values() for share in off_chance(edits, wins)))]
    if gain["interval"][0] <= TIE:
        notes.append(verdict(mean(right), tree, gain))
    if any(notes):
        tree["note"] = " ".join(notes)
    tree["models"] = {name: parts.measure(_for_all(edits, wins)) for name, wins in blind.items()}
    return {"blind_fitted_on_train": tree, "gain_over_blind_fitted_on_train": gain}


def _at_chance(edits: Edits, models: dict[str, Wins]) -> dict[str, bool]:
    return {name: not off_chance(edits, wins) for name, wins in models.items()}


def off_chance(edits: Edits, wins: Wins) -> list[float]:
    """The accuracies, over all and by kind, that are more than 2 % and 5 % from a half."""
    of_kinds = [mean(wins[case] for case in cases) for cases in _of_kinds(edits).values() if cases]
    accuracies = [(mean(wins), 0.02), *((accuracy, 0.05) for accuracy in of_kinds)]
    return [accuracy for accuracy, tolerance in accuracies if abs(accuracy - 0.5) > tolerance + 1e-9]


def _parts(edits: Edits, plan: Plan) -> Parts:
    return Parts("by_kind", _of_kinds(edits), edits.studies, 0.5, plan)


def _of_kinds(edits: Edits) -> dict[str, list[int]]:
    return {name: [case for case, kind in enumerate(edits.kinds) if kind == name] for name in edits.names}


def _for_all(edits: Edits, wins: Wins) -> Outcomes:
    return dict.fromkeys((WHOLE, *edits.names), wins)


def _better(edits: Edits, blind: dict[str, Wins]) -> Outcomes:
    # For the whole and for each kind the model that wins most of its pairs, the trigram model where they are equal.
    def better(cases: Sequence[int]) -> Wins:
        trigram, ngram = (sum(blind[name][case] for case in cases) for name in ("trigram", "ngram"))
        return blind["trigram" if trigram >= ngram else "ngram"]

    everything = range(len(edits.rows))
    return {name: better(cases) for name, cases in {WHOLE: everything, **_of_kinds(edits)}.items()}


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
