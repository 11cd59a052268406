"""Gradient caching (Gao et al. 2021): encoders see micro-batches, the losses the whole batch.

The vectors of a batch are small beside what encoders keep for their gradients. So a first pass encodes the
micro-batches without gradient, the losses of all their vectors give each vector its gradient, and a second pass
encodes them again, each under the random state that it had, and takes the gradients of its vectors on into the
weights. Those are the gradients of one pass, dropout included; batch normalisation alone sees micro-batches
(`batch_norm`).
"""

import math
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from modeling_prd.packed_attention_prd import is_compiled

from .batch_norm import RunningStatistics, sees_other_processes

Batch = dict[str, Tensor]
_VECTORS = ("image_embeds", "image_regions", "text_embeds", "perturbed_embeds", "word_embeds", "word_mask")


class GradientCache:
    """Runs batches in two passes of micro-batches.

    Args:
        accelerator: its devices, precision and accumulation.
        model: a `PRDModel`, prepared by the accelerator.
        micro_batch_size: images that the encoders see at once.
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module, micro_batch_size: int) -> None:
        self.accelerator = accelerator
        self.model = model
        self.micro_batch_size = micro_batch_size

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """Adds a batch's gradients to the weights', as `Accelerator.backward` of its loss does.

        Args:
            batch: inputs of `PRDModel.forward` for B pairs.

        Returns:
            the losses that the inputs allow, of all processes' pairs, without their graph.

        Raises:
            ValueError: a process has fewer rows than another has micro-batches, where processes encode in step.
        """
        micro_batches, parted = self._split(batch)
        if not parted:
            return one_pass(self.accelerator, self.model, batch)
        statistics = RunningStatistics(self.model)
        states: list[tuple[Tensor, Tensor | None]] = []
        encoded: list[Batch] = []
        for micro_batch in micro_batches:
            states.append(_random_state(self.accelerator.device))
            encoded.append(self._encode_without_graph(micro_batch))
            statistics.collect()
        losses, gradients = self._contrast(encoded, batch)
        del encoded
        for place, (micro_batch, state) in enumerate(zip(micro_batches, states, strict=True)):
            last = place == len(micro_batches) - 1
            # Where a later batch adds to the gradients, no process waits for others anyway.
            alone = not last and self.accelerator.sync_gradients
            with self.accelerator.no_sync(self.model) if alone else nullcontext():
                _set_random_state(self.accelerator.device, state)
                vectors = self.model(**micro_batch, encode_only=True)
                reached = [name for name in gradients[place] if vectors[name].requires_grad]
                torch.autograd.backward(
                    [vectors[name] for name in reached], [gradients[place][name] for name in reached]
                )
        statistics.settle()
        return losses

    def _encode_without_graph(self, micro_batch: Batch) -> Batch:
        """Without gradient, but of compiled encoders: the graph of the second pass drops out what the second does."""
        model = self.accelerator.unwrap_model(self.model)
        compiled = is_compiled(model.text_model) or is_compiled(model.vision_model)
        # DDP exchanges buffers in every pass with gradient, of which processes may have unlike numbers.
        with self.accelerator.no_sync(self.model) if compiled else torch.no_grad():
            vectors = self.model(**micro_batch, encode_only=True)
        return {name: vector.detach() for name, vector in vectors.items()}

    def _split(self, batch: Batch) -> tuple[list[Batch], bool]:
        """Micro-batches of like size, as many in every process, and whether any process has several."""
        rows = torch.tensor([len(batch["input_ids"])], device=self.accelerator.device)
        shares = self.accelerator.gather(rows).tolist()
        count = math.ceil(max(shares) / self.micro_batch_size)
        in_step = self.accelerator.is_fsdp2 or sees_other_processes(self.model)
        if in_step and min(shares) < count:
            raise ValueError(
                f"micro_batch_size: {self.micro_batch_size} makes {count} micro-batches of {max(shares)} rows, and "
                f"another process has only {min(shares)} rows"
            )
        own = min(count, shares[self.accelerator.process_index])
        pieces = {name: tensor.tensor_split(own) for name, tensor in batch.items()}
        return [{name: split[place] for name, split in pieces.items()} for place in range(own)], count > 1

    def _contrast(self, encoded: list[Batch], batch: Batch) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        """The losses of all micro-batches' vectors, and the vectors' gradients, those of each micro-batch by name."""
        leaves = {name: _join([vectors[name] for vectors in encoded]) for name in _VECTORS if name in encoded[0]}
        if "temperature" in encoded[-1]:
            leaves["temperature"] = encoded[-1]["temperature"]
        for name, leaf in leaves.items():
            leaf.requires_grad_(name != "word_mask")
        masks = {name: batch.get(name) for name in ("perturbation_mask", "report_ids")}
        output = self.accelerator.unwrap_model(self.model).compute_losses(**leaves, **masks)
        self.accelerator.backward(output.loss)
        gradients: list[dict[str, Tensor]] = [{} for _ in encoded]
        rows = [len(vectors["text_embeds"]) for vectors in encoded]
        for name, leaf in leaves.items():
            if leaf.grad is None:
                continue
            if name == "temperature":  # one for all, which goes on from the pass after which processes exchange
                gradients[-1][name] = leaf.grad
                continue
            for own, vectors, part in zip(gradients, encoded, leaf.grad.split(rows), strict=True):
                own[name] = part[:, : vectors[name].shape[1]]
        return output.losses(), gradients


def one_pass(accelerator: Accelerator, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Adds a whole batch's gradients to the weights'; returns the losses, as `GradientCache.backward`."""
    output = model(**batch)
    accelerator.backward(output.loss)
    return output.losses()


def _join(parts: list[Tensor]) -> Tensor:
    """[rows, W, ...] of several sizes W, one under another, padded with zeros to the largest."""
    largest = max(part.shape[1] for part in parts)
    behind = [0] * (2 * (parts[0].ndim - 2))
    return torch.cat([nn.functional.pad(part, (*behind, 0, largest - part.shape[1])) for part in parts])


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of the CPU and of the device."""
    of_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return torch.get_rng_state(), of_device


def _set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], device)
