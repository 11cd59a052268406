"""Models of transformers with random weights run every task they can, and are found to know nothing of the images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.stats import t as student
from tiny_dual_encoders import build
from tiny_phantom import load_tiny_phantom, words_of
from tiny_processors import SPECIAL, special_tokens_around
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from evaluate_suite.dual_encoders import TransformersEncoder
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.runner import run
from evaluate_suite.tasks import TASKS, counterfactual
from evaluate_suite.tree import measurements

MODELS = ("clip", "siglip", "align", "chinese_clip", "vision_text_dual_encoder")
WITH_PATCHES = ("clip", "align", "chinese_clip")
"""Those with patch vectors in the space of the texts."""

INITIALISATIONS = 20
_WINDOW = 128  # tokens: longer than every report


@pytest.fixture(scope="module")
def phantom_splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load_tiny_phantom(tmp_path_factory.mktemp("random"))


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate([*SPECIAL, *words])}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = special_tokens_around(tokenizer)
    fast.model_max_length = _WINDOW
    return fast


def random_model(name: str, data: Dataset, seed: int) -> TransformersEncoder:
    """A tiny model that knows every word of the data and reads whole reports."""
    model, processor = build(name)
    processor.tokenizer = word_tokenizer(words_of(data))
    text = model.config.text_config
    text.vocab_size, text.max_position_embeddings = len(processor.tokenizer), _WINDOW
    torch.manual_seed(seed)
    return TransformersEncoder(type(model)(model.config).eval(), processor)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_it_runs_every_task_it_can_and_the_test_is_found_not_to_need_its_image(
    name: str, phantom_splits: dict[str, Dataset], tmp_path: Path
) -> None:
    encoder = random_model(name, phantom_splits["test"], seed=0)
    report = run(encoder, phantom_splits, out=tmp_path / "report", n_bootstrap=200)
    assert list(report["tasks"]) == list(TASKS)
    assert report["skipped"] == {}
    assert report["texts"]["truncated"] == 0
    assert (tmp_path / "report" / "report.md").exists()
    for task, tree in report["tasks"].items():
        assert list(measurements(tree)) or (task == "grounding" and name not in WITH_PATCHES)
    for task in ("structure", "counterfactual"):
        tree = report["tasks"][task]
        low, high = tree["gain_over_wrong_image"]["interval"]
        assert low <= 0 <= high
        assert tree["needs_image"] is False
    if name not in WITH_PATCHES:
        assert "not supported" in str(report["tasks"]["grounding"]["skipped"])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_mean_over_initialisations_holds_chance_on_counterfactuals(
    name: str, phantom_splits: dict[str, Dataset]
) -> None:
    data = phantom_splits["test"]
    accuracies = [accuracy(random_model(name, data, seed), data) for seed in range(INITIALISATIONS)]
    half_width = student.ppf(0.975, INITIALISATIONS - 1) * np.std(accuracies, ddof=1) / INITIALISATIONS**0.5
    assert abs(np.mean(accuracies) - 0.5) <= half_width
    assert half_width < 0.1


def accuracy(encoder: Any, data: Dataset) -> float:
    tree = counterfactual.evaluate(Embeddings(encoder), data, n_bootstrap=2)
    return tree["accuracy"]["value"]
