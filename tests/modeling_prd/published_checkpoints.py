"""Writes stand-ins for the published checkpoints: their layout, with the reference's pseudo-random weights."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).parents[1] / "fixtures"


def reference_weights(layout: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Make the weights that the golden outputs were computed with, from every key's own hash."""
    return {key: torch.from_numpy(_reference_weight(key, shape)) for key, shape in layout.items()}


def _reference_weight(key: str, shape: list[int]) -> np.ndarray:
    seed = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)
    x = np.random.default_rng(seed).standard_normal(math.prod(shape)).astype(np.float32).reshape(shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
        return 1 + 0.1 * np.abs(x)
    if len(shape) == 1:
        return 0.1 * x
    return (x / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def biovil_state() -> dict[str, torch.Tensor]:
    return reference_weights(json.loads((FIXTURES / "biovil_resnet50_layout.json").read_text()))


def cxr_bert_state() -> dict[str, torch.Tensor]:
    layout = json.loads((FIXTURES / "cxrbert_tiny_layout.json").read_text())["layout"]
    state = reference_weights(layout)
    state["bert.embeddings.word_embeddings.weight"] = state["cls.predictions.decoder.weight"].clone()
    return state


def write_biovil(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, path)
    return path


def write_cxr_bert(folder: Path, state: dict[str, torch.Tensor], safetensors: bool = True) -> Path:
    folder.mkdir()
    config = json.loads((FIXTURES / "cxrbert_tiny_layout.json").read_text())["config"]
    # What would run remote code, were anyone to follow it.
    config["auto_map"] = {"AutoModel": "modeling_cxrbert.CXRBertModel"}
    (folder / "config.json").write_text(json.dumps(config))
    if safetensors:
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    else:
        torch.save(state, folder / "pytorch_model.bin")
    return folder
