"""Weights, gradients and moments sharded over processes: FSDP2, where Accelerate's configuration asks for it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.fsdp import MixedPrecisionPolicy

from modeling_prd import PRDModel


def sharding_plugin() -> FullyShardedDataParallelPlugin | None:
    """What Accelerate's configuration says of FSDP; None where it does not ask for it.

    Every process makes the whole model from the seed, so none has to be sent its weights. Weights are gathered in
    float32 and cast by autocast, as without sharding, so that a step computes the same.

    Raises:
        ValueError: another version than 2 is asked for.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return None
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ValueError(f"fsdp_version: {version} is not supported; set it to 2 in Accelerate's configuration")
    # Also an order to transformers, to load weights in the main process alone.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    return FullyShardedDataParallelPlugin(mixed_precision_policy=MixedPrecisionPolicy())


def shard_on_cpus(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin | None) -> None:
    """Lets FSDP work on several CPU processes, too: Accelerate takes it on for other devices only."""
    if plugin is not None and accelerator.distributed_type == DistributedType.MULTI_CPU:
        PartialState().distributed_type = accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin


def prepare_model(
    accelerator: Accelerator, model: PRDModel, optimizer: torch.optim.Optimizer
) -> tuple[PRDModel, torch.optim.Optimizer]:
    """Prepares a model and its optimizer; what is sharded is so by the layers that the encoders say not to split."""
    if not accelerator.is_fsdp2:
        return accelerator.prepare(model, optimizer)
    plugin = accelerator.state.fsdp_plugin
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = _units(model)
    # Its outputs are views, which nothing changes in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    model, optimizer = accelerator.prepare(model, optimizer)
    model.forward = accelerator.autocast()(model.forward)  # which Accelerate leaves to FSDP, and so to all weights
    return model, optimizer


def _units(model: PRDModel) -> list[str]:
    """The layers that the encoders name, without those around the token embeddings, which Accelerate shards alone."""
    embeddings, names = model.get_input_embeddings(), set(model._no_split_modules or ())
    return sorted(
        {
            name
            for module in model.modules()
            if (name := type(module).__name__) in names and all(inner is not embeddings for inner in module.modules())
        }
    )


@contextmanager
def whole_model(accelerator: Accelerator, trained: torch.nn.Module, plain: PRDModel) -> Iterator[PRDModel | None]:
    """The trained model with all its weights, as the main process can run and save it alone. All processes enter this.

    Args:
        accelerator: what the model was prepared by.
        trained: the prepared model.
        plain: the model that was prepared or, where weights are sharded, one that is made alike; it takes them on.

    Returns:
        `plain` on the main process, None on the others.
    """
    if not accelerator.is_fsdp2:
        yield plain if accelerator.is_main_process else None
        return
    weights = accelerator.get_state_dict(trained)
    if not accelerator.is_main_process:
        yield None
        return
    plain.load_state_dict(weights)
    plain.to(accelerator.device)
    yield plain
    plain.to("cpu")  # type: ignore[arg-type]  # the device has room for the training again
