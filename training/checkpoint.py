"""Checkpoints that hold everything a run needs to go on as if it had not stopped."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator

from .arguments import Recipe
from .errors import InputError

_RECIPE_FILE = "recipe.yaml"
_PROGRESS_FILE = "progress.json"
# Keys that may differ between a run and the one that resumes it.
_FREE_KEYS = frozenset(
    {
        "output_dir",
        "resume",
        "overwrite",
        "device",
        "cpu_threads",
        "save_steps",
        "save_total_limit",
        "report_to",
        "logging_steps",
        "push_to_hub",
        "hub_public",
        "dataloader_num_workers",
        "eval_batch_size",
    }
)


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        batch: batches done of the epoch that runs.
        seconds: time spent training and evaluating.
        window: sums of the losses since the last line of the history.
        window_batches: how many batches they are of.
        num_processes: processes that train; a batch is one for each.
        train_digest: of the training split, `data.split_digest`.
        history: lines of losses and of evaluations, oldest first.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)
    window_batches: int = 0
    num_processes: int = 1
    train_digest: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


def check_output_dir(recipe: Recipe) -> None:
    """Refuses an `output_dir` that this run may not write to; writes nothing.

    Raises:
        ValueError: the folder holds another run, or files that are no run, or a run that was not asked to be resumed;
            or `resume` names a folder without a checkpoint.
    """
    resume, folder = recipe.run.resume, Path(recipe.run.output_dir)
    if resume != "none" and recipe.run.overwrite:
        raise ValueError("overwrite would delete the run that resume goes on with: give one of them")
    if resume not in ("none", "auto"):
        if not (Path(resume) / _PROGRESS_FILE).is_file():
            raise ValueError(f"resume: {resume!r} holds no checkpoint (no {_PROGRESS_FILE})")
        _check_same_run(Path(resume), recipe)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / _RECIPE_FILE).is_file():
        raise ValueError(f"output_dir {str(folder)!r} holds files that are no run of this trainer: name another")
    if recipe.run.overwrite:
        return
    if resume == "none":
        raise ValueError(
            f"output_dir {str(folder)!r} holds a run: name another, go on with --resume auto, or --overwrite true"
        )
    _check_same_run(folder, recipe)


def claim_output_dir(recipe: Recipe) -> None:
    """Makes `output_dir` this run's, by the recipe written into it; `overwrite` empties it first."""
    check_output_dir(recipe)
    folder = Path(recipe.run.output_dir)
    try:
        if recipe.run.overwrite and folder.exists():
            shutil.rmtree(folder)
        for killed_while_saved in (folder / "checkpoints").glob("partial-*"):
            shutil.rmtree(killed_while_saved)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_whole(folder / _RECIPE_FILE, recipe.to_yaml())
    except OSError as error:
        raise InputError(f"output_dir {str(folder)!r} cannot be written to: {error}") from error


def _check_same_run(folder: Path, recipe: Recipe) -> None:
    before, now = yaml.safe_load((folder / _RECIPE_FILE).read_text()) or {}, recipe.to_flat_dict()
    for key in now.keys() - _FREE_KEYS:
        if before.get(key) != now[key]:
            raise ValueError(
                f"{str(folder)!r} holds another run: its {key} is {before.get(key)!r}, not {now[key]!r}; "
                "name another folder or set it back"
            )


def save_checkpoint(accelerator: Accelerator, recipe: Recipe, progress: Progress) -> Path:
    """Writes `output_dir/checkpoints/step-N`: weights, optimizer, scheduler, scaler, random states and the progress.

    It is written under another name and renamed when whole, so a killed run leaves no half checkpoint. All processes
    call this.
    """
    output_dir = Path(recipe.run.output_dir)
    final = output_dir / "checkpoints" / f"step-{progress.step}"
    partial = final.with_name(f"partial-{final.name}")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_whole(partial / _PROGRESS_FILE, json.dumps(asdict(progress)))
        write_whole(partial / _RECIPE_FILE, recipe.to_yaml())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in _checkpoints(output_dir)[: -recipe.run.save_total_limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(accelerator: Accelerator, recipe: Recipe, start: Progress) -> Progress:
    """Restores a checkpoint into the prepared objects.

    Args:
        recipe: its `resume` is `none`, `auto` (the newest, if there is one), or a checkpoint's folder.
        start: the progress of a run that begins.

    Returns:
        where the run stands; `start` when nothing was restored.

    Raises:
        InputError: the checkpoint was written by another number of processes or on other data.
    """
    resume = recipe.run.resume
    found = _checkpoints(Path(recipe.run.output_dir)) if resume == "auto" else [Path(resume)]
    if resume == "none" or not found:
        return start
    folder = found[-1]
    progress = Progress(**json.loads((folder / _PROGRESS_FILE).read_text()))
    before, now = progress.num_processes, start.num_processes
    if before != now:
        raise InputError(f"resume: {str(folder)!r} was written with num_processes {before}, this run has {now}")
    if progress.train_digest != start.train_digest:
        raise InputError(f"resume: {str(folder)!r} was written on other training data than this run has")
    accelerator.load_state(str(folder))
    return progress


def _checkpoints(output_dir: Path) -> list[Path]:
    folders = (output_dir / "checkpoints").glob("step-*")
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix("step-")))


def write_whole(path: Path, text: str) -> None:
    """Writes a file under another name and renames it, so that a killed run leaves no half one."""
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
