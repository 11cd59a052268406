"""The dataset card: a README.md whose front matter `datasets.load_dataset` reads, and the summary of a build."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from .schema import features
from .tagging import TaggerIdentity

CONFIGS: tuple[str, ...] = ("default", "strict")

# By this line the writer knows a folder for one of ours before it replaces it.
MARKER = "<!-- perturbed-pairs dataset written by datasets_scripts -->"

COLUMNS: tuple[tuple[str, str], ...] = (
    ("`image`", "the radiograph"),
    ("`image_id`, `study_id`", "identifiers; all images of a study are in one split"),
    ("`synthetic`", "true where the image was drawn, not taken"),
    ("`report`", "the findings, normalised: lower case, words of letters and digits, single spaces"),
    ("`tags`", "the Penn Treebank tag of each word of `report`, joined by single spaces"),
    ("`findings`, `impression`", "as written"),
    ("`perturbed`", "nine perturbed versions of `report`, one field a perturbation"),
    ("`changed`", "for each perturbation, whether it differs from `report`"),
    (
        "`counterfactual`",
        "by kind, a fluent edit that contradicts the image: `text`, and the span it replaced; or null",
    ),
    ("`labels`", "CheXpert's fourteen: 1 present, 0 absent, -1 uncertain, null unknown"),
    ("`boxes`", "visible findings: `label`, the `phrase` that mentions it, `box` in pixels of `image`"),
)


@dataclass(frozen=True)
class DatasetInfo:
    """What a builder says about its dataset; the writer puts it into the card.

    Attributes:
        name: the title of the card.
        source: where the data come from, a sentence or two.
        licence: the licence's identifier on the Hugging Face Hub, such as `cc-by-nc-nd-4.0`.
        description: what the dataset is and what to know before using it.
        command: the command that made it, file names without folders, so that a card tells nothing of a machine.
        synthetic_images: whether the images were drawn; the card then says so at its top.
        left_out: why pairs were left out, to how many.
        inputs: file name to SHA-256 of what was read; empty for a generator.
        notes: further sentences about this build, such as a split that is smaller than it should be.
        sections: further sections of the card, heading to Markdown.
        tags: tags of the Hub beyond those of every perturbed-pairs dataset.
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


@dataclass(frozen=True)
class SplitContents:
    """What one split of one config holds: glob patterns of its shards, rows, and bytes in Arrow and on disk."""

    patterns: tuple[str, ...]
    rows: int
    arrow_bytes: int
    file_bytes: int


Contents = Mapping[str, Mapping[str, SplitContents]]
"""By config (`CONFIGS`), then by split; a split without rows is not in it."""


def front_matter(info: DatasetInfo, contents: Contents) -> dict[str, Any]:
    """The card's metadata, as the Hub and `datasets.load_dataset` read it."""
    columns = features()._to_yaml_list()
    rows = sum(split.rows for split in contents["default"].values())
    tags = ["chest-x-ray", "radiology", "perturbed-report-discrimination", *info.tags]
    return {
        "pretty_name": info.name,
        "license": info.licence,
        "language": ["en"],
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "tags": [*tags, "synthetic"] if info.synthetic_images else tags,
        "size_categories": [_size_category(rows)],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if config == "default" else {}),
                "data_files": [
                    {"split": name, "path": list(split.patterns)} for name, split in contents[config].items()
                ],
            }
            for config in CONFIGS
        ],
        "dataset_info": [
            {
                "config_name": config,
                "features": columns,
                "splits": [
                    {"name": name, "num_bytes": split.arrow_bytes, "num_examples": split.rows}
                    for name, split in contents[config].items()
                ],
                "download_size": sum(split.file_bytes for split in contents[config].values()),
                "dataset_size": sum(split.arrow_bytes for split in contents[config].values()),
            }
            for config in CONFIGS
        ],
    }


def render_card(info: DatasetInfo, contents: Contents, tagger: TaggerIdentity, seed: int) -> str:
    """The whole README.md of a dataset folder."""
    metadata = yaml.dump(
        front_matter(info, contents), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120
    )
    warning = (
        "> **The images are synthetic: drawn by a program, not taken of a patient.**\n\n"
        if info.synthetic_images
        else ""
    )
    parts = [
        f"---\n{metadata}---\n\n{MARKER}\n\n# {info.name}\n\n{warning}{info.description}",
        _section("Splits", _splits_table(contents) + _SPLITS_TEXT + "".join(f"\n\n{note}" for note in info.notes)),
        _section("Left out", _left_out_table(info.left_out)),
        _section("Columns", _markdown_table(("column", "meaning"), COLUMNS)),
        *(_section(heading, text) for heading, text in info.sections.items()),
        _section("Source and licence", f"{info.source}\n\nLicence: `{info.licence}`."),
        _section("How it was made", _provenance(info, tagger, seed)),
    ]
    return "\n\n".join(parts) + "\n"


def render_summary(info: DatasetInfo, contents: Contents) -> str:
    """The same counts for a terminal: rows of each split in each config, and what was left out."""
    splits = list(contents["default"])
    width = max(len(name) for name in (*splits, "split")) + 2
    lines = ["split".ljust(width) + "".join(config.rjust(10) for config in CONFIGS)]
    for name in splits:
        counts = [str(_rows(contents, config, name)) for config in CONFIGS]
        lines.append(name.ljust(width) + "".join(count.rjust(10) for count in counts))
    left_out = [f"left out: {count} ({reason})" for reason, count in info.left_out.items() if count]
    return "\n".join([*lines, *(left_out or ["left out: nothing"]), *info.notes])


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: the features stand in both configs, and readers of cards need not know aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_SPLITS_TEXT = (
    "\n\n`default` holds every pair. `strict` is made of the same files, less the training pairs whose normalised "
    "report also stands in another split, so that no evaluated report was read in training."
)


def _section(heading: str, text: str) -> str:
    return f"## {heading}\n\n{text}"


def _markdown_table(header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows))


def _splits_table(contents: Contents) -> str:
    rows = tuple(
        (f"`{name}`", *(f"{_rows(contents, config, name):,}" for config in CONFIGS)) for name in contents["default"]
    )
    return _markdown_table(("split", *(f"`{config}`" for config in CONFIGS)), rows)


def _rows(contents: Contents, config: str, split: str) -> int:
    return contents[config][split].rows if split in contents[config] else 0


def _left_out_table(left_out: Mapping[str, int]) -> str:
    rows = tuple((reason, f"{count:,}") for reason, count in left_out.items() if count)
    return _markdown_table(("reason", "pairs"), rows) if rows else "Nothing."


def _provenance(info: DatasetInfo, tagger: TaggerIdentity, seed: int) -> str:
    lines = [
        f"```\n{info.command}\n```\n",
        f"- perturbations: seed {seed}, words tagged by spaCy's `{tagger.name}` {tagger.version}, "
        f"SHA-256 `{tagger.sha256}`",
        *(f"- input `{name}`: SHA-256 `{digest}`" for name, digest in info.inputs.items()),
    ]
    return "\n".join(lines)


def _size_category(rows: int) -> str:
    bounds = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000))
    return next((name for name, bound in bounds if rows < bound), "1M<n<10M")
