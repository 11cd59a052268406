"""Counterfactual: does an image score its own report above a fluent edit that contradicts it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..embeddings import Embeddings, paired_cosines
from ..statistics import Measurement
from ..structure_accuracy.structure_accuracy import bootstrap_ratios, group_indices, percentile_interval

CHANCE = 0.5
"""Of two candidates, and a tie counts as half."""


@dataclass(frozen=True)
class CounterfactualPairs:
    """The edits of a dataset, each beside its original: P pairs over N rows.

    Attributes:
        rows: [P] row of the pair's image and report.
        kinds: [P] index of the edit's kind among `names`.
        texts: the P edited reports.
        names: the K kinds.
        n_null: number of rows without an edit, by kind.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    texts: list[str]
    names: list[str]
    n_null: dict[str, int]


def counterfactual_pairs(data: Dataset) -> CounterfactualPairs:
    """Read the edits of a perturbed-pairs dataset, row by row; a kind that is null in a row makes no pair."""
    names = list(data.features["counterfactual"])
    pairs = [
        (row, kind, edit["text"])
        for row, edits in enumerate(data["counterfactual"])
        for kind, edit in enumerate(_edit_of(edits, name) for name in names)
        if edit is not None
    ]
    rows, kinds, texts = zip(*pairs, strict=True) if pairs else ((), (), ())
    found = np.bincount(np.array(kinds, dtype=np.int64), minlength=len(names))
    return CounterfactualPairs(
        rows=np.array(rows, dtype=np.int64),
        kinds=np.array(kinds, dtype=np.int64),
        texts=list(texts),
        names=names,
        n_null={name: len(data) - int(count) for name, count in zip(names, found, strict=True)},
    )


def evaluate(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Counterfactual accuracy of a model, by the cosine of image and report; a tie counts as half.

    Args:
        embeddings: the model's embeddings.
        data: a perturbed-pairs dataset; its columns `image`, `image_id`, `study_id`, `report` and `counterfactual` are
            read.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"accuracy", "by_kind": {KIND: ...}, "n_null": {KIND: rows without that edit}}`, the first two of
        `Measurement`s over pairs of report and edit. What cannot be computed is left out and named under `skipped`
        with its reason.
    """
    pairs = counterfactual_pairs(data)
    if not pairs.texts:
        return {"n_null": pairs.n_null, "skipped": {"counterfactual": f"none of the {len(data)} rows has an edit"}}
    wins = pair_wins(embeddings, data, pairs, embeddings.images(data))
    studies = group_indices(list(data["study_id"]), len(data))[pairs.rows]
    return measure_pairs(wins, pairs, studies, n_bootstrap=n_bootstrap, seed=seed)


def pair_wins(
    embeddings: Embeddings, data: Dataset, pairs: CounterfactualPairs, images: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Who wins each pair, given each row's image vector [N, D]: [P], 1 the report, 0.5 neither, 0 the edit."""
    every_row = np.arange(len(data), dtype=np.int64)
    originals = paired_cosines(images, embeddings.texts(list(data["report"])), every_row)[pairs.rows]
    edits = paired_cosines(images, embeddings.texts(pairs.texts), pairs.rows)
    return (originals > edits) + 0.5 * (originals == edits)


def measure_pairs(
    wins: NDArray[np.float64],
    pairs: CounterfactualPairs,
    studies: NDArray[np.int64],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The task's tree from the wins [P] of its pairs and the index of each pair's study [P]."""
    of_kind = pairs.kinds[:, None] == np.arange(len(pairs.names))  # [P, K]
    counted = np.column_stack([np.ones(len(wins), dtype=bool), of_kind])  # [P, 1 + K], all pairs first
    found = np.flatnonzero(counted.any(axis=0))
    denominators = counted[:, found].astype(np.float64)
    numerators = denominators * wins[:, None]
    groups = np.unique(studies, return_inverse=True)[1]
    replicates = bootstrap_ratios(numerators, denominators, groups, n_bootstrap, seed)
    measurements = [
        Measurement(value=float(value), interval=percentile_interval(replicates[:, place]), chance=CHANCE, n=int(n))
        for place, (value, n) in enumerate(
            zip(numerators.sum(axis=0) / denominators.sum(axis=0), denominators.sum(axis=0), strict=True)
        )
    ]
    by_kind = {pairs.names[column - 1]: measurements[place] for place, column in enumerate(found) if column}
    tree: dict[str, Any] = {"accuracy": measurements[0], "by_kind": by_kind, "n_null": pairs.n_null}
    missing = [name for name in pairs.names if name not in by_kind]
    if missing:
        tree["skipped"] = {f"by_kind.{name}": "no row has such an edit" for name in missing}
    return tree


def _edit_of(edits: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    # Parquet readers give a null struct as None, or as a struct of nulls.
    edit = edits[kind] if edits is not None else None
    return edit if edit is not None and edit["text"] is not None else None
