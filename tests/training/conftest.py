"""A tiny PhantomCXR and a tiny recipe for the trainer's tests."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from accelerate.state import AcceleratorState, GradientState
from tiny_recipe import TINY_RECIPE

from datasets_scripts import phantom


@pytest.fixture(scope="session")
def phantom_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PhantomCXR with 32 training and 12 validation images of 64 pixels."""
    folder = tmp_path_factory.mktemp("phantom") / "data"
    phantom.build(folder, train=32, validation=12, test=0, image_size=64, progress=False)
    return folder


@pytest.fixture
def write_recipe(phantom_dir: Path, tmp_path: Path):
    """Writes the tiny recipe with changes, and gives its path and the run's folder."""

    def write(name: str = "run", **changes: Any) -> tuple[Path, Path]:
        run = tmp_path / name
        recipe = {**TINY_RECIPE, "data": str(phantom_dir), "output_dir": str(run), **changes}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path, run

    return write


@pytest.fixture(autouse=True)
def fresh_accelerator_state():
    """Accelerate keeps one state a process; each test gets its own."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def no_pause_after_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` sleeps five seconds at each end of a stream, for a process that ends with it; this one does not."""
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
