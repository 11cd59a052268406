"""One fixed antonym, a single word, for each adjective that has a sensible one.

Two tables: `data/antonyms.tsv`, derived from WordNet by `derive_antonyms.py`, and before it
`data/antonyms_reviewed.tsv`, for radiology's words and senses.
"""

from functools import cache
from importlib.resources import files

_TABLES = ("antonyms.tsv", "antonyms_reviewed.tsv")
_NO_ANTONYM = "-"


def antonym(adjective: str) -> str | None:
    """The antonym of an adjective.

    Args:
        adjective: a single word in lower case.

    Returns:
        A single word in lower case; None where there is no antonym.
    """
    return _antonyms().get(adjective)


@cache
def _antonyms() -> dict[str, str]:
    merged = {adjective: opposite for table in _TABLES for adjective, opposite in read_table(table).items()}
    return {adjective: opposite for adjective, opposite in merged.items() if opposite != _NO_ANTONYM}


def read_table(name: str) -> dict[str, str]:
    """Read one of the package's tables: an adjective, a tab and its antonym a line; `#` starts a comment.

    Args:
        name: file name of the table.

    Returns:
        Adjective to antonym, `-` for none.

    Raises:
        ValueError: a line has not two fields, or an adjective stands twice.
    """
    table: dict[str, str] = {}
    text = (files(__package__) / "data" / name).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        adjective, _, opposite = line.partition("\t")
        if not opposite or adjective in table:
            raise ValueError(f"{name}, line {number}: {line!r} has not two fields, or its adjective stands above")
        table[adjective] = opposite
    return table
