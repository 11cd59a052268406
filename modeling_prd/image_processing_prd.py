"""Radiographs of any kind to the 8-bit images that an image processor takes, and that processor on its own."""

from collections.abc import Sequence
from typing import Any

import transformers
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_transforms import to_pil_image
from transformers.image_utils import ChannelDimension, ImageInput, is_pil_image, to_numpy_array


def process_radiographs(
    image_processor: BaseImageProcessor, images: ImageInput, return_tensors: str | None
) -> BatchFeature:
    """Make `pixel_values` [B, C, H, W] of radiographs.

    Args:
        image_processor: an image processor with the Pillow back end; it takes grey images where its `image_mean` has
            one entry, else RGB.
        images: as `PRDProcessor` takes them.
        return_tensors: `"pt"` or `"np"`; None for lists.

    Raises:
        ValueError: there is no image, or one cannot be read; its position is named.
    """
    mean = getattr(image_processor, "image_mean", None)
    mode = "L" if isinstance(mean, Sequence) and len(mean) == 1 else "RGB"
    converted = [_convert_image(image, mode, position) for position, image in enumerate(_image_list(images))]
    return image_processor(images=converted, do_convert_rgb=False, return_tensors=return_tensors)


def with_pillow(image_processor: BaseImageProcessor) -> BaseImageProcessor:
    """Return the image processor itself if its back end is Pillow, else its Pillow twin with the same settings.

    Raises:
        ValueError: it has no Pillow twin.
    """
    if isinstance(image_processor, PilBackend):
        return image_processor
    return _pillow_class(type(image_processor).__name__).from_dict(image_processor.to_dict())


class PRDImageProcessor(BaseImageProcessor):
    """The image half of a [`PRDProcessor`] on its own: the same pixels from a pipeline and from the processor.

    `pipeline("image-classification")` calls nothing but a folder's image processor, always with RGB images, which
    one of transformers does not make grey for a model of one channel. This one does, and it is Pillow's whatever else
    is installed. A pipeline opens images itself and cuts 16-bit ones to 8 bits: give it 8-bit images.

    Args:
        image_processor: that of a `PRDProcessor`, or its settings as saved.

    Raises:
        ValueError: it has no Pillow twin.
    """

    def __init__(self, image_processor: BaseImageProcessor | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(image_processor, dict):
            self.image_processor = _pillow_class(image_processor["image_processor_type"]).from_dict(image_processor)
        else:
            self.image_processor = with_pillow(image_processor)

    def preprocess(self, images: ImageInput, return_tensors: str | None = None) -> BatchFeature:
        """Make `pixel_values`, as `process_radiographs`; calling the processor does the same."""
        return process_radiographs(self.image_processor, images, return_tensors)

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved."""
        return super().to_dict() | {"image_processor": self.image_processor.to_dict()}


def _pillow_class(name: str) -> type[PilBackend]:
    twin = getattr(transformers, f"{name}Pil", None)
    if twin is None:
        raise ValueError(f"{name} has no Pillow twin ({name}Pil) in transformers")
    return twin


def _image_list(images: Any) -> list[Any]:
    if not isinstance(images, (list, tuple)) and getattr(images, "ndim", 0) != 4:
        return [images]
    if len(images) == 0:
        raise ValueError("images holds no image")
    return list(images)


def _convert_image(image: Any, mode: str, position: int) -> Any:
    """The image as an 8-bit Pillow image of mode `"L"` or `"RGB"`."""
    if is_pil_image(image):
        _load(image, position)
        if not image.mode.startswith(("I", "F")):
            return image.convert(mode)
    pixels = _eight_bits(to_numpy_array(image), position)
    if pixels.ndim == 2:
        pixels = pixels[None]  # [1, H, W]
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        layout = ChannelDimension.FIRST
    elif pixels.ndim == 3 and pixels.shape[-1] in (1, 3):
        layout = ChannelDimension.LAST
    else:
        raise ValueError(
            f"image {position} has shape {pixels.shape}; expected [H, W], [C, H, W] or [H, W, C] with 1 or 3 channels"
        )
    return to_pil_image(pixels, do_rescale=False, input_data_format=layout).convert(mode)


def _load(image: Any, position: int) -> None:
    """Reads a Pillow image's pixels, which `Image.open` leaves in the file."""
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken PNG chunk
        raise ValueError(f"image {position} cannot be read: {error}") from error


def _eight_bits(pixels: Any, position: int) -> Any:
    """Brings an array's values from the full scale of its type to 0 to 255, uint8."""
    kind = pixels.dtype.name
    if kind == "uint8":
        return pixels
    # Pillow holds 16-bit images as uint16 (mode I;16) or as int32 (mode I).
    full_scale = {"uint16": 65535, "int32": 65535, "float16": 1, "float32": 1, "float64": 1}.get(kind)
    if full_scale is None:
        raise ValueError(f"image {position} is {kind}; expected uint8, uint16, or floats from 0 to 1")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= full_scale):  # NaN is neither
        raise ValueError(f"image {position} is {kind} with values from {low} to {high}; expected 0 to {full_scale}")
    return (pixels.astype("float64") * (255 / full_scale)).round().astype("uint8")


PRDImageProcessor.register_for_auto_class("AutoImageProcessor")
