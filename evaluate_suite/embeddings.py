"""Each distinct image and text is encoded once, whatever the number of tasks that ask for it."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tqdm.auto import tqdm

from datasets_scripts.radiographs import UNREADABLE_IMAGE

from .encoders import DualEncoder, LocalSimilarity
from .errors import NotSupportedError

_IMAGES_AT_ONCE = 256  # decoded images in memory
_TEXTS_AT_ONCE = 2048  # many batches, of which an encoder may choose texts of similar length
_PAIRS_AT_ONCE = 4096  # float64 copies of a few vectors in memory
_NORM_TOLERANCE = 1e-3


class Embeddings:
    """The embeddings of a model, kept so that all tasks share them.

    Images are known by their `image_id`, texts by themselves, so one instance serves a dataset and any part of it. It
    holds for one state of the model: make a new one after a training step.

    Args:
        encoder: the model, giving L2-normalised vectors.
        progress: show a bar while images or texts are encoded, on a terminal.
    """

    def __init__(self, encoder: DualEncoder, *, progress: bool = False) -> None:
        self.encoder = encoder
        self._hidden = None if progress else True  # tqdm: None hides a bar where there is no terminal
        self._images = _VectorTable("image")
        self._texts = _VectorTable("text")

    def images(self, data: Dataset) -> NDArray[np.float32]:
        """The vectors of the images of `data` (columns `image`, `image_id`), [N, D] float32 in its order.

        Raises:
            ValueError: an image does not decode, or the encoder's vectors are not unit vectors, one an image.
        """
        image_ids = data["image_id"][:]
        missing = {
            image_id: row for row, image_id in reversed(list(enumerate(image_ids))) if image_id not in self._images
        }
        rows = sorted(missing.values())
        for start in self._batches(len(rows), _IMAGES_AT_ONCE, "images"):
            batch = rows[start : start + _IMAGES_AT_ONCE]
            names = [image_ids[row] for row in batch]
            self._images.add(names, self.encoder.encode_images(_decoded(data.select(batch), names)))
        return self._images.take(image_ids)

    def changed_images(self, data: Dataset, change: Callable[[Image.Image, str], Image.Image]) -> NDArray[np.float32]:
        """The vectors of the images of `data` after a change; they are encoded anew at each call and not kept.

        Args:
            data: at least one row; its columns `image` and `image_id` are read, a few hundred images at a time.
            change: gives the changed image from an image and its `image_id`.

        Returns:
            [N, D] float32, in the order of `data`.

        Raises:
            ValueError: an image does not decode, or the encoder's vectors are not unit vectors, one an image.
        """
        image_ids = data["image_id"][:]
        blocks = []
        for start in range(0, len(data), _IMAGES_AT_ONCE):
            batch = image_ids[start : start + _IMAGES_AT_ONCE]
            images = _decoded(data.select(range(start, start + len(batch))), batch)
            vectors = self.encoder.encode_images([change(*pair) for pair in zip(images, batch, strict=True)])
            blocks.append(_unit_vectors(vectors, batch, "image"))
        return np.concatenate(blocks)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, which may repeat, [N, D] float32 in their order; not to be written to.

        Raises:
            ValueError: the encoder's vectors are not unit vectors, one a text.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in self._batches(len(missing), _TEXTS_AT_ONCE, "texts"):
            batch = missing[start : start + _TEXTS_AT_ONCE]
            self._texts.add(batch, self.encoder.encode_texts(batch))
        return self._texts.take(texts)

    @property
    def known_texts(self) -> list[str]:
        """The distinct texts that were asked for so far."""
        return self._texts.keys()

    def _batches(self, total: int, size: int, what: str) -> Iterable[int]:
        return tqdm(range(0, total, size), what, leave=False, disable=self._hidden if total else True)

    def local_similarity(self, data: Dataset, texts: Sequence[str]) -> NDArray[np.float32]:
        """The local score S of each image of `data` with each text, [N, T] float32; computed anew at each call.

        Raises:
            NotSupportedError: the encoder has no local features.
        """
        if not isinstance(self.encoder, LocalSimilarity):
            raise NotSupportedError(
                f"{type(self.encoder).__name__} has no local features: it lacks the method local_similarity"
            )
        return self.encoder.local_similarity(data["image"][:], texts)


def _decoded(data: Dataset, image_ids: Sequence[str]) -> list[Image.Image]:
    column = data.select_columns("image")["image"]
    try:
        return column[:]
    except UNREADABLE_IMAGE as error:
        name = next(image_id for row, image_id in enumerate(image_ids) if not _decodes(column, row))
        raise ValueError(f"image {name!r} does not decode: {error}; rebuild the dataset without it") from error


def _decodes(column: Sequence[Image.Image], row: int) -> bool:
    try:
        column[row]
    except UNREADABLE_IMAGE:
        return False
    return True


class _VectorTable:
    # Unit vectors by key: a growing [n, D] float32 array, and the place of each key in it.

    def __init__(self, what: str) -> None:
        self._what = what
        self._places: dict[str, int] = {}
        self._vectors = np.zeros((0, 0), dtype=np.float32)  # with room for more rows than there are keys

    def keys(self) -> list[str]:
        return list(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, keys: Sequence[str], vectors: ArrayLike) -> None:
        added = _unit_vectors(vectors, keys, self._what)
        start, stop = len(self._places), len(self._places) + len(added)
        if start and added.shape[1] != self._vectors.shape[1]:
            raise ValueError(
                f"the encoder's vector for {self._what} {keys[0]!r} has {added.shape[1]} numbers, and those before it "
                f"{self._vectors.shape[1]}"
            )
        if stop > len(self._vectors):
            # Half as much again: all copies together stay below three times the rows, however many calls they come in.
            room = np.empty((max(stop, start + start // 2), added.shape[1]), dtype=np.float32)
            if start:
                room[:start] = self._vectors[:start]
            self._vectors = room
        self._vectors[start:stop] = added
        self._places.update(zip(keys, range(start, stop), strict=True))

    def take(self, keys: Sequence[str]) -> NDArray[np.float32]:
        places = np.fromiter((self._places[key] for key in keys), dtype=np.int64, count=len(keys))
        if len(places) and (np.diff(places) == 1).all():
            vectors = self._vectors[places[0] : places[0] + len(places)]  # no copy: all texts of a corpus are large
            vectors.flags.writeable = False
            return vectors
        return self._vectors[places]


def _unit_vectors(vectors: ArrayLike, keys: Sequence[str], what: str) -> NDArray[np.float32]:
    # What an encoder gave for these images or texts, [N, D], once it is known to be that.
    checked = np.asarray(vectors, dtype=np.float32)
    if checked.ndim != 2 or len(checked) != len(keys):
        raise ValueError(f"the encoder gave an array of shape {checked.shape} for {len(keys)} {what}s")
    norms = np.linalg.norm(checked, axis=1)
    for place in np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))[:1]:  # a NaN fails the comparison too
        raise ValueError(f"the encoder's vector for {what} {keys[place]!r} has norm {norms[place]}: L2-normalise it")
    return checked


def paired_cosines(
    images: NDArray[np.float32], texts: NDArray[np.float32], image_of_text: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The cosine of each text with one image, in float64.

    Equal vectors give equal cosines to the last bit, since every pair is summed in the same order, which a matrix
    product does not promise: a tie stays a tie.

    Args:
        images: [N, D] float32 unit vectors.
        texts: [P, D] float32 unit vectors.
        image_of_text: [P] row of `images` that each text is compared with.

    Returns:
        [P] float64.
    """
    cosines = np.empty(len(texts))
    for start in range(0, len(texts), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        left = images[image_of_text[pairs]].astype(np.float64)  # [p, D]
        cosines[pairs] = np.einsum("pd,pd->p", left, texts[pairs].astype(np.float64))
    return cosines
