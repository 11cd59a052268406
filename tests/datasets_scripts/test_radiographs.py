from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from datasets_scripts.radiographs import index_images, is_image, load_radiograph

GRADIENT = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 27

MIN_IS_WHITE = {PHOTOMETRIC_INTERPRETATION: 0}


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


@pytest.mark.parametrize(
    "pixels",
    [GRADIENT, (GRADIENT / 65535).astype(np.float32), (GRADIENT >> 8).astype(np.uint8)],
    ids=["16", "float", "8"],
)
def test_a_tiff_whose_lowest_value_is_white_is_inverted(tmp_path: Path, pixels: np.ndarray) -> None:
    # Of these files Pillow inverts those of 8 bits itself, when it writes and when it reads.
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo=MIN_IS_WHITE)

    grey = np.asarray(load_radiograph(tmp_path / "a.tif", None)).astype(int)

    expected = pixels if pixels.dtype == np.uint8 else np.rint(255 - GRADIENT / 257)
    np.testing.assert_array_equal(grey, expected)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda seen: seen),
        (2, np.fliplr),
        (3, lambda seen: np.rot90(seen, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda seen: np.rot90(seen, 1)),
        (7, lambda seen: np.rot90(seen, 2).T),
        (8, lambda seen: np.rot90(seen, -1)),
    ],
)
@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint8), ("a.tif", np.uint16)]
)
def test_an_image_is_turned_as_its_exif_orientation_says(
    tmp_path: Path, name: str, kind: type, orientation: int, turn: Any
) -> None:
    seen: np.ndarray = (GRADIENT if kind is np.uint16 else GRADIENT >> 8).astype(kind)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.ascontiguousarray(turn(seen))).save(tmp_path / name, exif=exif)

    image = load_radiograph(tmp_path / name, None)

    np.testing.assert_array_equal(np.asarray(image), np.rint(GRADIENT / 257) if kind is np.uint16 else seen)


def test_a_jpeg_is_turned_as_its_exif_orientation_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray((GRADIENT >> 8).astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)

    image = load_radiograph(tmp_path / "a.jpg", 20)

    assert image.size == (20, 30)
    assert np.asarray(image)[:, -1].max() + 200 < np.asarray(image)[:, 0].min()  # what was at the top is at the right


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.webp"])
def test_several_pages_are_refused_with_their_number(tmp_path: Path, name: str) -> None:
    pages = [Image.new("RGB", (8, 8), (grey,) * 3) for grey in (0, 100, 200)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])

    assert is_image(tmp_path / name)
    with pytest.raises(OSError, match=f"{name} is no radiograph: it holds 3 pages"):
        load_radiograph(tmp_path / name, None)


def test_of_a_camera_jpeg_with_previews_the_photograph_is_read(tmp_path: Path) -> None:
    photograph, preview = Image.new("L", (60, 40), 200), Image.new("L", (6, 4))
    photograph.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])

    assert load_radiograph(tmp_path / "a.jpg", None).size == (60, 40)


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


def dicom_bytes(**values: Any) -> bytes:
    """pydicom's CT sample with other values, reduced to 16 x 16 pixels."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PixelData, dataset.Rows, dataset.Columns = dataset.pixel_array[::8, ::8].tobytes(), 16, 16
    del dataset.DataSetTrailingPadding
    dataset.file_meta.TransferSyntaxUID = values.pop("syntax", ExplicitVRLittleEndian)
    for name, value in values.items():
        setattr(dataset, name, value)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def encoded(form: str, pixels: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def test_a_deflated_dicom_file_that_is_cut_off_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom_bytes(syntax=DeflatedExplicitVRLittleEndian)[:-100])

    with pytest.raises(OSError, match=r"a\.dcm is truncated or no image \(.*incomplete"):
        load_radiograph(tmp_path / "a.dcm", None)


def test_the_reason_that_pydicom_gives_is_one_short_line(tmp_path: Path) -> None:
    rows = b"\x28\x00\x10\x00US"
    damaged = dicom_bytes().replace(rows + b"\x02\x00\x10\x00", rows + (3001).to_bytes(2, "little") + bytes(3001))
    (tmp_path / "a.dcm").write_bytes(damaged)

    with pytest.raises(OSError, match=r"a\.dcm is truncated or no image \(Expected total bytes") as raised:
        load_radiograph(tmp_path / "a.dcm", None)

    reason = str(raised.value).removeprefix(str(tmp_path))
    assert len(reason) < 260
    assert reason.isprintable()


def test_what_is_intact_but_no_radiograph_is_not_called_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom_bytes(RescaleSlope=0))

    with pytest.raises(OSError, match=r"a\.dcm is no radiograph: it shows one single grey"):
        load_radiograph(tmp_path / "a.dcm", None)


NOISE = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)

SMALL_FILES = {
    "PNG": encoded("PNG", NOISE),
    "PNG of 16 bits": encoded("PNG", NOISE.astype(np.uint16) * 257),
    "JPEG": encoded("JPEG", NOISE),
    "TIFF": encoded("TIFF", NOISE),
    "TIFF of 16 bits, LZW": encoded("TIFF", NOISE.astype(np.uint16) * 257, compression="tiff_lzw"),
    "BMP": encoded("BMP", NOISE),
    "WebP": encoded("WEBP", NOISE),
    "DICOM": dicom_bytes(),
    "DICOM, deflated": dicom_bytes(syntax=DeflatedExplicitVRLittleEndian),
    "DICOM without preamble": dicom_bytes()[132:],
}


@pytest.mark.filterwarnings("ignore")  # pydicom's, of the damage
@pytest.mark.parametrize("name", SMALL_FILES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_damage_nothing_but_an_oserror_is_raised(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(SMALL_FILES[name])
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=20)):
        content[place] = byte
    path = tmp_path / "damaged"
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), places))])

    is_image(path)
    with suppress(OSError):
        load_radiograph(path, None)


def test_a_missing_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        load_radiograph(tmp_path / "a.png", 40)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 20\n%%EndComments\nshowpage\n"
GIF = encoded("GIF", NOISE)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"?" * 40, EPS, GIF],
    ids=["nothing", "text", "PNG header", "EPS", "GIF"],
)
def test_what_does_not_begin_as_an_image_of_a_known_format_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)

    assert not is_image(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"a\.png is truncated or no image \(of DICOM, PNG, JPEG, TIFF, BMP, WEBP\)"):
        load_radiograph(tmp_path / "a.png", None)


@pytest.mark.parametrize("name", SMALL_FILES)
def test_each_format_is_an_image(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(SMALL_FILES[name])

    assert is_image(tmp_path / "a")
    assert load_radiograph(tmp_path / "a", None).size == (16, 16)


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
