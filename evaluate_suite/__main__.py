"""Command line: `python -m evaluate_suite` and `run`, `compare`, `balanced`, `tables` or `push`, each with --help."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

# Each module offers `add_arguments(parser)` and `run(args)`, which may return a status; it is imported when asked for.
COMMANDS = {
    "run": ("evaluate_suite.run_command", "evaluate a model on a dataset and write a report"),
    "compare": ("evaluate_suite.compare_command", "set reports beside each other"),
    "balanced": ("evaluate_suite.balanced_command", "list the counterfactuals that language does not give away"),
    "tables": ("evaluate_suite.tables_command", "make the paper's tables, training what they need"),
    "push": ("evaluate_suite.push", "upload a metric as a Space"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status: 0 when all went well, 1 or 130 when a part of `tables` failed or it was stopped, 2 for bad
        input, or where nothing could be computed from it (one line on standard error says what).
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m evaluate_suite", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if argv[:1] == [name]:
            module = import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        status = args.run(args)
    except (ValueError, OSError, ImportError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return status or 0


if __name__ == "__main__":
    sys.exit(main())
