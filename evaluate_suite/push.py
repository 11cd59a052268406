"""Upload a metric to the Hugging Face Hub as a Space, from which `evaluate.load` takes it."""

import argparse
from pathlib import Path

from datasets_scripts.hub import claim_repository, upload_folder

METRICS = {"structure_accuracy": Path(__file__).parent / "structure_accuracy"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("metric", metavar="METRIC", choices=METRICS, help=f"one of: {', '.join(METRICS)}")
    parser.add_argument("--repo_id", required=True, metavar="ORG/NAME", help="NAME is the metric's")
    parser.add_argument("--public", action="store_true", help="let everyone read it")


def run(args: argparse.Namespace) -> None:
    """Upload the metric's script, card, requirements and widget, and print the Space's address.

    Raises:
        ValueError: the repository has another name than the metric, or the Hub refuses it.
    """
    owner, _, name = args.repo_id.rpartition("/")
    if name != args.metric:
        raise ValueError(
            f"{args.repo_id!r}: evaluate.load looks for {name}.py in it, so the Space must be called {args.metric}: "
            f"say --repo_id {owner or 'ORG'}/{args.metric}"
        )
    address = claim_repository(args.repo_id, "space", public=args.public, sdk="gradio")
    files = ("README.md", "requirements.txt", "app.py", f"{args.metric}.py")
    upload_folder(METRICS[args.metric], args.repo_id, "space", only=files)
    print(address)
