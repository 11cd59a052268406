"""What a build that did not end leaves for the next one: its whole shards, and a database of where it stood."""

import hashlib
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_TABLES = """
CREATE TABLE IF NOT EXISTS fingerprint (part TEXT PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tags (report BLOB PRIMARY KEY, tags TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS study (study BLOB PRIMARY KEY, split TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evaluated (report BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shard (
    file TEXT PRIMARY KEY, shard_group TEXT, shard_rows INTEGER, arrow_bytes INTEGER, file_bytes INTEGER,
    unreadable INTEGER, records INTEGER, digest BLOB
);
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """A shard that is written whole, and where its group stood then.

    Attributes:
        file: its name.
        rows, arrow_bytes, file_bytes: of this shard.
        unreadable: images that its group had left out, over all its shards so far.
        records: of the split that were used up for the group's shards so far.
        digest: of these records.
    """

    file: str
    rows: int
    arrow_bytes: int
    file_bytes: int
    unreadable: int
    records: int
    digest: bytes


class PartialBuild:
    """The hidden folder beside `out` in which a dataset is built: `.NAME.partial`.

    Entering the context opens it, and takes up what a build with the same fingerprint left that did not end; what
    another one left is removed, and said on the log. Leaving it removes it; but an error, or an interruption, leaves
    it where a shard is finished, and says so on the log: a full disk costs no more than a kill.

    The build goes on after the last finished shard; with other records or other image files it starts anew, and says
    so. The images of finished shards are not read again: a file counts as the same by its path, size and time of
    change (`image_file.HasFile`), drawn images by their records; those that were unreadable are counted but not named
    again.

    Args:
        out: the dataset's folder, absolute.
        fingerprint: what the bytes of the dataset depend on, by a name for it; JSON values.

    Attributes:
        data: the folder of the finished shards.

    Raises:
        FileExistsError: on entering, another process builds the same dataset, or the hidden folder is none of ours.
        OSError: on entering or leaving, the database cannot be read or written, or was damaged; the folder is named.
    """

    def __init__(self, out: Path, fingerprint: Mapping[str, Any]) -> None:
        self.out = out
        self.folder = out.with_name(f".{out.name}.partial")
        self.whole = self.folder / "whole"
        self.data = self.whole / "data"
        self._database_file = self.folder / "build.sqlite"
        self._fingerprint = {
            part: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            for part, value in fingerprint.items()
        }

    def __enter__(self) -> Self:
        if self.folder.exists() and any(self.folder.iterdir()) and not self._database_file.exists():
            raise FileExistsError(f"{self.folder} is in the way and none of ours; move it, or name another folder")
        self.folder.mkdir(exist_ok=True)
        try:
            self._open()
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished = len(list(self.data.glob("*.parquet")))
        if error is not None and finished:
            self._database.close()
            logger.warning(
                "%s: %d finished shards are kept in %s; the same call goes on after them",
                self.out,
                finished,
                self.folder,
            )
        else:
            self._remove_all_but_database()
            self._database.close()
            shutil.rmtree(self.folder)
        if isinstance(error, sqlite3.Error):
            raise self._explained(error) from error

    def start_anew(self) -> None:
        """Forget all that was done, since it was done with other records."""
        logger.warning("%s: a build of other records or images is not taken up; starting anew", self.out)
        self._clear()
        self.data.mkdir(parents=True)

    def move_into_place(self) -> None:
        """Put the whole folder at `out`; what stood there is removed with the hidden folder."""
        replaced = self.folder / "replaced"
        if self.out.exists():
            os.replace(self.out, replaced)
        try:
            os.replace(self.whole, self.out)
        except OSError:
            if replaced.exists():
                os.replace(replaced, self.out)
            raise

    def shards(self, group: str) -> list[Shard]:
        """The finished shards of a group, in order."""
        rows = self._database.execute(
            "SELECT file, shard_rows, arrow_bytes, file_bytes, unreadable, records, digest FROM shard "
            "WHERE shard_group = ? ORDER BY file",
            (group,),
        )
        return [Shard(*row) for row in rows]

    def add_shard(self, group: str, shard: Shard, written: Path, evaluated_reports: Iterable[str] = ()) -> None:
        """Put a shard that was written to a temporary file into its place, and remember it.

        Args:
            group: its group.
            shard: what it holds.
            written: the temporary file.
            evaluated_reports: the reports that stand in it, where a split that is evaluated holds it.
        """
        os.replace(written, self.data / shard.file)
        self._database.executemany(
            "INSERT OR IGNORE INTO evaluated VALUES (?)", ((_key(report),) for report in evaluated_reports)
        )
        self._database.execute(
            "INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                shard.file,
                group,
                shard.rows,
                shard.arrow_bytes,
                shard.file_bytes,
                shard.unreadable,
                shard.records,
                shard.digest,
            ),
        )
        self._database.commit()

    def is_evaluated(self, report: str) -> bool:
        """Whether a finished shard of an evaluated split holds the report."""
        found = self._database.execute("SELECT 1 FROM evaluated WHERE report = ?", (_key(report),))
        return found.fetchone() is not None

    def tags(self, report: str) -> list[str] | None:
        """The tags of a report that was tagged before; None for another."""
        found = self._database.execute("SELECT tags FROM tags WHERE report = ?", (_key(report),)).fetchone()
        return None if found is None else found[0].split(" ")

    def add_tags(self, tagged: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Remember the tags of reports that were not tagged before."""
        self._database.executemany(
            "INSERT INTO tags VALUES (?, ?)", ((_key(report), " ".join(tags)) for report, tags in tagged)
        )
        self._database.commit()

    def check_studies(self, split: str, studies: Iterable[str]) -> None:
        """Remember the split of each study.

        Raises:
            ValueError: a study was in another split.
        """
        for study in studies:
            self._database.execute("INSERT OR IGNORE INTO study VALUES (?, ?)", (_key(study), split))
            (first,) = self._database.execute("SELECT split FROM study WHERE study = ?", (_key(study),)).fetchone()
            if first != split:
                raise ValueError(
                    f"study {study} is in the splits {first} and {split}; put all images of a study into one"
                )
        self._database.commit()

    def _open(self) -> None:
        with ExitStack() as stack:
            self._database = stack.enter_context(closing(sqlite3.connect(self._database_file, timeout=0)))
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")  # until it is closed, or the process killed
            self._database.execute("BEGIN EXCLUSIVE")
            self._database.commit()
            self._put_back_replaced()
            self._take_up()
            self.data.mkdir(parents=True, exist_ok=True)
            stack.pop_all()

    def _explained(self, error: sqlite3.Error) -> OSError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:  # above: which kind of it
            return FileExistsError(
                f"{self.folder} is in use: another process builds {self.out}; wait for it, or name another folder"
            )
        return OSError(
            f"the database in {self.folder} cannot be used ({error}); make room, allow writing there, or move it away"
        )

    def _put_back_replaced(self) -> None:
        # A kill in `move_into_place` leaves the dataset that stood at `out` here.
        replaced = self.folder / "replaced"
        if replaced.exists() and not self.out.exists():
            os.replace(replaced, self.out)

    def _take_up(self) -> None:
        self._database.executescript(_TABLES)
        before = dict(self._database.execute("SELECT part, sha256 FROM fingerprint").fetchall())
        differing = [part for part, digest in self._fingerprint.items() if before and before.get(part) != digest]
        if differing:
            logger.warning(
                "%s: a build with another %s is not taken up; starting anew", self.out, ", ".join(differing)
            )
        if differing or not before or not self._shards_are_there():
            self._clear()
        else:
            count = self._database.execute("SELECT count(*) FROM shard").fetchone()[0]
            logger.warning("%s: resuming a build after %d finished shards", self.out, count)
            # All records are gone through again: a study counts for the split that it is in now.
            self._database.execute("DELETE FROM study")
            self._database.commit()

    def _shards_are_there(self) -> bool:
        sizes = self._database.execute("SELECT file, file_bytes FROM shard").fetchall()
        return all((self.data / file).is_file() and (self.data / file).stat().st_size == size for file, size in sizes)

    def _clear(self) -> None:
        self._remove_all_but_database()
        for table in ("fingerprint", "tags", "study", "evaluated", "shard"):
            self._database.execute(f"DELETE FROM {table}")
        self._database.executemany("INSERT INTO fingerprint VALUES (?, ?)", self._fingerprint.items())
        self._database.commit()

    def _remove_all_but_database(self) -> None:
        # The database goes last: by it the folder is known for ours.
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.startswith(self._database_file.name):
                path.unlink()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]
