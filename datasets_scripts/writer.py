"""Records in, a dataset out: Parquet shards and a card that `datasets.load_dataset` reads."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from .card import MARKER, DatasetInfo, DatasetKind, SplitContents, left_out_lines, render_card, render_summary
from .output_files import writing
from .pair_rows import PAIRS, PairRows
from .partial_build import PartialBuild
from .perturbations import ReportPerturber
from .schema import Record
from .shards import UNREADABLE, OtherRecords, PlainRows, ShardWriter


def write_dataset(
    out: Path,
    splits: Mapping[str, Iterable[Record]],
    info: DatasetInfo,
    perturber: ReportPerturber,
    *,
    num_proc: int = 1,
    rows_per_shard: int = 1000,
    overwrite: bool = False,
    on_unreadable: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> None:
    """Write image-report pairs that `datasets.load_dataset(str(out))` reads, with the configs `default` and `strict`.

    The folder is written beside `out`, in the hidden `.NAME.partial`, and moved to `out` when it is whole; two runs
    give the same bytes. Memory does not grow with the number of records: a block of them is held at a time, and a few
    images. A build that is killed, interrupted or ended by an error after its first shard is taken up by the same call
    (`PartialBuild`). A split that ends without rows is not listed in the card, which says so.

    Args:
        out: the folder to make.
        splits: the records of each split, in the card's order; a list, or what makes the same anew when iterated.
        info: what the card says.
        perturber: makes the perturbed reports; each distinct report is tagged once.
        num_proc: processes that tag, and threads that draw or read images.
        rows_per_shard: rows of a Parquet file, and records of a block.
        overwrite: replace `out` where it is a dataset that this function wrote.
        on_unreadable: `skip` leaves out a pair whose image raises OSError, logs it and counts it under `UNREADABLE`.
        progress: show progress bars on standard error, and a summary on standard output.

    Raises:
        ValueError: no row to write; `rows_per_shard` or `num_proc` below 1; an image of a mode other than L and RGB;
            a study in two splits; a split that can be iterated only once.
        FileExistsError: `out` is not empty, at the start or when all is written, and `overwrite` is off or `out` is
            no dataset of ours; or another process is writing it. What was written is kept for the same call.
        OSError: an image cannot be read, under `on_unreadable="raise"`; or the dataset cannot be written.
    """
    tagger = perturber.tagger

    @contextmanager
    def make_rows(partial: PartialBuild) -> Iterator[PairRows]:
        with perturber.tagging(num_proc) as tagging:
            yield PairRows(partial, perturber, tagging)

    write_rows(
        out,
        splits,
        info,
        PAIRS,
        make_rows=make_rows,
        made_with={
            "seed": f"{perturber.seed}, of the perturbations",
            "tagger": f"spaCy's `{tagger.name}` {tagger.version}, SHA-256 `{tagger.sha256}`",
        },
        num_proc=num_proc,
        rows_per_shard=rows_per_shard,
        overwrite=overwrite,
        on_unreadable=on_unreadable,
        progress=progress,
    )


def write_rows(
    out: Path,
    splits: Mapping[str, Iterable[Any]],
    info: DatasetInfo,
    kind: DatasetKind,
    *,
    make_rows: Callable[[PartialBuild], AbstractContextManager[PlainRows]] = lambda partial: nullcontext(PlainRows()),
    made_with: Mapping[str, str] | None = None,
    describe_shards: Callable[[Mapping[str, Sequence[Path]]], Mapping[str, str]] = lambda shards: {},
    num_proc: int = 1,
    rows_per_shard: int = 1000,
    overwrite: bool = False,
    on_unreadable: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> None:
    """Write rows of any columns that `datasets.load_dataset(str(out))` reads, as `write_dataset` writes its pairs.

    Args:
        out: the folder to make.
        splits: the rows of each split (`shards.Row`), or the records that become rows.
        info, num_proc, rows_per_shard, overwrite, on_unreadable, progress: as in `write_dataset`.
        kind: the columns, and what the card says of all such datasets.
        make_rows: gives what makes rows of records, for the memory of a build; by default they are rows already.
        made_with: what else the bytes depend on, by a name for it; the card says it.
        describe_shards: from the finished shards of each split to further sections of the card, heading to Markdown.

    Raises:
        ValueError, FileExistsError, OSError: as `write_dataset`.
    """
    if rows_per_shard < 1 or num_proc < 1:
        raise ValueError(f"rows_per_shard and num_proc must be at least 1, not {rows_per_shard} and {num_proc}")
    _check_splits(splits)
    out, made_with = out.resolve(), made_with or {}
    check_replaceable(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    options = {"rows_per_shard": rows_per_shard, "on_unreadable": on_unreadable}
    with (
        PartialBuild(out, _fingerprint(splits, info, kind, made_with, options)) as partial,
        make_rows(partial) as rows,
    ):
        shards = ShardWriter(partial, kind.features, rows, num_proc, rows_per_shard, on_unreadable, progress)
        try:
            shards.write_splits(splits)
        except OtherRecords:
            partial.start_anew()
            shards.write_splits(splits)
        contents = _contents(splits, rows, shards)
        info = _with_outcome(info, kind, splits, contents, shards.unreadable)
        if not contents["default"]:
            raise ValueError(f"no {kind.row} to write to {out}; {'; '.join(left_out_lines(info))}")
        described = describe_shards({name: _files(partial, split) for name, split in contents["default"].items()})
        info = replace(info, sections={**info.sections, **described})
        card = render_card(info, kind, contents, made_with)
        with writing(partial.whole / "README.md"):
            (partial.whole / "README.md").write_text(card, encoding="utf-8")
        _check_again(out, overwrite)
        partial.move_into_place()
    if progress:
        print(render_summary(info, contents))


def _check_splits(splits: Mapping[str, Iterable[Any]]) -> None:
    """Raises ValueError where a build that did not end could not be taken up."""
    once = [name for name, records in splits.items() if iter(records) is records]
    if once:
        raise ValueError(f"split {once[0]} can be iterated only once; give a list, or an object that iterates anew")


def _fingerprint(
    splits: Mapping[str, Iterable[Any]],
    info: DatasetInfo,
    kind: DatasetKind,
    made_with: Mapping[str, str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What the bytes of the dataset depend on, but for the records, whose digests stand beside the shards."""
    packages = {name: version(name) for name in ("datasets", "pyarrow", "pillow")}
    return {
        **{name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(info).items()},
        "splits": list(splits),
        **made_with,
        "features": kind.features._to_yaml_list(),
        **options,
        "package versions": packages,
    }


def _contents(splits: Iterable[str], rows: PlainRows, shards: ShardWriter) -> dict[str, dict[str, SplitContents]]:
    every = {
        config: {name: _joined([shards.contents[group] for group in rows.groups(name, config)]) for name in splits}
        for config in rows.configs
    }
    return {config: {name: split for name, split in found.items() if split.rows} for config, found in every.items()}


def _joined(groups: Sequence[SplitContents]) -> SplitContents:
    return SplitContents(
        tuple(pattern for group in groups for pattern in group.patterns),
        sum(group.rows for group in groups),
        sum(group.arrow_bytes for group in groups),
        sum(group.file_bytes for group in groups),
    )


def _files(partial: PartialBuild, split: SplitContents) -> list[Path]:
    return [path for pattern in split.patterns for path in sorted(partial.whole.glob(pattern))]


def _with_outcome(
    info: DatasetInfo,
    kind: DatasetKind,
    splits: Iterable[str],
    contents: Mapping[str, Mapping[str, SplitContents]],
    unreadable: int,
) -> DatasetInfo:
    """Add what only writing tells: images that could not be read, and splits that ended without rows."""
    left_out = {**info.left_out, UNREADABLE: unreadable} if unreadable else info.left_out
    missing = [
        f"Split `{name}` has no {kind.row}"
        + (f" in `{config}`" if name in contents["default"] else "")
        + ": it is not listed."
        for name in splits
        for config in contents
        if name not in contents[config] and (config == "default" or name in contents["default"])
    ]
    return replace(info, left_out=left_out, notes=(*info.notes, *missing))


def check_replaceable(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError where `write_dataset` would: for builders, before their work."""
    if obstacle := _obstacle(out, overwrite):
        raise FileExistsError("; ".join(obstacle))


def _check_again(out: Path, overwrite: bool) -> None:
    # The build may have taken hours. All that it wrote stays beside `out`, so another folder would begin anew.
    if obstacle := _obstacle(out, overwrite):
        raise FileExistsError(f"{obstacle[0]} by now; move what is there away and run the same command again")


def _obstacle(out: Path, overwrite: bool) -> tuple[str, str] | None:
    """What stands in the way of writing to `out`, and what to do before a build; None where nothing does."""
    if out.is_file():
        return f"{out} is a file", "name a folder to write to"
    if not out.exists() or not any(out.iterdir()):
        return None
    card = out / "README.md"
    if not card.is_file() or MARKER not in card.read_text(encoding="utf-8", errors="replace"):
        return f"{out} is not empty and no dataset written by datasets_scripts", "name another folder"
    if not overwrite:
        return f"{out} already holds a dataset", "pass --overwrite to replace it, or name another folder"
    return None
