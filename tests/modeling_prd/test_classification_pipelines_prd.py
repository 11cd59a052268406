"""Saved classifiers in a process without this project: automatic classes, pipelines and `evaluate`'s evaluators."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import IMAGE_SIZE, bert_config, modernbert_config, resnet_config, vit_config
from tiny_processors import word_piece
from transformers import BatchEncoding, ViTImageProcessorPil
from without_project import ACCURACY, run_without_project

from modeling_prd import (
    PRDConfig,
    PRDForImageClassification,
    PRDForSequenceClassification,
    PRDImageProcessor,
    PRDProcessor,
)

PAIRS = [
    {"premise": "The lungs are CLEAR. No effusion!", "hypothesis": "There is pneumothorax.", "label": 2},
    {"premise": "Heart size: normal", "hypothesis": "2.5 cm, left-sided apex", "label": 0},
    {"premise": "pleural effusion", "hypothesis": "no pleural effusion", "label": 1},
]
NLI_NAMES = {0: "entailment", 1: "neutral", 2: "contradiction"}
OBSERVATIONS = {0: "Consolidation", 1: "Pleural Effusion"}
PRELUDE = """
import json
from datasets import Dataset, Features, Image, Value
from evaluate import evaluator
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

answers = {}
"""


def probabilities(scores: list[dict[str, Any]], names: dict[int, str]) -> torch.Tensor:
    by_name = {entry["label"]: entry["score"] for entry in scores}
    return torch.tensor([by_name[names[index]] for index in range(len(names))])


SIZES = {"vocab_size": 80, "max_position_embeddings": 128, "initializer_range": 0.5}
TEXT_CONFIGS = {"bert": bert_config(**SIZES), "modernbert": modernbert_config(**SIZES)}


@cache
def text_classifier(encoder: str) -> tuple[PRDForSequenceClassification, PRDProcessor]:
    torch.manual_seed(0)
    config = PRDConfig(
        vision_config=resnet_config(),
        text_config=TEXT_CONFIGS[encoder],
        text_pooling="mean",
        id2label=NLI_NAMES,
        label2id={name: index for index, name in NLI_NAMES.items()},
        problem_type="single_label_classification",
        initializer_range=0.5,  # so that scores differ
    )
    tokenizer = word_piece()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as BERT's
    return PRDForSequenceClassification(config).eval(), PRDProcessor(ViTImageProcessorPil(), tokenizer)


TEXT_SCRIPT = """
pairs = json.load(open("pairs.json"))
for folder in ("bert", "modernbert"):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    classifier = pipeline("text-classification", model=folder, trust_remote_code=True)
    inputs = [{"text": pair["premise"], "text_pair": pair["hypothesis"]} for pair in pairs]
    scores = classifier(inputs, top_k=None)
    alone = classifier(pairs[0]["premise"], top_k=None)
    measured = evaluator("text-classification").compute(
        model,
        Dataset.from_list(pairs),
        metric="accuracy.py",
        tokenizer=tokenizer,
        input_column="premise",
        second_input_column="hypothesis",
        label_mapping=model.config.label2id,
    )
    names = [type(part).__name__ for part in (config, model)]
    answers[folder] = {"scores": scores, "alone": alone, "accuracy": measured["accuracy"], "classes": names}
"""


CHANNELS = {"flatten": 1, "pooler": 3}


@cache
def image_classifier(pooling: str) -> tuple[PRDForImageClassification, PRDProcessor]:
    torch.manual_seed(0)
    channels = CHANNELS[pooling]
    config = PRDConfig(
        vision_config=resnet_config(num_channels=channels) if channels == 1 else vit_config(),
        text_config=bert_config(),
        vision_pooling=pooling,
        projection_dim=8,
        id2label=OBSERVATIONS,
        label2id={name: index for index, name in OBSERVATIONS.items()},
        problem_type="multi_label_classification",
        initializer_range=0.2,
    )
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    images = ViTImageProcessorPil(size=size, image_mean=[0.4] * channels, image_std=[0.2] * channels)
    return PRDForImageClassification(config).eval(), PRDProcessor(images, word_piece())


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    grey = [Image.fromarray(generator.integers(0, 256, (90, 70), dtype=np.uint8)) for _ in range(2)]
    return [*grey, Image.fromarray(generator.integers(0, 256, (70, 90, 3), dtype=np.uint8))]


IMAGE_SCRIPT = """
files = ["0.png", "1.png", "2.png"]
for folder in ("flatten", "pooler"):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True)
    image_processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
    classifier = pipeline("image-classification", model=folder, trust_remote_code=True)
    scores = classifier(files)
    data = Dataset.from_dict({"image": files, "label": [0, 1, 0]}).cast_column("image", Image())
    measured = evaluator("image-classification").compute(
        model,
        data,
        metric="accuracy.py",
        feature_extractor=image_processor,
        label_mapping=model.config.label2id,
    )
    names = [type(part).__name__ for part in (config, model, image_processor, classifier.image_processor)]
    answers[folder] = {"scores": scores, "accuracy": measured["accuracy"], "classes": names}
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By case, what one process with no project to import got from its saved folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in TEXT_CONFIGS:
        model, processor = text_classifier(name)
        model.save_pretrained(folder / name)
        processor.tokenizer.save_pretrained(folder / name)
    for name in CHANNELS:
        model, processor = image_classifier(name)
        model.save_pretrained(folder / name)
        PRDImageProcessor(processor.image_processor).save_pretrained(folder / name)
    (folder / "pairs.json").write_text(json.dumps(PAIRS))
    for index, picture in enumerate(pictures()):
        picture.save(folder / f"{index}.png")
    (folder / "accuracy.py").write_text(ACCURACY)
    script = PRELUDE + TEXT_SCRIPT + IMAGE_SCRIPT + "print(json.dumps(answers))"
    return json.loads(run_without_project(script, folder))


@pytest.mark.parametrize("encoder", list(TEXT_CONFIGS))
def test_a_text_classifier_scores_pairs_as_the_model_does_on_the_processors_words(
    encoder: str, elsewhere: dict[str, Any]
) -> None:
    model, processor = text_classifier(encoder)
    result = elsewhere[encoder]
    rows = []
    for pair in PAIRS:
        parts = [processor(text=pair[side])["input_ids"][0] for side in ("premise", "hypothesis")]
        first, second = parts[0], parts[1][1:]  # [CLS] a [SEP], b [SEP]
        types = [0] * len(first) + [1] * len(second)
        encoding = BatchEncoding({"input_ids": [first + second], "token_type_ids": [types]}, tensor_type="pt")
        with torch.no_grad():
            rows.append(model(**encoding).logits.softmax(-1)[0])
    expected = torch.stack(rows)
    torch.testing.assert_close(torch.stack([probabilities(row, NLI_NAMES) for row in result["scores"]]), expected)
    with torch.no_grad():
        alone = model(**processor(text=PAIRS[0]["premise"], return_tensors="pt")).logits.softmax(-1)[0]
    torch.testing.assert_close(probabilities(result["alone"], NLI_NAMES), alone)
    assert expected.std(dim=0).min() > 1e-3
    right = (expected.argmax(-1) == torch.tensor([pair["label"] for pair in PAIRS])).float().mean().item()
    assert result["accuracy"] == pytest.approx(right)
    assert result["classes"] == ["PRDConfig", "PRDForSequenceClassification"]


@pytest.mark.parametrize(("channels", "pooling"), [(1, "flatten"), (3, "pooler")])
def test_an_image_classifier_scores_files_as_the_model_does_on_the_processors_pixels(
    channels: int, pooling: str, elsewhere: dict[str, Any]
) -> None:
    model, processor = image_classifier(pooling)
    result = elsewhere[pooling]
    with torch.no_grad():
        expected = model(**processor(images=pictures(), return_tensors="pt")).logits.sigmoid()
    torch.testing.assert_close(torch.stack([probabilities(row, OBSERVATIONS) for row in result["scores"]]), expected)
    right = (expected.argmax(-1) == torch.tensor([0, 1, 0])).float().mean().item()
    assert result["accuracy"] == pytest.approx(right)
    loaded = ["PRDConfig", "PRDForImageClassification", "PRDImageProcessor", "PRDImageProcessor"]
    assert result["classes"] == loaded
