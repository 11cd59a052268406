"""Models of the package open_clip, which is optional."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .batched import BatchedEncoder
from .images import as_rgb

PREFIX = "open_clip:"


class OpenClipEncoder(BatchedEncoder):
    """A model of open_clip with its own preprocessing and tokenizer, as a `DualEncoder` with its `TextWindow`.

    Args:
        name: an architecture of open_clip (`ViT-B-32`), or `hf-hub:ID` or `local-dir:FOLDER`.
        pretrained: the weights' tag or file; None for random weights, or for those that `hf-hub:` holds.
        batch_size: images or texts that go through the model at once.
        device: where to compute; None for the CPU.

    Raises:
        ImportError: open_clip is not installed.
        ValueError: it has no such model or weights, or `batch_size` is below 1.
    """

    def __init__(
        self,
        name: str,
        pretrained: str | None = None,
        batch_size: int = 64,
        device: torch.device | str | None = None,
    ) -> None:
        try:
            import open_clip
        except ImportError as error:
            raise ImportError(f"{PREFIX}{name} needs open_clip: pip install open_clip_torch ({error})") from error
        try:
            model, _, self.preprocess = open_clip.create_model_and_transforms(name, pretrained=pretrained)
            self.tokenizer: Any = open_clip.get_tokenizer(name)
        except RuntimeError as error:
            raise ValueError(f"open_clip has no model {name!r} with pretrained={pretrained!r}: {error}") from error
        super().__init__(model, batch_size, device)
        self.text_window = self.tokenizer.context_length
        settings = open_clip.get_model_preprocess_cfg(model)
        self._settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        pixel_values = torch.stack([self.preprocess(as_rgb(image)) for image in images])  # [B, 3, rows, columns]
        return self.model.encode_image(pixel_values.to(self.device))

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        return self.model.encode_text(self.tokenizer(list(texts)).to(self.device))  # padded to the window

    def _preprocessing(self) -> dict[str, Any]:
        return self._settings

    def _token_counts(self, texts: Sequence[str]) -> Sequence[int]:
        if hasattr(self.tokenizer, "encode"):  # CLIP's own, which adds a start and an end
            return [len(self.tokenizer.encode(text)) + 2 for text in texts]
        whole = self.tokenizer.tokenizer(list(texts), verbose=False)  # one of transformers within
        return [len(row) for row in whole["input_ids"]]


def split_name(model: str) -> tuple[str, str | None]:
    """Split `open_clip:NAME[:PRETRAINED]` into the name and the weights; a name may itself begin with `hf-hub:`.

    Raises:
        ValueError: there is no name.
    """
    name = model.removeprefix(PREFIX)
    pretrained = ""
    if not name.startswith(("hf-hub:", "local-dir:")):  # these bring their weights
        name, _, pretrained = name.partition(":")
    if not name:
        raise ValueError(f"{model!r} names no model: write {PREFIX}NAME or {PREFIX}NAME:PRETRAINED")
    return name, pretrained or None
