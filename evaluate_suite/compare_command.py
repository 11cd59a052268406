"""Compare reports of the same data: one table, the best in bold, differences to the first with paired intervals."""

import argparse
from pathlib import Path

from .compare import compare
from .comparison import markdown, write_comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="a folder of `run`, or its report.json")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write comparison.md, .json and .png there")
    parser.add_argument("--n_bootstrap", type=int, default=1000, metavar="B", help="resamples of studies (1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the resamples (0)")


def run(args: argparse.Namespace) -> None:
    """Compare, print the table, and write it where `--out` says.

    Raises:
        ValueError, OSError: as `compare.compare` and `comparison.write_comparison`.
    """
    comparison = compare([Path(report) for report in args.reports], n_bootstrap=args.n_bootstrap, seed=args.seed)
    if args.out is not None:
        write_comparison(comparison, args.out)
    print(markdown(comparison, chart=False), end="")
