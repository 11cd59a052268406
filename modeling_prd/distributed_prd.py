"""Joining the batches of all processes, with gradient."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_ALIGNMENT = 8  # bytes; no element of the tensors is wider


def world_size() -> int:
    """Return the number of training processes, 1 when `torch.distributed` is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.compiler.disable  # the sizes of what comes from others are values
def gather_batches(tensors: Mapping[str, Tensor], padding: Mapping[str, float] | None = None) -> dict[str, Tensor]:
    """Concatenate the tensors of all processes along the first dimension, in the order of their ranks.

    Two exchanges do for all of them: one of shapes, one of values.

    Args:
        tensors: each [rows of this process, ...]; sizes may differ between processes, the names, their order, the
            numbers of dimensions and the dtypes may not.
        padding: what fills up a tensor's other dimensions to the largest of any process, by its name; else 0.

    Returns:
        Each [rows of all processes, ...], through which gradients flow back to this process's own rows.
    """
    shapes = _exchange_shapes(list(tensors.values()))
    values = _JoinWithGradient.apply(shapes, [(padding or {}).get(name, 0) for name in tensors], *tensors.values())
    return dict(zip(tensors, values, strict=True))


class _JoinWithGradient(torch.autograd.Function):
    """Tensors of this process -> those of all processes, joined.

    Every process goes on to compute the same loss of the joined batch, so the gradient that reaches this process's
    rows is the same in each, and their sum is `processes` times its own: no exchange is needed. Averaged over
    processes, as DistributedDataParallel does, parameter gradients are exactly those of the joined batch.
    """

    @staticmethod
    def forward(
        ctx: Any, shapes: list[list[tuple[int, ...]]], padding: Sequence[float], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.own = []
        joined = []
        parts_of = _exchange_values(tensors, shapes)
        for place, (parts, fill) in enumerate(zip(parts_of, padding, strict=True)):
            largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
            joined.append(torch.cat([_pad(part, largest, fill) for part in parts]))
            before = sum(len(part) for part in parts[: dist.get_rank()])
            own = shapes[dist.get_rank()][place]
            ctx.own.append((slice(before, before + own[0]), *(slice(size) for size in own[1:])))
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(tensor for tensor in joined if not tensor.is_floating_point()))
        return tuple(joined)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (
            None,
            None,
            *(
                None if gradient is None else gradient[own] * world_size()
                for gradient, own in zip(gradients, ctx.own, strict=True)
            ),
        )


def _pad(tensor: Tensor, sizes: Sequence[int], value: float) -> Tensor:
    """Fill up the dimensions after the first to `sizes`."""
    missing = [pad for size, full in zip(tensor.shape[1:], sizes, strict=True) for pad in (full - size, 0)]
    return nn.functional.pad(tensor, missing[::-1], value=value)


def _exchange_shapes(tensors: Sequence[Tensor]) -> list[list[tuple[int, ...]]]:
    """Return the shapes of the tensors of every process."""
    sizes = torch.tensor([size for tensor in tensors for size in tensor.shape], device=tensors[0].device)
    everyone = torch.empty(world_size() * len(sizes), dtype=sizes.dtype, device=sizes.device)
    dist.all_gather(list(everyone.chunk(world_size())), sizes)
    rows = [iter(row) for row in everyone.view(world_size(), -1).tolist()]
    return [[tuple(itertools.islice(row, tensor.ndim)) for tensor in tensors] for row in rows]


def _exchange_values(tensors: Sequence[Tensor], shapes: list[list[tuple[int, ...]]]) -> list[list[Tensor]]:
    """Return, of every tensor, the parts of all processes; they travel as bytes, in one message."""
    # Wide types first, so that each begins where its type may.
    order = sorted(range(len(tensors)), key=lambda place: -tensors[place].element_size())
    sent = torch.cat([tensors[place].contiguous().view(-1).view(torch.uint8) for place in order])
    lengths = [
        [torch.Size(shape).numel() * tensor.element_size() for shape, tensor in zip(row, tensors, strict=True)]
        for row in shapes
    ]
    longest = math.ceil(max(map(sum, lengths)) / _ALIGNMENT) * _ALIGNMENT
    everyone = sent.new_empty(world_size() * longest)
    dist.all_gather(list(everyone.chunk(world_size())), nn.functional.pad(sent, (0, longest - len(sent))))
    parts: list[list[Tensor]] = [[] for _ in tensors]
    for row, own_lengths, own_shapes in zip(everyone.view(world_size(), longest), lengths, shapes, strict=True):
        pieces = row[: sum(own_lengths)].split([own_lengths[place] for place in order])
        for place, piece in zip(order, pieces, strict=True):
            parts[place].append(piece.view(tensors[place].dtype).view(own_shapes[place]))
    return parts
