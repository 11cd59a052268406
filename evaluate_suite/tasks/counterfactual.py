"""Counterfactual: does an image score its own report above a fluent edit that contradicts it?"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..balanced import balanced_pairs, off_chance, percents
from ..context import TaskContext, Tree
from ..controls import NotComputable
from ..controls.blind import gaps_fitted_on_train, wins_of
from ..controls.gains import BLIND, WRONG_IMAGE, Cases, computed, is_certain, measure_controls, verdict
from ..controls.kept import KeptCases
from ..controls.wrong_image import mean_over_derangements
from ..counterfactual_pairs import CounterfactualPairs, counterfactual_pairs
from ..embeddings import Embeddings, paired_cosines
from ..figures import draw_controls
from ..formatting import words
from ..structure_accuracy.structure_accuracy import group_indices

CHANCE = 0.5
"""Of two candidates, and a tie counts as half."""

BLIND_ON_TRAIN = "blind_fitted_on_train"
"""The blind models of the whole split, on the balanced subset, which others chose."""

ModelWins = dict[str, NDArray[np.float64]]
"""By blind model, who wins each pair [P]."""

_CAPTION = (
    "How often a report beats an edit that contradicts the image, and each kind of edit alone: the model, the better "
    "of two models that see no image, and the model with wrong images. Bars are 95 % intervals, dotted strokes chance."
)
_BALANCED_CAPTION = (
    "The same on the balanced subset, which is chosen so that both models without the image are at chance."
)


def run(context: TaskContext) -> Tree:
    """Counterfactual accuracy with its controls, and the same on a balanced subset.

    Returns:
        As `evaluate`, with `blind`, over all and for each kind the better of a trigram model and n-gram classifiers,
        fitted on the training split's reports and edits without the texts of the test, which are counted under
        `blind.n_left_out`, each model under `blind.models`;
        `wrong_image`, the mean over derangements; `gain_over_blind`, `gain_over_wrong_image`, `needs_image`, and
        perhaps `note`, all as `controls.gains.measure_controls` gives them, a tie counting as half.

        `balanced` has the same for the subset that `balanced_pairs` chooses. There `blind` are the models that it was
        chosen with, fitted on one half of all reports each; `blind_fitted_on_train` are the task's own, which chose
        nothing, with `gain_over_blind_fitted_on_train`. `at_chance` tells of each model whether `balanced.off_chance`
        finds it near a half, over all and on every kind.
    """
    data = context.test
    pairs = counterfactual_pairs(data)
    if not pairs.texts:
        return _without_edits(data, pairs)
    images = context.embeddings.images(data)
    wins = pair_wins(context.embeddings, data, pairs, images)
    fitted = computed(lambda: gaps_fitted_on_train(context.train, data, pairs))
    blind = fitted if isinstance(fitted, NotComputable) else _wins_by_model(fitted[0])
    wrong_image = computed(lambda: _wrong_image_wins(context.embeddings, data, pairs, images, context.seed))
    cases = _cases(data, pairs, context.n_bootstrap, context.seed)
    tree = _with_controls(wins, pairs, cases, wrong_image, blind)
    if not isinstance(fitted, NotComputable):
        tree[BLIND]["n_left_out"] = fitted[1]
    _keep(context, "", cases, pairs, wins, wrong_image, {BLIND: blind})
    context.figures.add("counterfactual", partial(draw_controls, tree), _CAPTION)

    balanced = computed(lambda: _balanced(context, wins, blind, wrong_image))
    if isinstance(balanced, NotComputable):
        return tree | {"skipped": tree.get("skipped", {}) | {"balanced": str(balanced)}}
    context.figures.add("counterfactual_balanced", partial(draw_controls, balanced), _BALANCED_CAPTION)
    return tree | {"balanced": balanced}


def evaluate(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Counterfactual accuracy of a model, by the cosine of image and report, beside that with wrong images.

    A tie counts as half.

    Args:
        embeddings: the model's embeddings.
        data: a perturbed-pairs dataset; its columns `image`, `image_id`, `study_id`, `report` and `counterfactual` are
            read.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"accuracy", "by_kind": {KIND: ...}, "n_null": {KIND: rows without that edit}}`, the first two of
        `Measurement`s over pairs of report and edit; `wrong_image`, the mean over derangements, with
        `gain_over_wrong_image`, `needs_image`, and perhaps `note`, as `controls.gains.measure_controls` gives them.
        What cannot be computed is left out and named under `skipped` with its reason.
    """
    pairs = counterfactual_pairs(data)
    if not pairs.texts:
        return _without_edits(data, pairs)
    images = embeddings.images(data)
    wins = pair_wins(embeddings, data, pairs, images)
    wrong_image = computed(lambda: _wrong_image_wins(embeddings, data, pairs, images, seed))
    return _with_controls(wins, pairs, _cases(data, pairs, n_bootstrap, seed), wrong_image)


def pair_wins(
    embeddings: Embeddings, data: Dataset, pairs: CounterfactualPairs, images: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Who wins each pair, given each row's image vector [N, D]: [P], 1 the report, 0.5 neither, 0 the edit."""
    reports, edits = embeddings.texts(list(data["report"])), embeddings.texts(pairs.texts)
    return _wins(images, reports, edits, pairs, np.arange(len(data), dtype=np.int64))


def _wins(
    images: NDArray[np.float32],
    reports: NDArray[np.float32],
    edits: NDArray[np.float32],
    pairs: CounterfactualPairs,
    image_of_row: NDArray[np.int64],
) -> NDArray[np.float64]:
    own = paired_cosines(images, reports, image_of_row)[pairs.rows]
    return wins_of(own - paired_cosines(images, edits, image_of_row[pairs.rows]))


def measure_pairs(
    wins: NDArray[np.float64],
    pairs: CounterfactualPairs,
    studies: NDArray[np.int64],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The task's tree from the wins [P] of its pairs and the index of each pair's study [P]."""
    return _tree(wins, pairs, _cases_of(pairs, studies, n_bootstrap, seed))


def _tree(wins: NDArray[np.float64], pairs: CounterfactualPairs, cases: Cases) -> Tree:
    measured = cases.measure(_columns(wins, pairs))
    by_kind = measured.pop("by_kind")
    tree: Tree = {"accuracy": measured, "by_kind": by_kind, "n_null": pairs.n_null}
    missing = [name for name in pairs.names if name not in by_kind]
    if missing:
        tree["skipped"] = {f"by_kind.{name}": "no row has such an edit" for name in missing}
    return tree


def _with_controls(
    wins: NDArray[np.float64],
    pairs: CounterfactualPairs,
    cases: Cases,
    wrong_image: NDArray[np.float64] | NotComputable,
    blind: ModelWins | NotComputable | None = None,
) -> Tree:
    # Without blind models where `blind` is None.
    controls: dict[str, NDArray[np.float64] | NotComputable] = {}
    if blind is not None:
        controls[BLIND] = blind if isinstance(blind, NotComputable) else _better(blind, pairs)
    controls[WRONG_IMAGE] = wrong_image if isinstance(wrong_image, NotComputable) else _columns(wrong_image, pairs)
    tree = _tree(wins, pairs, cases)
    controlled = measure_controls(cases, _columns(wins, pairs), controls)
    if isinstance(blind, dict):
        controlled[BLIND] = _measure_blind(cases, pairs, blind)
    skipped = tree.get("skipped", {}) | controlled.get("skipped", {})
    return tree | controlled | ({"skipped": skipped} if skipped else {})


def _balanced(
    context: TaskContext,
    wins: NDArray[np.float64],
    blind: ModelWins | NotComputable,
    wrong_image: NDArray[np.float64] | NotComputable,
) -> Tree:
    others = [split for split in (context.train, context.validation) if split is not None]
    subset = balanced_pairs(context.test, others)
    chosen = np.flatnonzero(subset.selected)
    pairs = subset.pairs.take(chosen)
    choosing = {name: wins_of(gaps[chosen]) for name, gaps in subset.gaps.items()}
    wrong_images = wrong_image if isinstance(wrong_image, NotComputable) else wrong_image[chosen]
    cases = _cases(context.test, pairs, context.n_bootstrap, context.seed)
    tree = _with_controls(wins[chosen], pairs, cases, wrong_images, choosing)
    del tree["n_null"]  # of the whole split
    tree["at_chance"] = {BLIND: _at_chance(choosing, pairs)}
    on_train = blind if isinstance(blind, NotComputable) else {name: each[chosen] for name, each in blind.items()}
    if isinstance(on_train, NotComputable):
        left_out = dict.fromkeys([BLIND_ON_TRAIN, f"gain_over_{BLIND_ON_TRAIN}"], str(on_train))
        tree["skipped"] = tree.get("skipped", {}) | left_out
    else:
        tree |= _beside_blind_on_train(cases, pairs, wins[chosen], on_train)
        tree["at_chance"][BLIND_ON_TRAIN] = _at_chance(on_train, pairs)
    _keep(context, "balanced.", cases, pairs, wins[chosen], wrong_images, {BLIND: choosing, BLIND_ON_TRAIN: on_train})
    return tree


def _beside_blind_on_train(
    cases: Cases, pairs: CounterfactualPairs, wins: NDArray[np.float64], models: ModelWins
) -> Tree:
    blind = _measure_blind(cases, pairs, models)
    gain = cases.gain(_columns(wins, pairs), _better(models, pairs))
    notes = [
        f"The {words([name])} model fitted on the training split is not at chance on the balanced subset: "
        f"{percents(off)}."
        for name, of_model in models.items()
        if (off := off_chance(of_model, pairs))
    ]
    if not is_certain(gain):
        notes.append(verdict(BLIND, float(wins.mean()), blind, gain))
    return {
        BLIND_ON_TRAIN: blind | ({"note": " ".join(notes)} if notes else {}),
        f"gain_over_{BLIND_ON_TRAIN}": gain,
    }


def _at_chance(models: ModelWins, pairs: CounterfactualPairs) -> dict[str, bool]:
    return {name: not off_chance(wins, pairs) for name, wins in models.items()}


def _wins_by_model(gaps: Mapping[str, NDArray[np.float64]]) -> ModelWins:
    return {name: wins_of(of_model) for name, of_model in gaps.items()}


def _wrong_image_wins(
    embeddings: Embeddings, data: Dataset, pairs: CounterfactualPairs, images: NDArray[np.float32], seed: int
) -> NDArray[np.float64]:
    reports, edits = embeddings.texts(list(data["report"])), embeddings.texts(pairs.texts)
    return mean_over_derangements(
        data["study_id"],
        data["report"],
        lambda image_of_row: _wins(images, reports, edits, pairs, image_of_row),
        seed=seed,
    )


def _better(models: ModelWins, pairs: CounterfactualPairs) -> NDArray[np.float64]:
    # [P, 1 + K]: in each column the wins of the model (the first of equals) that wins most pairs that count there.
    wins = np.stack(list(models.values()))  # [M, P]
    counted = np.column_stack([np.ones(len(pairs.texts)), _of_kind(pairs)])  # [P, 1 + K]
    return wins[(wins @ counted).argmax(axis=0)].T


def _measure_blind(cases: Cases, pairs: CounterfactualPairs, models: ModelWins) -> Tree:
    return {
        **cases.measure(_better(models, pairs)),
        "models": {name: cases.measure(_columns(wins, pairs)) for name, wins in models.items()},
    }


def _of_kind(pairs: CounterfactualPairs) -> NDArray[np.bool_]:
    return pairs.kinds[:, None] == np.arange(len(pairs.names))  # [P, K]


def _columns(wins: NDArray[np.float64], pairs: CounterfactualPairs) -> NDArray[np.float64]:
    return np.repeat(wins[:, None], 1 + len(pairs.names), axis=1)  # [P, 1 + K]


def _cases(data: Dataset, pairs: CounterfactualPairs, n_bootstrap: int, seed: int) -> Cases:
    studies = group_indices(list(data["study_id"]), len(data))[pairs.rows]
    return _cases_of(pairs, studies, n_bootstrap, seed)


def _cases_of(pairs: CounterfactualPairs, studies: NDArray[np.int64], n_bootstrap: int, seed: int) -> Cases:
    counted = np.column_stack([np.ones(len(pairs.texts), dtype=bool), _of_kind(pairs)])
    chances = [CHANCE] * counted.shape[1]
    groups = np.unique(studies, return_inverse=True)[1]
    return Cases("by_kind", pairs.names, counted, groups, chances, n_bootstrap, seed)


def _keep(
    context: TaskContext,
    prefix: str,
    cases: Cases,
    pairs: CounterfactualPairs,
    wins: NDArray[np.float64],
    wrong_image: NDArray[np.float64] | NotComputable,
    blind: Mapping[str, ModelWins | NotComputable],
) -> None:
    # Case by case: the model's wins, and for each control in `blind` and wrong images the control's and the gain.
    image_ids, study_ids = np.array(context.test["image_id"]), np.array(context.test["study_id"])
    kinds = np.array(pairs.names)[pairs.kinds]
    names = np.array([f"{image_id}/{kind}" for image_id, kind in zip(image_ids[pairs.rows], kinds, strict=True)])
    studies = study_ids[pairs.rows]
    of_kinds = {f"by_kind.{kind}": kinds == kind for kind in np.unique(kinds)}
    for metric, counted in ({"accuracy": np.ones(len(wins), dtype=bool)} | of_kinds).items():
        context.outcomes.add(
            "counterfactual", prefix + metric, names[counted].tolist(), studies[counted].tolist(), wins[counted]
        )
    kept = KeptCases(context.outcomes, "counterfactual", cases, names.tolist(), studies.tolist(), prefix)
    controls: dict[str, NDArray[np.float64] | NotComputable] = {
        name: models if isinstance(models, NotComputable) else _better(models, pairs) for name, models in blind.items()
    }
    controls[WRONG_IMAGE] = wrong_image if isinstance(wrong_image, NotComputable) else _columns(wrong_image, pairs)
    kept.keep_controls(_columns(wins, pairs), controls)
    for name, models in blind.items():
        for model, model_wins in () if isinstance(models, NotComputable) else models.items():
            kept.keep(f"{name}.models.{model}", _columns(model_wins, pairs))


def _without_edits(data: Dataset, pairs: CounterfactualPairs) -> dict[str, Any]:
    return {"n_null": pairs.n_null, "skipped": {"counterfactual": f"none of the {len(data)} rows has an edit"}}
