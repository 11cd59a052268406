"""RadNLI: sentence pairs of chest X-ray reports, from the JSONL files of PhysioNet."""

import argparse

from . import nli

RADNLI = nli.NLICorpus(
    name="radnli",
    title="RadNLI",
    project="radnli-report-inference",
    version="1.0.0",
    files={"validation": "radnli_dev_v1.jsonl", "test": "radnli_test_v1.jsonl"},
    description=(
        "Pairs of sentences of chest X-ray reports of MIMIC-CXR: does the second follow from the first, contradict it,"
        " or neither? There is a development split (here `validation`) and a test split, and none to train on: the"
        " field trains on MedNLI."
    ),
    reference=(
        "Miura et al., *Improving Factual Completeness and Consistency of Image-to-Text Radiology Report Generation*,"
        " NAACL 2021"
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build radnli`."""
    nli.add_arguments(parser, RADNLI)


def run(args: argparse.Namespace) -> None:
    """Build the dataset; raises as `nli.run`."""
    nli.run(args, RADNLI)
