"""What one sentence of PhantomNLI tells of the label: `python -m benchmarks.phantom_inference`.

Prints the accuracy of logistic regression on word 1- to 3-grams of the hypothesis alone, of the premise alone, and of
both; the chance is a third. All pairs of a block hold each sentence under each label, so that on them the first two
are at chance exactly; hence also on one pair of each block, where the pairs are independent and a cue would show. Both
at once are at chance too: the model adds n-grams up, and what decides is how the two sentences go together.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from datasets_scripts.nli import LABELS
from datasets_scripts.perturbations import normalize_report
from datasets_scripts.phantom_entailment import PAIRS_IN_BLOCK
from datasets_scripts.phantom_nli import split_pairs
from evaluate_suite.controls.ngrams import NgramTable

INPUTS: Mapping[str, tuple[str, ...]] = {
    "hypothesis": ("hypothesis",),
    "premise": ("premise",),
    "both": ("premise", "hypothesis"),
}

Pairs = Sequence[Mapping[str, Any]]


def ngram_accuracy(columns: Sequence[str], train: Pairs, test: Pairs, seed: int) -> float:
    """Accuracy on `test` of a logistic regression on the n-grams of some columns, each with n-grams of its own."""
    tables = {column: NgramTable(_texts(train, column)) for column in columns}
    matrices = [
        np.hstack([table.matrix(_texts(pairs, column)).toarray() for column, table in tables.items()])
        for pairs in (train, test)
    ]
    labels = [np.array([LABELS.index(row["label"]) for row in pairs]) for pairs in (train, test)]
    classifier = LogisticRegression(C=0.1, random_state=seed, max_iter=300).fit(matrices[0], labels[0])
    return float(np.mean(classifier.predict(matrices[1]) == labels[1]))


def one_pair_a_block(split: str, blocks: int, seed: int) -> Pairs:
    """A pair of each of the first blocks of a split, drawn at random; no two of them share a sentence of a block."""
    rows = split_pairs(seed, split, blocks * PAIRS_IN_BLOCK)
    places = np.random.default_rng(seed).integers(PAIRS_IN_BLOCK, size=blocks)
    return [rows[block * PAIRS_IN_BLOCK + place] for block, place in enumerate(places)]


def inference_table(pairs: int, seed: int) -> dict[str, dict[str, float]]:
    """The accuracy by what is read: on `pairs` pairs in whole blocks, and on one pair of each of `pairs` blocks."""
    train, test = (split_pairs(seed, split, pairs) for split in ("train", "test"))
    train_alone, test_alone = (one_pair_a_block(split, pairs, seed) for split in ("train", "test"))
    return {
        name: {
            "all_pairs": ngram_accuracy(columns, train, test, seed),
            "one_pair_a_block": ngram_accuracy(columns, train_alone, test_alone, seed),
            "standard_error": (2 / 9 / pairs) ** 0.5,
            "n": pairs,
        }
        for name, columns in INPUTS.items()
    }


def _texts(pairs: Pairs, column: str) -> list[str]:
    return [normalize_report(row[column]) for row in pairs]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phantom_inference", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5400, help="training pairs, and as many test pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)
    if args.pairs < 1 or args.pairs % PAIRS_IN_BLOCK:
        parser.error(f"--pairs must be a multiple of {PAIRS_IN_BLOCK}, not {args.pairs}")
    table = inference_table(args.pairs, args.seed)
    print(f"{'what is read':14}{'all pairs %':>13}{'one a block %':>15}{'+-':>6}   ({args.pairs} pairs; chance 33.3)")
    for name, row in table.items():
        accuracies = f"{100 * row['all_pairs']:13.1f}{100 * row['one_pair_a_block']:15.1f}"
        print(f"{name:14}{accuracies}{196 * row['standard_error']:6.1f}")
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
