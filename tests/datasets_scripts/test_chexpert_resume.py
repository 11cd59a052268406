"""`build chexpert`, killed: it goes on after its last shard, and ends with the bytes of one that never was."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from dataset_helpers import file_hashes
from PIL import Image
from processes import run
from test_chexpert import VALID, csv_row, write_csv, write_image

from datasets_scripts import chexpert, image_file, shards
from datasets_scripts.__main__ import main

IMAGES = [f"train/patient{number:05d}/study1/view1_frontal.jpg" for number in range(1, 9)]
DAMAGED = (IMAGES[1], IMAGES[6])


def build(source: Path, out: Path, killed_at: str) -> int:
    """Two rows a shard, one image at a time; prints the images that it reads."""
    load_radiograph = image_file.load_radiograph

    def load(path: Path, shorter_side: int) -> Image.Image:
        name = path.relative_to(source).as_posix()
        if name == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        print("read", name, flush=True)
        return load_radiograph(path, shorter_side)

    image_file.load_radiograph = load
    chexpert.write_rows = partial(chexpert.write_rows, rows_per_shard=2)
    shards._IMAGES_AHEAD = 1
    return main(["build", "chexpert", "--source", str(source), "--out", str(out), "--uncertain", "ones"])


def run_build(source: Path, out: Path, killed_at: str = "nowhere") -> tuple[int | None, list[str]]:
    """The exit status, and the images that were read."""
    ended = run(build, source, out, killed_at)
    words = (line.split() for line in ended.stdout.splitlines())
    return ended.statuses[0], [line[1] for line in words if line[:1] == ["read"]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "CheXpert-v1.0-small"
    for value, path in enumerate([*IMAGES, VALID[0][0]]):
        write_image(folder / path, value)
    for path in DAMAGED:
        (folder / path).write_bytes(b"no image")
    values = ("1.0", "0.0", "-1.0", "")
    write_csv(folder / "train.csv", *(csv_row(path, {"Edema": values[i % 4]}) for i, path in enumerate(IMAGES)))
    write_csv(folder / "valid.csv", *(csv_row(*row) for row in VALID))
    return folder


@pytest.mark.slow
def test_a_build_that_was_killed_twice_reads_no_stored_image_again_and_ends_as_one_that_never_was(
    source: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_build(source, whole) == (0, [VALID[0][0], *IMAGES])

    assert run_build(source, killed, killed_at=IMAGES[3])[0] == -signal.SIGKILL
    assert run_build(source, killed, killed_at=IMAGES[5])[0] == -signal.SIGKILL
    assert not killed.exists()
    assert run_build(source, killed) == (0, IMAGES[5:])

    assert file_hashes(killed) == file_hashes(whole)
    assert len(file_hashes(killed)) == 5
    card = (killed / "README.md").read_text()
    assert "| image unreadable | 2 |" in card
    assert "| Edema | 3 | 1 | 2 | 0 | 1 | 0 |" in card
