"""The classifiers' losses: against float64 loops, with unknown labels left out, and what they refuse."""

import math

import pytest
import torch
from tiny_models import bert_config, resnet_config

from modeling_prd import PRDConfig
from modeling_prd.classification_loss_prd import classification_loss, label_count

NAN = math.nan


def config(labels: int, problem_type: str | None = None) -> PRDConfig:
    names = {index: f"observation {index}" for index in range(labels)}
    encoders = {"vision_config": resnet_config(), "text_config": bert_config()}
    return PRDConfig(**encoders, id2label=names, problem_type=problem_type)


def multi_label_loss_by_loop(logits: list[list[float]], labels: list[list[float]]) -> float:
    total, known = 0.0, 0
    for row_logits, row_labels in zip(logits, labels, strict=True):
        for logit, label in zip(row_logits, row_labels, strict=True):
            if math.isnan(label):
                continue
            probability = 1 / (1 + math.exp(-logit))
            total -= label * math.log(probability) + (1 - label) * math.log(1 - probability)
            known += 1
    return total / known


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_multi_label_loss_is_the_mean_over_known_labels(dtype: torch.dtype) -> None:
    logits = torch.randn(5, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3
    labels = torch.tensor([[1, 0, NAN], [NAN, NAN, NAN], [0, 0.3, 1], [NAN, 1, NAN], [1, 1, 0]], dtype=dtype)
    expected = multi_label_loss_by_loop(logits.double().tolist(), labels.double().tolist())
    loss = classification_loss(logits, labels, config(3, "multi_label_classification"))
    assert loss.item() == pytest.approx(expected, rel=1e-12 if dtype == torch.float64 else 1e-6)


def test_an_unknown_label_moves_nothing() -> None:
    logits = torch.randn(2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    classification_loss(logits, torch.tensor([[1, NAN], [NAN, 0]]), config(2)).backward()
    assert (logits.grad != 0).tolist() == [[True, False], [False, True]]


def test_a_batch_with_nothing_known_has_loss_zero_and_gradient_zero() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = classification_loss(logits, torch.full((2, 3), NAN), config(3))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_the_single_label_loss_is_the_mean_cross_entropy() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0, 0, 1])
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    losses = [math.log(sum(map(math.exp, row))) - row[label] for row, label in rows]
    loss = classification_loss(logits, labels, config(3, "single_label_classification"))
    assert loss.item() == pytest.approx(sum(losses) / 4, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_compared_in_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    for labels in (torch.tensor([0, 1, 2, 1]), torch.tensor([[0, 1, NAN]] * 4)):
        loss = classification_loss(logits, labels.to(dtype) if labels.ndim == 2 else labels, config(3))
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(classification_loss(logits.float(), labels, config(3)).item())


@pytest.mark.parametrize(
    ("labels", "problem_type"),
    [
        (torch.tensor([0, 1]), "single_label_classification"),
        (torch.tensor([0, 1], dtype=torch.int32), "single_label_classification"),
        (torch.tensor([[0.0, 1.0, NAN]] * 2), "multi_label_classification"),
    ],
)
def test_the_type_of_the_labels_decides_the_problem_that_is_not_given(labels: torch.Tensor, problem_type: str) -> None:
    settings = config(3)
    classification_loss(torch.zeros(2, 3), labels, settings)
    assert settings.problem_type == problem_type  # what a pipeline reads


SINGLE, MULTI = "single_label_classification", "multi_label_classification"


@pytest.mark.parametrize(
    ("problem_type", "labels", "message"),
    [
        (SINGLE, torch.tensor([0.0, 1.0]), r"whole numbers, shaped \[2\]: got torch.float32 \[2\]"),
        (SINGLE, torch.tensor([True, False]), r"whole numbers, shaped \[2\]: got torch.bool \[2\]"),
        (SINGLE, torch.tensor([[0], [1]]), r"whole numbers, shaped \[2\]: got torch.int64 \[2, 1\]"),
        (SINGLE, torch.tensor([0, 3]), r"label 3 of row 1 is not one of the classes 0 to 2"),
        (SINGLE, torch.tensor([-100, 0]), r"label -100 of row 0 is not one of the classes 0 to 2"),
        (MULTI, torch.tensor([0, 1]), r"floats, shaped \[2, 3\], NaN where unknown: got torch.int64 \[2\]"),
        (MULTI, torch.tensor([[0, 1, 1]] * 2), r"floats, shaped \[2, 3\], NaN where unknown: got torch.int64"),
        (MULTI, torch.zeros(2, 2), r"floats, shaped \[2, 3\], NaN where unknown: got torch.float32 \[2, 2\]"),
        (MULTI, torch.tensor([[0, 1, NAN], [0, -1, 1]]), r"label -1 of row 1, 'observation 1', is not from 0 to 1"),
        (MULTI, torch.tensor([[0, 1, 2.0], [0, 0, 1]]), r"label 2 of row 0, 'observation 2', is not from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_named(problem_type: str, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_loss(torch.zeros(2, 3), labels, config(3, problem_type))


def test_the_number_of_labels_is_the_names() -> None:
    assert label_count(config(5)) == 5
    assert label_count(config(1, MULTI)) == 1


@pytest.mark.parametrize(
    ("labels", "problem_type", "message"),
    [
        (3, "regression", "problem_type='regression' is not one of single_label_classification, multi_label"),
        (0, None, "a classifier needs labels: give num_labels or id2label"),
    ],
)
def test_a_problem_without_a_loss_is_refused(labels: int, problem_type: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_count(config(labels, problem_type))
