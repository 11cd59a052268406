"""DICOM radiographs as they are meant to be looked at: 8-bit grey, air dark and bone bright."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import BytesLengthException
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR

UNREADABLE_DICOM = (
    OSError,
    EOFError,
    ValueError,  # a value that contradicts another one, pixel data too short
    TypeError,  # a needed value is empty
    AttributeError,  # ... or missing
    LookupError,  # ... or of an unknown kind, as a character set
    ArithmeticError,  # a number out of range
    RuntimeError,  # no decoder for the compression
    MemoryError,  # a damaged number of rows or columns
    struct.error,
    zlib.error,  # a deflated file that is cut off
    BytesLengthException,  # an element whose length does not fit its kind
)
"""What pydicom raises for a damaged or unsupported file, depending on what is wrong."""

_PREAMBLE, _MAGIC = 128, b"DICM"
_FIRST_GROUPS, _LAST_FIRST_ELEMENT, _LONGEST_FIRST = (0x0002, 0x0008), 0x0018, 64
_KINDS = {kind.value.encode() for kind in VR}

_SYNTAXES: dict[tuple[bool | None, bool | None], UID] = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
"""Whether value representations are implicit, whether the bytes are little endian: the transfer syntax."""

_OPTIONAL = (
    "NumberOfFrames",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)


class NotOneRadiograph(ValueError):
    """A file is intact, but not the picture of one radiograph; the message says why."""


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, whatever it is called, or begins as a DICOM data set without preamble.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_PREAMBLE + len(_MAGIC))
    return head[_PREAMBLE:] == _MAGIC or _begins_as_dataset(head)


def read_dicom(path: Path) -> Image.Image:
    """Read the one frame of a DICOM file as 8-bit grey.

    Stored values are rescaled (modality LUT), then brought to 0 to 255 by the first window or VOI LUT of the file, or
    from their lowest to their highest where there is none, or a window too narrow to be one (DICOM PS3.3 C.11.1,
    C.11.2). MONOCHROME1, in which the lowest value is white, is inverted. Pixel padding becomes black. An element
    without a value counts as absent.

    Args:
        path: a file for which `is_dicom` holds.

    Raises:
        NotOneRadiograph: it holds several frames, no picture of grey or 8-bit RGB, or a picture of one single grey.
        any of `UNREADABLE_DICOM`: the file is damaged, or compressed in a way for which no decoder is installed.
    """
    dataset = pydicom.dcmread(path, force=True)  # also without preamble
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _SYNTAXES[dataset.original_encoding]
    for name in _OPTIONAL:
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    if int(dataset.get("NumberOfFrames", 1)) > 1:
        raise NotOneRadiograph(f"it holds {dataset.NumberOfFrames} frames, not one radiograph")
    stored: NDArray[Any] = dataset.pixel_array  # [H, W] grey, [H, W, 3] colour
    photometric = dataset.PhotometricInterpretation
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        if stored.ndim != 2:
            raise NotOneRadiograph(f"it is {photometric} of {dataset.SamplesPerPixel} samples a pixel, not one")
        return Image.fromarray(_eight_bit_grey(stored, dataset))
    if stored.ndim == 3 and stored.dtype == np.uint8 and photometric != "PALETTE COLOR":
        return Image.fromarray(stored).convert("L")
    raise NotOneRadiograph(f"it is {photometric} of {stored.dtype}, neither grey nor 8-bit RGB")


def _begins_as_dataset(head: bytes) -> bool:
    """Whether a file begins with one of the first data elements of a data set, little endian (DICOM PS3.5 7.1)."""
    if len(head) < 8:
        return False
    group, element, kind = struct.unpack("<HH2s", head[:6])
    (length,) = struct.unpack("<I", head[4:8])  # of the value, where the kind of value is implicit
    return (
        group in _FIRST_GROUPS
        and element <= _LAST_FIRST_ELEMENT
        and (kind in _KINDS or (length <= _LONGEST_FIRST and length % 2 == 0))
    )


def _eight_bit_grey(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.uint8]:
    padding = _is_padding(stored, dataset)
    # Pixels of one value make 0 / 0, and a sigmoid overflows far from its centre.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        grey = _windowed(stored, padding, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1 - grey
    levels = np.rint(255 * grey)
    shown = levels[~padding]
    if not (shown.size and shown.min() < shown.max()):  # NaN is not
        raise NotOneRadiograph("it shows one single grey: its pixels are all alike, or its window makes them so")
    levels[padding] = 0
    return levels.astype(np.uint8)


def _windowed(stored: NDArray[Any], padding: NDArray[np.bool_], dataset: pydicom.Dataset) -> NDArray[np.float64]:
    """The rescaled values through the window, 0 to 1; NaN where there is but one value."""
    values = apply_modality_lut(stored, dataset)
    if "VOILUTSequence" in dataset:
        return _looked_up(values, dataset.VOILUTSequence[0], bool(dataset.original_encoding[1]))
    if _has_window(dataset):
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), dataset)  # the ends to which the window takes all beyond it
        return (apply_voi_lut(values, dataset) - low) / (high - low)
    shown = values[~padding].astype(np.float64)
    low, high = (shown.min(), shown.max()) if shown.size else (0, 1)
    return np.clip((values - low) / (high - low), 0, 1)


def _looked_up(values: NDArray[Any], item: pydicom.Dataset, little_endian: bool) -> NDArray[np.float64]:
    """The rescaled values through a VOI LUT, 0 to 1; beyond its ends the first and the last entry go on.

    pydicom's own look-up takes each entry for a word of 16 bits, and counts places in a table of 8 bits modulo 256.
    """
    entries, first, bits = item.LUTDescriptor
    entries = entries or 2**16
    if not 8 <= bits <= 16:
        raise ValueError(f"its VOI LUT is of {bits} bits an entry, not 8 to 16")
    data = item.LUTData
    if isinstance(data, bytes):
        words = np.frombuffer(data, "<u2" if little_endian else ">u2").astype("<u2")
    else:
        words = np.atleast_1d(np.asarray(data, "<u2"))
    # Entries of 8 bits stand two in a word, the first in its low byte; or one in a word, which only the length tells.
    table = (words.view(np.uint8) if bits == 8 and words.size < entries else words)[:entries]
    if table.size < entries:
        raise ValueError(f"its VOI LUT has {table.size} of its {entries} entries")
    if table.max() >= 2**bits:
        raise ValueError(f"its VOI LUT of {bits} bits an entry holds {table.max()}")
    place = np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)
    return table[place] / (2**bits - 1)


def _has_window(dataset: pydicom.Dataset) -> bool:
    """Whether there is a window, and the first is as wide as its function needs it (DICOM PS3.3 C.11.2.1.2, .3)."""
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        return False
    width = np.atleast_1d(dataset.WindowWidth)[0]
    return bool(width >= 1 if dataset.get("VOILUTFunction", "LINEAR").upper() == "LINEAR" else width > 0)


def _is_padding(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.bool_]:
    """Where the stored value is the pixel padding value, or between it and the padding range's limit."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, bool)
    ends = sorted((dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)))
    return (stored >= ends[0]) & (stored <= ends[1])
