"""MedNLI: clinical sentence pairs, from the JSONL files of PhysioNet."""

import argparse

from . import nli

MEDNLI = nli.NLICorpus(
    name="mednli",
    title="MedNLI",
    project="mednli",
    version="1.0.0",
    files={"train": "mli_train_v1.jsonl", "validation": "mli_dev_v1.jsonl", "test": "mli_test_v1.jsonl"},
    description=(
        "Pairs of sentences of the clinical domain: the premise stands in a patient's history, the hypothesis was"
        " written by a clinician to follow from it, to contradict it, or to do neither."
    ),
    reference="Romanov and Shivade, *Lessons from Natural Language Inference in the Clinical Domain*, EMNLP 2018",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build mednli`."""
    nli.add_arguments(parser, MEDNLI)


def run(args: argparse.Namespace) -> None:
    """Build the dataset; raises as `nli.run`."""
    nli.run(args, MEDNLI)
