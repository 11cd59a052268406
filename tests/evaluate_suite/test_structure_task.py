"""The structure task on encoders whose scores are known."""

import numpy as np
import pytest
from datasets import Dataset
from planted_encoders import constant, dataset, oracle, pair, stranger, text_vector

from datasets_scripts.perturbations import PERTURBATIONS
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import structure


def test_an_oracle_is_right_everywhere(pairs: Dataset) -> None:
    tree = structure.evaluate(Embeddings(oracle(pairs)), pairs, n_bootstrap=20)
    assert tree["accuracy"]["value"] == tree["mean_reciprocal_rank"]["value"] == 1
    assert tree["accuracy"]["interval"] == pytest.approx([0.025 ** (1 / 5), 1])  # five studies, all right
    assert {result["value"] for result in tree["by_perturbation"].values()} == {1}
    assert "skipped" not in tree


def test_a_constant_encoder_ties_everywhere_and_is_wrong_everywhere(pairs: Dataset) -> None:
    tree = structure.evaluate(Embeddings(constant()), pairs, n_bootstrap=20)
    assert tree["accuracy"]["value"] == 0
    assert {result["value"] for result in tree["by_perturbation"].values()} == {0}


def test_numbers_equal_a_float64_loop_over_images_and_candidates(pairs: Dataset) -> None:
    hits, reciprocal, chances, beats = [], [], [], {name: [] for name in PERTURBATIONS}
    for row in pairs:
        image = text_vector(f"image {row['image'].getpixel((0, 0))}").astype(np.float64)
        own = image @ text_vector(row["report"]).astype(np.float64)
        rank, candidates = 1, 1
        for name in PERTURBATIONS:
            if row["changed"][name]:
                rival = image @ text_vector(row["perturbed"][name]).astype(np.float64)
                rank, candidates = rank + (rival >= own), candidates + 1
                beats[name].append(own > rival)
        hits.append(rank == 1)
        reciprocal.append(1 / rank)
        chances.append(1 / candidates)
    tree = structure.evaluate(Embeddings(stranger()), pairs, n_bootstrap=20)
    assert tree["accuracy"]["value"] == pytest.approx(np.mean(hits))
    assert tree["accuracy"]["chance"] == pytest.approx(np.mean(chances))
    assert tree["mean_reciprocal_rank"]["value"] == pytest.approx(np.mean(reciprocal))
    assert tree["accuracy"]["n"] == tree["mean_reciprocal_rank"]["n"] == 8
    assert list(tree["by_perturbation"]) == list(PERTURBATIONS)
    for name, wins in beats.items():
        assert tree["by_perturbation"][name]["value"] == pytest.approx(np.mean(wins))
        assert tree["by_perturbation"][name]["n"] == len(wins)


def test_a_perturbation_that_changes_nothing_is_neither_scored_nor_encoded() -> None:
    data = dataset(
        [pair(0, "s", "clear", unchanged=["reverse_sentence"]), pair(1, "t", "x", unchanged=["reverse_sentence"])]
    )
    encoder = stranger()
    tree = structure.evaluate(Embeddings(encoder), data, n_bootstrap=20)
    assert tree["accuracy"]["chance"] == pytest.approx(1 / 9)
    assert "reverse_sentence" not in tree["by_perturbation"]
    assert tree["skipped"] == {"by_perturbation.reverse_sentence": "it changes none of the reports"}
    assert len(encoder.texts_seen) == 2 * 9


def test_the_images_of_a_study_are_resampled_together() -> None:
    rows = [pair(grey, f"s{grey // 4}", f"report {grey // 4}") for grey in range(40)]
    together = structure.evaluate(Embeddings(stranger()), dataset(rows))
    apart = structure.evaluate(Embeddings(stranger()), dataset([{**row, "study_id": row["image_id"]} for row in rows]))
    assert together["mean_reciprocal_rank"]["value"] == apart["mean_reciprocal_rank"]["value"]
    assert together["mean_reciprocal_rank"]["interval"] != apart["mean_reciprocal_rank"]["interval"]


def test_a_dataset_without_changed_perturbations_is_skipped_with_its_reason() -> None:
    data = dataset([pair(0, "s", "clear", unchanged=PERTURBATIONS)])
    tree = structure.evaluate(Embeddings(stranger()), data)
    assert tree == {"skipped": {"structure": "none of the 1 reports has a perturbation that changes it"}}
