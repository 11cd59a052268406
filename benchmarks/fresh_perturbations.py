"""Fresh perturbations: token ids put together from words against the tokenizer's on the perturbed text.

    python -m benchmarks.fresh_perturbations --openi NLMCXR_reports.tgz --tokenizer DIR [DIR ...]

A tokenizer is what `AutoTokenizer.from_pretrained` reads: a folder with `tokenizer.json` and `tokenizer_config.json`,
as `save_pretrained` writes it, or a Hub id, such as those of BERT, ModernBERT and RoBERTa.

Some reports of the corpus are tagged once. In each epoch `FreshPairCollator` draws their nine perturbations; each
text's row in its batches, padding and truncation included, is held against that of `PairCollator`, which calls the
tokenizer through `PRDProcessor` on the perturbed text, and its ids also against the tokenizer called on the text as
one string. Then all texts of an epoch are timed, put together from words and tokenised, in turn and in one thread, as
in a loader's worker.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import chain, compress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from datasets_scripts.openi_reports import read_reports
from datasets_scripts.perturbations import DEFAULT_SPACY_MODEL, ReportPerturber, normalize_report
from training.arguments import DataArguments
from training.data import PairCollator
from training.fresh import FreshPairCollator, NotWordLocalError, WordTokens
from training.models import build_processor

Row = dict[str, Any]

_SIDE = 8  # pixels: the collators need an image, which nothing here looks at


@dataclass(frozen=True)
class Settings:
    """Of a measurement.

    Attributes:
        max_length: longest text in tokens, special ones included.
        epochs: to draw perturbations for.
        batch_size: reports a batch.
        repeats: timings of each way, of which the median counts.
        seed: of the perturbations.
    """

    max_length: int
    epochs: int
    batch_size: int
    repeats: int
    seed: int


def tagged_rows(reports: Sequence[str], count: int, spacy_model: str, seed: int) -> list[Row]:
    """Some of the reports as rows of a dataset: with their tags, and an image that says nothing.

    Args:
        reports: distinct, normalised.
        count: how many to draw.
        spacy_model: whose tagger to use.
        seed: of the draw.

    Raises:
        ValueError: there are not so many, or the spaCy model cannot be used.
    """
    if count > len(reports):
        raise ValueError(f"--reports {count} is more than the {len(reports)} distinct reports of the corpus")
    drawn = random.Random(seed).sample(list(reports), count)
    with ReportPerturber(spacy_model=spacy_model).tagging() as tagger:
        tags = list(tagger.tag(report.split() for report in drawn))
    png = BytesIO()
    Image.new("L", (_SIDE, _SIDE)).save(png, "PNG")
    image = {"bytes": png.getvalue(), "path": None}
    return [
        {"image": image, "image_id": str(place), "report": report, "tags": " ".join(tags_of)}
        for place, (report, tags_of) in enumerate(zip(drawn, tags, strict=True))
    ]


def compare(fresh: FreshPairCollator, rows: Sequence[Row], epochs: int, batch_size: int) -> dict[str, int]:
    """Hold every text of some epochs, reports and perturbed reports, against the tokenizer's.

    Args:
        fresh: collates the rows as training does.
        rows: with `image`, `image_id`, `report` and `tags`.
        epochs: how many.
        batch_size: rows a batch.

    Returns:
        `texts`; `differing`, of which ids, mask, word ids (of a report) or whether it differs from its report (of a
        perturbed one) are not `PairCollator`'s; `differing_from_string`, of which ids are not the tokenizer's on the
        text as one string.
    """
    counts = {"texts": 0, "differing": 0, "differing_from_string": 0}
    through_processor = PairCollator(fresh.processor, fresh.max_length)
    for epoch in range(epochs):
        fresh.set_epoch(epoch)
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            written = [
                {**row, "perturbed": {name: " ".join(words) for name, words in fresh.perturb(row).items()}}
                for row in batch
            ]
            actual, expected = _by_text(fresh(batch)), _by_text(through_processor(written))
            strings = [row["report"] for row in batch]
            strings += chain.from_iterable(row["perturbed"].values() for row in written)
            whole = fresh.processor.tokenizer(strings, truncation=True, max_length=fresh.max_length)["input_ids"]
            ids = [list(compress(row[0], row[1])) for row in actual]
            counts["texts"] += len(strings)
            counts["differing"] += sum(ours != theirs for ours, theirs in zip(actual, expected, strict=True))
            counts["differing_from_string"] += sum(ours != theirs for ours, theirs in zip(ids, whole, strict=True))
    return counts


def _by_text(batch: dict[str, torch.Tensor]) -> list[tuple[Any, ...]]:
    """Each text's inputs: ids, mask and word ids of the B reports, then ids, mask and whether it counts of B * P."""
    of_reports = ("input_ids", "attention_mask", "word_ids")
    of_perturbed = ("perturbed_input_ids", "perturbed_attention_mask", "perturbation_mask")
    reports = zip(*(batch[name].tolist() for name in of_reports), strict=True)
    perturbed = zip(*(batch[name].flatten(0, 1).tolist() for name in of_perturbed), strict=True)  # [B, P, ...]
    return [*reports, *perturbed]


def rates(fresh: FreshPairCollator, rows: Sequence[Row], batch_size: int, repeats: int) -> dict[str, Any]:
    """Time the ids of one epoch's texts, both ways in turn.

    Args:
        fresh: its words' tokens and its tokenizer are timed.
        rows: as for `compare`.
        batch_size: rows whose texts the tokenizer gets in one call, as from a collator.
        repeats: timings of each way, of which the median is taken.

    Returns:
        `assembled` and `tokenizer`: median texts a second, and each timing; `ratio` of the medians. Where the
        tokenizer is not word-local, `tokenizer` alone.
    """
    texts = [[row["report"].split(), *fresh.perturb(row).values()] for row in rows]  # [rows][1 + P] of words
    calls = [list(chain.from_iterable(texts[start : start + batch_size])) for start in range(0, len(rows), batch_size)]
    count = sum(map(len, calls))
    tokens, tokenizer, max_length = fresh.tokens, fresh.processor.tokenizer, fresh.max_length

    def tokenize() -> None:
        for call in calls:
            tokenizer(call, is_split_into_words=True, truncation=True, max_length=max_length)

    ways: dict[str, Callable[[], None]] = {"tokenizer": tokenize}
    if tokens is not None:

        def assemble() -> None:
            for words in chain.from_iterable(calls):
                tokens.ids(words, max_length)

        ways["assembled"] = assemble
    timings: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warms it up
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            timings[name].append(count / (time.perf_counter() - began))
    medians = {name: statistics.median(values) for name, values in timings.items()}
    results: dict[str, Any] = {
        name: {"texts_per_second": medians[name], "timings": values} for name, values in timings.items()
    }
    if "assembled" in medians:
        results["ratio"] = medians["assembled"] / medians["tokenizer"]
    return results


def measure(
    tokenizer: PreTrainedTokenizerBase, reports: Sequence[str], rows: Sequence[Row], settings: Settings
) -> dict[str, Any]:
    """All figures of a tokenizer.

    Args:
        tokenizer: as loaded.
        reports: the corpus's distinct reports, of whose words the ids are kept.
        rows: the reports to perturb, as `tagged_rows` gives them.
        settings: of the measurement.

    Returns:
        `vocabulary`, `model`, `not_word_local` (the reason, or None), and what `compare` and `rates` return.

    Raises:
        ValueError: `PRDProcessor` refuses the tokenizer.
    """
    data = DataArguments(image_size=_SIDE, max_length=settings.max_length)
    processor = build_processor(data, tokenizer, channels=1)
    reason = None
    try:
        WordTokens(processor.tokenizer, reports)
    except NotWordLocalError as error:
        reason = str(error)
    fresh = FreshPairCollator(processor, settings.max_length, reports, settings.seed)
    return {
        "vocabulary": len(tokenizer),
        "model": type(processor.tokenizer.backend_tokenizer.model).__name__,
        "not_word_local": reason,
        **compare(fresh, rows, settings.epochs, settings.batch_size),
        **rates(fresh, rows, settings.batch_size, settings.repeats),
    }


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"--tokenizer {name} is no folder and no Hub id of a tokenizer: {error}") from error


def _show_line(name: str, row: dict[str, Any]) -> None:
    reason = row["not_word_local"]
    assembled = f"{row['assembled']['texts_per_second']:,.0f}" if reason is None else "-"
    ratio = f"{row['ratio']:.1f}" if reason is None else "-"
    print(
        f"{Path(name).name:20}{row['vocabulary']:>11,} {row['model']:10}{row['texts']:>8,}{row['differing']:>10,}"
        f"{row['differing_from_string']:>13,}{assembled:>13}{row['tokenizer']['texts_per_second']:>13,.0f}{ratio:>7}  "
        + ("word-local" if reason is None else f"not word-local: {reason}, falls back")
    )


def _at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fresh_perturbations", description=__doc__)
    parser.add_argument("--openi", type=Path, required=True, help="NLMCXR_reports.tgz, or a folder with its XML files")
    parser.add_argument("--tokenizer", nargs="+", required=True, help="folders or Hub ids of tokenizers")
    counts = {
        "reports": (500, "distinct reports to perturb, drawn from the corpus"),
        "epochs": (2, "epochs to draw perturbations for"),
        "max_length": (DataArguments.max_length, "longest text in tokens, special ones included"),
        "batch_size": (32, "reports a batch"),
        "repeats": (5, "timings of each way, of which the median counts"),
    }
    for name, (default, text) in counts.items():
        parser.add_argument(f"--{name}", type=_at_least_one, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the reports and the perturbations")
    parser.add_argument("--spacy_model", default=DEFAULT_SPACY_MODEL, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = _parser()
    args = parser.parse_args(argv)
    settings = Settings(args.max_length, args.epochs, args.batch_size, args.repeats, args.seed)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    results: dict[str, Any] = {}
    try:
        tokenizers = {name: _load_tokenizer(name) for name in args.tokenizer}
        texts = (normalize_report(report.findings) for report in read_reports(args.openi))
        reports = list(dict.fromkeys(filter(None, texts)))
        rows = tagged_rows(reports, args.reports, args.spacy_model, args.seed)
        print(
            f"{len(rows):,} of {len(reports):,} distinct reports, each with its nine perturbations in each of "
            f"{args.epochs} epochs; at most {args.max_length} tokens a text"
        )
        print(
            f"{'tokenizer':20}{'vocabulary':>11} {'model':10}{'texts':>8}{'differing':>10}{'from string':>13}"
            f"{'assembled/s':>13}{'tokenizer/s':>13}{'ratio':>7}"
        )
        for name, tokenizer in tokenizers.items():
            results[name] = measure(tokenizer, reports, rows, settings)
            _show_line(name, results[name])
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if args.json is not None:
        figures = {"reports": args.reports, **asdict(settings), "tokenizers": results}
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
