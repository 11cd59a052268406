"""Fine-tuned folders where the project is not: the pipelines and evaluators that the card shows, and the Hub."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from finetune_helpers import QUICK, run_finetune, save_prd, write_images, write_mednli
from hub_server import client_environment, running_hub
from PIL import Image as PILImage
from without_project import ACCURACY, run_without_project

import finetune
from training.finetuning.arguments import parse_finetuning

ROOT = Path(finetune.__file__).parent


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prd`, `mednli` and `images`."""
    folder = tmp_path_factory.mktemp("inputs")
    save_prd(folder / "prd")
    write_mednli(folder / "mednli")
    write_images(folder / "images", train=24, validation=12, test=12)
    return folder


def card_code(run: Path) -> str:
    """The Python that a run's card shows, on that run, with the metric's file in place of the Hub's."""
    blocks = (run / "README.md").read_text().split("```python\n")[1:]
    code = "\n".join(block.split("```")[0] for block in blocks)
    return code.replace('"accuracy"', '"accuracy.py"').replace("evaluate.evaluator(", "measured = evaluate.evaluator(")


def test_the_code_on_the_card_of_a_text_classifier_runs(inputs: Path, tmp_path: Path):
    run_finetune(
        *("--task", "mednli", "--model", inputs / "prd", "--data", inputs / "mednli"),
        *("--output_dir", tmp_path / "run", "--max_steps", 2, "--lora_r", 2),
    )
    (tmp_path / "accuracy.py").write_text(ACCURACY)
    before = """
from datasets import Dataset
REPO_OR_FOLDER = "run"
pairs = Dataset.from_dict({"premise": ["a nodule"] * 3, "hypothesis": ["no effusion"] * 3, "label": [0, 1, 2]})
"""
    after = """
print(classify({"text": "nodule " * 100, "text_pair": "clear"})["label"] in model.config.label2id)
print(round(3 * measured["accuracy"]))
"""
    assert run_without_project(before + card_code(tmp_path / "run") + after, tmp_path).split() == ["True", "1"]


@pytest.mark.parametrize(("task", "data"), [("mednli", "mednli"), ("chexpert", "images")])
def test_batches_are_made_by_workers_that_are_not_forked(inputs: Path, task: str, data: str):
    """As on macOS, and on Linux from Python 3.14 on."""
    arguments = parse_finetuning([f"--task={task}", f"--model={inputs / 'prd'}", f"--data={inputs / data}"])
    loaded = finetune._LOADERS[task](arguments)
    classifier, _ = finetune.build_classifier(arguments, loaded, seed=0)
    collate = loaded.collator(classifier.prepare)
    rows = list(loaded.splits.train.take(2))
    for name, values in pickle.loads(pickle.dumps(collate))(rows).items():
        torch.testing.assert_close(values, collate(rows)[name], equal_nan=True)


def test_the_code_on_the_card_of_an_image_classifier_runs(inputs: Path, tmp_path: Path):
    run_finetune(
        *("--task", "chexpert", "--model", inputs / "prd", "--data", inputs / "images"),
        *("--output_dir", tmp_path / "run", "--max_steps", 2),
    )
    (tmp_path / "accuracy.py").write_text(ACCURACY)
    PILImage.new("L", (40, 40), 120).save(tmp_path / "image.png")
    before = """
from datasets import Dataset, Image
from PIL import Image as PILImage
REPO_OR_FOLDER = "run"
image = PILImage.open("image.png")
images = Dataset.from_dict({"image": ["image.png"] * 2, "label": [0, 1]}).cast_column("image", Image())
"""
    after = """
print(sorted(answer["label"] for answer in classify(image)))
print(round(2 * measured["accuracy"]))
"""
    printed = run_without_project(before + card_code(tmp_path / "run") + after, tmp_path)
    assert printed.splitlines() == ["['Consolidation', 'Pleural Effusion']", "1"]


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
