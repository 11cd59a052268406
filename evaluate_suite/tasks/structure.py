"""Structure: does an image score its own report above the perturbed copies (Table IV of the paper)?

A model that sees no image can score near 100 %, for the perturbations break the word order: this measures language,
and `counterfactual` measures grounding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..context import Outcomes, TaskContext, Tree
from ..controls import NotComputable
from ..controls.blind import TrigramModel, reports_to_fit
from ..controls.gains import BLIND, WRONG_IMAGE, Cases, computed, measure_controls
from ..controls.kept import KeptCases
from ..controls.wrong_image import mean_over_derangements
from ..embeddings import Embeddings, paired_cosines
from ..figures import draw_controls
from ..statistics import Measurement
from ..structure_accuracy.structure_accuracy import (
    CandidateOutcomes,
    candidate_outcomes,
    group_indices,
    structure_scores,
)

ORIGINAL = "original"
"""The name of the candidate column that holds the report itself; the perturbations' columns follow."""

CHANCE_OF_PAIR = 0.5
"""Of a report and one perturbation."""

_CAPTION = (
    "How often a report beats all its perturbed copies, and each kind of copy alone: the model, a trigram model that "
    "sees no image, and the model with wrong images. Bars are 95 % intervals, dotted strokes chance."
)


@dataclass(frozen=True)
class StructureCandidates:
    """The reports of N rows and those of their P perturbations that change them: Q texts.

    Attributes:
        names: the P perturbations.
        present: [N, 1 + P] which candidates count, the report first.
        rows, columns: [Q] where each text stands in `present`.
        texts: the Q texts.
    """

    names: list[str]
    present: NDArray[np.bool_]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    texts: list[str]

    def table(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores [Q] where they belong, [N, 1 + P] float64; NaN where a candidate does not count."""
        table = np.full(self.present.shape, np.nan)
        table[self.rows, self.columns] = scores
        return table

    def outcomes(self, scores: NDArray[np.float64]) -> CandidateOutcomes:
        """What scores [Q] say about each row's report."""
        return candidate_outcomes(self.table(scores), np.zeros(len(self.present), dtype=np.int64), self.present)


def structure_candidates(data: Dataset) -> StructureCandidates:
    """Read the candidates of a perturbed-pairs dataset."""
    names = list(data.features["perturbed"])
    present = changed_perturbations(data)
    rows, columns = np.nonzero(present)
    table = [
        [report, *(row[name] for name in names)]
        for report, row in zip(data["report"][:], data["perturbed"][:], strict=True)
    ]
    texts = [table[row][column] for row, column in zip(rows, columns, strict=True)]
    return StructureCandidates(names, present, rows, columns, texts)


def run(context: TaskContext) -> Tree:
    """Structure accuracy with its controls.

    Returns:
        As `evaluate`, with `blind`, a trigram model fitted on the training split's reports that are no text of the
        test (how many are left out for it stands under `blind.n_left_out`); `wrong_image`, the mean over derangements;
        `gain_over_blind`, `gain_over_wrong_image`, `needs_image`, and perhaps `note`, all as
        `controls.gains.measure_controls` gives them, a tie being a miss.
    """
    data = context.test
    candidates = structure_candidates(data)
    if not candidates.present[:, 1:].any():
        return _without_rivals(data)
    fitted = computed(lambda: reports_to_fit(context.train, {*data["report"], *candidates.texts}))
    blind = fitted if isinstance(fitted, NotComputable) else _blind(fitted[0], candidates)
    tree, right = _with_controls(
        context.embeddings,
        data,
        candidates,
        {BLIND: blind},
        n_bootstrap=context.n_bootstrap,
        seed=context.seed,
        outcomes=context.outcomes,
    )
    if not isinstance(fitted, NotComputable):
        tree[BLIND]["n_left_out"] = {"reports": fitted[1]}
    _keep(context, right, candidates.names)
    context.figures.add("structure", partial(draw_controls, tree), _CAPTION)
    return tree


def evaluate(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Structure accuracy of a model, by the cosine of image and report, beside that with wrong images.

    Args:
        embeddings: the model's embeddings.
        data: a perturbed-pairs dataset; its columns `image`, `image_id`, `study_id`, `report`, `perturbed` and
            `changed` are read. A perturbation that is not `changed` is left out.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"accuracy", "mean_reciprocal_rank", "by_perturbation": {NAME: ...}}` of `Measurement`s, ties counting against
        the model; `wrong_image`, the mean over derangements, with `gain_over_wrong_image`, `needs_image`, and perhaps
        `note`, as `controls.gains.measure_controls` gives them. What cannot be computed is left out and named under
        `skipped` with its reason.
    """
    candidates = structure_candidates(data)
    if not candidates.present[:, 1:].any():
        return _without_rivals(data)
    return _with_controls(embeddings, data, candidates, {}, n_bootstrap=n_bootstrap, seed=seed)[0]


def _with_controls(
    embeddings: Embeddings,
    data: Dataset,
    candidates: StructureCandidates,
    blind: Mapping[str, NDArray[np.float64] | NotComputable],
    *,
    n_bootstrap: int,
    seed: int,
    outcomes: Outcomes | None = None,
) -> tuple[Tree, CandidateOutcomes]:
    # The tree, with the controls in `blind`, outcomes [N, 1 + P], and wrong images; the outcomes with right images.
    # The controls' are kept in `outcomes`, where there are any to be kept.
    images, texts = embeddings.images(data), embeddings.texts(candidates.texts)
    scores = paired_cosines(images, texts, candidates.rows)
    right = candidates.outcomes(scores)
    tree = _measure(candidates, scores, list(data["study_id"]), n_bootstrap, seed)
    kept = right.rivals.any(axis=1)
    cases = Cases(
        group="by_perturbation",
        names=candidates.names,
        counted=np.column_stack([np.ones(kept.sum(), dtype=bool), right.rivals[kept, 1:]]),
        studies=group_indices(list(data.select(np.flatnonzero(kept))["study_id"]), int(kept.sum())),
        chances=[tree["accuracy"]["chance"], *(CHANCE_OF_PAIR for _ in candidates.names)],
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    wrong_image = computed(lambda: _wrong_image(data, candidates, images, texts, seed))
    controls = {
        name: control if isinstance(control, NotComputable) else control[kept]
        for name, control in {**blind, WRONG_IMAGE: wrong_image}.items()
    }
    controlled = measure_controls(cases, _columns(right)[kept], controls)
    if outcomes is not None:
        rows = data.select_columns(["image_id", "study_id"]).select(np.flatnonzero(kept))
        KeptCases(outcomes, "structure", cases, rows["image_id"][:], rows["study_id"][:]).keep_controls(
            _columns(right)[kept], controls
        )
    skipped = tree.get("skipped", {}) | controlled.get("skipped", {})
    return tree | controlled | ({"skipped": skipped} if skipped else {}), right


def changed_perturbations(data: Dataset) -> NDArray[np.bool_]:
    """Which candidates of each row count, [N, 1 + P]: the report, and the perturbations that differ from it."""
    names = list(data.features["perturbed"])
    changed = [[True, *(bool(row[name]) for name in names)] for row in data["changed"][:]]
    return np.array(changed, dtype=bool).reshape(len(data), 1 + len(names))


def _blind(reports: list[str], candidates: StructureCandidates) -> NDArray[np.float64]:
    # Outcomes [N, 1 + P] of the trigram model.
    return _columns(candidates.outcomes(TrigramModel(reports).scores(candidates.texts)))


def _wrong_image(
    data: Dataset,
    candidates: StructureCandidates,
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    seed: int,
) -> NDArray[np.float64]:
    # Outcomes [N, 1 + P].
    return mean_over_derangements(
        data["study_id"],
        data["report"],
        lambda image_of_row: _columns(
            candidates.outcomes(paired_cosines(images, texts, image_of_row[candidates.rows]))
        ),
        seed=seed,
    )


def _columns(outcomes: CandidateOutcomes) -> NDArray[np.float64]:
    # [N, 1 + P]: whether the report beats all, and each perturbation.
    return np.column_stack([outcomes.correct, outcomes.beaten[:, 1:]])


def _keep(context: TaskContext, right: CandidateOutcomes, names: list[str]) -> None:
    image_ids, studies = np.array(context.test["image_id"]), np.array(context.test["study_id"])
    has_rival = right.rivals.any(axis=1)
    numbers = {
        "accuracy": (right.correct, has_rival),
        "mean_reciprocal_rank": (right.reciprocal_rank, has_rival),
        **{
            f"by_perturbation.{name}": (right.beaten[:, column], right.rivals[:, column])
            for column, name in enumerate(names, start=1)
        },
    }
    for metric, (values, counted) in numbers.items():
        if counted.any():
            context.outcomes.add(
                "structure", metric, image_ids[counted].tolist(), studies[counted].tolist(), values[counted]
            )


def _without_rivals(data: Dataset) -> dict[str, Any]:
    return {"skipped": {"structure": f"none of the {len(data)} reports has a perturbation that changes it"}}


def _measure(
    candidates: StructureCandidates,
    scores: NDArray[np.float64],
    studies: Sequence[str],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    results = structure_scores(
        candidates.table(scores),
        np.zeros(len(studies), dtype=np.int64),
        mask=candidates.present,
        names=[ORIGINAL, *candidates.names],
        groups=studies,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    tree: dict[str, Any] = {
        "accuracy": Measurement(
            value=results["accuracy"], interval=results["interval"], chance=results["chance"], n=results["n"]
        ),
        "mean_reciprocal_rank": Measurement(
            value=results["mean_reciprocal_rank"],
            interval=results["mean_reciprocal_rank_interval"],
            chance=results["mean_reciprocal_rank_chance"],
            n=results["n"],
        ),
        "by_perturbation": results["by_perturbation"],
    }
    unchanged = [name for name in candidates.names if name not in results["by_perturbation"]]
    if unchanged:
        tree["skipped"] = {f"by_perturbation.{name}": "it changes none of the reports" for name in unchanged}
    return tree
