"""Grounding: does the heat map of a phrase lie where the radiologist drew its boxes?

Contrast-to-noise ratio and mean IoU are those with which BioViL was measured on MS-CXR (Boecking et al. 2022, "Making
the Most of Text Semantics to Improve Biomedical Vision-Language Processing"), the latter on maps that are scaled to 0
to 1. A map can beat a random point by pointing to where findings are in every chest: so `wrong_map` and the chance
levels of the other measures are what the same model's maps of other phrases on other images get, and
`gain_over_wrong_map` is what a model's own maps have above these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..context import TaskContext, Tree
from ..controls.gains import is_certain
from ..embeddings import Embeddings
from ..errors import NotSupportedError
from ..formatting import number_text, value_text, words
from ..grounding_cases import (
    CaseMap,
    CaseScores,
    GroundingCase,
    grounding_cases,
    phrase_maps,
    score_cases,
)
from ..heat_map_figure import add_heat_maps
from ..statistics import GAIN, SHARE, Bounds, Measurement, measure_mean
from ..structure_accuracy.structure_accuracy import group_indices
from ..tree import Path, is_measurement, node_at

MEASURES: tuple[str, ...] = ("pointing_game", "mean_iou", "cnr", "signed_cnr")

_SHARES = ("pointing_game", "mean_iou")  # from 0 to 1; a contrast-to-noise ratio has no bound

WRONG_MAP, GAIN_OVER_WRONG_MAP = "wrong_map", "gain_over_wrong_map"

FIXED_THRESHOLDS: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
"""BioViL's on MS-CXR, over which the intersection over union is averaged where no validation split can choose one."""

CANDIDATE_THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""What the validation split chooses from."""

_WRONG_MAPS = 2000  # about this many are scored: each case against 1 to 20 of them
_MOST_WRONG_MAPS_PER_CASE = 20


@dataclass(frozen=True)
class Grounding:
    """The task's result.

    Attributes:
        tree: the report's part.
        cases, maps: the C cases and their maps; none where the task is skipped.
        outcomes: by the path of each number in the tree, what each case contributes to it, [C]; NaN where nothing.
    """

    tree: Tree
    cases: list[GroundingCase]
    maps: list[CaseMap]
    outcomes: dict[Path, NDArray[np.float64]]


@dataclass(frozen=True)
class Thresholds:
    """What a map's pixels must reach to count for the intersection over union.

    Attributes:
        by_label: the threshold of each label of the validation split; empty without one.
        others: the thresholds of all other labels, averaged over.
        source: where they come from, in words.
    """

    by_label: dict[str, float]
    others: tuple[float, ...]
    source: str

    def of(self, case: GroundingCase) -> tuple[float, ...]:
        """The thresholds of a case."""
        return (self.by_label[case.label],) if case.label in self.by_label else self.others


def evaluate(
    embeddings: Embeddings,
    data: Dataset,
    validation: Dataset | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Tree:
    """Grounding of a model whose encoder has `phrase_maps`.

    Args:
        embeddings: the model's embeddings; only their encoder is used.
        data: a perturbed-pairs dataset, or what `ms_cxr.read` gives; `image`, `image_id`, `study_id` and `boxes` are
            read.
        validation: another such, to choose the thresholds of `mean_iou`, one a label. BioViL's on MS-CXR, whose first
            version has no splits, are fixed: leave it out to compare with that.
        n_bootstrap, seed: the bootstrap over studies; the seed of the wrong maps.

    Returns:
        `{"pointing_game", "mean_iou", "cnr", "signed_cnr", "wrong_map", "gain_over_wrong_map": {MEASURE: ...},
        "by_label": {LABEL: {MEASURE: ...}}, "needs_image", "n_undefined_cnr", "thresholds": {"by_label", "others",
        "source"}}` and perhaps `note`. Numbers are `Measurement`s over phrases. Chance is the boxes' share of the
        image for the pointing game, and what wrong maps get for the other measures; `wrong_map` is the pointing game
        of wrong maps. `cnr` has no sign, as BioViL's; `signed_cnr` is negative where a map shuns its boxes.

        Gains are paired, phrase by phrase. `needs_image` says whether the whole interval of the pointing game's gain
        is above 0; the `note` names each measure whose gain's is not. What cannot be computed is left out and named
        under `skipped` with its reason.

    Raises:
        ValueError: the encoder's maps are no maps, or a box lies outside its image.
    """
    return ground(embeddings, data, validation, n_bootstrap=n_bootstrap, seed=seed).tree


def run(context: TaskContext) -> Tree:
    """The task of the suite: `evaluate`, with outcomes and a figure of the best and the worst cases."""
    result = ground(
        context.embeddings, context.test, context.validation, n_bootstrap=context.n_bootstrap, seed=context.seed
    )
    names, studies = np.array([[case.name, case.study_id] for case in result.cases]).reshape(-1, 2).T
    for path, values in result.outcomes.items():
        kept = ~np.isnan(values)
        if is_measurement(node_at(result.tree, path)):
            context.outcomes.add(
                "grounding", ".".join(path), names[kept].tolist(), studies[kept].tolist(), values[kept]
            )
    if result.cases:
        add_heat_maps(context, result.cases, result.maps, result.outcomes["mean_iou",])
    return result.tree


def ground(
    embeddings: Embeddings, data: Dataset, validation: Dataset | None, *, n_bootstrap: int, seed: int
) -> Grounding:
    """`evaluate`, with what the tree was made from; arguments and errors as there."""
    cases = grounding_cases(data) if "boxes" in data.features else []
    if not cases:
        return _skipped(f"none of the {len(data)} rows has a box")
    try:
        maps = phrase_maps(embeddings, data, cases)
    except NotSupportedError as error:
        return _skipped(f"not supported: {error}")
    thresholds = _thresholds(embeddings, validation)
    levels = [thresholds.of(case) for case in cases]
    scores = score_cases(cases, maps, levels)
    chosen = wrong_maps(cases, seed)
    wrong = score_cases(cases, maps, levels, chosen) if chosen is not None else None
    tree = _as_tree(cases, scores, wrong, n_bootstrap, seed)
    tree["thresholds"] = {
        "by_label": thresholds.by_label,
        "others": list(thresholds.others),
        "source": thresholds.source,
    }
    return Grounding(tree, cases, maps, _outcomes(cases, scores, wrong))


def _skipped(reason: str) -> Grounding:
    return Grounding({"skipped": {"grounding": reason}}, [], [], {})


def _thresholds(embeddings: Embeddings, validation: Dataset | None) -> Thresholds:
    cases = grounding_cases(validation) if validation is not None and "boxes" in validation.features else []
    if validation is None or not cases:
        source = (
            "without a validation split with boxes, the mean IoU of a phrase is that over the five thresholds of "
            "BioViL on MS-CXR, applied to maps scaled to 0 to 1"
        )
        return Thresholds({}, FIXED_THRESHOLDS, source)
    maps = phrase_maps(embeddings, validation, cases)
    ious = score_cases(cases, maps, [CANDIDATE_THRESHOLDS] * len(cases)).ious
    by_label, overall = choose_thresholds(cases, ious)
    source = (
        f"the best for the label on the validation split ({len(cases)} phrases), on maps scaled to 0 to 1; a label "
        "that it lacks takes the best over all; not to be compared with BioViL's mean IoU over fixed thresholds"
    )
    return Thresholds(by_label, (overall,), source)


def choose_thresholds(cases: Sequence[GroundingCase], ious: NDArray[np.float64]) -> tuple[dict[str, float], float]:
    """The threshold of the highest mean IoU, the lowest of equals: by label, and over all cases.

    Args:
        cases: the C cases of the validation split.
        ious: [C, T] at `CANDIDATE_THRESHOLDS`.
    """
    labels = np.array([case.label for case in cases])

    def best(counted: NDArray[np.bool_]) -> float:
        return CANDIDATE_THRESHOLDS[int(ious[counted].mean(axis=0).argmax())]

    return {str(label): best(labels == label) for label in np.unique(labels)}, best(np.ones(len(cases), dtype=bool))


def wrong_maps(cases: Sequence[GroundingCase], seed: int) -> NDArray[np.int64] | None:
    """For each case, R cases of other studies with other phrases, drawn at random, [C, R]; R is 1 to 20.

    One `numpy.random.default_rng(seed)` draws for all cases in turn: R places, which may repeat, among the others of a
    case in their order. None where a case has no such other.
    """
    studies = group_indices([case.study_id for case in cases], len(cases))
    phrases = group_indices([case.phrase for case in cases], len(cases))
    repeats = int(np.clip(_WRONG_MAPS // len(cases), 1, _MOST_WRONG_MAPS_PER_CASE))
    generator = np.random.default_rng(seed)
    chosen = np.empty((len(cases), repeats), dtype=np.int64)
    for place in range(len(cases)):
        others = np.flatnonzero((studies != studies[place]) & (phrases != phrases[place]))
        if not len(others):
            return None
        chosen[place] = others[generator.integers(len(others), size=repeats)]
    return chosen


def _values(scores: CaseScores) -> dict[str, NDArray[np.float64]]:
    # By measure, in the order of MEASURES; each [C].
    return dict(zip(MEASURES, (scores.pointing, scores.mean_iou, scores.cnr, scores.signed_cnr), strict=True))


def _outcomes(
    cases: Sequence[GroundingCase], scores: CaseScores, wrong: CaseScores | None
) -> dict[Path, NDArray[np.float64]]:
    # By path, [C] each.
    own, labels = _values(scores), np.array([case.label for case in cases])
    outcomes: dict[Path, NDArray[np.float64]] = {(name,): values for name, values in own.items()}
    if wrong is not None:
        outcomes[WRONG_MAP,] = wrong.pointing
        outcomes |= {(GAIN_OVER_WRONG_MAP, name): own[name] - values for name, values in _values(wrong).items()}
    for label in np.unique(labels):
        outcomes |= {
            ("by_label", str(label), name): np.where(labels == label, values, np.nan) for name, values in own.items()
        }
    return outcomes


def _as_tree(
    cases: list[GroundingCase], scores: CaseScores, wrong: CaseScores | None, n_bootstrap: int, seed: int
) -> Tree:
    studies = group_indices([case.study_id for case in cases], len(cases))
    labels = np.array([case.label for case in cases])
    values = _values(scores)
    chances = {"pointing_game": scores.area}
    if wrong is not None:
        chances = _values(wrong) | chances

    def measure(name: str, counted: NDArray[np.bool_]) -> Measurement | None:
        if name not in chances:
            return None
        bounds = SHARE if name in _SHARES else None
        return _measure(values[name][counted], chances[name][counted], studies[counted], n_bootstrap, seed, bounds)

    everything = np.ones(len(cases), dtype=bool)
    tree: Tree = {name: found for name in MEASURES if (found := measure(name, everything))}
    if wrong is not None:
        tree |= _control(tree, scores, wrong, studies, n_bootstrap, seed)
    tree["by_label"] = {
        str(label): {name: found for name in MEASURES if (found := measure(name, labels == label))}
        for label in np.unique(labels)
    }
    tree["n_undefined_cnr"] = int(np.isnan(scores.signed_cnr).sum())
    skipped = _left_out(tree, wrong)
    return tree | ({"skipped": skipped} if skipped else {})


def _control(
    tree: Tree, scores: CaseScores, wrong: CaseScores, studies: NDArray[np.int64], n_bootstrap: int, seed: int
) -> Tree:
    # What the wrong maps get, and what the right ones have above it.
    own, others = _values(scores), _values(wrong)
    zeros = np.zeros(len(studies))
    gains = {}
    for name in tree:
        bounds = GAIN if name in _SHARES else None
        gain = _measure(own[name] - others[name], zeros, studies, n_bootstrap, seed, bounds)
        if gain is not None:
            gains[name] = gain
    vain = [name for name, gain in gains.items() if not is_certain(gain)]
    control: Tree = {
        WRONG_MAP: _measure(wrong.pointing, scores.area, studies, n_bootstrap, seed, SHARE),
        GAIN_OVER_WRONG_MAP: gains,
        "needs_image": "pointing_game" not in vain,
    }
    return control | ({"note": _note(vain, tree, gains)} if vain else {})


def _note(vain: Sequence[str], tree: Tree, gains: dict[str, Measurement]) -> str:
    told = []
    for name in vain:
        value, gain = value_text(tree[name]["value"], [name]), number_text(gains[name], [name], signed=True)
        told.append(f"{words([name])} {value}, a gain of {gain}")
    return (
        "The maps of this model keep to the boxes no better than its maps of other phrases on other images do, by "
        f"{'; '.join(told)}: that does not show that it looks for what the phrase says."
    )


def _left_out(tree: Tree, wrong: CaseScores | None) -> dict[str, str]:
    missing = [name for name in MEASURES if name not in tree]
    if wrong is None:
        reason = "no chance level: a phrase has no other phrase of another study"
        return dict.fromkeys((*missing, WRONG_MAP, GAIN_OVER_WRONG_MAP, "needs_image"), reason)
    missing += [f"{GAIN_OVER_WRONG_MAP}.{name}" for name in MEASURES if name not in tree[GAIN_OVER_WRONG_MAP]]
    return dict.fromkeys(missing, "undefined for every phrase: its boxes leave nothing out, or nothing varies")


def _measure(
    values: NDArray[np.float64],
    chances: NDArray[np.float64],
    studies: NDArray[np.int64],
    n_bootstrap: int,
    seed: int,
    bounds: Bounds | None,
) -> Measurement | None:
    # Over the cases where the value is defined; None where there is none, or none with a chance level.
    defined = ~np.isnan(values)
    known = defined & ~np.isnan(chances)
    if not known.any():
        return None
    groups = np.unique(studies[defined], return_inverse=True)[1]
    return measure_mean(values[defined], groups, float(chances[known].mean()), n_bootstrap, seed, bounds)
