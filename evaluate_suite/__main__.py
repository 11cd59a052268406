"""Command line: `python -m evaluate_suite push METRIC --repo_id ORG/NAME`."""

import argparse
import sys
from collections.abc import Sequence

from . import push


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status: 0 when all went well, 2 for bad input (which is named in one line on standard error).
    """
    parser = argparse.ArgumentParser(prog="python -m evaluate_suite", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("push", help="upload a metric as a Space", description=push.__doc__)
    push.add_arguments(command)
    command.set_defaults(run=push.run)
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
