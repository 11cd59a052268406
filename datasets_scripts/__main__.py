"""Command line: `python -m datasets_scripts` and `perturb TEXT`, `build NAME --out DIR` or `push DIR --repo_id ID`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

# Each module offers `add_arguments(parser)` and `run(args) -> int | None`, and is imported only when it is asked for.
COMMANDS = {
    "perturb": ("datasets_scripts.perturb_command", "show the nine perturbations of a report"),
    "push": ("datasets_scripts.push_command", "upload a dataset folder to the Hugging Face Hub"),
}
BUILDERS = {
    "phantom": "datasets_scripts.phantom",
    "phantom_nli": "datasets_scripts.phantom_nli",
    "phantom_chexpert": "datasets_scripts.phantom_chexpert",
    "openi": "datasets_scripts.openi",
    "table": "datasets_scripts.table",
    "mimic_cxr": "datasets_scripts.mimic_cxr",
    "chexpert": "datasets_scripts.chexpert",
    "mednli": "datasets_scripts.mednli",
    "radnli": "datasets_scripts.radnli",
}

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C ended, as shells give it: 128 and the number of the signal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status: 0 when all went well, 2 for bad input and 130 after Ctrl-C (each named in one line on standard
        error).
    """
    argv = sys.argv[1:] if argv is None else argv
    with suppress(KeyboardInterrupt):
        return _run(argv)
    # Only here, with the interrupted frames, are progress bars closed.
    goes_on = "; the same command goes on where it stopped" if argv[:1] == ["build"] else ""
    print(f"interrupted{goes_on}", file=sys.stderr)
    return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m datasets_scripts", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        _add_command(commands, name, module, summary, argv)
    build = commands.add_parser("build", help="make a perturbed-pairs dataset of a corpus")
    builders = build.add_subparsers(metavar="NAME", required=True)
    for name, module in BUILDERS.items():
        _add_command(builders, name, module, f"arguments: build {name} --help", argv)
    args = parser.parse_args(argv)
    try:
        return args.run(args) or 0
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    module_name: str,
    summary: str,
    argv: Sequence[str],
) -> None:
    if name not in argv:
        commands.add_parser(name, help=summary)
        return
    module = import_module(module_name)
    command = commands.add_parser(name, help=summary, description=module.__doc__)
    module.add_arguments(command)
    command.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
