"""Counterfactuals of Open-I's reports: how many of each kind, and what models that see no image make of them.

    python -m benchmarks.report_counterfactuals --openi NLMCXR_reports.tgz --examples 10

Two blind models must pick the original of each pair: an interpolated word trigram model fitted on reports, by its mean
log-probability a word, and a classifier trained on pairs (both in `evaluate_suite.controls.blind`). Both learn from
one half of the reports and are tested on the other, and the other way round, for the validation split alone has too
few of the rarer kinds; no normalised report is in both halves. Chance is 50 %; what a model with images gets has to be
held against these.
"""

import argparse
import hashlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets_scripts.openi_reports import OpenIReport, read_reports
from datasets_scripts.perturbations import normalize_report
from datasets_scripts.report_counterfactuals import ReportEditor
from datasets_scripts.schema import COUNTERFACTUAL_KINDS, Counterfactual
from evaluate_suite.controls.blind import NgramClassifier, TrigramModel, pair_accuracy

from .phantom_blind import Pairs


def counterfactual_table(corpus: Sequence[OpenIReport], editor: ReportEditor, seed: int) -> list[dict[str, Any]]:
    """For each kind: `n` reports that have one, `n_null` that have none, both blind models' accuracy.

    Args:
        corpus: reports with findings.
        editor: makes the counterfactuals.
        seed: of the classifier.
    """
    halves = _halves(corpus)
    pairs = [_pairs(half, editor) for half in halves]
    models = [TrigramModel([normalize_report(report.findings) for report in half]) for half in halves]
    rows = []
    for kind in COUNTERFACTUAL_KINDS:
        train_and_test = [(half, pairs[half][kind], pairs[1 - half][kind]) for half in (0, 1)]
        sizes = [len(test) for _, _, test in train_and_test]
        trigram = [pair_accuracy(models[half], test) for half, _, test in train_and_test]
        ngram = [pair_accuracy(NgramClassifier(train, seed), test) for _, train, test in train_and_test]
        rows.append(
            {
                "kind": kind,
                "n": sum(sizes),
                "n_null": len(corpus) - sum(sizes),
                "trigram": float(np.average(trigram, weights=sizes)),
                "ngram": float(np.average(ngram, weights=sizes)),
                "standard_error": 0.5 / sum(sizes) ** 0.5,
            }
        )
    return rows


def _halves(corpus: Sequence[OpenIReport]) -> tuple[list[OpenIReport], list[OpenIReport]]:
    halves: tuple[list[OpenIReport], list[OpenIReport]] = ([], [])
    for report in corpus:
        halves[hashlib.sha256(normalize_report(report.findings).encode()).digest()[0] % 2].append(report)
    return halves


def _pairs(reports: Sequence[OpenIReport], editor: ReportEditor) -> dict[str, Pairs]:
    """(report, counterfactual) by kind."""
    pairs: dict[str, Pairs] = {kind: [] for kind in COUNTERFACTUAL_KINDS}
    for report, found in zip(reports, editor.edit_batch(_studies(reports)), strict=True):
        for kind, counterfactual in found.items():
            pairs[kind].append((normalize_report(report.findings), counterfactual.text))
    return pairs


def _studies(reports: Sequence[OpenIReport]) -> list[tuple[str, str]]:
    return [(report.study_id, report.findings) for report in reports]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """The table in Markdown."""
    print("| kind | reports with one | null | word trigram | n-gram classifier | standard error at 50 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        accuracies = " | ".join(f"{100 * row[key]:.1f} %" for key in ("trigram", "ngram", "standard_error"))
        print(f"| {row['kind']} | {row['n']:,} | {row['n_null']:,} | {accuracies} |")


def print_examples(corpus: Sequence[OpenIReport], editor: ReportEditor, per_kind: int, seed: int) -> None:
    """So many random examples a kind: the report with the span and its replacement in brackets."""
    found = list(zip(corpus, editor.edit_batch(_studies(corpus)), strict=True))
    for kind in COUNTERFACTUAL_KINDS:
        with_kind = [(report, edits[kind]) for report, edits in found if kind in edits]
        print(f"\n## {kind}\n")
        for report, edit in random.Random(seed).sample(with_kind, min(per_kind, len(with_kind))):
            print(f"- {report.study_id}: {_marked(normalize_report(report.findings), edit)}")


def _marked(report: str, edit: Counterfactual) -> str:
    before, replaced, after = report[: edit.start], report[edit.start : edit.end], report[edit.end :]
    return f"{before}[{replaced} -> {edit.replacement}]{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print how many reports get an edit, how fast, the table by kind, and examples."""
    parser = argparse.ArgumentParser(description="counterfactuals of Open-I's reports, and blind models on them")
    parser.add_argument("--openi", type=Path, required=True, help="NLMCXR_reports.tgz or the folder it unpacks to")
    parser.add_argument("--examples", type=int, default=0, help="how many to print of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the edits, the classifier and the examples")
    args = parser.parse_args(argv)
    corpus = [report for report in read_reports(args.openi) if normalize_report(report.findings)]
    editor = ReportEditor(args.seed)
    began = time.perf_counter()
    edited = sum(map(bool, editor.edit_batch(_studies(corpus))))
    seconds = time.perf_counter() - began
    print(f"{edited:,} of {len(corpus):,} reports ({100 * edited / len(corpus):.1f} %) have one, in {seconds:.1f} s\n")
    print_table(counterfactual_table(corpus, editor, args.seed))
    if args.examples:
        print_examples(corpus, editor, args.examples, args.seed)


if __name__ == "__main__":
    main()
