"""A build goes on only with the image files that its finished shards were made of."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import INFO, load, record
from PIL import Image

from datasets_scripts.chexpert import ImageRows
from datasets_scripts.chexpert_images import CheXpertImage
from datasets_scripts.image_file import HasFile, ImageFile, file_identity
from datasets_scripts.mimic_cxr import MimicCorpus, MimicPairs
from datasets_scripts.mimic_images import MimicImage
from datasets_scripts.mimic_sections import ReportSections
from datasets_scripts.openi_images import image_files
from datasets_scripts.openi_reports import OpenIReport
from datasets_scripts.perturbations import ReportPerturber
from datasets_scripts.schema import Record
from datasets_scripts.table_images import RowImage
from datasets_scripts.writer import write_dataset

IDS = ("0", "1", "2", "3")


def write_images(folder: Path, value: int) -> Path:
    """All of one size in bytes, and of one time."""
    folder.mkdir(parents=True, exist_ok=True)
    for image_id in IDS:
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(folder / f"{image_id}.png")
        os.utime(folder / f"{image_id}.png", (1e9, 1e9))
    return folder


def corpus(folder: Path) -> list[Record]:
    return [record(image_id, "clear lungs", image=ImageFile(folder / f"{image_id}.png", 0)) for image_id in IDS]


def build(out: Path, perturber: ReportPerturber, train: list[Record]) -> None:
    write_dataset(out, {"train": train}, INFO, perturber, rows_per_shard=1, on_unreadable="skip", progress=False)


def values(out: Path) -> list[int]:
    return [int(np.asarray(image).max()) for image in load(out)["train"]["image"]]


def interrupt() -> Image.Image:
    raise KeyboardInterrupt


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "first/images", 10)


@pytest.fixture
def interrupted(tmp_path: Path, images: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a build that was interrupted at the third of four images, each a shard."""
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)
    train = corpus(images)
    train[2] = record("2", "clear lungs", image=interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", perturber, train)
    return tmp_path / "out"


def test_the_same_files_are_taken_up(
    interrupted: Path, images: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture
) -> None:
    build(interrupted, perturber, corpus(images))

    assert "resuming a build after 2 finished shards" in caplog.text
    assert "starting anew" not in caplog.text
    assert values(interrupted) == [10, 10, 10, 10]


def test_two_folders_of_the_same_name_are_not_mixed(
    tmp_path: Path, interrupted: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_images(tmp_path / "second/images", 20)

    build(interrupted, perturber, corpus(other))

    assert "a build of other records or images is not taken up; starting anew" in caplog.text
    assert values(interrupted) == [20, 20, 20, 20]


def test_an_image_that_was_changed_is_read_again(interrupted: Path, images: Path, perturber: ReportPerturber) -> None:
    path = images / "0.png"
    before = path.stat()
    Image.fromarray(np.full((8, 8), 30, np.uint8)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    build(interrupted, perturber, corpus(images))

    assert values(interrupted) == [30, 10, 10, 10]


def test_an_image_that_was_removed_is_left_out(interrupted: Path, images: Path, perturber: ReportPerturber) -> None:
    (images / "0.png").unlink()

    build(interrupted, perturber, corpus(images))

    assert values(interrupted) == [10, 10, 10]


def test_a_file_is_the_same_from_any_folder(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)

    assert file_identity(Path("0.png")) == file_identity(images / "0.png")


def chexpert_source(folder: Path) -> tuple[object, Path]:
    path = folder / "view1_frontal.jpg"
    image = CheXpertImage(path, "patient1/study1/view1_frontal", "patient1/study1", "patient1", True, {})
    return next(iter(ImageRows([image], 0, "ignore", "ignore")))["image"], path


def mimic_source(folder: Path) -> tuple[object, Path]:
    image = MimicImage("a-b", subject="10000001", study="50000001")
    reports = {image.study: ReportSections(findings="Clear lungs.")}
    corpus = MimicCorpus(folder, {"train": [image]}, {}, reports, {}, {})
    return next(iter(MimicPairs([image], corpus, ["findings"], 0, 0))).image, image.path(folder)


def openi_source(folder: Path) -> tuple[object, Path]:
    path = write_images(folder, 10) / "CXR1_IM-0001-1001.png"
    path.write_bytes((folder / "0.png").read_bytes())
    source = image_files(folder, [path.stem], 0)
    return source(OpenIReport("CXR1", "", "", (), (path.stem,)), path.stem), path


def table_source(folder: Path) -> tuple[object, Path]:
    return RowImage(1, folder / "a.png", 0, "a.png"), folder / "a.png"


@pytest.mark.parametrize("source_and_path", [chexpert_source, mimic_source, openi_source, table_source])
def test_every_builder_of_image_files_tells_which_file_it_reads(
    tmp_path: Path, source_and_path: Callable[[Path], tuple[object, Path]]
) -> None:
    source, path = source_and_path(tmp_path)

    assert isinstance(source, HasFile)
    assert source.identity() == file_identity(path)
