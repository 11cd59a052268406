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
        history: lines of losses and of evaluations, oldest first.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def check_output_dir(recipe: Recipe) -> None:
    """Refuses an `output_dir` that this run may not write to; writes nothing.

    Raises:
        ValueError: the folder holds another run, or files that are no run, or a run that was not asked to be resumed;
            or `resume` names a folder without a checkpoint.
    """
    resume, folder = recipe.run.resume, Path(recipe.run.output_dir)
    if resume not in ("none", "auto") and not (Path(resume) / _PROGRESS_FILE).is_file():
        raise ValueError(f"resume: {resume!r} holds no checkpoint (no {_PROGRESS_FILE})")
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
    if recipe.run.overwrite and folder.exists():
        shutil.rmtree(folder)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write(folder / _RECIPE_FILE, recipe.to_yaml())


def _check_same_run(folder: Path, recipe: Recipe) -> None:
    before, now = yaml.safe_load((folder / _RECIPE_FILE).read_text()), recipe.to_flat_dict()
    for key in now.keys() - _FREE_KEYS:
        if before.get(key) != now[key]:
            raise ValueError(
                f"output_dir {str(folder)!r} holds another run: its {key} is {before.get(key)!r}, not {now[key]!r}; "
                "name another folder or set it back"
            )


def save_checkpoint(accelerator: Accelerator, output_dir: Path, progress: Progress, keep: int) -> Path:
    """Writes `output_dir/checkpoints/step-N`: weights, optimizer, scheduler, scaler, random states and the progress.

    It is written under another name and renamed when whole, so a killed run leaves no half checkpoint. All processes
    call this.
    """
    final = output_dir / "checkpoints" / f"step-{progress.step}"
    partial = final.with_name(f"partial-{final.name}")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _write(partial / _PROGRESS_FILE, json.dumps(asdict(progress)))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in _checkpoints(output_dir)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(accelerator: Accelerator, output_dir: Path, resume: str) -> Progress:
    """Restores a checkpoint into the prepared objects.

    Args:
        resume: `none`, `auto` (the newest, if there is one), or a checkpoint's folder.

    Returns:
        where the run stands; the start when nothing was restored.
    """
    if resume == "none":
        return Progress()
    if resume == "auto":
        found = _checkpoints(output_dir)
        if not found:
            return Progress()
        folder = found[-1]
    else:
        folder = Path(resume)
    accelerator.load_state(str(folder))
    return Progress(**json.loads((folder / _PROGRESS_FILE).read_text()))


def _checkpoints(output_dir: Path) -> list[Path]:
    folders = (output_dir / "checkpoints").glob("step-*")
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix("step-")))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text)
    os.replace(partial, path)
