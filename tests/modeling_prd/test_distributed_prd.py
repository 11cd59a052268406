"""Two processes compute the losses and the gradients of one process on the joined batch."""

from typing import Any

import pytest
import torch
import torch.multiprocessing
from distributed_worker import run, training_step
from gradient_checks import LOSSES, assert_gradients_agree

JOINED: dict[str, dict[str, Any]] = {
    **LOSSES,
    "gloria_flatten": {"local_variant": "gloria", "vision_pooling": "flatten"},
    "frozen_norm": {"encoders": "resnet_bert"},
}
SETTINGS = [*JOINED.values(), {"gather_negatives": False}]
# Even rows have reports of 5 words and odd ones of 2; rows 0 and 1 share their report; row 1 has one perturbation.
SHARES = {"even": [[0, 2], [1, 3]], "uneven": [[0, 2, 3], [1]]}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of two processes got, for each sharing of the rows and each of the settings."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.start_processes(
        run, (list(SHARES.values()), SETTINGS, str(folder)), nprocs=2, start_method="forkserver"
    )
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.fixture(params=SHARES)
def shares_and_steps(request: pytest.FixtureRequest, steps: list[Any]) -> tuple[list[list[int]], list[Any]]:
    """A sharing of the rows and what each process got with it, for each of the settings."""
    place = list(SHARES).index(request.param)
    return SHARES[request.param], [process[place] for process in steps]


@pytest.mark.parametrize("index", range(len(JOINED)), ids=JOINED)
def test_losses_and_gradients_are_those_of_one_process_on_the_joined_batch(
    shares_and_steps: tuple[list[list[int]], list[Any]], index: int
) -> None:
    shares, steps = shares_and_steps
    expected = training_step([row for share in shares for row in share], SETTINGS[index], distributed=False)
    for process in steps:
        actual = process[index]
        for name, loss in expected["losses"].items():
            torch.testing.assert_close(actual["losses"][name], loss, rtol=1e-10, atol=1e-12, msg=name)
        assert_gradients_agree(actual["gradients"], expected["gradients"])


def test_logits_are_of_the_joined_batch_and_embeddings_of_the_own(
    shares_and_steps: tuple[list[list[int]], list[Any]],
) -> None:
    shares, steps = shares_and_steps
    for share, process in zip(shares, steps, strict=True):
        shapes = process[0]["shapes"]
        assert shapes["logits_per_image"] == shapes["local_logits_per_image"] == (4, 4)
        assert shapes["perturbation_logits"] == (4, 4)
        assert shapes["image_embeds"] == (len(share), 8)


def test_without_gathering_every_process_has_its_own_negatives(
    shares_and_steps: tuple[list[list[int]], list[Any]],
) -> None:
    shares, steps = shares_and_steps
    for share, process in zip(shares, steps, strict=True):
        assert process[-1]["shapes"]["logits_per_image"] == (len(share), len(share))
        alone = training_step(share, SETTINGS[-1], distributed=False)
        torch.testing.assert_close(process[-1]["losses"], alone["losses"])
