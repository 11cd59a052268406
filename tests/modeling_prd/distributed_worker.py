"""One training step of one of several gloo processes, run by `test_distributed_prd.py`."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny_models import tiny_batch, tiny_model
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from modeling_prd import PRDOutput

BATCH_SIZE = 4
LOSSES = ("loss", "loss_global", "loss_local", "loss_perturbation")


def _share(rows: list[int]) -> dict[str, torch.Tensor]:
    """Take rows of the tiny batch, without the last perturbations if none of the rows uses them."""
    batch = tiny_batch(BATCH_SIZE)
    batch["perturbation_mask"][1] = torch.tensor([True, False, False])
    batch = {name: value[rows] for name, value in batch.items()}
    used = int(batch["perturbation_mask"].any(dim=0).nonzero().max()) + 1
    for name in ("perturbed_input_ids", "perturbed_attention_mask", "perturbation_mask"):
        batch[name] = batch[name][:, :used]
    return batch


def training_step(rows: list[int], settings: dict[str, Any], distributed: bool) -> dict[str, Any]:
    """Run the rows of the tiny batch through a model in training mode, forward and backward, in float64.

    Returns:
        The losses, the shapes of all outputs, and the gradients by parameter.
    """
    model = tiny_model(**{"encoders": "vit_modernbert", "learn_temperature": True, **settings}).double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its own statistics would be those of a share
    batch = _share(rows)
    trained = DistributedDataParallel(model) if distributed else model
    output: PRDOutput = trained(**batch, return_loss=True)
    output.loss.backward()
    return {
        "losses": {name: output[name].detach() for name in LOSSES},
        "shapes": {name: tuple(value.shape) for name, value in output.items()},
        "gradients": {name: parameter.grad for name, parameter in model.named_parameters()},
    }


def run(rank: int, shares: list[list[list[int]]], settings: list[dict[str, Any]], folder: str) -> None:
    """Be process `rank`: step on its part of every sharing of the rows with each setting, and save what came out."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=len(shares[0]))
    steps = [[training_step(rows[rank], each, distributed=True) for each in settings] for rows in shares]
    torch.save(steps, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()
