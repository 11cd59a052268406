"""The files that a builder reads: CSV, plain or gzipped, with the line of every row; hashes and names for the card."""

import csv
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

_LONGEST_FIELD = 2**24  # characters; csv's default of 131,072 is less than the longest reports


def find_csv(folder: Path, name: str) -> Path | None:
    """The CSV file of that name in a folder, as it is or gzipped (`name.gz`); None where neither is there.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the folder that holds {name}")
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def require_csv(folder: Path, name: str) -> Path:
    """The same, where the corpus cannot be built without it.

    Raises:
        FileNotFoundError: neither `name` nor `name.gz` is in the folder, or the folder is not there.
    """
    path = find_csv(folder, name)
    if path is None:
        raise FileNotFoundError(f"{folder} holds neither {name} nor {name}.gz; give the folder that does")
    return path


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file with a header, row by row.

    Args:
        path: the file, gzipped where its name ends with `.gz`; UTF-8.
        columns: those that must be there; others are read too.

    Yields:
        Where the row begins, as `FILE:LINE` for messages, and the row by column; a row's text is kept as it is.

    Raises:
        ValueError: a column is missing, a row has more or fewer fields than the header, or the file is not UTF-8,
            not gzip or no CSV; the message names the file and, for a row, the line.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with _open_text(path) as file:
            reader = csv.reader(file)
            header = next(reader, [])
            missing = [column for column in columns if column not in header]
            if missing:
                raise ValueError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(header) or 'none'}")
            line = reader.line_num + 1
            for fields in reader:
                where, line = f"{path}:{line}", reader.line_num + 1
                if len(fields) != len(header):
                    raise ValueError(f"{where} has {len(fields)} fields, its header {len(header)}; restore the row")
                yield where, dict(zip(header, fields, strict=True))
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 CSV ({error}); get it again") from error


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bare_name(path: Path | str) -> str:
    """The last part of a path, also of `.`, for cards, which tell nothing of a machine; links are not followed."""
    return os.path.basename(os.path.abspath(path))
