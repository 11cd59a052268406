"""The devices and processes that a run trains on."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import DistributedDataParallelKwargs, parse_flag_from_env

from .arguments import OptimizationArguments
from .sharding import shard_on_cpus, sharding_plugin


class _Place(Protocol):
    """Where a run lives."""

    @property
    def device(self) -> str: ...
    @property
    def cpu_threads(self) -> int | None: ...
    @property
    def output_dir(self) -> str: ...


def build_accelerator(
    run: _Place,
    optimization: OptimizationArguments,
    seed: int,
    report_to: Sequence[str] = (),
    unused_weights: bool = False,
    shards: bool = False,
) -> Accelerator:
    """The devices and processes of a run.

    Args:
        run: its device, threads and folder.
        optimization: precision and accumulation.
        seed: of the order of the training rows.
        report_to: experiment trackers.
        unused_weights: the model may have trained weights without a gradient, which several processes then look for in
            each step.
        shards: the model may be sharded (FSDP).

    Raises:
        ValueError: the device asked for is not there, a tracker is not installed, or Accelerate's configuration asks
            for FSDP where the model may not be sharded, or for another version than 2.
    """
    device = run.device
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise ValueError(f"device: {device} is not available here; use --device auto or cpu")
    precision = _precision(optimization.mixed_precision, device)
    plugin = sharding_plugin()
    if plugin is not None and not shards:
        raise ValueError("use_fsdp: only pre-training shards its weights; leave it out of Accelerate's configuration")
    wanted = [report_to] if isinstance(report_to, str) else list(report_to)
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="no" if precision == "none" else precision,
        gradient_accumulation_steps=optimization.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, data_seed=seed, non_blocking=torch.cuda.is_available()
        ),
        log_with=wanted or None,
        fsdp_plugin=plugin,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused_weights)],
        project_dir=str(Path(run.output_dir) / "logs"),
    )
    shard_on_cpus(accelerator, plugin)
    trackers = {str(getattr(tracker, "value", tracker)) for tracker in accelerator.log_with}
    missing = [name for name in wanted if name != "all" and name not in trackers]
    if missing:
        raise ValueError(f"report_to: {missing[0]} is not installed")
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("mixed_precision: fp16 needs a GPU; use bf16 or none on CPUs")
    if accelerator.device.type == "cpu":
        # `accelerate launch` leaves one thread to a process unless it is told otherwise.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(run.cpu_threads or max(1, cores // accelerator.num_processes))
    return accelerator


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    on_gpu = torch.cuda.is_available() and device in ("auto", "cuda") and not parse_flag_from_env("ACCELERATE_USE_CPU")
    return "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "none"


def device_name(accelerator: Accelerator) -> str:
    """What a run trains on, in words."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    precision = accelerator.mixed_precision
    return f"{accelerator.num_processes} x {name}, {'float32' if precision == 'no' else precision}"
