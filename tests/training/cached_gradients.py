"""Gradients of a tiny model by gradient caching, in one process or in several, and by one pass of the whole batch."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from gradient_checks import gradients
from tiny_models import tiny_batch, tiny_model

from modeling_prd import PRDModel
from training.batch_norm import freeze_batch_norm
from training.gradient_cache import GradientCache

ROWS = 7


def joined_batch() -> dict[str, torch.Tensor]:
    """Seven pairs; the last has the report of the first, and the third all of its perturbations left out."""
    batch = tiny_batch(ROWS)
    for name in ("input_ids", "attention_mask", "word_ids", "report_ids"):
        batch[name][-1] = batch[name][0]
    batch["perturbation_mask"][2] = False
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


def model_of(encoders: str, **settings: Any) -> PRDModel:
    """In training mode, batch normalisation frozen, in float64."""
    model = tiny_model(encoders, **({"learn_temperature": True} | settings)).double().train()
    freeze_batch_norm(model)
    return model


def one_pass(batches: list[list[int]], encoders: str, **settings: Any) -> dict[str, torch.Tensor]:
    """Mean gradients of batches, each of the rows in a list, by one pass each."""
    model, everything = model_of(encoders, **settings), joined_batch()
    for rows in batches:
        (model(**{name: value[rows] for name, value in everything.items()}).loss / len(batches)).backward()
    return gradients(model)


def cached(
    accelerator: Accelerator,
    batches: list[list[int]],
    micro_batch_size: int,
    encoders: str,
    compiled: bool = False,
    **settings: Any,
) -> dict[str, torch.Tensor]:
    """Mean gradients of batches, each of this process's rows in a list, by gradient caching."""
    model, everything = model_of(encoders, **settings), joined_batch()
    if compiled:
        model.text_model.compile()
    prepared = accelerator.prepare_model(model)
    cache = GradientCache(accelerator, prepared, micro_batch_size)
    accelerator.gradient_accumulation_steps, accelerator.step = len(batches), 0
    for rows in batches:
        # Compiling takes long, and changes nothing in what processes exchange.
        with accelerator.accumulate(prepared), torch.compiler.set_stance("force_eager"):
            cache.backward({name: value[rows] for name, value in everything.items()})
    return gradients(model)


def run(rank: int, cases: list[dict[str, Any]], folder: str) -> None:
    """Be process `rank` of two: save the gradients of every case, whose `batches` are each the rows of both."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    accelerator = Accelerator(cpu=True)
    results = [
        cached(accelerator, **{**case, "batches": [shares[rank] for shares in case["batches"]]}) for case in cases
    ]
    torch.save(results, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()
