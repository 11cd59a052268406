"""Upload a dataset folder to the Hugging Face Hub, privately unless --public."""

import argparse
import re
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml
from huggingface_hub import RepoCard

from .hub import claim_repository, upload_folder

NOTHING_UPLOADED = 1
"""The exit status when the question was not answered with yes."""

_SOURCE = re.compile(r"^## Source and licence\n+(.*?)\s*(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class _Card:
    """What a dataset's card says: the licence, if any, the source, and the glob patterns of its files.

    A licence that the Hub calls `other` may have a name, and a link to its text.
    """

    licence: str | None
    licence_name: str | None
    licence_link: str | None
    source: str
    patterns: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="a folder that `build` wrote")
    parser.add_argument("--repo_id", required=True, metavar="ORG/NAME", help="where to; made when it is not there")
    parser.add_argument("--public", action="store_true", help="let everyone read it; shows the licence and asks first")
    parser.add_argument("--yes", action="store_true", help="take the question of --public as answered with yes")


def run(args: argparse.Namespace) -> int:
    """Upload the card and the files that it names, and print the repository's address.

    Returns:
        0, or `NOTHING_UPLOADED`.

    Raises:
        ValueError: the folder is no dataset or misses files, or the Hub refuses it.
    """
    card = _read_card(args.folder)
    if args.public:
        print(f"{publication_notice(card.licence, card.licence_name, card.licence_link)}\n\n{card.source}".rstrip())
        if not args.yes and not _confirmed(args.repo_id):
            print("nothing was uploaded", file=sys.stderr)
            return NOTHING_UPLOADED
    address = claim_repository(args.repo_id, "dataset", public=args.public)
    # A build with fewer shards than the last one must not leave those behind: the card's patterns would take them in.
    upload_folder(args.folder, args.repo_id, "dataset", only=("README.md", *card.patterns), replace=card.patterns)
    print(address)
    return 0


def publication_notice(licence: str | None, name: str | None = None, link: str | None = None) -> str:
    """What a licence means for publishing a dataset, in words.

    Args:
        licence: its identifier on the Hub.
        name, link: of one that is `other` there: the builders name data use agreements so.
    """
    if licence is None:
        return "The card names no licence: publish it only if the data are yours to give."
    if licence == "other" and name is not None:
        return (
            f"The source's licence is {name} ({link or 'no link'}). Such an agreement is with those who signed it and "
            "forbids handing the data, or what is made of them, to others: do not publish this."
        )
    if licence == "other":
        return (
            "The source's licence is its own (`other`), and not named: its terms decide whether you may publish this."
        )
    if "-nd" in licence:
        return (
            f"The source's licence is {licence}, which forbids sharing adaptations. Perturbed and edited reports are "
            "derivatives of the source's text: to publish them needs the permission of who holds its rights."
        )
    return (
        f"The source's licence is {licence}: perturbed reports are derivatives of the source's text and stay under it."
    )


def _confirmed(repo_id: str) -> bool:
    try:
        return input(f"Publish this as {repo_id}, for everyone to read? [yes/no] ").strip().lower() == "yes"
    except EOFError:
        return False


def _read_card(folder: Path) -> _Card:
    path = folder / "README.md"
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} holds no dataset (no README.md): give a folder that `build` wrote")
    try:
        card = RepoCard.load(path, ignore_metadata_errors=False)
        data = card.data.to_dict()
        splits = [split for config in data["configs"] for split in config["data_files"]]
        paths = [[split["path"]] if isinstance(split["path"], str) else split["path"] for split in splits]
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{str(path)!r} is no card of a dataset: it names no data files") from error
    patterns = tuple(dict.fromkeys(chain.from_iterable(paths)))
    for pattern in patterns:
        if not any(folder.glob(pattern)):
            raise ValueError(f"{str(folder)!r} has no file {pattern!r}, which its card names: build it again")
    source = _SOURCE.search(card.text)
    licence = (data.get("license"), data.get("license_name"), data.get("license_link"))
    return _Card(*licence, source[1] if source else "", patterns)
