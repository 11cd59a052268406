"""Batch normalisation in training: by a batch's own statistics, by frozen ones, or by those of all processes."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNormMode = Literal["train", "frozen", "sync"]


def prepare_batch_norm(
    model: nn.Module,
    mode: BatchNormMode,
    *,
    frozen: Sequence[str] = (),
    num_processes: int = 1,
    device: str = "cpu",
    micro_batch_size: int | None = None,
) -> None:
    """Checks that a model's batch normalisation can train as it is told to; for `sync`, replaces its layers in place.

    Args:
        model: before it is prepared for several processes.
        mode: as in `ModelArguments.batch_norm`.
        frozen: names of sub-modules that stay in evaluation mode, whose layers are free.
        num_processes: that train.
        device: the type of their devices.
        micro_batch_size: of gradient caching, or None.

    Raises:
        ValueError: `train` with several processes or gradient caching, or `sync` with several processes on CPUs or on
            a layer that is more than torch's.
    """
    layers = {
        name: module
        for name, module in _layers(model).items()
        if not any(name.startswith(f"{part}.") for part in frozen)
    }
    if not layers or mode == "frozen":
        return
    if mode == "train":
        cause = "micro_batch_size" if micro_batch_size is not None else "several processes"
        if micro_batch_size is not None or num_processes > 1:
            raise ValueError(
                f"batch_norm: train, with {cause}, would normalise each part of a batch by itself "
                f"({next(iter(layers))}): choose frozen (running statistics as they are) or sync (statistics of all "
                "processes, by micro-batches)"
            )
        return
    if num_processes == 1:
        return
    if device == "cpu":
        raise ValueError("batch_norm: sync with several processes needs GPUs, torch has none for CPUs: choose frozen")
    for name, layer in layers.items():
        if type(layer) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            raise ValueError(f"batch_norm: sync cannot replace {type(layer).__name__} ({name}): choose frozen")
        model.set_submodule(name, nn.SyncBatchNorm.convert_sync_batchnorm(layer))


def freeze_batch_norm(model: nn.Module) -> None:
    """Lets batch normalisation use its running statistics and leave them, in training too."""
    for layer in _layers(model).values():
        layer.eval()


def sees_other_processes(model: nn.Module) -> bool:
    """Whether a forward pass waits for the statistics of other processes."""
    return any(isinstance(layer, nn.SyncBatchNorm) and layer.training for layer in _layers(model).values())


class RunningStatistics:
    """Running statistics that several micro-batches move once: to the mean of where each alone would move them.

    Args:
        model: before its first micro-batch.
    """

    def __init__(self, model: nn.Module) -> None:
        moving = [layer for layer in _layers(model).values() if layer.training]
        self.buffers = [buffer for layer in moving for buffer in layer.buffers()]
        self._start = [buffer.clone() for buffer in self.buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self.buffers]
        self._count = 0

    def collect(self) -> None:
        """Notes what a micro-batch made of them, and goes back to the start."""
        self._count += 1
        for buffer, start, total in zip(self.buffers, self._start, self._sums, strict=True):
            total += buffer
            buffer.copy_(start)

    def settle(self) -> None:
        """Moves them, whatever has been run since."""
        for buffer, total in zip(self.buffers, self._sums, strict=True):
            buffer.copy_(total / self._count)


def _layers(model: nn.Module) -> dict[str, _BatchNorm]:
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
