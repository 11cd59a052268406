"""The pre-training loop: epochs, evaluations after each, checkpoints that resume exactly."""

import copy
import math
import time
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from evaluate_suite.encoders import PRDEncoder
from modeling_prd import PRDModel, PRDProcessor

from .arguments import Recipe
from .augmentation import ImageAugmentation
from .batch_norm import freeze_batch_norm
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .compilation import compile_parts
from .data import PairCollator, Pairs, draw_perturbations, edited_texts, split_digest, use_one_thread
from .evaluation import Tree, evaluate_pairs, held_out_losses
from .fresh import FreshPairCollator
from .gradient_cache import Batch
from .models import frozen_encoders
from .optimization import build_optimizer, build_scheduler
from .report import headline
from .sentences import SentenceCollator
from .sharding import prepare_model, whole_model
from .step import TrainingStep
from .streaming import PairStream

_MODEL_COLUMNS = ["image", "image_id", "report", "tags", "perturbed", "counterfactual", "findings"]


class PreTrainer:
    """One pre-training run.

    Every random draw of a step (dropout, augmentation, choice of perturbations) follows from the seed, the step and
    the process alone, so a run that was killed and resumed ends with the weights of one that was not.

    Args:
        recipe: the run.
        accelerator: its devices and processes.
        model: trained in place; where weights are sharded over processes, `whole_model` puts them into it.
        processor: prepares images and reports.
        pairs: the training and the evaluation split.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        model: PRDModel,
        processor: PRDProcessor,
        pairs: Pairs,
    ) -> None:
        self.recipe = recipe
        self.accelerator = accelerator
        self.processor = processor
        self.pairs = pairs
        self.plain = model
        self.known_reports = frozenset(pairs.train_texts["report"])
        arguments = recipe.optimization
        model = copy.deepcopy(model) if accelerator.is_fsdp2 else model
        optimizer = build_optimizer(model, arguments)
        if recipe.model.compile:
            if accelerator.is_fsdp2:
                raise ValueError(
                    "compile: not with FSDP, which gathers weights within the encoders; leave one of them out"
                )
            compile_parts(model)
        self.model, prepared_optimizer = prepare_model(accelerator, model, optimizer)
        self.collate = self._training_collator()
        self.batches = self._training_batches()
        self.steps_per_epoch = math.ceil(len(self.batches) / arguments.gradient_accumulation_steps)
        self.total_steps = arguments.max_steps or arguments.num_train_epochs * self.steps_per_epoch
        self.scheduler = build_scheduler(optimizer, arguments, self.total_steps)
        accelerator.register_for_checkpointing(self.scheduler)
        self.step = TrainingStep(
            accelerator,
            self.model,
            prepared_optimizer,
            self.scheduler,
            arguments.max_grad_norm,
            arguments.micro_batch_size,
        )
        images = processor.image_processor
        self.augment = ImageAugmentation(
            arguments.augmentation, *((images.image_mean, images.image_std) if images.do_normalize else ())
        ).to(accelerator.device)
        self.progress = Progress(num_processes=accelerator.num_processes, train_digest=split_digest(pairs.train_texts))

    def train(self) -> Tree:
        """Trains to the end, from the checkpoint that `resume` names if any; returns the last evaluation."""
        self._clock = time.perf_counter()
        self.progress = load_checkpoint(self.accelerator, self.recipe, self.progress)
        bar = tqdm(
            total=self.total_steps,
            initial=self.progress.step,
            desc="pre-train",
            unit="step",
            disable=not self.accelerator.is_main_process,
        )
        with bar:
            while self.progress.step < self.total_steps:
                self._train_epoch(bar)
        evaluations = [line for line in self.progress.history if "validation" in line]
        return evaluations[-1] if evaluations else {}

    def whole_model(self) -> AbstractContextManager[PRDModel | None]:
        """The model with its trained weights on the main process, None on the others; all of them enter this."""
        return whole_model(self.accelerator, self.model, self.plain)

    def _train_epoch(self, bar: tqdm) -> None:
        progress = self.progress
        self.batches.set_epoch(progress.epoch)
        self.collate.set_epoch(progress.epoch)
        batches = self.accelerator.skip_first_batches(self.batches, progress.batch) if progress.batch else self.batches
        self.set_train_mode()
        for batch in batches:
            losses = self.run_batch(batch)
            progress.batch += 1
            progress.window = {name: progress.window.get(name, 0.0) + value for name, value in losses.items()}
            progress.window_batches += 1
            if not self.accelerator.sync_gradients:
                continue
            progress.step += 1
            bar.update()
            if progress.step % self.recipe.run.logging_steps == 0:
                self._log_losses(bar)
            last = progress.batch == len(self.batches) or progress.step == self.total_steps
            if last:
                break
            if self.recipe.run.save_steps and progress.step % self.recipe.run.save_steps == 0:
                self._save()
        progress.epoch += 1
        progress.batch = 0
        self._evaluate(bar)
        self._save()

    def run_batch(self, batch: Batch) -> dict[str, float]:
        """Augments a batch, draws its perturbations and trains on it; returns the losses."""
        torch.manual_seed(self._step_entropy())
        batch = {**batch, "pixel_values": self.augment(batch["pixel_values"])}
        if self.recipe.model.beta == 0:
            batch = {name: tensor for name, tensor in batch.items() if not name.startswith("perturb")}
        else:
            batch = draw_perturbations(batch, self.recipe.data.perturbations_per_image, self._step_generator())
        return self.step(batch, self.progress.step + 1)

    def _step_entropy(self) -> int:
        place = (self.progress.epoch, self.progress.batch, self.accelerator.process_index)
        return int(np.random.SeedSequence([self.recipe.run.seed, *place]).generate_state(1)[0])

    def _step_generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._step_entropy())

    def set_train_mode(self) -> None:
        """Train mode, but for frozen encoders, and for all at a learning rate of 0: what is not trained stands still.

        That holds for dropout and running statistics, too.
        """
        self.model.train(self.recipe.optimization.learning_rate > 0)
        model = self.accelerator.unwrap_model(self.model)
        for encoder in frozen_encoders(self.recipe.model.freeze):
            model.get_submodule(encoder).eval()
        if self.recipe.model.batch_norm == "frozen":
            freeze_batch_norm(model)

    def _log_losses(self, bar: tqdm) -> None:
        """Notes the mean losses of the batches since the last line."""
        line: dict[str, Any] = {
            name: value / self.progress.window_batches for name, value in self.progress.window.items()
        }
        self.progress.window, self.progress.window_batches = {}, 0
        bar.set_postfix({name.removeprefix("loss_"): f"{value:.3f}" for name, value in line.items()})
        self.accelerator.log(line, step=self.progress.step)
        line |= {"step": self.progress.step, "learning_rate": self.scheduler.get_last_lr()[0]}
        self.progress.history.append(line)

    def _evaluate(self, bar: tqdm) -> None:
        """Evaluates on the main process while the others wait, and notes the result in the history."""
        # Not compiled: it would be so anew for evaluation's modes, in which little time is spent.
        with torch.compiler.set_stance("force_eager"), self.whole_model() as model:
            if model is not None:
                started = time.perf_counter()
                tree = self._evaluation(model.eval())
                numbers = headline(tree)
                self.accelerator.log(numbers, step=self.progress.step)
                shown = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
                seconds = time.perf_counter() - started
                bar.write(f"epoch {self.progress.epoch}: {shown} ({seconds:.0f} s to evaluate)")
                self.progress.history.append({"step": self.progress.step, "epoch": self.progress.epoch, **tree})
        self.accelerator.wait_for_everyone()

    def _evaluation(self, model: PRDModel) -> Tree:
        encoder = PRDEncoder(model, self.processor, batch_size=self.recipe.run.eval_batch_size)
        tree = evaluate_pairs(encoder, self.pairs.validation, self.known_reports, local=self.recipe.model.alpha > 0)
        tree["validation"]["losses"] = held_out_losses(model, self._held_out_batches(), self.accelerator.device)
        return tree

    def _save(self) -> None:
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self._clock = now
        save_checkpoint(self.accelerator, self.recipe, self.progress)

    def _training_batches(self) -> DataLoaderShard:
        """Batches of this process, on its device."""
        train, size, accelerator = self.pairs.train, self.recipe.optimization.batch_size, self.accelerator
        drop_last = len(train) >= size * accelerator.num_processes
        options = self._loader_options(self.collate, size, drop_last=drop_last)
        if isinstance(train, PairStream):
            share = train.share(
                accelerator.process_index,
                accelerator.num_processes,
                seed=self.recipe.run.seed,
                buffer=self.recipe.data.shuffle_buffer,
            )
            # Not prepared: Accelerate would split it once more.
            rows = share.select_columns(_MODEL_COLUMNS)
            return DataLoaderShard(rows, device=accelerator.device, _non_blocking=accelerator.non_blocking, **options)
        return accelerator.prepare(DataLoader(train.select_columns(_MODEL_COLUMNS), shuffle=True, **options))

    def _held_out_batches(self) -> DataLoader:
        collate = PairCollator(self.processor, self.recipe.data.max_length)
        options = self._loader_options(collate, self.recipe.optimization.batch_size, drop_last=False)
        return DataLoader(self.pairs.validation.select_columns(_MODEL_COLUMNS), **options)

    def _training_collator(self) -> PairCollator:
        max_length, types = self.recipe.data.max_length, self.recipe.data.perturbation_types
        if self.recipe.data.sentence_sampling:
            return SentenceCollator(self.processor, max_length, self.recipe.run.seed)
        if self.recipe.data.perturbations == "stored":
            return PairCollator(self.processor, max_length, types)
        # In their order, so that every process and every resumed run checks the same ones.
        texts = chain(self.pairs.train_texts["report"], edited_texts(self.pairs.train_texts, types))
        return FreshPairCollator(self.processor, max_length, texts, self.recipe.run.seed, types)

    def _loader_options(self, collate: PairCollator, batch_size: int, *, drop_last: bool) -> dict[str, Any]:
        workers = self.recipe.data.dataloader_num_workers
        return {
            "batch_size": batch_size,
            "drop_last": drop_last,
            "collate_fn": collate,
            "num_workers": workers,
            "worker_init_fn": use_one_thread,
            "persistent_workers": workers > 0,
            "pin_memory": self.accelerator.device.type == "cuda",
        }
