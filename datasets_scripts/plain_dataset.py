"""Rows in, a dataset without perturbed reports out: for corpora of labels alone, images' or sentence pairs'."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from datasets import Features
from datasets.arrow_writer import ParquetWriter
from tqdm.auto import tqdm

from .card import MARKER, DatasetInfo, SplitContents
from .writer import check_replaceable

_ROW_GROUP = 100  # rows that must be read to read one
_SIZE_CATEGORIES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000))

Row = dict[str, Any]


def write_plain_dataset(
    out: Path,
    splits: Mapping[str, Iterable[Row]],
    features: Features,
    columns: Mapping[str, str],
    describe: Callable[[], DatasetInfo],
    task_category: str,
    *,
    rows_per_shard: int = 1000,
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Write Parquet shards and a card that `datasets.load_dataset(str(out))` reads, with the one config `default`.

    The folder is written beside `out` and moved to it when it is whole. A split without rows is not listed in the
    card, which says so.

    Args:
        out: the folder to make.
        splits: the rows of each split, in the order in which the card lists them; drawn once, one after the other.
        features: the columns' types.
        columns: what the card says of each column.
        describe: called when all rows are drawn, so that it can count what was left out meanwhile.
        task_category: the Hub's name of what the dataset is for.
        rows_per_shard: rows of a Parquet file.
        overwrite: replace `out` where it is a dataset of ours.
        progress: show progress bars on standard error, and a summary on standard output.

    Raises:
        ValueError: no row to write.
        FileExistsError: `out` is not empty, and `overwrite` is off or `out` is no dataset of ours.
    """
    out = out.resolve()
    check_replaceable(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".partial") as scratch:
        whole = Path(scratch) / "whole"
        (whole / "data").mkdir(parents=True)
        contents: dict[str, SplitContents] = {}
        for name, rows in splits.items():
            bar = tqdm(rows, f"write {name}", unit="row", disable=not progress)
            contents[name] = _write_split(whole / "data", name, bar, features, rows_per_shard)
        info = describe()
        if not any(split.rows for split in contents.values()):
            raise ValueError(f"no row to write to {out}: {_left_out(info) or 'none was given'}")
        card = _render_card(info, contents, features, columns, task_category)
        (whole / "README.md").write_text(card, encoding="utf-8")
        if out.exists():
            os.replace(out, Path(scratch) / "replaced")  # removed with the scratch folder
        os.replace(whole, out)
    if progress:
        counts = "\n".join(f"{name}: {split.rows} rows" for name, split in contents.items())
        print(f"{counts}\nleft out: {_left_out(info) or 'nothing'}")


def _write_split(
    folder: Path, split: str, rows: Iterable[Row], features: Features, rows_per_shard: int
) -> SplitContents:
    written = arrow_bytes = file_bytes = 0
    left: Iterator[Row] = iter(rows)
    while (first := next(left, None)) is not None:
        path = folder / f"{split}-{written // rows_per_shard:05d}.parquet"
        with ParquetWriter(path=str(path), features=features, writer_batch_size=_ROW_GROUP) as writer:
            for row in chain([first], islice(left, rows_per_shard - 1)):
                writer.write(features.encode_example(row))
            shard_rows, shard_bytes = writer.finalize()
        written += shard_rows
        arrow_bytes += shard_bytes
        file_bytes += path.stat().st_size
    return SplitContents((f"data/{split}-*.parquet",), written, arrow_bytes, file_bytes)


def _left_out(info: DatasetInfo) -> str:
    return ", ".join(f"{count} ({reason})" for reason, count in info.left_out.items() if count)


def _render_card(
    info: DatasetInfo,
    contents: Mapping[str, SplitContents],
    features: Features,
    columns: Mapping[str, str],
    task_category: str,
) -> str:
    listed = {name: split for name, split in contents.items() if split.rows}
    metadata = yaml.safe_dump(
        _front_matter(info, listed, features, task_category), sort_keys=False, allow_unicode=True, width=120
    )
    empty = [f"Split `{name}` has no row: it is not listed." for name in contents if name not in listed]
    splits = _table(("split", "rows"), [(f"`{name}`", f"{split.rows:,}") for name, split in listed.items()])
    left_out = [(reason, f"{count:,}") for reason, count in info.left_out.items() if count]
    sections = {
        "Splits": "\n\n".join((splits, *info.notes, *empty)),
        "Left out": _table(("reason", "rows"), left_out) if left_out else "Nothing.",
        "Columns": _table(("column", "meaning"), [(f"`{name}`", meaning) for name, meaning in columns.items()]),
        **info.sections,
        "Source and licence": info.source,
        "How it was made": "\n".join(
            [f"```\n{info.command}\n```\n", *(f"- input `{name}`: SHA-256 `{it}`" for name, it in info.inputs.items())]
        ),
    }
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"---\n{metadata}---\n\n{MARKER}\n\n# {info.name}\n\n{info.description}\n\n{body}\n"


def _front_matter(
    info: DatasetInfo, contents: Mapping[str, SplitContents], features: Features, task_category: str
) -> dict[str, Any]:
    rows = sum(split.rows for split in contents.values())
    return {
        "pretty_name": info.name,
        "license": info.licence,
        "language": ["en"],
        "task_categories": [task_category],
        "tags": ["radiology", *info.tags],
        "size_categories": [next((name for name, bound in _SIZE_CATEGORIES if rows < bound), "1M<n<10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": list(split.patterns)} for name, split in contents.items()],
            }
        ],
        "dataset_info": {
            "config_name": "default",
            "features": features._to_yaml_list(),
            "splits": [
                {"name": name, "num_bytes": split.arrow_bytes, "num_examples": split.rows}
                for name, split in contents.items()
            ],
            "download_size": sum(split.file_bytes for split in contents.values()),
            "dataset_size": sum(split.arrow_bytes for split in contents.values()),
        },
    }


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))
