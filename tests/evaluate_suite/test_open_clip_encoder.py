"""open_clip's models, seen through a stand-in with the signatures of the package (3.3), which is optional."""

import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from evaluate_suite.encoders import LocalMaps, TextWindow
from evaluate_suite.loading import load_encoder
from evaluate_suite.open_clip_encoder import OpenClipEncoder, split_name

WINDOW = 8
TEXTS = ["clear lungs", "no effusion", "left", "right lower zone"]


class StandInModel(nn.Module):
    """`encode_image` and `encode_text` of open_clip's `CLIP`."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.token_embedding = nn.Linear(3, 6), nn.Embedding(50, 6)

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        return self.visual(image.mean(dim=(2, 3)))

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        assert text.shape[1] == WINDOW
        return self.token_embedding(text).sum(dim=1)


class StandInTokenizer:
    """`SimpleTokenizer`: `encode` without start and end, a call with them, padded with 0 or cut."""

    context_length = WINDOW

    def encode(self, text: str) -> list[int]:
        return [1 + len(word) for word in text.split()]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [[48, *self.encode(text)[: WINDOW - 2], 49] for text in texts]
        return torch.tensor([row + [0] * (WINDOW - len(row)) for row in rows])


class StandInHFTokenizer:
    """`HFTokenizer`: a tokenizer of transformers within, and no `encode`."""

    context_length = WINDOW

    def tokenizer(self, texts: Sequence[str], **options: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[2, *range(len(text.split())), 3] for text in texts]}


def preprocess(image: Image.Image) -> Tensor:
    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@pytest.fixture
def open_clip(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The module, with the model that it gives and the calls that it had."""
    torch.manual_seed(0)
    spy = SimpleNamespace(model=StandInModel(), calls=[], tokenizer=StandInTokenizer())

    def create_model_and_transforms(name: str, pretrained: str | None = None) -> tuple[Any, Any, Any]:
        spy.calls.append((name, pretrained))
        if name == "ViT-Z":
            raise RuntimeError("Model config for 'ViT-Z' not found.")
        return spy.model, None, preprocess

    module = ModuleType("open_clip")
    module.create_model_and_transforms = create_model_and_transforms  # type: ignore[attr-defined]
    module.get_model_preprocess_cfg = lambda model: {"size": (4, 4), "mean": (0.4, 0.4, 0.4)}  # type: ignore[attr-defined]
    module.get_tokenizer = lambda name: spy.tokenizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "open_clip", module)
    return spy


@torch.no_grad()
def test_vectors_are_the_models_normalised(open_clip: SimpleNamespace) -> None:
    encoder = load_encoder("open_clip:ViT-B-32:laion2b", batch_size=2)
    images = [Image.new("L", (4, 4), grey) for grey in (0, 100, 200)]
    pixels = torch.stack([preprocess(image.convert("RGB")) for image in images])
    np.testing.assert_allclose(
        encoder.encode_images(images), normalize(open_clip.model.encode_image(pixels)), atol=1e-6
    )
    tokens = StandInTokenizer()(TEXTS)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), normalize(open_clip.model.encode_text(tokens)), atol=1e-6)
    assert open_clip.calls == [("ViT-B-32", "laion2b")]
    assert not isinstance(encoder, LocalMaps)


def test_what_the_numbers_hang_on_is_told(open_clip: SimpleNamespace) -> None:
    assert OpenClipEncoder("ViT-B-32").facts() == {
        "class": "StandInModel",
        "preprocessing": {"size": [4, 4], "mean": [0.4, 0.4, 0.4]},
        "text_window": WINDOW,
    }


@pytest.mark.parametrize("tokenizer", [StandInTokenizer(), StandInHFTokenizer()])
def test_texts_past_the_window_are_counted(open_clip: SimpleNamespace, tokenizer: Any) -> None:
    open_clip.tokenizer = tokenizer
    encoder = OpenClipEncoder("ViT-B-32")
    assert isinstance(encoder, TextWindow)
    assert encoder.truncated(["word " * (WINDOW - 2), "word " * (WINDOW - 1), "word " * (WINDOW - 1)]) == 1


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("open_clip:ViT-B-32", ("ViT-B-32", None)),
        ("open_clip:ViT-B-32:openai", ("ViT-B-32", "openai")),
        ("open_clip:ViT-B-32:/weights/a:b.pt", ("ViT-B-32", "/weights/a:b.pt")),
        ("open_clip:hf-hub:organisation/name", ("hf-hub:organisation/name", None)),
        ("open_clip:local-dir:/models/one", ("local-dir:/models/one", None)),
    ],
)
def test_a_name_may_be_followed_by_its_weights(model: str, parts: tuple[str, str | None]) -> None:
    assert split_name(model) == parts


def test_what_cannot_be_had_is_named(open_clip: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="open_clip has no model 'ViT-Z' with pretrained=None: Model config"):
        load_encoder("open_clip:ViT-Z")
    with pytest.raises(ValueError, match="'open_clip:' names no model: write open_clip:NAME"):
        load_encoder("open_clip:")
    with pytest.raises(ValueError, match="has its own preprocessing: leave processor='folder' out"):
        load_encoder("open_clip:ViT-B-32", processor="folder")


def test_without_the_package_its_pip_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match="open_clip:ViT-B-32 needs open_clip: pip install open_clip_torch"):
        load_encoder("open_clip:ViT-B-32")
