"""Fine-tuned folders where the project is not: pipelines, the evaluator that the card shows, the Hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from finetune_helpers import QUICK, run_finetune, save_prd, write_images, write_mednli
from hub_server import client_environment, running_hub

import finetune

ROOT = Path(finetune.__file__).parent
WITHOUT_PROJECT = """
import sys

class Blocked:  # an editable installation would let it in
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("modeling_prd", "training"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prd`, `mednli` and `images`."""
    folder = tmp_path_factory.mktemp("inputs")
    save_prd(folder / "prd")
    write_mednli(folder / "mednli")
    write_images(folder / "images", train=24, validation=12, test=12)
    return folder


def run_elsewhere(script: str, folder: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_PROJECT + script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_a_fine_tuned_folder_runs_in_a_text_classification_pipeline(inputs: Path, tmp_path: Path):
    run_finetune(
        *("--task", "mednli", "--model", inputs / "prd", "--data", inputs / "mednli"),
        *("--output_dir", tmp_path / "run", "--max_steps", 2, "--lora_r", 2),
    )
    script = """
from transformers import pipeline
classify = pipeline("text-classification", model="run", trust_remote_code=True)
print(classify({"text": "There is a nodule.", "text_pair": "no effusion"})["label"])
"""
    assert run_elsewhere(script, tmp_path).strip() in ("entailment", "neutral", "contradiction")


def test_a_fine_tuned_folder_runs_in_an_image_classification_pipeline(inputs: Path, tmp_path: Path):
    run_finetune(
        *("--task", "chexpert", "--model", inputs / "prd", "--data", inputs / "images"),
        *("--output_dir", tmp_path / "run", "--max_steps", 2),
    )
    script = """
from PIL import Image
from transformers import pipeline
classify = pipeline("image-classification", model="run", trust_remote_code=True)
print(sorted(answer["label"] for answer in classify(Image.new("L", (40, 40), 120))))
"""
    assert run_elsewhere(script, tmp_path).strip() == "['Consolidation', 'Pleural Effusion']"


def test_a_pushed_folder_is_private_and_leaves_what_names_the_machine_behind(inputs: Path, tmp_path: Path):
    with running_hub() as hub:
        environment = client_environment(hub, tmp_path / "hf", PYTHONPATH=str(ROOT))
        arguments = [*("--task", "mednli", "--model", inputs / "prd", "--data", inputs / "mednli", "--max_steps", 1)]
        arguments += ["--output_dir", tmp_path / "run", "--push_to_hub", "org/nli"]
        command = [sys.executable, str(ROOT / "finetune.py"), *QUICK, *map(str, arguments)]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        repository = hub.repositories["org/nli"]
        assert repository.private
        assert {"model.safetensors", "README.md", "metrics.json"} <= set(repository.files)
        assert not [path for path in repository.files if path.startswith(("seeds/", "finetune.yaml"))]
        assert not [path for path, content in repository.files.items() if str(tmp_path).encode() in content]
