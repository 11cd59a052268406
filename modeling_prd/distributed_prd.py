"""Joining the batches of all processes, with gradient."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """Return the number of training processes, 1 when `torch.distributed` is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _GatherWithGradient(torch.autograd.Function):
    """[...] of this process -> [processes, ...].

    Every process goes on to compute the same loss of the joined batch, so the gradient that reaches this process's
    slice is the same in each, and their sum is `processes` times its own: no exchange is needed. Averaged over
    processes, as DistributedDataParallel does, parameter gradients are exactly those of the joined batch.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        gathered = [torch.empty_like(tensor) for _ in range(world_size())]
        dist.all_gather(gathered, tensor)
        return torch.stack(gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][dist.get_rank()] * world_size()


def gather_batch(tensor: Tensor, padding: float = 0) -> Tensor:
    """Concatenate the tensors of all processes along the first dimension, in the order of their ranks.

    Args:
        tensor: [rows of this process, ...]; sizes may differ between processes, the number of dimensions and the dtype
            may not. Every process must make the same calls in the same order.
        padding: fills up dimensions other than the first to the largest of any process.

    Returns:
        [rows of all processes, ...], through which gradients flow back to this process's own rows.
    """
    shape = torch.tensor(tensor.shape, device=tensor.device)
    shapes = [torch.empty_like(shape) for _ in range(world_size())]
    dist.all_gather(shapes, shape)
    largest = torch.stack(shapes).amax(dim=0).tolist()
    missing = [pad for size, full in zip(tensor.shape, largest, strict=True) for pad in (full - size, 0)]
    padded = nn.functional.pad(tensor, missing[::-1], value=padding).contiguous()
    # Not every back end exchanges bool.
    exchanged = padded.to(torch.uint8) if padded.dtype == torch.bool else padded
    joined = _GatherWithGradient.apply(exchanged)  # [processes, ...]
    rows = [part[: int(own[0])] for part, own in zip(joined, shapes, strict=True)]
    return torch.cat(rows).to(tensor.dtype)
