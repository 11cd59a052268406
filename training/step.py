"""The optimisation step of pre-training, which needs only torch, accelerate and the model."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from .gradient_cache import Batch, GradientCache, one_pass


class TrainingStep:
    """Forward and backward pass of a batch and, where it is the last that a step accumulates, the weights' move.

    Args:
        accelerator: its devices, precision and accumulation.
        model, optimizer: prepared by the accelerator.
        scheduler: not prepared: Accelerate would step it once a process.
        max_grad_norm: gradients are clipped to this norm; 0 does not clip.
        micro_batch_size: images that the encoders see at once (`GradientCache`); None is the whole batch.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: Any,
        scheduler: LRScheduler,
        max_grad_norm: float,
        micro_batch_size: int | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.max_grad_norm = max_grad_norm
        self.cache = None if micro_batch_size is None else GradientCache(accelerator, model, micro_batch_size)

    def __call__(self, batch: Batch, step: int) -> dict[str, float]:
        """Runs a batch.

        Args:
            batch: inputs of `PRDModel.forward`, on the device.
            step: the number of the optimizer step that this is part of, for the error.

        Returns:
            the losses that the inputs allow.

        Raises:
            FloatingPointError: the loss is no finite number; the weights have not moved.
        """
        with self.accelerator.accumulate(self.model):
            computed = self._backward(batch)
            # One transfer for all, behind the backward pass: a GPU has its work before the process waits for it.
            losses = dict(zip(computed, torch.stack(list(computed.values())).tolist(), strict=True))
            if not math.isfinite(losses["loss"]):
                raise FloatingPointError(
                    f"the loss is {losses['loss']} at step {step}: lower learning_rate or train without "
                    "mixed_precision; the last checkpoint is kept"
                )
            if self.accelerator.sync_gradients and self.max_grad_norm > 0:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.optimizer.step()
            if self.accelerator.sync_gradients and not self.accelerator.optimizer_step_was_skipped:
                self.scheduler.step()
            self.optimizer.zero_grad()
        return losses

    def _backward(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self.cache is not None:
            return self.cache.backward(batch)
        return one_pass(self.accelerator, self.model, batch)
