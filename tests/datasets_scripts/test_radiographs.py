from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from datasets_scripts.radiographs import index_images, is_image, load_radiograph

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


@pytest.mark.parametrize(("name", "kind"), [("a.png", np.uint16), ("a.tif", np.uint16), ("a.tif", np.int32)])
def test_sixteen_bits_count_on_their_full_scale(tmp_path: Path, name: str, kind: type) -> None:
    image = load_radiograph(save(tmp_path / name, GRADIENT.astype(kind)), 40)

    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), np.rint(GRADIENT / 257))


def test_floats_of_zero_to_one_count_on_that_scale(tmp_path: Path) -> None:
    image = load_radiograph(save(tmp_path / "a.tif", np.array([[0, 0.5, 1]], np.float32)), 1)

    np.testing.assert_array_equal(np.asarray(image), [[0, 128, 255]])


@pytest.mark.parametrize("value", [-1, 70000])
def test_values_beyond_sixteen_bits_are_an_error_that_names_them(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "a.tif", np.full((4, 4), value, np.int32))

    with pytest.raises(OSError, match=rf"a\.tif.*{value}"):
        load_radiograph(path, 4)


def test_a_cmyk_jpeg_becomes_its_greys(tmp_path: Path) -> None:
    grey = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 64, axis=0)
    Image.fromarray(grey).convert("CMYK").save(tmp_path / "a.jpg", quality=95)

    image = load_radiograph(tmp_path / "a.jpg", 64)

    assert image.mode == "L"
    np.testing.assert_allclose(np.asarray(image), grey.astype(int), atol=4)


def test_dicom_is_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())

    assert load_radiograph(tmp_path / "a.png", 32).size == (32, 32)


@pytest.mark.parametrize("full_size", [0, None])
def test_full_size_on_request(tmp_path: Path, full_size: int | None) -> None:
    assert load_radiograph(save(tmp_path / "a.png", GRADIENT), full_size).size == (60, 40)


@pytest.mark.parametrize("size", [(61, 47), (47, 61), (50, 50)])
def test_the_stored_image_has_the_pixels_that_the_processor_would_make(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 20},
        resample=Image.Resampling.BILINEAR,
        do_center_crop=False,
        do_convert_rgb=False,
        do_rescale=False,
        do_normalize=False,
        image_mean=[0.0],
        image_std=[1.0],
    )

    expected = processor(Image.fromarray(pixels))["pixel_values"][0]

    stored = np.asarray(load_radiograph(save(tmp_path / "a.png", pixels), 20))
    np.testing.assert_array_equal(stored, np.squeeze(expected))


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


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", False), (b"no picture", False), (b"\x89PNG\r\n\x1a\n" + b"?" * 40, False)]
)
def test_what_does_not_begin_as_an_image_is_none(tmp_path: Path, content: bytes, expected: bool) -> None:
    (tmp_path / "a.png").write_bytes(content)

    assert is_image(tmp_path / "a.png") is expected


def test_damage_inside_is_not_seen_by_a_look_at_the_beginning(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-200])

    assert is_image(path)
    with pytest.raises(OSError, match=r"a\.jpg is truncated"):
        load_radiograph(path, 64)


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
