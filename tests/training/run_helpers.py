"""What the trainer's tests read of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

import train
from training.loop import PreTrainer

LOSSES = ("loss", "loss_global", "loss_local", "loss_perturbation")


def history(run: Path) -> list[dict[str, Any]]:
    newest = max((run / "checkpoints").iterdir(), key=lambda folder: int(folder.name.removeprefix("step-")))
    return json.loads((newest / "progress.json").read_text())["history"]


def trained_losses(run: Path) -> list[dict[str, Any]]:
    return [line for line in history(run) if "loss" in line]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_info:
        train.main(arguments)
    assert exit_info.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    return errors[0]


def train_killed_at(step: int, recipe: Path) -> None:
    """Trains until that many steps are done, and is interrupted in the next."""
    whole_step = PreTrainer.run_batch

    def step_until_killed(trainer: PreTrainer, batch: Any) -> Any:
        if trainer.progress.step == step:
            raise KeyboardInterrupt
        return whole_step(trainer, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainer, "run_batch", step_until_killed)
        with pytest.raises(KeyboardInterrupt):
            train.main(["--config", str(recipe)])
