"""Ranks by cosine, tile by tile and in single precision first, equal those of a float64 loop."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluate_suite import cosine_ranks
from evaluate_suite.cosine_ranks import first_right_ranks


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def loop_ranks(
    images: NDArray[np.float32], texts: NDArray[np.float32], report_of_image: NDArray[np.int64]
) -> tuple[list[int], dict[int, int]]:
    """The rank of each image's text, and of the first right image of each text that an image has."""
    scores = images.astype(np.float64) @ texts.astype(np.float64).T
    image_ranks = [
        1 + sum(scores[image, text] >= scores[image, own] - 1e-12 for text in range(len(texts)) if text != own)
        for image, own in enumerate(report_of_image)
    ]
    text_ranks = {}
    for text in set(report_of_image.tolist()):
        best = max(scores[image, text] for image in np.flatnonzero(report_of_image == text))
        wrong = np.flatnonzero(report_of_image != text)
        text_ranks[text] = 1 + sum(scores[image, text] >= best - 1e-12 for image in wrong)
    return image_ranks, text_ranks


def planted(kind: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """23 images and 31 texts of width 16, from which single precision can tell much, little or nothing."""
    generator = np.random.default_rng(0)
    images, texts = generator.standard_normal((23, 16)), generator.standard_normal((31, 16))
    match kind:
        case "apart":
            return unit(images), unit(texts)
        case "close":  # cosines that differ by about the rounding error of float32
            return unit(texts[0] + 3e-4 * images), unit(texts[0] + 3e-4 * texts)
        case "few values":  # many ties
            return unit(np.sign(images)), unit(np.sign(texts))
        case _:
            return unit(np.repeat(texts[:1], 23, axis=0)), unit(np.repeat(texts[:1], 31, axis=0))


@pytest.mark.parametrize("share_in_doubt", [0.0, 1.0], ids=["double precision", "single precision first"])
@pytest.mark.parametrize("kind", ["apart", "close", "few values", "one vector"])
def test_ranks_equal_a_float64_loop(kind: str, share_in_doubt: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosine_ranks, "_LARGEST_SHARE_IN_DOUBT", share_in_doubt)
    monkeypatch.setattr(cosine_ranks, "_IMAGES_AT_ONCE", 5)
    monkeypatch.setattr(cosine_ranks, "_TEXTS_AT_ONCE", 7)
    images, texts = planted(kind)
    report_of_image = np.random.default_rng(1).integers(0, 31, 23)
    image_ranks, text_ranks = first_right_ranks(images, texts, report_of_image)
    expected_images, expected_texts = loop_ranks(images, texts, report_of_image)
    assert image_ranks.tolist() == expected_images
    assert {text: text_ranks[text] for text in expected_texts} == expected_texts


def test_close_cosines_would_be_ranked_wrongly_in_single_precision_alone() -> None:
    # The case above is one in which the doubt matters.
    images, texts = planted("close")
    single, double = images @ texts.T, images.astype(np.float64) @ texts.astype(np.float64).T
    report_of_image = np.random.default_rng(1).integers(0, 31, 23)
    own = np.arange(23), report_of_image
    assert ((single >= single[own][:, None]) != (double >= double[own][:, None])).any()


@pytest.mark.parametrize("width", [3, 128, 768])
def test_no_product_is_further_off_than_the_bound(width: int) -> None:
    generator = np.random.default_rng(width)
    images, texts = unit(generator.random((300, width))), unit(generator.random((300, width)))  # one sign: no relief
    error = np.abs(images @ texts.T - images.astype(np.float64) @ texts.astype(np.float64).T)
    assert 0 < error.max() <= cosine_ranks._rounding_error(width)
