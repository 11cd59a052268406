from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from datasets_scripts.dicom import NotOneRadiograph, is_dicom, read_dicom

# pydicom's samples. In its wheel: a CT slice, MONOCHROME2, and patches of a neck, MONOCHROME1. In its package of data:
# whole radiographs of a chest and of a leg, both MONOCHROME1.
CT = "CT_small.dcm"
NECK = ("dicomdirtests/77654033/CR1/6154", "dicomdirtests/77654033/CR2/6247", "dicomdirtests/77654033/CR3/6278")
CHEST, LEG = "RG1_UNCR.dcm", "RG3_UNCR.dcm"

RAMP = np.array([[0, 1000, 2000, 4000]])
RAMP_GREY = [0, 64, 128, 255]


def sample(name: str) -> Path:
    if name in (CHEST, LEG):
        return Path(str(get_testdata_file(name, download=False)))
    folder = Path(str(get_testdata_file(CT))).parent
    return folder / name


def made(path: Path, stored: np.ndarray, **values: Any) -> Path:
    """A DICOM file of 16-bit values."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.astype("<u2").tobytes()
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def grey(path: Path) -> np.ndarray:
    image = read_dicom(path)
    assert image.mode == "L"
    return np.asarray(image)


def test_air_is_dark_and_bone_bright_in_a_monochrome2_sample() -> None:
    dataset = pydicom.dcmread(sample(CT))
    hounsfield = dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept

    pixels = grey(sample(CT))

    air, soft, bone = pixels[hounsfield < -700], pixels[abs(hounsfield) < 100], pixels[hounsfield > 400]
    assert air.max() < soft.min()
    assert soft.max() < bone.min()


@pytest.mark.parametrize("name", NECK)
def test_what_let_most_rays_through_is_darkest_in_a_monochrome1_sample(name: str) -> None:
    stored = pydicom.dcmread(sample(name)).pixel_array  # grows with exposure

    pixels = grey(sample(name)).astype(int)

    order = np.argsort(stored, axis=None)
    assert (np.diff(pixels.flat[order]) <= 0).all()
    assert np.ptp(pixels) > 20


def test_in_a_chest_radiograph_lungs_and_the_air_around_are_dark_spine_and_abdomen_bright() -> None:
    assert pydicom.dcmread(sample(CHEST)).PhotometricInterpretation == "MONOCHROME1"

    pixels = grey(sample(CHEST)).astype(int)

    def patch(row: float, column: float) -> float:
        """The median of a square of a twentieth of the height, around a point in shares of height and width."""
        height, width = pixels.shape
        side, top, left = height // 40, int(row * height), int(column * width)
        return float(np.median(pixels[top - side : top + side, left - side : left + side]))

    lungs = [patch(0.27, 0.27), patch(0.27, 0.67)]
    air_above_the_shoulder = patch(0.06, 0.04)
    spine, abdomen = patch(0.6, 0.47), patch(0.93, 0.3)
    assert air_above_the_shoulder + 30 < min(lungs)
    assert max(lungs) + 50 < min(spine, abdomen)


def test_in_a_leg_radiograph_air_is_darkest_and_bone_brighter_than_flesh() -> None:
    assert pydicom.dcmread(sample(LEG)).PhotometricInterpretation == "MONOCHROME1"

    pixels = grey(sample(LEG)).astype(int)

    rows = pixels[600:700]  # across the shin, left to right: air, flesh, tibia, fibula, flesh
    air, bone, flesh = np.median(rows[:, 480:660]), np.median(rows[:, 805:895]), np.median(rows[:, 1030:1105])
    assert air < 40
    assert air + 50 < flesh
    assert flesh + 20 < bone


def test_the_same_picture_stored_as_monochrome1_looks_the_same(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(sample(CT))
    stored = dataset.pixel_array
    inverted = (stored.max() - stored + stored.min()).astype(stored.dtype)
    dataset.PhotometricInterpretation, dataset.PixelData = "MONOCHROME1", inverted.tobytes()
    dataset.save_as(tmp_path / "a.dcm")

    np.testing.assert_allclose(grey(tmp_path / "a.dcm"), grey(sample(CT)).astype(int), atol=1)


def test_the_first_window_is_used_on_rescaled_values(tmp_path: Path) -> None:
    stored = np.array([[0, 50, 100, 150, 1000]])
    window = {"WindowCenter": [100, 7], "WindowWidth": [201, 1]}  # after rescaling: black up to 0, white from 200
    path = made(tmp_path / "a.dcm", stored, RescaleSlope=2, RescaleIntercept=-100, **window)

    np.testing.assert_allclose(grey(path)[0], [0, 0, 127, 255, 255], atol=1)


def test_a_voi_lookup_table_comes_before_a_window(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], np.array([0, 10, 200, 255], "<u2").tobytes()
    stored = np.array([[0, 1, 2, 3, 4]])
    path = made(
        tmp_path / "a.dcm",
        stored,
        RescaleSlope=1,
        RescaleIntercept=0,
        RescaleType="US",
        VOILUTSequence=[table],
        WindowCenter=2,
        WindowWidth=2,
    )

    np.testing.assert_array_equal(grey(path)[0], [0, 10, 200, 255, 255])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_sets_no_scale(tmp_path: Path, photometric: str) -> None:
    stored = np.array([[4000, 100, 150, 200]])
    path = made(tmp_path / "a.dcm", stored, PhotometricInterpretation=photometric, PixelPaddingValue=4000)

    picture = [0, 128, 255] if photometric == "MONOCHROME2" else [255, 128, 0]
    np.testing.assert_array_equal(grey(path)[0], [0, *picture])


def test_beyond_the_ends_of_a_lookup_table_its_first_and_last_value_go_on(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 10, 8], np.array([0, 10, 200, 255], "<u2").tobytes()
    path = made(tmp_path / "a.dcm", np.array([[0, 10, 12, 13, 10 + 256, 4000]]), VOILUTSequence=[table])

    np.testing.assert_array_equal(grey(path)[0], [0, 0, 200, 255, 255, 255])


@pytest.mark.parametrize("kind", ["OW", "US"])
@pytest.mark.parametrize("words", ["one entry each", "two entries each"])
@pytest.mark.parametrize("entries", [4, 4096])
def test_a_lookup_table_of_8_bits_is_read_by_the_length_of_its_data(
    tmp_path: Path, entries: int, words: str, kind: str
) -> None:
    greys = np.arange(entries) * 255 // (entries - 1)
    data = greys.astype("<u2" if words == "one entry each" else "u1").tobytes()
    table = pydicom.Dataset()
    table.LUTDescriptor = [entries, 0, 8]
    table.add_new("LUTData", kind, data if kind == "OW" else np.frombuffer(data, "<u2").tolist())
    stored = np.arange(4) * (entries - 1) // 3

    path = made(tmp_path / "a.dcm", stored[None], VOILUTSequence=[table])

    np.testing.assert_array_equal(grey(path)[0], greys[stored])


def test_a_lookup_table_goes_by_the_byte_order_of_its_file(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], bytes([10, 0, 255, 200])  # two entries a word
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRBigEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    stored = np.array([[0, 1, 2, 3]])
    pixels = stored.astype(">u2").tobytes()

    path = made(tmp_path / "a.dcm", stored, file_meta=meta, PixelData=pixels, VOILUTSequence=[table])

    np.testing.assert_array_equal(grey(path)[0], [0, 10, 200, 255])


@pytest.mark.parametrize(
    ("descriptor", "match"),
    [
        ([9, 0, 16], "4 of its 9 entries"),
        ([4, 0, 7], "7 bits an entry, not 8 to 16"),
        ([4, 0, 8], "8 bits an entry holds 256"),
    ],
)
def test_a_damaged_lookup_table_is_an_error(tmp_path: Path, descriptor: list[int], match: str) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = descriptor, np.array([0, 1, 2, 256], "<u2").tobytes()
    path = made(tmp_path / "a.dcm", np.array([[0, 1, 2, 3]]), VOILUTSequence=[table])

    with pytest.raises(ValueError, match=match):
        read_dicom(path)


WINDOW = {"WindowCenter": 2000, "WindowWidth": 4000, "VOILUTFunction": "LINEAR_EXACT"}


@pytest.mark.parametrize(
    "values",
    [
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 7, "WindowWidth": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": None, **WINDOW},
        {"WindowCenter": 2000.5, "WindowWidth": 4001, "VOILUTFunction": None},
        {"PixelPaddingValue": None},
        {"PixelPaddingValue": 5000, "PixelPaddingRangeLimit": None},
        {"ModalityLUTSequence": [], "VOILUTSequence": [], **WINDOW},
        {"NumberOfFrames": None},
    ],
    ids=lambda values: " ".join(name for name, value in values.items() if not value),
)
def test_an_element_without_a_value_counts_as_absent(tmp_path: Path, values: dict[str, Any]) -> None:
    np.testing.assert_array_equal(grey(made(tmp_path / "a.dcm", RAMP, **values))[0], RAMP_GREY)


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        ("LINEAR", 0, RAMP_GREY),
        ("LINEAR", 0.5, RAMP_GREY),
        ("LINEAR", 1, [0, 255, 255, 255]),
        ("LINEAR_EXACT", 0, RAMP_GREY),
        ("LINEAR_EXACT", 0.5, [0, 128, 255, 255]),
        ("SIGMOID", -1, RAMP_GREY),
        ("SIGMOID", 0.5, [0, 128, 255, 255]),
    ],
)
def test_a_window_narrower_than_its_function_allows_counts_as_absent(
    tmp_path: Path, function: str, width: float, expected: list[int]
) -> None:
    path = made(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=width, VOILUTFunction=function)

    np.testing.assert_array_equal(grey(path)[0], expected)


@pytest.mark.parametrize(
    ("stored", "values"),
    [
        (np.full((3, 4), 7), {}),
        (np.full((3, 4), 7), {"PixelPaddingValue": 7}),
        (RAMP, {"RescaleSlope": 0, "RescaleIntercept": 0}),
        (RAMP, {"RescaleSlope": 0, "RescaleIntercept": 0, **WINDOW}),
        (RAMP, {"WindowCenter": 9000, "WindowWidth": 10}),
    ],
    ids=["one value", "padding only", "slope 0", "slope 0 and a window", "beside the window"],
)
def test_a_picture_of_one_grey_is_refused(tmp_path: Path, stored: np.ndarray, values: dict[str, Any]) -> None:
    with pytest.raises(NotOneRadiograph, match="one single grey"):
        read_dicom(made(tmp_path / "a.dcm", stored, **values))


def test_a_colour_sample_becomes_grey() -> None:
    assert np.ptp(grey(sample("examples_rgb_color.dcm"))) > 100


def test_compressed_samples_that_pillow_decodes_are_read() -> None:
    pixels = grey(sample("J2K_pixelrep_mismatch.dcm"))

    assert (pixels[:20, :20] == 0).all()  # air beside a head, in its brain window
    assert pixels.max() == 255


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"NumberOfFrames": 2, "Rows": 1}, "2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        (
            {
                "SamplesPerPixel": 3,
                "PlanarConfiguration": 0,
                "BitsAllocated": 8,
                "BitsStored": 8,
                "HighBit": 7,
                "PixelData": bytes(range(24)),
            },
            "MONOCHROME2 of 3 samples a pixel",
        ),
    ],
)
def test_what_is_no_single_grey_picture_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    path = made(tmp_path / "a.dcm", np.zeros((2, 4)), **changes)

    with pytest.raises(NotOneRadiograph, match=match):
        read_dicom(path)


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no picture" * 100)

    assert is_dicom(sample(NECK[0]))
    assert not is_dicom(tmp_path / "text.dcm")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("with_meta", [True, False], ids=["meta", "no meta"])
def test_a_file_without_preamble_is_read_as_the_same_file_with_it(
    tmp_path: Path, syntax: pydicom.uid.UID, with_meta: bool
) -> None:
    dataset = pydicom.dcmread(sample(CT))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "whole.dcm")
    whole = (tmp_path / "whole.dcm").read_bytes()
    meta_length = 12 + int(pydicom.dcmread(tmp_path / "whole.dcm").file_meta.FileMetaInformationGroupLength)
    (tmp_path / "bare.dcm").write_bytes(whole[132 if with_meta else 132 + meta_length :])

    assert is_dicom(tmp_path / "bare.dcm")
    np.testing.assert_array_equal(grey(tmp_path / "bare.dcm"), grey(sample(CT)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x00\x05\x00",
        b"\x08\x00\x05\x00" + b"text" * 9,
        b"\x08\x00\x20\x00CS\x0a\x00" + bytes(9),
        b"BM" * 99,
    ],
    ids=["nothing", "a tag", "a tag and text", "no first tag", "a bitmap"],
)
def test_what_does_not_begin_with_a_data_element_is_not_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)

    assert not is_dicom(tmp_path / "a")
