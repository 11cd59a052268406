"""Records in, a perturbed-pairs dataset out: Parquet shards and a card that `datasets.load_dataset` reads."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from .card import MARKER, DatasetInfo, SplitContents, render_card, render_summary
from .partial_build import PartialBuild
from .perturbations import ReportPerturber
from .schema import Record, features
from .shards import OVERLAP, TRAIN, OtherRecords, ShardWriter

UNREADABLE = "image unreadable"


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
    """Write a dataset that `datasets.load_dataset(str(out))` reads, with the configs `default` and `strict`.

    The folder is written beside `out`, in the hidden `.NAME.partial`, and moved to `out` when it is whole; two runs
    give the same bytes. Memory does not grow with the number of records: a block of them is held at a time, and a few
    images. A build that is killed or interrupted leaves the hidden folder; the same call takes it up after the last
    finished shard (whose images are not read again), another call starts anew and says so. An error leaves nothing.
    A split that ends without rows is not listed in the card, which says so.

    Args:
        out: the folder to make.
        splits: the records of each split, in the order in which the card lists them; `train` and others. Each is a
            list, or makes its records anew whenever it is iterated, the same in the same order.
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
        FileExistsError: `out` is not empty, and `overwrite` is off or `out` is no dataset of ours; or another process
            is writing it.
        OSError: an image cannot be read, under `on_unreadable="raise"`.
    """
    if rows_per_shard < 1 or num_proc < 1:
        raise ValueError(f"rows_per_shard and num_proc must be at least 1, not {rows_per_shard} and {num_proc}")
    once = [name for name, records in splits.items() if iter(records) is records]
    if once:
        raise ValueError(f"split {once[0]} can be iterated only once; give a list, or an object that iterates anew")
    out = out.resolve()
    check_replaceable(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(splits, info, perturber, rows_per_shard, on_unreadable)
    with PartialBuild(out, fingerprint) as partial, perturber.tagging(num_proc) as tagger:

        def write_splits() -> ShardWriter:
            shards = ShardWriter(partial, perturber, tagger, num_proc, rows_per_shard, on_unreadable, progress)
            for name in sorted(splits, key=lambda name: name == TRAIN):  # its overlap is with what the others wrote
                shards.write_split(name, splits[name])
            return shards

        try:
            shards = write_splits()
        except OtherRecords:
            partial.start_anew()
            shards = write_splits()
        contents = _contents(splits, shards)
        info = _with_outcome(info, splits, contents, shards.unreadable)
        if not contents["default"]:
            raise ValueError(f"no pair to write to {out}: {_reasons(info.left_out)}")
        card = render_card(info, contents, perturber.tagger, perturber.seed)
        (partial.whole / "README.md").write_text(card, encoding="utf-8")
        partial.move_into_place()
    if progress:
        print(render_summary(info, contents))


def _fingerprint(
    splits: Mapping[str, Iterable[Record]],
    info: DatasetInfo,
    perturber: ReportPerturber,
    rows_per_shard: int,
    on_unreadable: str,
) -> dict[str, Any]:
    """What the bytes of the dataset depend on, but for the records, whose digests stand beside the shards."""
    packages = {name: version(name) for name in ("datasets", "pyarrow", "pillow")}
    return {
        **{name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(info).items()},
        "splits": list(splits),
        "seed": perturber.seed,
        "tagger": asdict(perturber.tagger),
        "features": features()._to_yaml_list(),
        "rows_per_shard": rows_per_shard,
        "on_unreadable": on_unreadable,
        "package versions": packages,
    }


def _contents(splits: Mapping[str, Iterable[Record]], shards: ShardWriter) -> dict[str, dict[str, SplitContents]]:
    default = {**shards.contents}
    if TRAIN in splits:
        default[TRAIN] = _joined(default[TRAIN], default.pop(OVERLAP))
    return {
        config: {name: groups[name] for name in splits if groups[name].rows}
        for config, groups in (("default", default), ("strict", shards.contents))
    }


def _joined(first: SplitContents, second: SplitContents) -> SplitContents:
    return SplitContents(
        (*first.patterns, *second.patterns),
        first.rows + second.rows,
        first.arrow_bytes + second.arrow_bytes,
        first.file_bytes + second.file_bytes,
    )


def _with_outcome(
    info: DatasetInfo,
    splits: Mapping[str, Iterable[Record]],
    contents: Mapping[str, Mapping[str, SplitContents]],
    unreadable: int,
) -> DatasetInfo:
    """Add what only writing tells: images that could not be read, and splits that ended without rows."""
    left_out = {**info.left_out, UNREADABLE: unreadable} if unreadable else info.left_out
    missing = [
        f"Split `{name}` has no pair"
        + (f" in `{config}`" if name in contents["default"] else "")
        + ": it is not listed."
        for name in splits
        for config in contents
        if name not in contents[config] and (config == "default" or name in contents["default"])
    ]
    return replace(info, left_out=left_out, notes=(*info.notes, *missing))


def _reasons(left_out: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} left out ({reason})" for reason, count in left_out.items() if count) or "no record given"
    )


def check_replaceable(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError where `write_dataset` would: for builders, before their work."""
    if out.is_file():
        raise FileExistsError(f"{out} is a file; name a folder to write to")
    if not out.exists() or not any(out.iterdir()):
        return
    card = out / "README.md"
    ours = card.is_file() and MARKER in card.read_text(encoding="utf-8", errors="replace")
    if not ours:
        raise FileExistsError(f"{out} is not empty and no dataset written by datasets_scripts; name another folder")
    if not overwrite:
        raise FileExistsError(f"{out} already holds a dataset; pass --overwrite to replace it, or name another folder")
