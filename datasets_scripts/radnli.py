"""RadNLI: sentence pairs of chest X-ray reports, from the JSONL files of PhysioNet."""

import argparse

from . import nli
from .physionet import PHYSIONET_LICENCE

RADNLI = nli.NLICorpus(
    name="radnli",
    title="RadNLI",
    files={"validation": "radnli_dev_v1.jsonl", "test": "radnli_test_v1.jsonl"},
    description=(
        "Pairs of sentences of chest X-ray reports of MIMIC-CXR: does the second follow from the first, contradict it,"
        " or neither? There is a development split (here `validation`) and a test split, and none to train on: the"
        " field trains on MedNLI."
    ),
    source=(
        "RadNLI 1.0.0, https://physionet.org/content/radnli-report-inference/1.0.0/ (Miura et al., *Improving Factual"
        " Completeness and Consistency of Image-to-Text Radiology Report Generation*, NAACL 2021)."
        f" {PHYSIONET_LICENCE}"
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build radnli`."""
    nli.add_arguments(parser, RADNLI)


def run(args: argparse.Namespace) -> None:
    """Build the dataset; raises as `nli.run`."""
    nli.run(args, RADNLI)
