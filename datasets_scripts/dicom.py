"""DICOM radiographs as they are meant to be looked at: 8-bit grey, air dark and bone bright."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut, apply_voi_lut

UNREADABLE_DICOM = (
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,  # a value that contradicts another one, pixel data too short
    TypeError,  # a needed value is empty
    AttributeError,  # ... or missing
    KeyError,
    IndexError,
    NotImplementedError,
    RuntimeError,  # no decoder for the compression
    struct.error,
)
"""What pydicom raises for a damaged or unsupported file, depending on what is wrong."""

_PREAMBLE, _MAGIC = 128, b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, whatever it is called.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC


def read_dicom(path: Path) -> Image.Image:
    """Read the one frame of a DICOM file as 8-bit grey.

    Stored values are rescaled (modality LUT), then brought to 0 to 255 by the first window or VOI LUT of the file, or
    from their lowest to their highest where there is none (DICOM PS3.3 C.11.1, C.11.2). MONOCHROME1, in which the
    lowest value is white, is inverted. Pixel padding becomes black.

    Raises:
        any of `UNREADABLE_DICOM`: the file is damaged, compressed in a way for which no decoder is installed, holds
            several frames or no picture of grey or RGB.
    """
    dataset = pydicom.dcmread(path)
    stored: NDArray[Any] = dataset.pixel_array  # [H, W] grey, [H, W, 3] colour, with a leading axis for frames
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it holds {dataset.NumberOfFrames} frames, not one radiograph")
    photometric = dataset.PhotometricInterpretation
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        grey = _windowed(stored, dataset)
        if photometric == "MONOCHROME1":
            grey = 1 - grey
        grey[_is_padding(stored, dataset)] = 0
        return Image.fromarray(np.rint(255 * grey).astype(np.uint8))
    if stored.ndim == 3 and stored.dtype == np.uint8 and photometric != "PALETTE COLOR":
        return Image.fromarray(stored).convert("L")
    raise ValueError(f"its photometric interpretation {photometric} of {stored.dtype} is neither grey nor 8-bit RGB")


def _windowed(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.float64]:
    """The rescaled values through the window, 0 to 1."""
    values = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        # Rescaling makes floats, of which pydicom makes no index into a look-up table.
        return apply_voi_lut(np.rint(values).astype(np.int64), dataset) / (2**bits - 1)
    if "WindowCenter" in dataset and "WindowWidth" in dataset:
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), dataset)  # the ends to which the window takes all beyond it
        return (apply_voi_lut(values, dataset) - low) / (high - low)
    shown = values[~_is_padding(stored, dataset)]
    low, high = (shown.min(), shown.max()) if shown.size else (0, 1)
    return np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)


def _is_padding(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.bool_]:
    """Where the stored value is the pixel padding value, or between it and the padding range's limit."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    ends = sorted((dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)))
    return (stored >= ends[0]) & (stored <= ends[1])
