"""What `read_table` makes of cells and lines that are unusual: numbers, dates, marks at the start, stray quotes."""

import datetime
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_scripts import table_files, table_rows
from datasets_scripts.table_files import (
    BROKEN_CSV,
    LONG_NUMBER,
    NUMBER_FOR_TEXT,
    TableRow,
    read_table,
    table_columns,
)

GOOD = '{"image": "a.png", "report": "Clear."}'


def read_csv(path: Path, lines: list[str]) -> list[TableRow]:
    path.write_text("image,report\n" + "".join(f"{line}\n" for line in lines))
    return list(read_table(path, ["image", "report"]))


@pytest.mark.parametrize(
    "stray",
    [
        'b.png,"Opened',  # never closed: at the end of the file the CSV is broken
        'b.png,"Opened\nd.png,Good\ne.png,"Closed there"',  # closed by another row's first quote
    ],
)
def test_a_stray_quote_costs_the_row_it_opens_in_and_no_other(tmp_path: Path, stray: str) -> None:
    rows = read_csv(tmp_path / "t.csv", ["a.png,First", *stray.split("\n"), 'c.png,"Last, quoted"'])

    broken = rows.pop(1)
    assert (broken.number, broken.fault) == (2, BROKEN_CSV)
    assert all(row.fault is None for row in rows)
    assert [row.number for row in rows] == [1, *range(3, len(rows) + 2)]
    assert rows[-1].cells == {"image": "c.png", "report": "Last, quoted"}


def test_every_stray_quote_is_a_fault_of_its_own(tmp_path: Path) -> None:
    rows = read_csv(tmp_path / "t.csv", ['a.png,"One', "b.png,Good", 'c.png,"Two', 'd.png,"Three', "e.png,Good"])

    assert [row.fault for row in rows] == [BROKEN_CSV, None, BROKEN_CSV, BROKEN_CSV, None]


def test_a_quoted_report_of_several_lines_is_one_row(tmp_path: Path) -> None:
    rows = read_csv(tmp_path / "t.csv", ['a.png,"One\nTwo"', "b.png,Good"])

    assert [row.cells["report"] for row in rows] == ["One\nTwo", "Good"]


def test_a_header_with_a_stray_quote_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,"report\na.png,Clear.\n')

    with pytest.raises(ValueError, match=r"header of .*t\.csv is broken CSV"):
        table_columns(tmp_path / "t.csv")


def test_jsonl_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f"\ufeff{GOOD}\n{GOOD}\n", encoding="utf-8")

    assert table_columns(tmp_path / "t.jsonl") == ["image", "report"]
    assert [row.fault for row in read_table(tmp_path / "t.jsonl", ["report"])] == [None, None]


def test_an_integer_of_5000_digits_spoils_its_own_line_alone(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f'{GOOD}\n{{"image": "a.png", "report": {"9" * 5000}}}\n{GOOD}\n')

    assert [row.fault for row in read_table(tmp_path / "t.jsonl", ["report"])] == [None, LONG_NUMBER, None]


def write(path: Path, values: list[Any]) -> Path:
    """A column `cell`, beside one that keeps no row empty."""
    rows = [{"image": "a.png", "cell": value} for value in values]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))  # NaN stands there as pandas' reports do
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_whole_numbers_have_no_decimals_and_nan_is_blank(tmp_path: Path, name: str) -> None:
    table = write(tmp_path / name, [10000032.0, math.nan, None, 0.5, -1.0, math.inf])

    cells = [row.cells["cell"] for row in read_table(table, ["image", "cell"])]

    assert cells == ["10000032", "", "", "0.5", "-1", "inf"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("10000032"), "10000032"),
        (Decimal("10000032.00"), "10000032"),
        (Decimal("99999999999999999999999999999999999999"), "9" * 38),
        (Decimal("0.25"), "0.25"),
        (datetime.date(2020, 1, 31), "2020-01-31"),
        (datetime.datetime(2020, 1, 31, 12, 30), "2020-01-31 12:30:00.000000"),
    ],
)
def test_decimals_and_dates_of_parquet_are_text(tmp_path: Path, value: Decimal | datetime.date, text: str) -> None:
    (row,) = read_table(write(tmp_path / "t.parquet", [value]), ["image", "cell"])

    assert (row.cells["cell"], row.fault) == (text, None)


def test_a_date_after_the_last_of_python_does_not_end_the_table(tmp_path: Path) -> None:
    dates = pa.array([2**31 - 1, 0], pa.int32()).view(pa.date32())
    pq.write_table(pa.table({"study": dates}), tmp_path / "t.parquet")

    assert [row.cells["study"] for row in read_table(tmp_path / "t.parquet", ["study"])][1] == "1970-01-01"


def damaged_parquet(path: Path, place: slice) -> Path:
    pq.write_table(pa.table({"report": [f"Nodule number {number}." for number in range(1000)]}), path)
    content = bytearray(path.read_bytes())
    content[place] = b"\xff" * len(content[place])
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("place", [slice(200, 400), slice(1000, 1400)])
def test_a_damaged_page_of_parquet_is_an_error_that_names_the_file(tmp_path: Path, place: slice) -> None:
    table = damaged_parquet(tmp_path / "t.parquet", place)

    assert table_columns(table) == ["report"]
    with pytest.raises(ValueError, match=r"t\.parquet cannot be read as Parquet \(.+\); copy it again"):
        list(read_table(table, ["report"]))


@pytest.mark.parametrize("place", [slice(0, None), slice(-4, None), slice(-100, -20)])
def test_a_damaged_end_of_parquet_is_an_error_that_names_the_file(tmp_path: Path, place: slice) -> None:
    table = damaged_parquet(tmp_path / "t.parquet", place)

    with pytest.raises(ValueError, match=r"t\.parquet cannot be read as Parquet \(.+\); copy it again"):
        table_columns(table)


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
@pytest.mark.parametrize("value", [3, 2.5, True])
def test_a_number_or_truth_value_where_text_belongs_is_a_fault(tmp_path: Path, name: str, value: float) -> None:
    (row,) = read_table(write(tmp_path / name, [value]), ["image", "cell"], text_column="cell")

    assert (row.cells["cell"], row.fault) == ("", NUMBER_FOR_TEXT)


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_nan_where_text_belongs_is_blank(tmp_path: Path, name: str) -> None:
    (row,) = read_table(write(tmp_path / name, [math.nan]), ["image", "cell"], text_column="cell")

    assert (row.cells["cell"], row.fault) == ("", None)


def test_no_reason_has_a_colon_for_it_parts_the_reason_from_the_file(tmp_path: Path) -> None:
    reasons = [
        value
        for module in (table_files, table_rows)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    ]

    assert len(reasons) > 15
    assert not [reason for reason in (*reasons, table_rows.bad_label("Edema")) if ":" in reason]
