"""Structure: does an image score its own report above the perturbed copies (Table IV of the paper)?

A model that sees no image can score near 100 %, for the perturbations break the word order: this measures language,
and `counterfactual` measures grounding.
"""

from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..embeddings import Embeddings, paired_cosines
from ..statistics import Measurement
from ..structure_accuracy.structure_accuracy import structure_scores

ORIGINAL = "original"
"""The name of the candidate column that holds the report itself; the perturbations' columns follow."""


def evaluate(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Structure accuracy of a model, by the cosine of image and report.

    Args:
        embeddings: the model's embeddings.
        data: a perturbed-pairs dataset; its columns `image`, `image_id`, `study_id`, `report`, `perturbed` and
            `changed` are read. A perturbation that is not `changed` is left out.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"accuracy", "mean_reciprocal_rank", "by_perturbation": {NAME: ...}}` of `Measurement`s; ties count against
        the model. What cannot be computed is left out and named under `skipped` with its reason.
    """
    names = list(data.features["perturbed"])
    present = changed_perturbations(data)  # [N, 1 + P]
    if not present[:, 1:].any():
        return {"skipped": {"structure": f"none of the {len(data)} reports has a perturbation that changes it"}}
    results = structure_scores(
        candidate_scores(embeddings, data, embeddings.images(data)),
        np.zeros(len(data), dtype=np.int64),
        mask=present,
        names=[ORIGINAL, *names],
        groups=list(data["study_id"]),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    return _as_tree(results, names)


def changed_perturbations(data: Dataset) -> NDArray[np.bool_]:
    """Which candidates of each row count, [N, 1 + P]: the report, and the perturbations that differ from it."""
    names = list(data.features["perturbed"])
    changed = [[True, *(bool(row[name]) for name in names)] for row in data["changed"]]
    return np.array(changed, dtype=bool).reshape(len(data), 1 + len(names))


def candidate_scores(embeddings: Embeddings, data: Dataset, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of each row's image with its report and with each perturbation.

    Args:
        embeddings: the model's embeddings, for the texts.
        data: a perturbed-pairs dataset of N rows and P perturbations.
        images: [N, D] float32, the image vector that each row's texts are compared with.

    Returns:
        [N, 1 + P] float64, the report first; NaN where the perturbation is not `changed`, which is not encoded.
    """
    names = list(data.features["perturbed"])
    present = changed_perturbations(data)
    rows, columns = np.nonzero(present)
    table = [
        [report, *(row[name] for name in names)] for report, row in zip(data["report"], data["perturbed"], strict=True)
    ]
    texts = embeddings.texts([table[row][column] for row, column in zip(rows, columns, strict=True)])
    scores = np.full(present.shape, np.nan)
    scores[rows, columns] = paired_cosines(images, texts, rows)
    return scores


def _as_tree(results: dict[str, Any], names: list[str]) -> dict[str, Any]:
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
    unchanged = [name for name in names if name not in results["by_perturbation"]]
    if unchanged:
        tree["skipped"] = {f"by_perturbation.{name}": "it changes none of the reports" for name in unchanged}
    return tree
