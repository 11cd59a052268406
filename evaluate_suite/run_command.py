"""Evaluate a model on a dataset and write a report."""

import argparse

from .runner import run as run_tasks
from .tasks import TASKS
from .tree import measurements, reasons


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", required=True, metavar="DIR_OR_ID", help="or open_clip:NAME[:WEIGHTS] or FILE.pt")
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR_OR_ID",
        help="a folder of datasets_scripts, a Hub id, or MS-CXR's annotation file, .csv or .json, for grounding",
    )
    parser.add_argument("--image_root", metavar="DIR", help="the images that MS-CXR's annotation file names")
    parser.add_argument("--out", required=True, metavar="DIR", help="the report's folder, empty or new")
    parser.add_argument(
        "--tasks", metavar="T1,T2", help=f"of {', '.join(TASKS)}; all that the data has columns for by default"
    )
    parser.add_argument("--split", metavar="S", help="what to evaluate; test, or validation where there is no test")
    parser.add_argument("--batch_size", type=int, default=64, metavar="N", help="images or texts at once (64)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of all that is drawn (0)")
    parser.add_argument("--n_bootstrap", type=int, default=1000, metavar="B", help="resamples of studies (1000)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ...; the CPU by default")
    parser.add_argument("--processor", metavar="DIR_OR_ID", help="of a model that brings none")
    parser.add_argument("--overwrite", action="store_true", help="replace the report in DIR")


def run(args: argparse.Namespace) -> None:
    """Evaluate, write the report, and print where its page lies.

    Raises:
        ValueError: as `runner.run`; and, once the report is written, where it has no number: the message says why.
        OSError, ImportError: as `runner.run`.
    """
    report = run_tasks(
        args.model,
        args.data,
        args.tasks,
        args.out,
        image_root=args.image_root,
        split=args.split,
        batch_size=args.batch_size,
        seed=args.seed,
        n_bootstrap=args.n_bootstrap,
        device=args.device,
        processor=args.processor,
        overwrite=args.overwrite,
    )
    print(f"{args.out.rstrip('/')}/report.md")
    if not any(measurements(report["tasks"])):
        skipped = {**report["skipped"], **dict(reasons(report["tasks"]))}
        raise ValueError(f"nothing could be computed: {'; '.join(f'{name}: {why}' for name, why in skipped.items())}")
