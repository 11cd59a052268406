"""The counterfactual task on encoders whose scores are known."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from planted_encoders import PlantedEncoder, constant, dataset, oracle, pair, stranger, text_vector

from datasets_scripts.schema import COUNTERFACTUAL_KINDS
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import counterfactual


def test_an_oracle_is_right_everywhere(pairs: Dataset) -> None:
    tree = counterfactual.evaluate(Embeddings(oracle(pairs)), pairs, n_bootstrap=20)
    four_studies = pytest.approx([0.025 ** (1 / 4), 1])
    assert tree["accuracy"] == {"value": 1, "interval": four_studies, "chance": 0.5, "n": 7}
    assert {kind: result["n"] for kind, result in tree["by_kind"].items()} == {
        "negation": 3,
        "laterality": 1,
        "heart_size": 2,
        "finding": 1,
    }


def test_a_kind_of_one_study_claims_no_certainty(pairs: Dataset) -> None:
    tree = counterfactual.evaluate(Embeddings(oracle(pairs)), pairs, n_bootstrap=20)
    for kind in ("heart_size", "laterality"):  # two pairs of one study, and one pair
        assert tree["by_kind"][kind]["interval"] == pytest.approx([0.025, 1])
    tied = counterfactual.evaluate(Embeddings(constant()), pairs, n_bootstrap=20)
    assert tied["by_kind"]["heart_size"]["interval"] == pytest.approx([0.0125, 0.9875])


def test_an_encoder_that_prefers_every_edit_is_wrong_everywhere(pairs: Dataset) -> None:
    reports = set(pairs["report"])
    edit, report = text_vector("edit"), text_vector("report")
    encoder = PlantedEncoder(lambda grey: edit, lambda text: report if text in reports else edit)
    assert counterfactual.evaluate(Embeddings(encoder), pairs, n_bootstrap=20)["accuracy"]["value"] == 0


def test_a_tie_counts_as_half(pairs: Dataset) -> None:
    tree = counterfactual.evaluate(Embeddings(constant()), pairs, n_bootstrap=20)
    assert tree["accuracy"]["value"] == 0.5
    assert {result["value"] for result in tree["by_kind"].values()} == {0.5}


def test_numbers_equal_a_float64_loop_over_images_and_edits() -> None:
    kinds = ("negation", "severity")
    data = dataset(
        [
            pair(
                grey,
                f"s{grey // 3}",
                f"report {grey}",
                counterfactuals={kind: f"{kind} {grey}" for kind in kinds[: grey % 3]},
            )
            for grey in range(30)
        ]
    )
    wins: dict[str, list[tuple[str, float]]] = {kind: [] for kind in kinds}
    for row in data:
        image = text_vector(f"image {row['image'].getpixel((0, 0))}").astype(np.float64)
        own = image @ text_vector(row["report"]).astype(np.float64)
        for kind in kinds:
            if row["counterfactual"][kind] is not None:
                rival = image @ text_vector(row["counterfactual"][kind]["text"]).astype(np.float64)
                wins[kind].append((row["study_id"], 1.0 if own > rival else 0.5 if own == rival else 0.0))
    tree = counterfactual.evaluate(Embeddings(stranger()), data, n_bootstrap=100, seed=8)
    every_win = wins["negation"] + wins["severity"]
    assert tree["accuracy"]["value"] == pytest.approx(np.mean([win for _, win in every_win]))
    assert tree["accuracy"]["n"] == len(every_win) == 30
    for kind in kinds:
        assert tree["by_kind"][kind]["value"] == pytest.approx(np.mean([win for _, win in wins[kind]]))

    studies = sorted({study for study, _ in every_win})
    replicates = [
        np.mean([win for place in drawn for study, win in every_win if study == studies[place]])
        for drawn in np.random.default_rng(8).integers(len(studies), size=(100, len(studies)))
    ]
    assert tree["accuracy"]["interval"] == pytest.approx(list(np.percentile(replicates, [2.5, 97.5])))


def test_null_kinds_are_counted_and_a_kind_without_edits_is_skipped(pairs: Dataset) -> None:
    tree = counterfactual.evaluate(Embeddings(oracle(pairs)), pairs, n_bootstrap=20)
    assert tree["n_null"] == {
        "negation": 5,
        "laterality": 7,
        "location": 8,
        "severity": 8,
        "heart_size": 6,
        "finding": 7,
    }
    assert tree["skipped"] == {f"by_kind.{kind}": "no row has such an edit" for kind in ("location", "severity")}


def test_a_dataset_without_edits_is_skipped_with_its_reason() -> None:
    tree = counterfactual.evaluate(Embeddings(stranger()), dataset([pair(0, "s", "clear")]))
    assert tree["skipped"] == {"counterfactual": "none of the 1 rows has an edit"}
    assert "accuracy" not in tree
    assert tree["n_null"] == dict.fromkeys(COUNTERFACTUAL_KINDS, 1)


def test_null_edits_survive_parquet(pairs: Dataset, tmp_path: Path) -> None:
    pairs.remove_columns("image").to_parquet(tmp_path / "pairs.parquet")
    read = Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path / "cache"))
    assert counterfactual.counterfactual_pairs(read).texts == counterfactual.counterfactual_pairs(pairs).texts
