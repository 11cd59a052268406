from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_scripts.radiographs import index_images, load_radiograph

GRADIENT = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 27


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def stem(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize(
    ("size", "shorter_side", "expected"),
    [((60, 40), 20, (30, 20)), ((40, 60), 20, (20, 30)), ((60, 40), 40, (60, 40)), ((60, 40), 100, (60, 40))],
    ids=["wide", "tall", "same", "never enlarged"],
)
def test_the_shorter_side_is_reduced_and_the_shape_kept(
    tmp_path: Path, size: tuple[int, int], shorter_side: int, expected: tuple[int, int]
) -> None:
    path = save(tmp_path / "a.png", np.zeros(size[::-1], np.uint8))

    assert load_radiograph(path, shorter_side).size == expected


def test_a_colour_file_of_grey_pixels_becomes_those_greys(tmp_path: Path) -> None:
    grey = (GRADIENT >> 8).astype(np.uint8)
    path = save(tmp_path / "a.png", np.repeat(grey[:, :, None], 3, axis=2))

    image = load_radiograph(path, 40)

    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), grey)


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    image = load_radiograph(save(tmp_path / "a.png", GRADIENT), 40)

    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), GRADIENT >> 8)


def test_reduction_averages_all_pixels_of_an_area(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200

    reduced = np.asarray(load_radiograph(save(tmp_path / "a.png", stripes), 16))

    assert abs(reduced[2:-2, 2:-2].astype(int) - 100).max() <= 2


@pytest.mark.parametrize("kept", [0, 4, 20, 40, 60, -40])
def test_a_truncated_image_is_an_error_that_names_it(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "a.png", GRADIENT)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(OSError, match=r"a\.png is truncated or no image"):
        load_radiograph(path, 40)


@pytest.mark.parametrize("place", [11, 34], ids=["header", "chunk"])
def test_a_damaged_image_is_an_error_that_names_it(tmp_path: Path, place: int) -> None:
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8))
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(OSError, match=r"a\.png is truncated or no image"):
        load_radiograph(path, 40)


def test_a_missing_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        load_radiograph(tmp_path / "a.png", 40)


def test_wanted_images_are_found_in_subfolders_and_others_passed_over(tmp_path: Path) -> None:
    for name in ("a.png", "deep/er/b.PNG", "other.png", "more/other.png", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert index_images(tmp_path, {"a", "b", "c", "d"}, stem) == {
        "a": tmp_path / "a.png",
        "b": tmp_path / "deep/er/b.PNG",
    }


def test_two_files_of_one_image_are_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "a.dcm.png"):
        (tmp_path / name).touch()

    with pytest.raises(ValueError, match=r"a\.dcm\.png and .*a\.png are both image a"):
        index_images(tmp_path, {"a"}, stem)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent is no folder"):
        index_images(tmp_path / "absent", {"a"}, stem)
