"""Retrieval over distinct reports: ranks, duplicates, ties, chance and intervals, against loops written here."""

from math import comb
from statistics import median
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_encoders import PlantedEncoder, constant, dataset, oracle, pair, stranger, text_vector

from evaluate_suite import cosine_ranks
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import retrieval

DIRECTIONS = ("image_to_text", "text_to_image")


def loop_ranks(similarity: np.ndarray, report_of_image: np.ndarray) -> dict[str, list[int]]:
    """The worst rank of the first right candidate of each query, one score at a time."""
    n_images, n_texts = similarity.shape
    ranks: dict[str, list[int]] = {"image_to_text": [], "text_to_image": []}
    for image in range(n_images):
        own = similarity[image, report_of_image[image]]
        wrong = [text for text in range(n_texts) if text != report_of_image[image]]
        ranks["image_to_text"].append(1 + sum(similarity[image, text] >= own for text in wrong))
    for text in range(n_texts):
        right = [image for image in range(n_images) if report_of_image[image] == text]
        if right:
            best = max(similarity[image, text] for image in right)
            wrong = [image for image in range(n_images) if report_of_image[image] != text]
            ranks["text_to_image"].append(1 + sum(similarity[image, text] >= best for image in wrong))
    return ranks


def values(tree: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {way: {name: number["value"] for name, number in tree[way].items()} for way in DIRECTIONS}


def loop_values(similarity: np.ndarray, report_of_image: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        way: {f"recall_at_{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
        | {"median_rank": median(ranks)}
        for way, ranks in loop_ranks(similarity, report_of_image).items()
    }


@st.composite
def tied_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of up to eight images and six texts, few of them different, and the report of each image."""
    n_images, n_texts = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    scores = draw(st.lists(st.integers(-2, 2), min_size=n_images * n_texts, max_size=n_images * n_texts))
    reports = draw(st.lists(st.integers(0, n_texts - 1), min_size=n_images, max_size=n_images))
    return np.array(scores, dtype=np.float32).reshape(n_images, n_texts), np.array(reports)


@given(tied_scores())
@settings(deadline=None, max_examples=150)
def test_values_equal_a_loop_over_queries_and_candidates(case: tuple[np.ndarray, np.ndarray]) -> None:
    similarity, report_of_image = case
    tree = retrieval.from_similarity(similarity, report_of_image, range(len(similarity)), n_bootstrap=2)
    assert values(tree) == loop_values(similarity, report_of_image)


def test_the_size_of_the_tiles_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    similarity, report_of_image = generator.integers(0, 9, (25, 12)).astype(np.float32), generator.integers(0, 12, 25)
    whole = retrieval.from_similarity(similarity, report_of_image, range(25), n_bootstrap=20)
    monkeypatch.setattr(cosine_ranks, "_IMAGES_AT_ONCE", 4)
    monkeypatch.setattr(cosine_ranks, "_TEXTS_AT_ONCE", 5)
    assert retrieval.from_similarity(similarity, report_of_image, range(25), n_bootstrap=20) == whole


def test_the_order_of_images_and_texts_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    similarity, report_of_image = generator.integers(0, 9, (25, 12)).astype(np.float32), generator.integers(0, 12, 25)
    images, texts = generator.permutation(25), generator.permutation(12)
    shuffled = retrieval.from_similarity(
        similarity[images][:, texts], np.argsort(texts)[report_of_image[images]], images, n_bootstrap=20
    )
    straight = retrieval.from_similarity(similarity, report_of_image, np.arange(25), n_bootstrap=20)
    assert values(shuffled) == values(straight)
    assert shuffled["image_to_text"] == straight["image_to_text"]


def test_embeddings_are_ranked_by_their_cosines(pairs: Dataset) -> None:
    tree = retrieval.evaluate(Embeddings(stranger()), pairs, n_bootstrap=20)
    reports = list(dict.fromkeys(pairs["report"]))
    report_of_image = np.array([reports.index(report) for report in pairs["report"]])
    texts = np.stack([text_vector(report).astype(np.float64) for report in reports])
    images = np.stack([text_vector(f"image {row}").astype(np.float64) for row in range(8)])
    assert values(tree) == loop_values(images @ texts.T, report_of_image)
    assert {tree[way]["recall_at_1"]["n"] for way in DIRECTIONS} == {8, 4}


def test_an_oracle_finds_a_report_wherever_it_stands(pairs: Dataset) -> None:
    # The images 0, 1 and 5, of two studies, share the report `clear`: each is right for it.
    tree = retrieval.evaluate(Embeddings(oracle(pairs)), pairs, n_bootstrap=20)
    for way in DIRECTIONS:
        assert tree[way]["recall_at_1"]["value"] == 1
        assert tree[way]["median_rank"]["value"] == 1


def test_a_constant_encoder_has_the_worst_ranks_despite_the_rounding_of_matrix_products() -> None:
    data = dataset([pair(grey, f"s{grey}", f"report {grey}") for grey in range(97)])
    tree = retrieval.evaluate(Embeddings(constant()), data, n_bootstrap=20)
    for way in DIRECTIONS:
        assert tree[way]["median_rank"] == {"value": 97, "interval": [97, 97], "chance": 49, "n": 97}
        assert tree[way]["recall_at_10"]["value"] == 0


def test_chance_counts_the_candidates_and_the_right_ones(pairs: Dataset) -> None:
    tree = retrieval.evaluate(Embeddings(stranger()), pairs, n_bootstrap=20)
    # Four reports for an image; eight images for a report, of which 3, 1, 2 and 2 are right.
    assert tree["image_to_text"]["recall_at_1"]["chance"] == pytest.approx(1 / 4)
    assert tree["image_to_text"]["recall_at_5"]["chance"] == 1
    assert tree["image_to_text"]["median_rank"]["chance"] == 2.5
    assert tree["text_to_image"]["recall_at_1"]["chance"] == pytest.approx((3 / 8 + 1 / 8 + 2 / 8 + 2 / 8) / 4)
    missed = {right: comb(8 - right, 5) / comb(8, 5) for right in (3, 1, 2)}
    assert tree["text_to_image"]["recall_at_5"]["chance"] == pytest.approx(
        1 - (missed[3] + missed[1] + 2 * missed[2]) / 4
    )


@pytest.mark.slow
def test_random_scores_hold_chance_within_their_interval() -> None:
    generator = np.random.default_rng(3)
    report_of_image = np.concatenate([np.arange(150), generator.integers(0, 150, 150)])
    tree = retrieval.from_similarity(generator.random((300, 150)), report_of_image, np.arange(300))
    for way in DIRECTIONS:
        for number in tree[way].values():
            assert number["interval"][0] <= number["chance"] <= number["interval"][1]


def test_the_interval_is_that_of_a_loop_which_draws_whole_studies() -> None:
    generator = np.random.default_rng(4)
    similarity, report_of_image = generator.random((30, 10)), np.repeat(np.arange(10), 3)
    studies = np.repeat(np.arange(15), 2)
    tree = retrieval.from_similarity(similarity, report_of_image, studies, n_bootstrap=60, seed=2)
    ranks = np.array(loop_ranks(similarity, report_of_image)["image_to_text"])
    drawn = np.random.default_rng(2).integers(15, size=(60, 15))
    samples = [np.concatenate([ranks[studies == study] for study in resample]) for resample in drawn]
    recalls, medians = [np.mean(sample <= 5) for sample in samples], [np.median(sample) for sample in samples]
    assert tree["image_to_text"]["recall_at_5"]["interval"] == pytest.approx(list(np.percentile(recalls, [2.5, 97.5])))
    assert tree["image_to_text"]["median_rank"]["interval"] == pytest.approx(list(np.percentile(medians, [2.5, 97.5])))


def test_reports_of_one_study_are_resampled_together_as_queries() -> None:
    # A report goes with the study in which it first stands; ten reports of five studies are five groups.
    generator = np.random.default_rng(5)
    similarity = generator.random((10, 10))
    tree = retrieval.from_similarity(similarity, np.arange(10), np.repeat(np.arange(5), 2), n_bootstrap=60, seed=2)
    ranks = np.array(loop_ranks(similarity, np.arange(10))["text_to_image"]).reshape(5, 2)
    drawn = np.random.default_rng(2).integers(5, size=(60, 5))
    recalls = [np.mean(ranks[resample] <= 5) for resample in drawn]
    assert tree["text_to_image"]["recall_at_5"]["interval"] == pytest.approx(list(np.percentile(recalls, [2.5, 97.5])))


def test_a_text_without_images_is_a_candidate_and_no_query() -> None:
    similarity = np.array([[0.9, 0.1, 0.95], [0.2, 0.8, 0.1]])
    tree = retrieval.from_similarity(similarity, np.array([0, 1]), ["a", "b"], n_bootstrap=20)
    assert tree["image_to_text"]["recall_at_1"]["value"] == 0.5
    assert tree["image_to_text"]["recall_at_1"]["chance"] == pytest.approx(1 / 3)
    assert tree["text_to_image"]["recall_at_1"]["n"] == 2
    assert tree["text_to_image"]["recall_at_1"]["value"] == 1


def test_a_part_of_the_data_reuses_the_embeddings_of_the_whole(pairs: Dataset) -> None:
    encoder = oracle(pairs)
    embeddings = Embeddings(encoder)
    retrieval.evaluate(embeddings, pairs, n_bootstrap=20)
    tree = retrieval.evaluate(embeddings, pairs.filter(lambda report: report != "clear", input_columns="report"))
    assert len(encoder.images_seen) == 8
    assert len(encoder.texts_seen) == 4
    assert tree["image_to_text"]["recall_at_1"]["n"] == 5
    assert tree["image_to_text"]["recall_at_1"]["chance"] == pytest.approx(1 / 3)


def test_ranking_by_local_scores_goes_through_the_same_code(pairs: Dataset) -> None:
    scores = np.random.default_rng(7).random((8, 4)).astype(np.float32)

    class LocalEncoder(PlantedEncoder):
        def local_similarity(self, images, texts):
            assert len(images) == 8
            assert texts == ["clear", "effusion left", "nodule", "heart large"]
            return scores

    tree = retrieval.evaluate_local(Embeddings(LocalEncoder(text_vector)), pairs, n_bootstrap=20)
    report_of_image, studies = np.array([0, 0, 1, 2, 2, 0, 3, 3]), [0, 0, 1, 2, 2, 3, 4, 4]
    assert tree == retrieval.from_similarity(scores, report_of_image, studies, n_bootstrap=20)


def test_scores_that_differ_by_rounding_alone_are_tied() -> None:
    similarity = np.array([[0.5, 0.5 - 1e-13], [0.5 - 1e-13, 0.5]])
    tree = retrieval.from_similarity(similarity, np.array([0, 1]), ["a", "b"], n_bootstrap=20)
    apart = retrieval.from_similarity(np.eye(2) * 1e-11, np.array([0, 1]), ["a", "b"], n_bootstrap=20)
    for way in DIRECTIONS:
        assert tree[way]["recall_at_1"]["value"] == 0
        assert apart[way]["recall_at_1"]["value"] == 1


def test_a_score_of_minus_infinity_ranks_last() -> None:
    similarity = np.array([[-np.inf, 0.0], [0.0, -np.inf]])
    assert values(retrieval.from_similarity(similarity, np.array([0, 1]), [0, 1])) == loop_values(
        similarity, np.array([0, 1])
    )


def test_bad_data_is_named(pairs: Dataset) -> None:
    with pytest.raises(ValueError, match="image_id 'image-2' stands in two rows"):
        retrieval.evaluate(Embeddings(stranger()), pairs.select([1, 2, 3, 2]))
    with pytest.raises(ValueError, match="the data is empty"):
        retrieval.evaluate(Embeddings(stranger()), pairs.select([]))
    with pytest.raises(ValueError, match="image 1 with text 0 is NaN"):
        retrieval.from_similarity(np.array([[0.0], [np.nan]]), np.array([0, 0]), ["a", "b"])
