"""Distinct images and texts are encoded once, and bad vectors are refused."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from planted_encoders import PlantedEncoder, oracle, stranger, text_vector

from evaluate_suite import embeddings as embeddings_module
from evaluate_suite.embeddings import Embeddings, paired_cosines
from evaluate_suite.errors import NotSupportedError


def test_an_image_is_encoded_once_whoever_asks(pairs: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "_IMAGES_AT_ONCE", 3)
    encoder = stranger()
    embeddings = Embeddings(encoder)
    embeddings.images(pairs.select([5, 2]))
    embeddings.images(pairs)
    embeddings.images(pairs.select([0, 0]))
    assert sorted(encoder.images_seen) == list(range(8))


def test_a_text_is_encoded_once_whoever_asks() -> None:
    encoder = stranger()
    embeddings = Embeddings(encoder)
    embeddings.texts(["b", "a", "b"])
    embeddings.texts(["a", "c", "a"])
    assert encoder.texts_seen == ["b", "a", "c"]


def test_vectors_come_in_the_order_asked_for(pairs: Dataset) -> None:
    embeddings = Embeddings(stranger())
    rows = [6, 1, 3]
    expected = np.stack([text_vector(f"image {row}") for row in rows])
    embeddings.images(pairs.select([3, 0]))
    np.testing.assert_array_equal(embeddings.images(pairs.select(rows)), expected)
    texts = ["b", "a", "b"]
    np.testing.assert_array_equal(embeddings.texts(texts), np.stack([text_vector(text) for text in texts]))


def test_vectors_in_the_order_of_their_first_use_share_the_memory_of_those_kept() -> None:
    embeddings = Embeddings(stranger())
    kept = embeddings.texts(["no effusion", "effusion", "clear"])
    again = embeddings.texts(["effusion", "clear"])
    assert np.shares_memory(kept, again)
    assert np.array_equal(again, kept[1:])
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 0
    assert not np.shares_memory(kept, embeddings.texts(["clear", "effusion"]))


def test_changed_images_are_encoded_in_blocks_and_not_kept(pairs: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "_IMAGES_AT_ONCE", 3)
    encoder = stranger()
    embeddings = Embeddings(encoder)
    seen = []

    def brighter(image: Image.Image, image_id: str) -> Image.Image:
        seen.append(image_id)
        return image.point(lambda grey: grey + 100)

    data = pairs.select([6, 1, 3, 7])
    vectors = embeddings.changed_images(data, brighter)
    assert seen == ["image-6", "image-1", "image-3", "image-7"]
    np.testing.assert_array_equal(vectors, np.stack([text_vector(f"image {row + 100}") for row in (6, 1, 3, 7)]))
    np.testing.assert_array_equal(embeddings.images(data.select([0])), text_vector("image 6")[None])


def test_an_encoder_may_give_tensors() -> None:
    class TensorEncoder(PlantedEncoder):
        def encode_texts(self, texts):
            return torch.from_numpy(super().encode_texts(texts))

    embeds = Embeddings(TensorEncoder(text_vector)).texts(["a"])
    np.testing.assert_array_equal(embeds, text_vector("a")[None])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.full(4, 2.0), "vector for text 'a' has norm 4.0"),
        (np.array([np.nan, 1.0]), "has norm nan"),
        (np.float32(1.0), r"shape \(1,\) for 1 texts"),
    ],
)
def test_vectors_that_are_not_unit_vectors_are_refused(vector: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embeddings(PlantedEncoder(lambda grey: vector, lambda text: vector)).texts(["a"])


def test_one_vector_must_come_for_each_text() -> None:
    class ForgetfulEncoder(PlantedEncoder):
        def encode_texts(self, texts):
            return super().encode_texts(texts)[:-1]

    with pytest.raises(ValueError, match=r"shape \(1, 24\) for 2 texts"):
        Embeddings(ForgetfulEncoder(text_vector)).texts(["a", "b"])


def test_vectors_must_keep_their_width() -> None:
    embeddings = Embeddings(PlantedEncoder(text_vector, lambda text: np.eye(len(text))[0]))
    embeddings.texts(["ab"])
    with pytest.raises(ValueError, match="text 'c' has 1 numbers, and those before it 2"):
        embeddings.texts(["c"])


def test_vectors_that_come_in_many_calls_are_kept_in_their_places() -> None:
    texts = [f"text {number}" for number in range(50)]
    embeddings = Embeddings(stranger())
    for text in texts:
        embeddings.texts([text])
    np.testing.assert_array_equal(embeddings.texts(texts[::-1]), np.stack([text_vector(text) for text in texts[::-1]]))


def test_an_encoder_without_local_features_is_named(pairs: Dataset) -> None:
    with pytest.raises(NotSupportedError, match="PlantedEncoder has no local features"):
        Embeddings(oracle(pairs)).local_similarity(pairs, ["clear"])


def test_local_similarity_hands_over_the_images_in_order(pairs: Dataset) -> None:
    class LocalEncoder(PlantedEncoder):
        def local_similarity(self, images, texts):
            return np.array([[image.getpixel((0, 0)) + len(text) for text in texts] for image in images], np.float32)

    scores = Embeddings(LocalEncoder(text_vector)).local_similarity(pairs.select([4, 1]), ["a", "abc"])
    assert scores.tolist() == [[5, 7], [2, 4]]


def test_paired_cosines_equal_a_float64_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "_PAIRS_AT_ONCE", 4)
    images = np.stack([text_vector(f"image {number}") for number in range(3)])
    texts = np.stack([text_vector(f"text {number}") for number in range(10)])
    image_of_text = np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 0])
    expected = [
        sum(float(a) * float(b) for a, b in zip(images[image], text, strict=True))
        for image, text in zip(image_of_text, texts, strict=True)
    ]
    np.testing.assert_allclose(paired_cosines(images, texts, image_of_text), expected, rtol=0, atol=1e-15)


def test_equal_vectors_have_equal_cosines_to_the_last_bit() -> None:
    vector = text_vector("one")
    cosines = paired_cosines(vector[None], np.repeat(vector[None], 5000, axis=0), np.zeros(5000, dtype=np.int64))
    assert len(set(cosines)) == 1


def test_an_image_that_does_not_decode_is_named(pairs: Dataset) -> None:
    stored = pairs.cast_column("image", ImageFeature(decode=False)).to_list()
    stored[5]["image"] = {"bytes": b"no image", "path": None}
    broken = Dataset.from_list(stored, features=pairs.features)
    with pytest.raises(ValueError, match=r"image 'image-5' does not decode: .*; rebuild the dataset without it"):
        Embeddings(stranger()).images(broken)
    with pytest.raises(ValueError, match="image 'image-5' does not decode"):
        Embeddings(stranger()).changed_images(broken, lambda image, image_id: image)


def test_the_texts_that_were_asked_for_are_known_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "_TEXTS_AT_ONCE", 2)
    encoder = stranger()
    embeddings = Embeddings(encoder, progress=True)
    embeddings.texts(["b", "a", "b", "c"])
    embeddings.texts(["c", "d"])
    assert embeddings.known_texts == ["b", "a", "c", "d"]
    assert encoder.texts_seen == ["b", "a", "c", "d"]
