"""Fine-tuned folders where the project is not: the pipelines and evaluators that the card shows, and the Hub."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from finetune_helpers import run_finetune, save_prd, write_images, write_mednli
from hub_server import running_hub, uploads_to
from PIL import Image as PILImage
from without_project import ACCURACY, run_without_project

import finetune
from training.finetuning.arguments import parse_finetuning

_BEFORE = {
    "text": """
from datasets import Dataset
REPO_OR_FOLDER = "text"
pairs = Dataset.from_dict({"premise": ["a nodule"] * 3, "hypothesis": ["no effusion"] * 3, "label": [0, 1, 2]})
""",
    "image": """
from datasets import Dataset, Image
from PIL import Image as PILImage
REPO_OR_FOLDER = "image"
image = PILImage.open("image.png")
images = Dataset.from_dict({"image": ["image.png"] * 2, "label": [0, 1]}).cast_column("image", Image())
""",
}
_AFTER = {
    "text": """
print(classify({"text": "nodule " * 100, "text_pair": "clear"})["label"] in model.config.label2id)
print(round(3 * measured["accuracy"]))
""",
    "image": """
print(sorted(answer["label"] for answer in classify(image)))
print(round(2 * measured["accuracy"]))
""",
}
_RUN_EACH = """
import io, json, sys
from contextlib import redirect_stdout

printed = {}
for name in sys.argv[1:]:
    with redirect_stdout(io.StringIO()) as output:
        exec(open(name + ".py").read(), {"__name__": "__main__"})  # no card has the names of another
    printed[name] = output.getvalue()
print(json.dumps(printed))
"""


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


@pytest.fixture(scope="module")
def printed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the code on the card of a text classifier and on that of an image classifier prints, in one process."""
    folder = tmp_path_factory.mktemp("cards")
    run_finetune(
        *("--task", "mednli", "--model", inputs / "prd", "--data", inputs / "mednli"),
        *("--output_dir", folder / "text", "--max_steps", 2, "--lora_r", 2),
    )
    run_finetune(
        *("--task", "chexpert", "--model", inputs / "prd", "--data", inputs / "images"),
        *("--output_dir", folder / "image", "--max_steps", 2),
    )
    (folder / "accuracy.py").write_text(ACCURACY)
    PILImage.new("L", (40, 40), 120).save(folder / "image.png")
    for name in _BEFORE:
        (folder / f"{name}.py").write_text(_BEFORE[name] + card_code(folder / name) + _AFTER[name])
    return json.loads(run_without_project(_RUN_EACH, folder, *_BEFORE))


def test_the_code_on_the_card_of_a_text_classifier_runs(printed: dict[str, str]):
    assert printed["text"].split() == ["True", "1"]


def test_the_code_on_the_card_of_an_image_classifier_runs(printed: dict[str, str]):
    assert printed["image"].splitlines() == ["['Consolidation', 'Pleural Effusion']", "1"]


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


def test_a_pushed_folder_is_private_and_leaves_what_names_the_machine_behind(inputs: Path, tmp_path: Path):
    with running_hub() as hub, uploads_to(hub):
        run_finetune(
            *("--task", "mednli", "--model", inputs / "prd", "--data", inputs / "mednli", "--max_steps", 1),
            *("--output_dir", tmp_path / "run", "--push_to_hub", "org/nli"),
        )
    repository = hub.repositories["org/nli"]
    assert repository.private
    assert {"model.safetensors", "README.md", "metrics.json"} <= set(repository.files)
    assert not [path for path in repository.files if path.startswith(("seeds/", "finetune.yaml"))]
    assert not [path for path, content in repository.files.items() if str(tmp_path).encode() in content]
