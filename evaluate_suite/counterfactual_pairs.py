"""The counterfactuals of a dataset as pairs of a report and its edit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray


@dataclass(frozen=True)
class CounterfactualPairs:
    """The edits of a dataset, each beside its original: P pairs over N rows.

    Attributes:
        rows: [P] row of the pair's image and report.
        kinds: [P] index of the edit's kind among `names`.
        reports: the P original reports.
        texts: the P edited reports.
        names: the K kinds.
        n_null: number of rows without an edit, by kind.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    reports: list[str]
    texts: list[str]
    names: list[str]
    n_null: dict[str, int]

    def take(self, places: NDArray[np.int64]) -> "CounterfactualPairs":
        """The pairs at `places`, in that order, of the same rows."""
        return CounterfactualPairs(
            rows=self.rows[places],
            kinds=self.kinds[places],
            reports=[self.reports[place] for place in places],
            texts=[self.texts[place] for place in places],
            names=self.names,
            n_null=self.n_null,
        )


def counterfactual_pairs(data: Dataset) -> CounterfactualPairs:
    """Read the edits of a perturbed-pairs dataset, row by row; a kind that is null in a row makes no pair."""
    names = list(data.features["counterfactual"])
    pairs = [
        (row, kind, report, edit["text"])
        for row, (report, edits) in enumerate(zip(data["report"][:], data["counterfactual"][:], strict=True))
        for kind, edit in enumerate(_edit_of(edits, name) for name in names)
        if edit is not None
    ]
    rows, kinds, reports, texts = zip(*pairs, strict=True) if pairs else ((), (), (), ())
    found = np.bincount(np.array(kinds, dtype=np.int64), minlength=len(names))
    return CounterfactualPairs(
        rows=np.array(rows, dtype=np.int64),
        kinds=np.array(kinds, dtype=np.int64),
        reports=list(reports),
        texts=list(texts),
        names=names,
        n_null={name: len(data) - int(count) for name, count in zip(names, found, strict=True)},
    )


def edits_by_kind(parts: Iterable[CounterfactualPairs]) -> dict[str, set[tuple[str, str]]]:
    """The distinct (report, edit) pairs of several splits, by kind."""
    edits: dict[str, set[tuple[str, str]]] = {}
    for pairs in parts:
        for kind, report, text in zip(pairs.kinds, pairs.reports, pairs.texts, strict=True):
            edits.setdefault(pairs.names[kind], set()).add((report, text))
    return edits


def _edit_of(edits: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    # Parquet readers give a null struct as None, or as a struct of nulls.
    edit = edits[kind] if edits is not None else None
    return edit if edit is not None and edit["text"] is not None else None
