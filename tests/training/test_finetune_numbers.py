"""The numbers and the loss of fine-tuning, against peers and loops."""

from itertools import groupby

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score

from datasets_scripts.phantom_nli import split_pairs
from modeling_prd.classification_loss_prd import label_cross_entropy
from training.finetuning.metrics import macro_f1, measure_classes
from training.finetuning.nli import NLITask, resampled_together
from training.finetuning.objective import balanced_weights
from training.finetuning.task import Splits

LABELS = ("entailment", "neutral", "contradiction")


def answers(seed: int = 0, size: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=size)
    return np.where(rng.random(size) < 0.6, true, rng.integers(3, size=size)), true


def measured(predicted: np.ndarray, true: np.ndarray, groups: list[str] | None = None) -> dict:
    names = groups or [str(row) for row in range(len(true))]
    return measure_classes(predicted, true, names, LABELS, majority=1, n_bootstrap=300)


def test_accuracy_macro_f1_and_confusion_are_scikit_learns():
    predicted, true = answers()
    tree = measured(predicted, true)
    assert tree["accuracy"]["value"] == pytest.approx((predicted == true).mean())
    assert tree["macro_f1"]["value"] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert tree["confusion_counts"] == confusion_matrix(true, predicted).tolist()


def test_a_row_of_the_confusion_matrix_is_shares_of_the_true_class():
    predicted, true = answers()
    row = measured(predicted, true)["confusion"]["neutral"]
    assert sum(cell["value"] for cell in row.values()) == pytest.approx(1)
    assert {cell["n"] for cell in row.values()} == {int((true == 1).sum())}


def test_intervals_hold_their_values():
    tree = measured(*answers())
    for name in ("accuracy", "macro_f1"):
        low, high = tree[name]["interval"]
        assert low < tree[name]["value"] < high


def test_pairs_of_one_premise_are_resampled_together():
    predicted, true = (np.repeat(part, 10) for part in answers(size=9))
    alone = measured(predicted, true)["macro_f1"]["interval"]
    together = measured(predicted, true, [str(row // 10) for row in range(90)])["macro_f1"]["interval"]
    assert together[1] - together[0] > alone[1] - alone[0]


def test_phantom_nlis_pairs_are_resampled_by_block_and_others_by_premise():
    phantom = Dataset.from_list(split_pairs(0, "test", 30))
    assert [len(list(block)) for _, block in groupby(resampled_together(phantom))] == [12, 12, 6]
    others = Dataset.from_dict({"premise": ["a", "b", "a"], "pair_id": ["x-1", "x-2", "x-3"]})
    assert resampled_together(others) == ["a", "b", "a"]


def test_the_constant_answer_is_measured_beside():
    _, true = answers()
    majority = measured(true, true)["majority"]
    assert majority["label"] == "neutral"
    assert majority["accuracy"]["value"] == pytest.approx((true == 1).mean())


def test_the_constant_answer_is_the_commonest_class_of_the_split_that_is_chosen_on():
    def pairs(*labels: int) -> Dataset:
        names = [str(number) for number in range(len(labels))]
        return Dataset.from_dict({"premise": names, "hypothesis": names, "pair_id": names, "label": list(labels)})

    task = NLITask(Splits(train=pairs(0, 1, 2), validation=pairs(0, 1, 1), test=pairs(1, 1, 2, 0)), n_bootstrap=10)
    majority = task.measure({"test": np.eye(3)[[0, 0, 0, 0]]})["test"]["majority"]
    assert (majority["label"], majority["accuracy"]["value"]) == ("neutral", 0.5)


def test_a_class_that_is_nowhere_is_left_out_of_macro_f1():
    confusion = np.array([[[4, 1, 0], [2, 3, 0], [0, 0, 0]]])
    assert macro_f1(confusion)[0] == pytest.approx((8 / 11 + 6 / 9) / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_unknown_labels_do_not_count_in_the_loss(seed: int, size: int):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 2, (size, 3), generator=generator).double()
    labels[labels == -1] = torch.nan
    terms = [
        -np.log(1 / (1 + np.exp(-logit if label else logit)))
        for logit, label in zip(logits.flatten().tolist(), labels.flatten().tolist(), strict=True)
        if not np.isnan(label)
    ]
    expected = sum(terms) / len(terms) if terms else 0.0
    assert label_cross_entropy(logits, labels).item() == pytest.approx(expected)


def test_a_batch_without_any_known_label_has_loss_zero_and_a_graph():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = label_cross_entropy(logits, torch.full((2, 3), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_balanced_classes_weigh_alike():
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(targets, 3)
    assert (weights * torch.bincount(targets)).tolist() == pytest.approx([10 / 3] * 3)


def test_the_two_values_of_a_label_weigh_alike_and_unknown_ones_do_not_count():
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, torch.nan], [torch.nan, 0.0]])
    assert balanced_weights(targets, 2).tolist() == [2.0, 1.0]
