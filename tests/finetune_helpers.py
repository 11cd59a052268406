"""Tiny checkpoints, pairs and images that the tests of fine-tuning share."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage
from tiny_recipe import TINY_RECIPE
from transformers import BertConfig, BertModel, BertPreTrainedModel, CLIPConfig, CLIPModel, ViTImageProcessorPil

import finetune
from datasets_scripts.mednli import MEDNLI
from modeling_prd import PRDConfig, PRDModel, PRDProcessor
from training.arguments import DataArguments
from training.models import build_processor, build_tokenizer

WORDS = ["the", "lungs", "are", "clear", "there", "is", "no", "effusion", "a", "nodule", "heart", "large", "normal"]
LABELS = ("Consolidation", "Pleural Effusion")
QUICK = ["--device", "cpu", "--cpu_threads", "1", "--n_bootstrap", "50", "--batch_size", "8"]


def save_prd(folder: Path) -> Path:
    """A pre-trained PRD folder with random weights, of one-channel images of 32 pixels."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([" ".join(WORDS)], 200, 64)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "bos", "eos")}
    config = PRDConfig(
        vision_config={**TINY_RECIPE["vision_config"], "image_size": 32},
        text_config={**TINY_RECIPE["text_config"], "vocab_size": len(tokenizer), **ids},
        projection_dim=8,
        vision_pooling="flatten",
        text_pooling="mean",
    )
    PRDModel(config).save_pretrained(folder)
    data = DataArguments(image_size=32, image_mean=[0.5], image_std=[0.25], max_length=64)
    processor: PRDProcessor = build_processor(data, tokenizer, channels=1)
    processor.save_pretrained(folder)
    return folder


def save_bert(folder: Path, model_class: type[BertPreTrainedModel] = BertModel) -> Path:
    """A checkpoint of transformers' BERT with random weights."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([" ".join(WORDS)], 200, 64)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """A checkpoint of CLIP with random weights, of images of 32 pixels; its image processor alone."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text, vision = {**sizes, "vocab_size": 40}, {**sizes, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def pair(number: int) -> dict[str, Any]:
    """A line of MedNLI's files; the hypothesis alone tells the label."""
    label = ("entailment", "neutral", "contradiction")[number % 3]
    hypothesis = {"entailment": "the lungs are clear", "neutral": "heart large", "contradiction": "no effusion"}[label]
    return {
        "sentence1": f"There is a nodule, {WORDS[number % len(WORDS)]}.",
        "sentence2": f"{hypothesis} {WORDS[(5 * number) % len(WORDS)]}",
        "gold_label": label,
        "pairID": f"pair-{number}",
    }


def write_mednli(folder: Path, train: int = 48, validation: int = 24, test: int = 24) -> Path:
    """A folder with MedNLI's three files."""
    folder.mkdir()
    sizes = {"train": train, "validation": validation, "test": test}
    start = 0
    for split, size in sizes.items():
        lines = [json.dumps(pair(number)) for number in range(start, start + size)]
        (folder / MEDNLI.files[split]).write_text("\n".join(lines) + "\n")
        start += size
    return folder


def write_radnli(folder: Path, validation: int = 30, test: int = 24) -> Path:
    """A folder with RadNLI's two files, whose identifiers stand under another key."""
    folder.mkdir()
    for split, numbers in {"dev": range(validation), "test": range(100, 100 + test)}.items():
        lines = []
        for number in numbers:
            line = pair(number)
            line["pair_id"] = line.pop("pairID")
            lines.append(json.dumps(line))
        (folder / f"radnli_{split}_v1.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def image_rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Bright images have consolidation, those bright on the left half an effusion; some labels are not known."""
    rows = []
    for number in range(start, start + count):
        dense, left = number % 2, (number // 2) % 2
        picture = PILImage.new("L", (32, 32), 60 + 120 * dense + number % 7)
        picture.paste(250 if left else 5, (0, 0, 16, 32))
        labels: dict[str, float | None] = {"Consolidation": float(dense), "Pleural Effusion": float(left)}
        if number % 5 == 4:
            labels["Consolidation"] = -1.0
        if number % 7 == 6:
            labels["Pleural Effusion"] = None
        rows.append({"image": picture, "image_id": f"image{number}", "study_id": f"study{number}", "labels": labels})
    return rows


FEATURES = Features(
    {
        "image": Image(),
        "image_id": Value("string"),
        "study_id": Value("string"),
        "labels": {name: Value("float32") for name in LABELS},
    }
)


def write_images(folder: Path, **sizes: int) -> Path:
    """A dataset of images with labels, a Parquet file a split."""
    start = 0
    for split, size in sizes.items():
        rows = Dataset.from_list(image_rows(size, start), features=FEATURES)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
        start += size
    return folder


def run_finetune(*arguments: Any) -> None:
    finetune.main([*QUICK, *map(str, arguments)])


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line with which a call ends."""
    with pytest.raises(SystemExit) as exit_info:
        run_finetune(*arguments)
    assert exit_info.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]
