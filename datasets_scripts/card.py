"""The dataset card: a README.md whose front matter `datasets.load_dataset` reads, and the summary of a build."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from datasets import Features

# By this line the writer knows a folder for one of ours before it replaces it.
MARKER = "<!-- dataset written by datasets_scripts -->"

_LICENCE_NAME = re.compile(r"[a-z0-9.-]+")


@dataclass(frozen=True)
class DatasetInfo:
    """What a builder says about its dataset; the writer puts it into the card.

    Attributes:
        name: the title of the card.
        source: where the data come from, a sentence or two.
        licence: the licence's identifier on the Hugging Face Hub, such as `cc-by-nc-nd-4.0`; `other` for one that has
            none there.
        description: what the dataset is and what to know before using it.
        command: the command that made it, file names without folders, so that a card tells nothing of a machine.
        synthetic_images: whether the images were drawn; the card then says so at its top.
        left_out: why rows were left out, to how many.
        inputs: file name to SHA-256 of what was read; empty for a generator.
        notes: further sentences about this build, such as a split that is smaller than it should be.
        sections: further sections of the card, heading to Markdown.
        tags: tags of the Hub beyond those of every dataset of its kind.
        licence_name: of a licence that is `other`, a name in small letters, digits, `-` and `.`, as the Hub wants it.
        licence_link: the address of its text.

    Raises:
        ValueError: a licence's name without a link or the reverse, a name that the Hub would not take, or one beside
            another licence than `other`.
    """

    name: str
    source: str
    licence: str
    description: str
    command: str
    synthetic_images: bool
    left_out: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    licence_name: str | None = None
    licence_link: str | None = None

    def __post_init__(self) -> None:
        if (self.licence_name is None) != (self.licence_link is None):
            raise ValueError(f"give name and link of a licence, not {self.licence_name} and {self.licence_link}")
        if self.licence_name is None:
            return
        if self.licence != "other":
            raise ValueError(f"the Hub knows {self.licence}; a name ({self.licence_name}) is for `other`")
        if not _LICENCE_NAME.fullmatch(self.licence_name):
            raise ValueError(f"the Hub takes small letters, digits, - and . in a licence's name: {self.licence_name}")


@dataclass(frozen=True)
class DatasetKind:
    """What all datasets of a kind have in common.

    Attributes:
        features: the columns' types.
        columns: the columns, and what the card says of them.
        task_categories: what they are for, as the Hub names it.
        tags: of the Hub.
        row: what a row is called.
        splits_text: what the card says of the splits.
    """

    features: Features
    columns: Sequence[tuple[str, str]]
    task_categories: tuple[str, ...]
    tags: tuple[str, ...]
    row: str = "row"
    splits_text: str = ""


@dataclass(frozen=True)
class SplitContents:
    """What one split of one config holds: glob patterns of its shards, rows, and bytes in Arrow and on disk."""

    patterns: tuple[str, ...]
    rows: int
    arrow_bytes: int
    file_bytes: int


Contents = Mapping[str, Mapping[str, SplitContents]]
"""By config, `default` first, then by split; a split without rows is not in it."""


def render_card(info: DatasetInfo, kind: DatasetKind, contents: Contents, made_with: Mapping[str, str]) -> str:
    """The whole README.md of a dataset folder.

    Args:
        info: what the builder says.
        kind: what the dataset is.
        contents: what was written.
        made_with: what else the bytes depend on, by a name for it.
    """
    metadata = yaml.dump(
        front_matter(info, kind, contents), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120
    )
    warning = (
        "> **The images are synthetic: drawn by a program, not taken of a patient.**\n\n"
        if info.synthetic_images
        else ""
    )
    splits = (_splits_table(contents), kind.splits_text, *info.notes)
    sections = {
        "Splits": "\n\n".join(text for text in splits if text),
        "Left out": _left_out_table(info, kind),
        "Columns": markdown_table(("column", "meaning"), kind.columns),
        **info.sections,
        "Source and licence": f"{info.source}\n\nLicence: {_licence(info)}.",
        "How it was made": _provenance(info, made_with),
    }
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"---\n{metadata}---\n\n{MARKER}\n\n# {info.name}\n\n{warning}{info.description}\n\n{body}\n"


def front_matter(info: DatasetInfo, kind: DatasetKind, contents: Contents) -> dict[str, Any]:
    """The card's metadata, as the Hub and `datasets.load_dataset` read it."""
    rows = sum(split.rows for split in contents["default"].values())
    tags = [*kind.tags, *info.tags]
    named = {"license_name": info.licence_name, "license_link": info.licence_link} if info.licence_name else {}
    return {
        "pretty_name": info.name,
        "license": info.licence,
        **named,
        "language": ["en"],
        "task_categories": list(kind.task_categories),
        "tags": [*tags, "synthetic"] if info.synthetic_images else tags,
        "size_categories": [_size_category(rows)],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if config == "default" else {}),
                "data_files": [{"split": name, "path": list(split.patterns)} for name, split in splits.items()],
            }
            for config, splits in contents.items()
        ],
        "dataset_info": [
            {
                "config_name": config,
                "features": kind.features._to_yaml_list(),
                "splits": [
                    {"name": name, "num_bytes": split.arrow_bytes, "num_examples": split.rows}
                    for name, split in splits.items()
                ],
                "download_size": sum(split.file_bytes for split in splits.values()),
                "dataset_size": sum(split.arrow_bytes for split in splits.values()),
            }
            for config, splits in contents.items()
        ],
    }


def render_summary(info: DatasetInfo, contents: Contents) -> str:
    """The same counts for a terminal: rows of each split in each config, and what was left out."""
    splits = list(contents["default"])
    width = max(len(name) for name in (*splits, "split")) + 2
    lines = ["split".ljust(width) + "".join(config.rjust(10) for config in contents)]
    for name in splits:
        counts = [str(_rows(contents, config, name)) for config in contents]
        lines.append(name.ljust(width) + "".join(count.rjust(10) for count in counts))
    return "\n".join([*lines, *left_out_lines(info), *info.notes])


def left_out_lines(info: DatasetInfo) -> list[str]:
    """What was left out and why, a line a reason; one line if nothing was."""
    lines = [f"left out: {count} ({reason})" for reason, count in info.left_out.items() if count]
    return lines or ["left out: nothing"]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, whose cells are text without bars and line ends."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: the features stand in every config, and readers of cards need not know aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _splits_table(contents: Contents) -> str:
    header = ("split", *(f"`{config}`" for config in contents))
    rows = [
        (f"`{name}`", *(f"{_rows(contents, config, name):,}" for config in contents)) for name in contents["default"]
    ]
    return markdown_table(header, rows)


def _rows(contents: Contents, config: str, split: str) -> int:
    return contents[config][split].rows if split in contents[config] else 0


def _left_out_table(info: DatasetInfo, kind: DatasetKind) -> str:
    rows = [(reason, f"{count:,}") for reason, count in info.left_out.items() if count]
    return markdown_table(("reason", f"{kind.row}s"), rows) if rows else "Nothing."


def _licence(info: DatasetInfo) -> str:
    if info.licence_name is not None:
        return f"[{info.licence_name}]({info.licence_link}) (`{info.licence}` on the Hub)"
    if info.licence == "other":
        return "`other`, one that the Hub has no name for: its terms decide who may have this dataset"
    return f"`{info.licence}`"


def _provenance(info: DatasetInfo, made_with: Mapping[str, str]) -> str:
    lines = [
        f"```\n{info.command}\n```\n",
        *(f"- {name}: {value}" for name, value in made_with.items()),
        *(f"- input `{name}`: SHA-256 `{digest}`" for name, digest in info.inputs.items()),
    ]
    return "\n".join(lines)


def _size_category(rows: int) -> str:
    bounds = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000))
    return next((name for name, bound in bounds if rows < bound), "1M<n<10M")
