"""What `build table` does about bad rows: 1,000 rows with planted faults, and faults one by one."""

import contextlib
import gc
import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_helpers import load
from PIL import Image
from table_helpers import build, csv_line, damage, save_image, scan, without_edits, write_csv

from datasets_scripts.table import DUPLICATE, STUDY_SPLIT, Table
from datasets_scripts.table_files import (
    BROKEN_CSV,
    BROKEN_JSON,
    EMPTY_ROW,
    LONG_NUMBER,
    NO_TEXT,
    NOT_UTF8,
    NUMBER_FOR_TEXT,
)
from datasets_scripts.table_rows import (
    ABSOLUTE_OUTSIDE,
    CLIMBS_OUT,
    MISSING,
    NO_FILE,
    NO_ID,
    NO_IMAGE_NAMED,
    NO_REPORT,
    NO_STUDY,
    NO_WORDS,
    NOT_IMAGE,
    TOO_LONG,
    UNKNOWN_SPLIT,
    ZERO_BYTES,
    Layout,
    bad_label,
)
from datasets_scripts.writer import UNREADABLE

ROWS = 1000
HEADER = ("id", "image", "report")
FAULTS = {
    10: (MISSING, "absent.png"),
    20: (ZERO_BYTES, "empty.png"),
    30: (UNREADABLE, "truncated.jpg"),
    40: (NOT_IMAGE, "text.png"),
    50: (NO_WORDS, "50.png"),
    60: (DUPLICATE, "60.png"),
    70: (ABSOLUTE_OUTSIDE, "/etc/hostname"),
    80: (NOT_UTF8, "80.png"),
    90: (EMPTY_ROW, "pairs.csv"),
    100: (CLIMBS_OUT, "../outside.png"),
    110: (TOO_LONG, "110.png"),
    120: (EMPTY_ROW, "pairs.csv"),
}
CONVERTED = {500: "sixteen.png", 510: "cmyk.jpg"}


def report_of(number: int) -> str:
    return f"The heart is normal. There are {number} small nodules."


def plant(folder: Path) -> Path:
    """A table of 1,000 rows in `folder/pairs.csv`, its images in `folder/images`."""
    images = folder / "images"
    save_image(folder / "outside.png")
    shared = save_image(images / "shared.png")
    for number in (50, 60, 80, 110):
        save_image(images / f"{number}.png", number)
    (images / "empty.png").touch()
    (images / "text.png").write_text("This is no picture.\n" * 20)
    damage(images / "truncated.jpg")
    ramp = np.repeat(np.linspace(0, 65535, 24).astype(np.uint16)[None], 20, axis=0)
    Image.fromarray(ramp).save(images / "sixteen.png")
    Image.fromarray((ramp >> 8).astype(np.uint8)).convert("CMYK").save(images / "cmyk.jpg", quality=100)
    cells = {number: [f"id{number}", shared.name, report_of(number)] for number in range(1, ROWS + 1)}
    for number, (_, name) in FAULTS.items():
        cells[number][1] = name
    for number, name in CONVERTED.items():
        cells[number][1] = name
    cells[50][2] = " -- . ! "
    cells[60][0] = "id59"
    cells[80][2] = "Gr\udcfc\udcdfe."  # Latin-1, read as bytes that are no UTF-8
    cells[90] = ["", " ", ""]
    cells[110][2] = "nodule " * 20_000
    lines = {number: csv_line(row) for number, row in cells.items()} | {120: b"\r\n"}
    table = folder / "pairs.csv"
    table.write_bytes(csv_line(HEADER) + b"".join(lines[number] for number in sorted(lines)))
    return table


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    plant(folder)
    return folder


@pytest.fixture(scope="module")
def logged(planted: Path) -> tuple[int, str]:
    """The exit status and standard error of the build."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        status = build(planted / "pairs.csv", planted / "images", planted / "out", "--id_column", "id")
    return status, stderr.getvalue()


def faults_in(stderr: str) -> dict[int, tuple[str, str]]:
    found = re.findall(r"^row (\d+): (.*): (\S+)$", stderr, re.MULTILINE)
    assert len(found) == len({number for number, _, _ in found}), "a row is named twice"
    return {int(number): (reason, name) for number, reason, name in found}


def test_every_planted_fault_is_logged_with_its_row_reason_and_file(logged: tuple[int, str]) -> None:
    assert faults_in(logged[1]) == FAULTS


def test_the_exit_status_is_0_though_rows_were_left_out(logged: tuple[int, str]) -> None:
    assert logged[0] == 0


def test_all_good_rows_are_built(planted: Path, logged: tuple[int, str]) -> None:
    dataset = load(planted / "out")

    rows = {row["image_id"]: row["findings"] for split in dataset.values() for row in split.remove_columns("image")}
    good = [number for number in range(1, ROWS + 1) if number not in FAULTS]
    assert rows == {f"id{number}": report_of(number) for number in good}


def test_each_fault_is_counted_under_its_reason_in_the_card(planted: Path, logged: tuple[int, str]) -> None:
    card = (planted / "out/README.md").read_text()

    reasons = [reason for reason, _ in FAULTS.values()]
    assert len(set(reasons)) == 11
    for reason in reasons:
        assert f"| {reason} | {reasons.count(reason)} |" in card


def test_sixteen_bits_and_cmyk_are_converted(planted: Path, logged: tuple[int, str]) -> None:
    dataset = load(planted / "out")
    images = {row["image_id"]: row["image"] for split in dataset.values() for row in split}

    for number in CONVERTED:
        image = images[f"id{number}"]
        assert image.mode == "L"
        pixels = np.asarray(image).astype(int)
        assert pixels[:, 0].max() < 10
        assert pixels[:, -1].min() > 245


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("", "Clear."), NO_IMAGE_NAMED),
        (("good.png", " "), NO_REPORT),
        ((".", "Clear."), CLIMBS_OUT),
        (("folder", "Clear."), NO_FILE),
        (("folder/../../outside.png", "Clear."), CLIMBS_OUT),
        (("a\0b.png", "Clear."), MISSING),
        (("good.png", "Clear.", "more"), BROKEN_CSV),
        (("good.png",), BROKEN_CSV),
        (("good.png", "word " * 5_001), TOO_LONG),
        (("good.png", "x" * 1_200_000), TOO_LONG),
    ],
)
def test_a_row_with_a_fault_is_left_out_under_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cells: tuple[str, ...], reason: str
) -> None:
    images = tmp_path / "images"
    save_image(images / "good.png")
    (images / "folder").mkdir()
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [("good.png", "Clear."), cells, ("good.png", "Wide.")])

    left_out, kept = scan(table, Layout(images, "image", "report"))

    assert left_out == {reason: 1}
    assert f"row 2: {reason}: " in capsys.readouterr().err
    assert kept == ["good.png:1", "good.png:3"]


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("id", " ", NO_ID),
        ("study", "", NO_STUDY),
        ("split", "held out", UNKNOWN_SPLIT),
        ("split", "", UNKNOWN_SPLIT),
        ("split", "test", STUDY_SPLIT),
        ("Edema", "2", bad_label("Edema")),
        ("Edema", "mild", bad_label("Edema")),
    ],
)
def test_a_bad_cell_of_an_optional_column_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, cell: str, reason: str
) -> None:
    header = ("image", "report", "id", "study", "split", "Edema")
    first = dict(zip(header, ("a.png", "Clear.", "1", "s", "train", "1"), strict=True))
    second = {**first, "id": "2", column: cell}
    save_image(tmp_path / "images/a.png")
    table = write_csv(tmp_path / "t.csv", header, [list(first.values()), list(second.values())])

    left_out, kept = scan(
        table, Layout(tmp_path / "images", "image", "report", "id", "study", "split", {"Edema": "Edema"})
    )

    assert left_out == {reason: 1}
    assert f"row 2: {reason}: a.png" in capsys.readouterr().err
    assert kept == ["1"]


def test_a_row_after_a_broken_quote_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_image(tmp_path / "images/a.png")
    table = tmp_path / "t.csv"
    table.write_text('image,report\na.png,"Clear" and wide.\na.png,Narrow.\n')

    left_out, kept = scan(table, Layout(tmp_path / "images", "image", "report"))

    assert left_out == {BROKEN_CSV: 1}
    assert f"row 1: {BROKEN_CSV}: t.csv" in capsys.readouterr().err
    assert kept == ["a.png:2"]


def test_a_row_with_the_id_of_a_row_that_was_not_built_is_no_duplicate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    save_image(images / "good.png")
    damage(images / "damaged.jpg")
    rows = [
        ("a", "damaged.jpg", "First."),
        ("a", "absent.png", "Second."),
        ("a", "good.png", "Third."),
        ("a", "good.png", "Fourth."),
        ("a", "damaged.jpg", "Fifth."),
    ]
    table = write_csv(tmp_path / "t.csv", HEADER, rows)

    assert build(table, images, tmp_path / "out", "--id_column", "id", "--validation", "0") == 0

    assert load(tmp_path / "out")["train"]["findings"] == ["Third."]
    assert faults_in(capsys.readouterr().err) == {
        1: (UNREADABLE, "damaged.jpg"),
        2: (MISSING, "absent.png"),
        4: (DUPLICATE, "good.png"),
        5: (UNREADABLE, "damaged.jpg"),
    }


def test_a_damaged_image_is_named_on_one_line_and_not_by_the_writer_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    save_image(tmp_path / "good.png")
    damage(tmp_path / "damaged.jpg")
    table = write_csv(tmp_path / "t.csv", HEADER, [("a", "good.png", "Good."), ("b", "damaged.jpg", "Damaged.")])

    assert build(table, tmp_path, tmp_path / "out", "--validation", "0") == 0

    named = [line for line in capsys.readouterr().err.splitlines() if "damaged.jpg" in line]
    assert named == [f"row 2: {UNREADABLE}: damaged.jpg"]
    assert "damaged.jpg" not in caplog.text


def test_text_of_parquet_that_is_not_utf8_spoils_its_own_row_alone(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    reports = pa.array([b"Clear.", b"Gr\xfc\xdfe.", b"Wide."]).view(pa.string())
    pq.write_table(pa.table({"image": ["a.png"] * 3, "report": reports}), tmp_path / "t.parquet")

    assert scan(tmp_path / "t.parquet", Layout(tmp_path, "image", "report")) == (
        {NOT_UTF8: 1},
        ["a.png:1", "a.png:3"],
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"image": "a.png", "report": "Gr\xfc\xdfe."}', NOT_UTF8),
        (b'{"image": "a.png", "report": "\\ud800"}', NOT_UTF8),
        (b'{"image": "a.png"', BROKEN_JSON),
        (b'["a.png", "Clear."]', BROKEN_JSON),
        (b"", EMPTY_ROW),
        (b"{}", EMPTY_ROW),
        (b'{"image": "a.png", "report": ["Clear."]}', NO_TEXT),
        (b'{"image": "a.png"}', NO_REPORT),
        (b'{"image": "a.png", "report": NaN}', NO_REPORT),
        (b'{"image": "a.png", "report": 3}', NUMBER_FOR_TEXT),
        (b'{"image": "a.png", "report": false}', NUMBER_FOR_TEXT),
        (b'{"image": "a.png", "report": ' + b"9" * 5000 + b"}", LONG_NUMBER),
    ],
)
def test_a_line_of_jsonl_with_a_fault_is_left_out_under_its_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    save_image(tmp_path / "a.png")
    good = b'{"image": "a.png", "report": "Clear."}'
    (tmp_path / "t.jsonl").write_bytes(b"\n".join([good, line, good]))

    assert scan(tmp_path / "t.jsonl", Layout(tmp_path, "image", "report")) == ({reason: 1}, ["a.png:1", "a.png:3"])


def test_an_absolute_path_in_the_root_is_used(tmp_path: Path) -> None:
    path = save_image(tmp_path / "images/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "images")
    table = write_csv(tmp_path / "t.csv", ("image", "report"), [(str(path), "Clear.")])

    for root in ("images", "link"):
        assert scan(table, Layout(tmp_path / root, "image", "report")) == ({}, ["a.png:1"])


def peak_memory_of_scan(folder: Path, rows: int) -> int:
    table = write_csv(folder / "t.csv", ("image", "report"), [("a.png", f"Nodule {row % 9}.") for row in range(rows)])
    layout = Layout(folder, "image", "report")
    gc.collect()
    tracemalloc.start()
    splits = Table(table, layout, image_size=16, validation=0.1, seed=0, synthetic=False)
    splits.scan()
    with without_edits():
        for records in splits.splits().values():
            assert sum(1 for _ in records) > 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_by_a_few_bytes_a_row(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    peak_memory_of_scan(tmp_path, 300)  # what is made once

    # The lesser of two: now and then a thread that another test has left takes memory meanwhile.
    few, many = (min(peak_memory_of_scan(tmp_path, rows) for _ in range(2)) for rows in (300, 2300))

    assert (many - few) / 2000 < 16
