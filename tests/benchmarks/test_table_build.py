"""The benchmark of large builds measures what it says, at tiny size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import table_build
from benchmarks.table_build import are_equal, build_killed, main, write_table

TEXT = "the lungs are clear no pleural effusion or pneumothorax heart size is normal"


@pytest.fixture
def openi(tmp_path: Path) -> Path:
    """Reports in the XML of Open-I, made up."""
    folder = tmp_path / "openi"
    folder.mkdir()
    for number in range(8):
        findings = TEXT[4 * (number % 5) :]
        (folder / f"{number}.xml").write_text(
            f'<eCitation><uId id="CXR{number}"/><AbstractText Label="FINDINGS">{findings}</AbstractText></eCitation>'
        )
    return folder


def test_a_whole_and_a_killed_build_are_measured_and_compared(
    openi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--openi", str(openi), "--reports", "40", "--kill_after", "0.5", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["reports"] == 40
    assert figures["shards_left"] == [0]
    assert figures["equal"] is True
    assert figures["seconds"] > 0
    assert 50 < figures["peak_memory_mb"] < 5000
    assert "ended with the same bytes" in capsys.readouterr().out


def test_a_build_that_ends_before_it_is_killed_is_an_error(
    openi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(table_build, "start_build", lambda *build: subprocess.Popen([sys.executable, "-S", "-c", ""]))
    table = write_table(tmp_path, openi, 5)
    assert len(table.read_text().splitlines()) == 6
    with pytest.raises(RuntimeError, match="ended within 100 s: kill it earlier"):
        build_killed(table, tmp_path / "out", 1, [100])


def test_another_byte_and_another_file_are_seen(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"12")
    assert are_equal(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/x").write_bytes(b"13")
    assert not are_equal(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/x").write_bytes(b"12")
    (tmp_path / "b/y").write_bytes(b"")
    assert not are_equal(tmp_path / "a", tmp_path / "b")
