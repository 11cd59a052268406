"""Show the nine perturbations of a report beside it, the words that changed marked."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence

from .perturbations import DEFAULT_SPACY_MODEL, ReportPerturber, normalize_report

_NARROWEST_TEXT = 40
_UNTOLD_WIDTH = 100
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("text", metavar="TEXT", help="a report")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbations that draw (default: %(default)s)")
    parser.add_argument(
        "--spacy_model",
        default=DEFAULT_SPACY_MODEL,
        help="whose tagger finds nouns and adjectives (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        ValueError: the report has no words, or the spaCy model is not installed.
    """
    perturber = ReportPerturber(args.seed, args.spacy_model)
    perturbed = perturber.perturb(args.text)
    colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((_UNTOLD_WIDTH, 0)).columns
    print(render(normalize_report(args.text), perturbed, width, _in_color if colored else _in_stars))


def render(report: str, perturbed: dict[str, str], width: int, mark: Callable[[str], str]) -> str:
    """Lay out a report and its perturbations as a table.

    Args:
        report: the normalised report.
        perturbed: the perturbed reports by name, each with as many words as the report.
        width: of a line, in characters; names get lines of their own where too little is left for the text.
        mark: makes a word that differs from the report's word at its place stand out.

    Returns:
        The table, its lines joined by newlines.
    """
    rows = {"original": report, **perturbed}
    indent = max(map(len, rows)) + 2
    stacked = width - indent < _NARROWEST_TEXT
    if stacked:
        indent = 2
    lines: list[str] = []
    for name, text in rows.items():
        words = _marked_words(report, text, mark) if text != report or name == "original" else ["(unchanged)"]
        text_lines = _wrap(words, width - indent)
        if stacked:
            lines.append(name)
        else:
            lines.append(name.ljust(indent) + text_lines.pop(0))
        lines.extend(" " * indent + line for line in text_lines)
    return "\n".join(lines)


def _marked_words(report: str, text: str, mark: Callable[[str], str]) -> list[str]:
    pairs = zip(text.split(), report.split(), strict=True)
    return [word if word == original else mark(word) for word, original in pairs]


def _wrap(words: Sequence[str], width: int) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        if len(_ESCAPE.sub("", f"{lines[-1]} {word}")) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _in_color(word: str) -> str:
    return f"\x1b[1;33m{word}\x1b[0m"


def _in_stars(word: str) -> str:
    return f"*{word}*"
