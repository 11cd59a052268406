"""The fine-tuning loop of one seed: steps, evaluations on the validation split, the best weights kept."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modeling_prd.classification_loss_prd import label_cross_entropy

from ..augmentation import ImageAugmentation
from ..optimization import build_optimizer, build_scheduler
from .arguments import FineTuning
from .models import Classifier, ImagePreparation
from .objective import balanced_weights
from .task import Batch, Scores, Task


@dataclass
class Progress:
    """What a seed's training has come to.

    Attributes:
        step: optimizer steps done.
        best_step: after how many the best weights were.
        best_score: theirs on the validation split; minus infinity before the first evaluation.
        worse: evaluations since then.
        history: a line an evaluation: step, mean training loss since the last, score.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -math.inf
    worse: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class FineTuner:
    """Trains a classifier on a task with one seed.

    Args:
        arguments: the run.
        accelerator: its devices and processes.
        classifier: its model is trained in place, those of its weights that require gradients.
        task: with its data.
        seed: of order, augmentation, dropout and the label fraction.
    """

    def __init__(
        self, arguments: FineTuning, accelerator: Accelerator, classifier: Classifier, task: Task, seed: int
    ) -> None:
        self.arguments = arguments
        self.accelerator = accelerator
        self.classifier = classifier
        self.task = task
        self.seed = seed
        self.progress = Progress()
        self.collate = task.collator(classifier.prepare)
        rows = task.training_rows(seed)
        self.train_rows = len(rows)
        self.weights = self._class_weights(rows)
        optimizer = build_optimizer(classifier.model, arguments.optimization)
        accelerator.dataloader_config.data_seed = seed  # of the sampler that it puts in place of the loader's
        batches = DataLoader(
            rows,
            batch_size=arguments.optimization.batch_size,
            shuffle=True,
            collate_fn=self.collate,
            num_workers=arguments.task.dataloader_num_workers,
        )
        self.model, self.optimizer, self.batches = accelerator.prepare(classifier.model, optimizer, batches)
        steps_per_epoch = math.ceil(len(self.batches) / arguments.optimization.gradient_accumulation_steps)
        self.eval_steps = arguments.optimization.eval_steps or steps_per_epoch
        self.total_steps = (
            arguments.optimization.max_steps or arguments.optimization.num_train_epochs * steps_per_epoch
        )
        # Not prepared: Accelerate would step it once a process.
        self.scheduler = build_scheduler(optimizer, arguments.optimization, self.total_steps)
        self.augment = self._augmentation()

    def train(self) -> Progress:
        """Trains to the end or until early stopping; the model then has its best weights and is in eval mode."""
        best: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        bar = tqdm(
            total=self.total_steps,
            desc=f"seed {self.seed}",
            unit="step",
            disable=not self.accelerator.is_main_process,
        )
        torch.manual_seed(np.random.SeedSequence([self.seed, self.accelerator.process_index]).generate_state(1)[0])
        with bar:
            for batch in self._endless_batches():
                losses.append(self._step(batch))
                if not self.accelerator.sync_gradients:
                    continue
                self.progress.step += 1
                bar.update()
                done = self.progress.step == self.total_steps
                if not done and self.progress.step % self.eval_steps:
                    continue
                loss = self.accelerator.reduce(torch.stack(losses).mean(), "mean")  # of all processes
                if self._evaluate(loss.item(), bar):
                    best = self._copy_weights()
                losses.clear()
                patience = self.arguments.optimization.early_stopping_patience
                if done or (patience is not None and self.progress.worse >= patience):
                    break
        self._unwrapped.load_state_dict(best, strict=False)
        self._unwrapped.eval()
        return self.progress

    @torch.inference_mode()
    def logits(self, rows: Dataset) -> Scores:
        """The model's logits of rows, [N, K] float64, the same on all processes."""
        self.model.eval()
        batches = self.accelerator.prepare(
            DataLoader(rows, batch_size=self.arguments.run.eval_batch_size, collate_fn=self.collate)
        )
        parts = []
        for batch in batches:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            logits = self.accelerator.gather_for_metrics(self.model(**inputs).logits.float())
            parts.append(logits.cpu())
        return torch.cat(parts).numpy().astype(np.float64)

    @property
    def _unwrapped(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.model)

    def _step(self, batch: Batch) -> Tensor:
        """One forward and backward pass; returns the loss."""
        with self.accelerator.accumulate(self.model):
            labels = batch["labels"]
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            if self.augment is not None:
                inputs["pixel_values"] = self.augment(inputs["pixel_values"])
            loss = label_cross_entropy(self.model(**inputs).logits, labels, self.weights)
            if not torch.isfinite(loss):
                raise _diverged(f"the loss is {loss.item()} at step {self.progress.step + 1}")
            self.accelerator.backward(loss)
            limit = self.arguments.optimization.max_grad_norm
            if self.accelerator.sync_gradients and limit > 0:
                self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
            self.optimizer.step()
            if self.accelerator.sync_gradients and not self.accelerator.optimizer_step_was_skipped:
                self.scheduler.step()
            self.optimizer.zero_grad()
        return loss.detach()

    def _endless_batches(self) -> Any:
        while True:
            for batch in self.batches:
                self._set_train_mode()
                yield batch

    def _evaluate(self, loss: float, bar: tqdm) -> bool:
        """Scores the validation split; returns whether that is the best so far."""
        rows = self.task.splits.validation
        progress = self.progress
        logits = self.logits(rows)
        if not np.isfinite(logits).all():
            raise _diverged(f"the answers are no numbers after step {progress.step}")
        score = self.task.score(logits, rows)
        progress.history.append({"step": progress.step, "loss": loss, "score": score})
        bar.set_postfix({"loss": f"{loss:.3f}", "validation": f"{score:.3f}"})
        better = score > progress.best_score
        progress.worse = 0 if better else progress.worse + 1
        if better:
            progress.best_score, progress.best_step = score, progress.step
        return better

    def _copy_weights(self) -> dict[str, Tensor]:
        """What training changes: the trained weights, and the buffers."""
        frozen = {name for name, weight in self._unwrapped.named_parameters() if not weight.requires_grad}
        return {name: value.clone() for name, value in self._unwrapped.state_dict().items() if name not in frozen}

    def _set_train_mode(self) -> None:
        """Train mode, but for a linear probe's encoder: its dropout and running statistics stand still."""
        self.model.train()
        if self.arguments.classifier.method == "linear_probe":
            for encoder in self.classifier.encoders:
                self._unwrapped.get_submodule(encoder).eval()

    def _class_weights(self, rows: Dataset) -> Tensor | None:
        if self.arguments.optimization.class_weights == "none":
            return None
        weights = balanced_weights(self.task.targets(rows), len(self.task.labels))
        return weights.to(self.accelerator.device)

    def _augmentation(self) -> ImageAugmentation | None:
        if not isinstance(self.classifier.prepare, ImagePreparation):
            return None
        mean, std = self.classifier.prepare.normalization()
        return ImageAugmentation(self.arguments.optimization.augmentation, mean, std).to(self.accelerator.device)


def _diverged(what: str) -> FloatingPointError:
    return FloatingPointError(f"{what}: lower learning_rate or train without mixed_precision")


def freeze_for(method: str, classifier: Classifier) -> None:
    """Freezes what the method does not train: for `linear_probe` the encoder, but for what is new in it."""
    if method == "linear_probe":
        for encoder in classifier.encoders:
            classifier.model.get_submodule(encoder).requires_grad_(False)
        for head in classifier.heads:
            classifier.model.get_submodule(head).requires_grad_(True)
