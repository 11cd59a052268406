"""Scripts in a process of their own, offline, where the project cannot be imported though it is installed."""

import os
import subprocess
import sys
from pathlib import Path

_BLOCK = """
import sys

class _Blocked:  # an editable installation would let it in
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, _Blocked())
sys.path.insert(0, ".")
"""
_PACKAGES = ("modeling_prd", "training", "datasets_scripts", "evaluate_suite", "benchmarks", "train", "finetune")

ACCURACY = """
import evaluate
from datasets import Features, Value

class Accuracy(evaluate.Metric):
    def _info(self):
        features = Features({"predictions": Value("int64"), "references": Value("int64")})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        return {"accuracy": sum(a == b for a, b in zip(predictions, references)) / len(references)}
"""
"""A metric's file: by name, `evaluate` would ask the Hub for it."""


def run_without_project(script: str, folder: Path, *arguments: str, **variables: str) -> str:
    """Runs a script in a folder, offline unless the variables say otherwise, and returns what it prints."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    environment |= variables
    process = subprocess.run(
        [sys.executable, "-I", "-c", _BLOCK.format(packages=_PACKAGES) + script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout
