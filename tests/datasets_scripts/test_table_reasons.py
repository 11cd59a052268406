"""What `build table` says of an image that cannot be used: the row's line, and why on an indented line after it."""

from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless
from table_helpers import damage

from datasets_scripts.shards import UNREADABLE, NamedFault
from datasets_scripts.table_images import RowImage, log_fault


def lines_of(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is said of row 7, which names this image."""
    with pytest.raises(NamedFault):
        RowImage(7, path, 0, path.name)()
    return capsys.readouterr().err.strip("\n").split("\n")


def save_dicom(path: Path, sample: str, **changes: object) -> Path:
    dataset = pydicom.dcmread(str(get_testdata_file(sample)))
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def without_decoder(path: Path) -> Path:
    dataset = pydicom.dcmread(save_dicom(path, "CT_small.dcm"))
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7" + bytes(20)])
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def several_frames(path: Path) -> Path:
    return save_dicom(path, "CT_small.dcm", NumberOfFrames=3)


def one_grey(path: Path) -> Path:
    return save_dicom(path, "CT_small.dcm", PixelData=bytes(2 * 128 * 128))


def two_pages(path: Path) -> Path:
    page = Image.new("L", (20, 20))
    page.save(path, format="TIFF", save_all=True, append_images=[page])
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (without_decoder, "is truncated or no image (Unable to decompress 'JPEG-LS"),
        (several_frames, "is no radiograph: it holds 3 frames, not one radiograph"),
        (one_grey, "is no radiograph: it shows one single grey"),
        (two_pages, "is no radiograph: it holds 2 pages, not one radiograph"),
        (damage, "is truncated or no image (image file is truncated"),
        (lambda path: path, "No such file or directory"),
        (lambda path: path.symlink_to(path), "is truncated or no image ([Errno 40] Too many levels"),
    ],
)
def test_the_reason_is_on_an_indented_line_of_its_own_without_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make, why: str
) -> None:
    make(tmp_path / "image.jpg")

    first, second = lines_of(tmp_path / "image.jpg", capsys)

    assert first == f"row 7: {UNREADABLE}: image.jpg"
    assert second.startswith(f"    {why}")
    assert str(tmp_path) not in second


def test_a_reason_of_several_lines_is_put_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    log_fault(7, UNREADABLE, "a.png", "first,\n  second\trow 8: no: line")

    assert capsys.readouterr().err == f"row 7: {UNREADABLE}: a.png\n    first, second row 8: no: line\n"
