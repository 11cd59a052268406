"""The rows of a CSV, JSONL or Parquet file, one by one, with their numbers; one that cannot be read is a fault."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

EMPTY_ROW = "empty row"
NOT_UTF8 = "text is not UTF-8"
BROKEN_CSV = "broken CSV: more or fewer cells than the header, or a quote that is not closed"
BROKEN_JSON = "broken JSON: no object on this line"
NO_TEXT = "a cell is neither text nor number"

_LONGEST_CELL = 10_000_000  # characters: csv's own 131,072 would end a build at a report of 20,000 words
_JSONL_ROWS_FOR_COLUMNS = 1000
_PARQUET_BATCH = 256


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        number: of the data row, from 1: the header is none, a blank line is one; a cell may go over several lines.
        cells: column to text, blank where there is nothing (null, NaN is `nan`); only the columns that were asked for.
        fault: why the row cannot be used; the cells are then what could be read.
    """

    number: int
    cells: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


def table_columns(path: Path) -> list[str]:
    """The columns of a table; of JSONL, the keys of its first 1,000 rows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file's name ends with none of `.csv`, `.jsonl`, `.parquet`; it is no such file; or a column
            of a CSV file stands twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; name the table")
    kind = _kind(path)
    if kind == ".parquet":
        try:
            return list(pq.read_schema(path).names)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is no Parquet file ({error})") from error
    if kind == ".jsonl":
        return list(
            dict.fromkeys(key for _, row in islice(_json_objects(path), _JSONL_ROWS_FOR_COLUMNS) for key in row)
        )
    with _open_csv(path) as file:
        header = next(csv.reader(file), [])
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}; rename one")
    return header


def read_table(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Read these columns of a table, holding no more than a few hundred rows at a time.

    Args:
        path: a table that `table_columns` takes.
        columns: some of its columns.

    Yields:
        Each row, in order.
    """
    rows = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}[_kind(path)](path, columns)
    for number, (cells, fault) in enumerate(rows, 1):
        if fault is None and not any(cell.strip() for cell in cells.values()):
            fault = EMPTY_ROW
        elif fault is None and not all(_is_utf8(cell) for cell in cells.values()):
            fault = NOT_UTF8
        yield TableRow(number, cells, fault)


_Cells = tuple[dict[str, str], str | None]


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl", ".parquet"):
        raise ValueError(f"{path} is none of .csv, .jsonl and .parquet; the name tells how a table is read")
    return kind


def _open_csv(path: Path) -> Any:
    # Bytes that are no UTF-8 become lone surrogates: they spoil their own row and no other.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[_Cells]:
    csv.field_size_limit(_LONGEST_CELL)
    with _open_csv(path) as file:
        reader = csv.reader(file, strict=True)
        header = next(reader)
        places = {column: header.index(column) for column in columns}
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:  # the reader goes on with the next line
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
                row = json.loads(line.decode()) if line.strip() else {}
            except UnicodeDecodeError:
                yield NOT_UTF8, {}
            except (json.JSONDecodeError, RecursionError):
                yield BROKEN_JSON, {}
            else:
                yield (None, row) if isinstance(row, dict) else (BROKEN_JSON, {})


def _read_jsonl(path: Path, columns: Sequence[str]) -> Iterator[_Cells]:
    for fault, row in _json_objects(path):
        yield _texts({column: row.get(column) for column in columns}, fault)


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[_Cells]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH, columns=list(columns)):
            cells = {column: _values(batch.column(column)) for column in columns}
            for row in zip(*cells.values(), strict=True):
                yield _texts(dict(zip(cells, row, strict=True)), None)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        # As bytes: Arrow does not check that text is UTF-8, and would raise for all rows because of one.
        column = column.cast(pa.large_binary())
    return column.to_pylist()


def _texts(row: Mapping[str, Any], fault: str | None) -> _Cells:
    cells = {}
    for column, value in row.items():
        if isinstance(value, bytes):
            value = value.decode(errors="surrogateescape")
        if value is None:
            value = ""
        elif not isinstance(value, str | int | float):
            fault, value = fault or NO_TEXT, ""
        cells[column] = str(value)
    return cells, fault


def _is_utf8(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
