"""The rows of a CSV, JSONL or Parquet file, one by one, with their numbers; one that cannot be read is a fault."""

import csv
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

EMPTY_ROW = "empty row"
NOT_UTF8 = "text is not UTF-8"
BROKEN_CSV = "broken CSV, with more or fewer cells than the header or a stray quote"
BROKEN_JSON = "broken JSON, no object on this line"
LONG_NUMBER = "a number of too many digits"
NO_TEXT = "a cell is neither text nor number"
NUMBER_FOR_TEXT = "a number or truth value in place of text"

_LONGEST_CELL = 10_000_000  # characters: csv's own 131,072 would end a build at a report of 20,000 words
_JSONL_ROWS_FOR_COLUMNS = 1000
_PARQUET_BATCH = 256


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        number: of the data row, from 1: the header is none, a blank line is one; a cell may go over several lines.
        cells: column to text, blank where there is nothing (null, NaN); only the columns that were asked for.
        fault: why the row cannot be used; the cells are then what could be read.
    """

    number: int
    cells: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


def table_columns(path: Path) -> list[str]:
    """The columns of a table, one that stands twice twice; of JSONL, the keys of its first 1,000 rows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file's name ends with none of `.csv`, `.jsonl`, `.parquet`, or it is no such file or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; name the table")
    kind = _kind(path)
    if kind == ".parquet":
        with _naming_parquet(path):
            return list(pq.read_schema(path).names)
    if kind == ".jsonl":
        return list(
            dict.fromkeys(key for _, row in islice(_json_objects(path), _JSONL_ROWS_FOR_COLUMNS) for key in row)
        )
    with _open_csv(path) as file:
        try:
            return next(csv.reader(file, strict=True), [])
        except csv.Error as error:
            raise ValueError(f"the header of {path} is broken CSV ({error})") from error


def read_table(path: Path, columns: Sequence[str], text_column: str | None = None) -> Iterator[TableRow]:
    """Read these columns of a table, holding no more than a few hundred rows at a time.

    Args:
        path: a table that `table_columns` takes.
        columns: some of its columns.
        text_column: the one of them in which a number of JSONL or Parquet is a fault; elsewhere it becomes text.

    Yields:
        Each row, in order.

    Raises:
        ValueError: a Parquet file is damaged.
    """
    kind = _kind(path)
    if kind == ".csv":
        rows = _read_csv(path, columns)
    else:
        values = _read_jsonl(path, columns) if kind == ".jsonl" else _read_parquet(path, columns)
        rows = (_texts(row, fault, text_column) for row, fault in values)
    for number, (cells, fault) in enumerate(rows, 1):
        if fault is None and not any(cell.strip() for cell in cells.values()):
            fault = EMPTY_ROW
        elif fault is None and not all(_is_utf8(cell) for cell in cells.values()):
            fault = NOT_UTF8
        yield TableRow(number, cells, fault)


_Cells = tuple[dict[str, str], str | None]
_Values = tuple[dict[str, Any], str | None]


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl", ".parquet"):
        raise ValueError(f"{path} is none of .csv, .jsonl and .parquet; the name tells how a table is read")
    return kind


def _open_csv(path: Path) -> Any:
    # Bytes that are no UTF-8 become lone surrogates: they spoil their own row and no other.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a file, of which those of the last record can be given back, to be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rest = iter(lines)
        self._given_back: deque[str] = deque()
        self._record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._rest)
        self._record.append(line)
        return line

    def start_record(self) -> None:
        self._record.clear()

    def give_back_after_first(self) -> None:
        self._given_back.extendleft(reversed(self._record[1:]))


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[_Cells]:
    csv.field_size_limit(_LONGEST_CELL)
    with _open_csv(path) as file:
        lines = _Lines(file)
        reader = csv.reader(lines, strict=True)
        header = next(reader, [])
        if not set(columns) <= set(header):
            raise ValueError(f"the header of {path} has changed; run the build again")
        places = {column: header.index(column) for column in columns}
        while True:
            lines.start_record()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:  # a stray quote may have swallowed good rows, so only its own line is given up
                lines.give_back_after_first()
                yield {}, BROKEN_CSV
                continue
            if len(row) == len(header):
                yield {column: row[place] for column, place in places.items()}, None
            else:
                known = {column: row[place] for column, place in places.items() if place < len(row)}
                yield known, BROKEN_CSV if row else EMPTY_ROW


def _json_objects(path: Path) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Of each line its fault and its object, which is empty if there is a fault."""
    with path.open("rb") as file:
        for line in file:
            try:
                text = line.decode("utf-8-sig")
                row = json.loads(text) if text.strip() else {}
            except UnicodeDecodeError:
                yield NOT_UTF8, {}
            except (json.JSONDecodeError, RecursionError):
                yield BROKEN_JSON, {}
            except ValueError:  # Python's bound on the digits of an integer
                yield LONG_NUMBER, {}
            else:
                yield (None, row) if isinstance(row, dict) else (BROKEN_JSON, {})


def _read_jsonl(path: Path, columns: Sequence[str]) -> Iterator[_Values]:
    for fault, row in _json_objects(path):
        yield {column: row.get(column) for column in columns}, fault


@contextmanager
def _naming_parquet(path: Path) -> Iterator[None]:
    """Name the file in what Arrow raises, which says neither which file nor what to do."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as Parquet ({str(error).strip()}); copy it again, or write it anew"
        ) from error


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[_Values]:
    with _naming_parquet(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH, columns=list(columns)):
            cells = {column: _values(batch.column(column)) for column in columns}
            for row in zip(*cells.values(), strict=True):
                yield dict(zip(cells, row, strict=True)), None


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        # As bytes: Arrow does not check that text is UTF-8, and would raise for all rows because of one.
        column = column.cast(pa.large_binary())
    elif pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.string())  # Python's dates end with the year 9999, Arrow's do not
    return column.to_pylist()


def _texts(row: Mapping[str, Any], fault: str | None, text_column: str | None) -> _Cells:
    cells = {}
    for column, value in row.items():
        text = _text(value)
        if text is None:
            fault, text = fault or NO_TEXT, ""
        elif text and column == text_column and not isinstance(value, str | bytes):
            fault, text = fault or NUMBER_FOR_TEXT, ""
        cells[column] = text
    return cells, fault


def _text(value: Any) -> str | None:
    """The text of a value, of which a whole number has no decimals; None if it is neither text nor number."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))  # ids that pandas made floats, because one of them was missing
    return str(value) if isinstance(value, str | int | float | Decimal) else None


def _is_utf8(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
