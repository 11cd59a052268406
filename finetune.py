"""Fine-tune: `accelerate launch finetune.py --task {mednli,radnli,chexpert} --model DIR --data DIR ...`."""

import shutil
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from huggingface_hub.utils import validate_repo_id
from peft import PeftModel

from evaluate_suite.data import display_name
from training.devices import build_accelerator, device_name
from training.errors import InputError, one_line_errors
from training.finetuning.arguments import FineTuning, parse_finetuning
from training.finetuning.card import confusion_table, render_card, results_table
from training.finetuning.images import load_images
from training.finetuning.loop import FineTuner, freeze_for
from training.finetuning.models import Classifier, load_classifier
from training.finetuning.nli import load_nli
from training.finetuning.output import (
    STAYS_LOCAL,
    best_seed,
    check_output_dir,
    claim_output_dir,
    finished_seeds,
    replace_model,
    save_seed,
    write_metrics,
)
from training.finetuning.task import Task, Tree
from training.lora import ADAPTER_FOLDER, attach_lora, merge_adapter, save_adapter, trainable_share
from training.models import prefer_channels_last
from training.publish import claim_model_repository, push_model_folder

_LOADERS = {"mednli": load_nli, "radnli": load_nli, "chexpert": load_images}


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line and runs it; a bad input ends it with status 2 and one line."""
    with one_line_errors(InputError, FloatingPointError):
        with one_line_errors(ValueError, OSError, ImportError):
            run = parse_finetuning(arguments)
            accelerator, task = prepare(run)
        finetune(run, accelerator, task)


def prepare(arguments: FineTuning) -> tuple[Accelerator, Task]:
    """Everything that can fail on a bad input: folders, devices, data, model, adapters."""
    check_output_dir(arguments)
    run = arguments.run
    if run.push_to_hub:
        validate_repo_id(run.push_to_hub)
    # Some of transformers' classifiers have weights without a gradient: CLIP's, the normalisation of an unread token.
    accelerator = build_accelerator(run, arguments.optimization, arguments.seeds[0], unused_weights=True)
    if run.push_to_hub and accelerator.is_main_process:
        claim_model_repository(run.push_to_hub, public=run.hub_public)
    with accelerator.main_process_first():
        task = _LOADERS[arguments.task.task](arguments)
    classifier, adapted = build_classifier(arguments, task, arguments.seeds[0])
    check_fit(classifier, task)
    accelerator.print(*task.splits.notes, f"trains {trainable_share(classifier.model, adapted)}", sep="\n")
    return accelerator, task


def build_classifier(arguments: FineTuning, task: Task, seed: int) -> tuple[Classifier, PeftModel | None]:
    """The classifier that a seed starts from, frozen or with adapters as the run says."""
    set_seed(seed)
    classifier = load_classifier(
        arguments.classifier, task.labels, task.problem_type, max_length=arguments.task.max_length
    )
    freeze_for(arguments.classifier.method, classifier)
    base = display_name(arguments.classifier.model)
    adapted = attach_lora(classifier.model, arguments.lora, classifier.encoders, classifier.heads, base)
    # Convolutions train in less time with their channels innermost, as in pre-training.
    prefer_channels_last(classifier.model)
    return classifier, adapted


def check_fit(classifier: Classifier, task: Task) -> None:
    """Runs the first rows through the model, so that what does not fit shows before training.

    Raises:
        ValueError: the model does not take them.
    """
    rows = list(islice(task.splits.train, 2))
    inputs = task.collator(classifier.prepare)(rows)
    inputs.pop("labels")
    try:
        with torch.inference_mode():
            classifier.model.eval()(**inputs)
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"model: it does not take this data: {error}") from error


def finetune(arguments: FineTuning, accelerator: Accelerator, task: Task) -> None:
    """Runs the seeds that are not finished, and writes the folder after each."""
    if accelerator.is_main_process:
        claim_output_dir(arguments)
    accelerator.wait_for_everyone()
    results = finished_seeds(arguments)
    for seed in arguments.seeds:
        if seed in results:
            accelerator.print(f"seed {seed} is finished and kept")
            continue
        classifier, adapted = build_classifier(arguments, task, seed)
        results[seed] = run_seed(arguments, accelerator, task, classifier, adapted, seed)
        if accelerator.is_main_process:
            if best_seed(results) == seed:
                write_model(arguments, classifier, adapted)
            save_seed(arguments, seed, results[seed])
        accelerator.wait_for_everyone()
        accelerator.free_memory()
    if accelerator.is_main_process:
        conclude(arguments, task, results)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # also ends the process group


def run_seed(
    arguments: FineTuning,
    accelerator: Accelerator,
    task: Task,
    classifier: Classifier,
    adapted: PeftModel | None,
    seed: int,
) -> Tree:
    """Trains with one seed and measures its best weights on the validation and the reported split."""
    started = time.perf_counter()
    share = trainable_share(classifier.model, adapted)
    tuner = FineTuner(arguments, accelerator, classifier, task, seed)
    progress = tuner.train()
    seconds = time.perf_counter() - started
    logits = {"validation": tuner.logits(task.splits.validation), "test": tuner.logits(task.splits.test)}
    return {
        "score": progress.best_score,
        "best_step": progress.best_step,
        "steps": progress.step,
        "seconds": seconds,
        "device": device_name(accelerator),
        "train_rows": tuner.train_rows,
        "trained": share,
        "history": progress.history,
        **task.measure(logits),
    }


def write_model(arguments: FineTuning, classifier: Classifier, adapted: PeftModel | None) -> None:
    """Makes `output_dir` hold this classifier; each file is written elsewhere first and moved when all are there."""
    folder = Path(arguments.run.output_dir)
    partial = folder / "partial-model"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model: Any = classifier.model
    if adapted is not None:
        save_adapter(adapted, partial / ADAPTER_FOLDER)
        model = merge_adapter(adapted)
    for name in ("vision_config", "text_config"):
        if hasattr(model.config, name):
            getattr(model.config, name).name_or_path = ""  # where it was loaded from is no part of the model
    model.save_pretrained(partial)
    classifier.prepare.save(partial)
    replace_model(partial, folder)


def conclude(arguments: FineTuning, task: Task, results: dict[int, Tree]) -> None:
    """Writes numbers and card, prints the numbers, and pushes the folder where it was asked to."""
    folder = Path(arguments.run.output_dir)
    metrics = write_metrics(arguments, task.splits, results)
    card = render_card(arguments, metrics, task.labels, task.splits.notes)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if arguments.task.hypothesis_only:
        print("\nhypothesis alone, a control: at chance where the premise decides")
    print(f"\n{results_table(metrics)}\n\n{confusion_table(metrics['test'])}\nmodel, numbers and card: {folder}")
    if arguments.run.push_to_hub:
        print(
            push_model_folder(
                folder, arguments.run.push_to_hub, public=arguments.run.hub_public, stays_local=STAYS_LOCAL
            )
        )


if __name__ == "__main__":
    main()
