"""Random draws of an epoch that do not depend on batches, workers or processes."""

import hashlib
import random

from torch.multiprocessing import Value


class EpochDraws:
    """Random numbers that follow from (seed, epoch, image id, name) alone.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._epoch = Value("q", 0)  # shared: worker processes that persist see it too

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose numbers are drawn from now on."""
        self._epoch.value = epoch

    def random(self, image_id: str, name: str) -> random.Random:
        """The numbers of one image for one use of them."""
        key = f"{self._seed}\0{self._epoch.value}\0{image_id}\0{name}"
        return random.Random(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))
