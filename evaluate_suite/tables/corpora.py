"""The corpora of the tables: those that `--data` names, and at small scale the stand-ins that are built."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_scripts.phantom_state import GENERATOR_VERSION

from ..data import display_name

CORPORA: Mapping[str, str] = {
    "pairs": "radiographs with perturbed reports, for pre-training and Table IV (the paper: Open-I)",
    "mednli": "MedNLI, for Table III; what RadNLI is trained on",
    "radnli": "RadNLI, for Table III",
    "chexpert": "CheXpert, for Table II",
}
"""What `--data` may name, and what each is for."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_BLOCK = 1 << 20

StandIn = tuple[tuple[str, ...], ...]

STAND_INS: Mapping[str, StandIn] = {
    "pairs": (
        ("phantom", "--train", "3000", "--validation", "200", "--test", "500", "--image_size", "64", "--seed", "0"),
    ),
    "mednli": (("phantom_nli", "--train", "12000", "--validation", "600", "--test", "1200", "--seed", "0"),),
    "radnli": (("phantom_nli", "--train", "0", "--validation", "480", "--test", "480", "--seed", "1"),),
    "chexpert": (
        ("phantom_chexpert", "--train", "2000", "--validation", "1000", "--image_size", "64", "--seed", "1"),
        ("chexpert",),
    ),
}
"""How `datasets_scripts build` makes each stand-in; a second call reads what the first one wrote, by `--source`."""


@dataclass(frozen=True)
class Corpus:
    """A corpus that is there, or will be.

    Attributes:
        name: one of `CORPORA`.
        source: the folder or the Hub id.
        identity: what its contents are known by: a hash of them, the id, or how a stand-in is made.
        stand_in: whether it is synthetic, made in place of the real one.
    """

    name: str
    source: str
    identity: str
    stand_in: bool = False

    @property
    def display(self) -> str:
        """What a page calls it, without the machine's folders."""
        return f"stand-in: {self.identity}" if self.stand_in else display_name(self.source)


def given_corpora(given: Sequence[str]) -> dict[str, Corpus]:
    """The corpora of `--data NAME=DIR_OR_ID ...`, by name.

    Raises:
        ValueError: one is not of that form, names none of `CORPORA` or one twice, or its folder is not there.
    """
    corpora: dict[str, Corpus] = {}
    for each in given:
        name, equals, source = each.partition("=")
        if not equals or not source:
            raise ValueError(f"data: {each!r} is not of the form NAME=DIR_OR_ID")
        if name not in CORPORA:
            raise ValueError(f"data: {name!r} is none of {', '.join(CORPORA)}")
        if name in corpora:
            raise ValueError(f"data: {name} stands twice")
        corpora[name] = Corpus(name, source, _identity(name, source))
    return corpora


def stand_in(name: str, folder: Path) -> Corpus:
    """The stand-in of a corpus in a folder, built or not."""
    calls = "; ".join(" ".join(("build", *call)) for call in STAND_INS[name])
    return Corpus(name, str(folder), f"{calls} (generator version {GENERATOR_VERSION})", stand_in=True)


def _identity(name: str, source: str) -> str:
    path = Path(source)
    if path.is_dir():
        return folder_digest(path)
    if path.exists() or not _HUB_ID.fullmatch(source):
        raise ValueError(f"data: {name}={source} is not there: give a folder, or a Hub id as ORG/NAME")
    return f"Hub id {source}"


def folder_digest(folder: Path) -> str:
    """A hash of the names and contents of a folder's files, hidden ones apart, by which equal data are known.

    Raises:
        ValueError: it holds none.
    """
    digest = hashlib.blake2b(digest_size=16)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not shown:
        raise ValueError(f"data: {folder} holds no files")
    for name in shown:
        digest.update(name.as_posix().encode() + b"\0")
        with (folder / name).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()
