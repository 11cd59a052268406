"""A build that ends by an error keeps its finished shards, and says where it stood and what to do."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dataset_helpers import INFO, file_hashes, image_ids, load, record
from datasets.arrow_writer import ParquetWriter
from PIL import Image

from datasets_scripts.perturbations import ReportPerturber
from datasets_scripts.schema import Record
from datasets_scripts.writer import write_dataset

REPORTS = ("clear lungs", "no effusion", "a large heart", "small nodules", "a rib fracture")


def build(out: Path, perturber: ReportPerturber, train: Any = None, **changes: Any) -> None:
    arguments = {"rows_per_shard": 2, "progress": False, **changes}
    write_dataset(out, {"train": corpus() if train is None else train}, INFO, perturber, **arguments)


def corpus(on_last_image: Callable[[], None] = lambda: None) -> list[Record]:
    """Five pairs: two shards of two, and the last pair."""

    def last() -> Image.Image:
        on_last_image()
        return Image.new("L", (4, 4))

    pairs = [record(f"{index}", report) for index, report in enumerate(REPORTS[:-1])]
    return [*pairs, record("last", REPORTS[-1], image=last)]


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def finished(out: Path) -> list[str]:
    """The finished shards that stand in the hidden folder."""
    return sorted(path.name for path in (out.parent / f".{out.name}.partial" / "whole" / "data").glob("*"))


@pytest.fixture
def one_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are made one by one, so that shards are finished before the last image fails."""
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)


@pytest.mark.usefixtures("one_ahead")
@pytest.mark.parametrize(
    "error",
    [OSError("last.png is truncated"), ValueError("a decoder's own"), RuntimeError("a decoder's own")],
    ids=lambda error: type(error).__name__,
)
def test_after_an_error_the_same_call_goes_on(
    tmp_path: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    out = tmp_path / "out"
    build(tmp_path / "undisturbed", perturber)

    with pytest.raises(type(error), match=str(error)):
        build(out, perturber, corpus(raising(error)))
    assert finished(out) == ["train-00000.parquet", "train-00001.parquet"]
    assert f"2 finished shards are kept in {tmp_path}/.out.partial; the same call goes on after them" in caplog.text

    build(out, perturber)
    assert "resuming a build after 2 finished shards" in caplog.text
    assert file_hashes(out) == file_hashes(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "undisturbed"]


@pytest.mark.parametrize("step", ["write", "finalize"])
def test_a_disk_that_is_full_is_named_and_costs_no_finished_shard(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made: list[ParquetWriter] = []

    class FullDisk(ParquetWriter):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

        def write(self, *arguments: Any) -> None:
            self._check("write")
            super().write(*arguments)

        def finalize(self, *arguments: Any) -> Any:
            self._check("finalize")
            return super().finalize(*arguments)

        def _check(self, reached: str) -> None:
            if len(made) == 2 and reached == step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("datasets_scripts.shards.ParquetWriter", FullDisk)
        with pytest.raises(OSError, match=r"\.out\.partial/train\.parquet cannot be written \(No space left"):
            build(tmp_path / "out", perturber)
    assert finished(tmp_path / "out") == ["train-00000.parquet"]

    build(tmp_path / "out", perturber)
    assert len(load(tmp_path / "out")["train"]) == len(REPORTS)


@pytest.mark.usefixtures("one_ahead")
def test_a_database_that_is_full_is_named_and_costs_no_finished_shard(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remember(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    class FillsTheDisk:
        def __iter__(self) -> Iterator[Record]:
            yield from corpus()[:-1]
            opened[-1].execute("PRAGMA max_page_count = 1")  # no page more than there are
            yield record("long", " ".join(["nodule"] * 3000))

    monkeypatch.setattr("datasets_scripts.partial_build.sqlite3.connect", remember)
    with pytest.raises(OSError, match=r"the database in .*\.out\.partial cannot be used \(database or disk is full\)"):
        build(tmp_path / "out", perturber, FillsTheDisk())

    assert finished(tmp_path / "out") == ["train-00000.parquet", "train-00001.parquet"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda database: database.write_bytes(b"no database " * 500), "file is not a database"),
        (lambda database: database.mkdir(), "unable to open database file"),
    ],
    ids=["damaged", "not to be opened"],
)
def test_a_database_that_cannot_be_used_is_not_taken_for_another_process(
    tmp_path: Path, perturber: ReportPerturber, spoil: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / ".out.partial").mkdir()
    spoil(tmp_path / ".out.partial" / "build.sqlite")

    with pytest.raises(OSError, match=rf"the database in .*\.out\.partial cannot be used \({reason}\)") as raised:
        build(tmp_path / "out", perturber)

    assert not isinstance(raised.value, FileExistsError)


@pytest.mark.usefixtures("one_ahead")
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_were_put_into_the_folder_meanwhile_are_left_alone_and_the_build_is_kept(
    tmp_path: Path, perturber: ReportPerturber, overwrite: bool
) -> None:
    out = tmp_path / "out"

    def put_notes() -> None:
        out.mkdir()
        (out / "notes.txt").write_text("mine")

    told = "out is not empty and no dataset .* by now; move what is there away and run the same command again"
    with pytest.raises(FileExistsError, match=told):
        build(out, perturber, corpus(put_notes), overwrite=overwrite)
    assert (out / "notes.txt").read_text() == "mine"

    out.rename(tmp_path / "moved")
    read: list[bool] = []
    build(out, perturber, corpus(lambda: read.append(True)))
    assert read == []
    assert image_ids(load(out)) == {"train": ["0", "1", "2", "3", "last"]}


@pytest.mark.usefixtures("one_ahead")
def test_a_dataset_that_was_written_meanwhile_is_replaced_only_when_told(
    tmp_path: Path, perturber: ReportPerturber
) -> None:
    out = tmp_path / "out"
    build(tmp_path / "other", perturber, [record("other", "clear lungs")])

    def put_other() -> None:
        (tmp_path / "other").rename(out)

    told = "out already holds a dataset by now; move what is there away and run the same command again"
    with pytest.raises(FileExistsError, match=told):
        build(out, perturber, corpus(put_other))
    assert image_ids(load(out)) == {"train": ["other"]}

    build(out, perturber, overwrite=True)
    assert image_ids(load(out)) == {"train": ["0", "1", "2", "3", "last"]}
