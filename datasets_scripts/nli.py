"""Natural language inference in the JSONL form of SNLI, in which PhysioNet publishes MedNLI and RadNLI."""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Features, Value

from .card import DatasetInfo, DatasetKind
from .input_files import bare_name, hash_file
from .physionet import PHYSIONET_LICENCE, PHYSIONET_TERMS, licence_page
from .shards import Row
from .writer import check_replaceable, write_rows

LABELS: tuple[str, ...] = ("entailment", "neutral", "contradiction")

NO_CONSENSUS = "gold_label is '-': its annotators did not agree"

STAND_IN_PREFIX = "phantom-nli-"
"""With it begin the identifiers of `phantom_nli`'s pairs, whose files have the form of a corpus's."""

KIND = DatasetKind(
    features=Features(
        {
            "premise": Value("string"),
            "hypothesis": Value("string"),
            "label": ClassLabel(names=list(LABELS)),
            "pair_id": Value("string"),
        }
    ),
    columns=(
        ("`premise`", "the first sentence, as written"),
        ("`hypothesis`", "the second sentence, as written"),
        ("`label`", "whether the premise entails the hypothesis: 0 entailment, 1 neutral, 2 contradiction"),
        ("`pair_id`", "the pair's identifier in the source"),
    ),
    task_categories=("text-classification",),
    tags=("radiology", "natural-language-inference"),
    row="pair",
)
"""A dataset of sentence pairs."""

_STAND_INS = (
    "**{count:,} of the pairs are synthetic: PhantomNLI's, written by a program in the form of {title}'s files, and"
    " not {title}'s.**"
)

_PAIR_IDS = ("pairID", "pair_id")  # the first is MedNLI's, as in SNLI; the second RadNLI's


@dataclass(frozen=True)
class NLICorpus:
    """A corpus of PhysioNet.

    Attributes:
        name, title: on the command line, and in the card.
        project, version: PhysioNet's names of it.
        files: by split.
        reference: the paper to cite.
        description: what it is.
    """

    name: str
    title: str
    project: str
    version: str
    files: Mapping[str, str]
    reference: str
    description: str


def add_arguments(parser: argparse.ArgumentParser, corpus: NLICorpus) -> None:
    """Add the arguments of a builder of sentence pairs."""
    parser.add_argument(
        "--source", type=Path, required=True, help=f"the folder that holds {', '.join(corpus.files.values())}"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace, corpus: NLICorpus) -> None:
    """Build the dataset.

    Raises:
        FileNotFoundError: a file is missing; all that are missing are named.
        ValueError: a line holds no pair; the file and the line are named.
        FileExistsError: as `write_rows`.
    """
    check_replaceable(args.out, args.overwrite)
    paths = {split: args.source / name for split, name in corpus.files.items()}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{args.source} holds no {', no '.join(missing)}; give the folder with PhysioNet's files"
        )
    left_out: Counter[str] = Counter()
    splits = {split: read_pairs(path, left_out) for split, path in paths.items()}
    stand_ins = sum(row["pair_id"].startswith(STAND_IN_PREFIX) for rows in splits.values() for row in rows)
    info = DatasetInfo(
        name=corpus.title,
        source=(
            f"{corpus.title} {corpus.version}, https://physionet.org/content/{corpus.project}/{corpus.version}/"
            f" ({corpus.reference}). {PHYSIONET_TERMS}"
        ),
        licence="other",
        description=corpus.description,
        command=f"python -m datasets_scripts build {corpus.name} --source {bare_name(args.source)} --out DIR",
        synthetic_images=False,
        left_out=left_out,
        inputs={path.name: hash_file(path) for path in paths.values()},
        notes=(_STAND_INS.format(count=stand_ins, title=corpus.title),) if stand_ins else (),
        sections={"Labels": label_counts(splits)},
        tags=(corpus.name, *(["synthetic"] if stand_ins else [])),
        licence_name=PHYSIONET_LICENCE,
        licence_link=licence_page(corpus.project, corpus.version),
    )
    write_rows(args.out, splits, info, KIND, overwrite=args.overwrite)


def read_pairs(path: Path, left_out: Counter[str]) -> list[Row]:
    """The pairs of a JSONL file, as rows of `KIND`.

    Args:
        path: the file.
        left_out: counts the pairs without a gold label.

    Raises:
        ValueError: a line is no JSON object, lacks a field, has an empty sentence, or a label that is none of
            `LABELS` and not `-`; the file and the line are named.
    """
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        pair = _parse_line(line, f"{path}:{number}")
        if pair["label"] == "-":
            left_out[NO_CONSENSUS] += 1
        else:
            rows.append(pair)
    return rows


def _parse_line(line: bytes, where: str) -> Row:
    try:
        pair = json.loads(line)
    except ValueError as error:  # of the encoding or of the JSON
        raise ValueError(f"{where} is no JSON ({error}); restore the line") from error
    if not isinstance(pair, dict):
        raise ValueError(f"{where} is no JSON object; restore the line")
    row = {
        "premise": _text(pair, "sentence1", where),
        "hypothesis": _text(pair, "sentence2", where),
        "label": _text(pair, "gold_label", where),
        "pair_id": _text(pair, next((key for key in _PAIR_IDS if key in pair), _PAIR_IDS[0]), where),
    }
    if row["label"] not in (*LABELS, "-"):
        raise ValueError(f"{where}: gold_label is {row['label']!r}; it is one of {', '.join(LABELS)} or '-'")
    return row


def _text(pair: Mapping[str, Any], key: str, where: str) -> str:
    if key not in pair:
        raise ValueError(f"{where} has no {key!r}; it has {', '.join(pair) or 'nothing'}")
    value = pair[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {key} is {value!r}; it must be text")
    return value


def label_counts(splits: Mapping[str, list[Row]]) -> str:
    """How many pairs of each split have each label, as Markdown."""
    counts = {split: Counter(row["label"] for row in rows) for split, rows in splits.items()}
    return "\n".join(
        f"- `{split}`: " + ", ".join(f"{count[label]:,} {label}" for label in LABELS)
        for split, count in counts.items()
    )
