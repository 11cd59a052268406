import signal
from collections.abc import Iterator

import pytest
from datasets import Dataset
from planted_encoders import dataset, pair


@pytest.fixture(scope="session")
def pairs() -> Dataset:
    """Eight images of five studies with four distinct reports: `clear` stands in two studies."""
    return dataset(
        [
            pair(0, "s0", "clear", unchanged=["reverse_sentence"], counterfactuals={"negation": "not clear"}),
            pair(1, "s0", "clear", unchanged=["reverse_sentence"], counterfactuals={"negation": "not clear"}),
            pair(
                2, "s1", "effusion left", counterfactuals={"laterality": "effusion right", "negation": "no effusion"}
            ),
            pair(3, "s2", "nodule", counterfactuals={"finding": "mass"}),
            pair(4, "s2", "nodule"),
            pair(5, "s3", "clear", unchanged=["reverse_sentence", "shuffle_trigrams"]),
            pair(6, "s4", "heart large", counterfactuals={"heart_size": "heart normal"}),
            pair(7, "s4", "heart large", counterfactuals={"heart_size": "heart small"}),
        ]
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
