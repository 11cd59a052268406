"""`train.py` from end to end, on tiny encoders and a tiny PhantomCXR."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from datasets import load_dataset
from hub_server import Hub, client_environment, running_hub, uploads_to
from processes import launch
from run_helpers import LOSSES, trained_losses
from safetensors.torch import load_file
from tiny_recipe import TINY_RECIPE, VIT
from without_project import run_without_project

import train
from training.publish import push_model_folder


@pytest.fixture(scope="module")
def finished_run(phantom_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """A whole run, with what it printed and the model it trained."""
    run = tmp_path_factory.mktemp("finished") / "run"
    recipe = run.with_suffix(".yaml")
    recipe.write_text(json.dumps({**TINY_RECIPE, "data": str(phantom_dir), "output_dir": str(run)}))
    with pytest.MonkeyPatch.context() as patch:
        models: list[Any] = []
        prepare = train.prepare
        patch.setattr(train, "prepare", lambda recipe: models.append(prepare(recipe)) or models[-1])
        train.main(["--config", str(recipe)])
    _, model, processor, *_ = models[0]
    return run, model, processor


def test_a_run_ends_with_a_folder_that_is_a_hub_repository(finished_run):
    run, _, _ = finished_run
    files = {path.name for path in run.iterdir()}
    assert files >= {
        "README.md",
        "config.json",
        "model.safetensors",
        "modeling_prd.py",
        "configuration_prd.py",
        "losses_prd.py",
        "processing_prd.py",
        "processor_config.json",
        "tokenizer.json",
        "metrics.json",
        "curves.png",
        "recipe.yaml",
        "checkpoints",
    }
    assert not [name for name in files if name.startswith("partial")]
    auto_map = json.loads((run / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModel"] == "modeling_prd.PRDModel"
    assert auto_map["AutoConfig"] == "configuration_prd.PRDConfig"


@pytest.mark.parametrize(("purpose", "inputs"), [("Sequence", "text"), ("Image", "vision")])
def test_the_folder_loads_as_a_classifier_with_its_encoder(finished_run, tmp_path, purpose, inputs):
    run, _, _ = finished_run
    auto_class = getattr(transformers, f"AutoModelFor{purpose}Classification")
    classifier, report = auto_class.from_pretrained(
        run, trust_remote_code=True, num_labels=3, output_loading_info=True
    )
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    stored = load_file(run / "model.safetensors")
    weights = classifier.state_dict()
    encoder = [name for name in weights if name.startswith(f"{inputs}_model.")]
    assert encoder
    assert all(weights[name].equal(stored[name]) for name in encoder)
    classifier.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"] == {
        "AutoConfig": "configuration_prd.PRDConfig",
        f"AutoModelFor{purpose}Classification": f"classification_prd.PRDFor{purpose}Classification",
    }


def test_the_metrics_hold_every_task_beside_its_chance(finished_run):
    run, _, _ = finished_run
    validation = json.loads((run / "metrics.json").read_text())["validation"]
    assert validation["structure"]["accuracy"]["chance"] == pytest.approx(0.1, abs=0.02)
    for task in ("structure", "counterfactual"):
        measured, left_out = validation[task], validation[task].get("skipped", {})
        for control in ("blind", "gain_over_blind", "wrong_image", "gain_over_wrong_image", "needs_image"):
            assert (control in measured) != (control in left_out), control
    for direction in ("image_to_text", "text_to_image"):
        for name in ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank"):
            for task in ("retrieval", "retrieval_local"):
                number = validation[task][direction][name]
                assert number["interval"][0] <= number["value"] <= number["interval"][1]
                assert number["n"] <= 12
    expected = (8 * math.log(8) + 4 * math.log(4)) / 12  # batches of eight and of four
    assert validation["losses"]["loss_global"]["chance"] == pytest.approx(expected)
    assert validation["losses"]["loss_perturbation"]["chance"] == pytest.approx(math.log(10), abs=0.05)


def test_the_card_is_written_from_the_run_and_says_that_the_images_are_synthetic(finished_run):
    card = (finished_run[0] / "README.md").read_text()
    assert "images are synthetic" in card
    assert "| steps | 8," in card
    assert "num_train_epochs: 2" in card
    assert "structure" in card
    assert str(finished_run[0].parent) not in card
    recipe = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert recipe["data"] == "data"  # the folder's name
    assert not [key for key in recipe if key.startswith("phantom_")]


def test_the_losses_are_logged_each_step_and_fall(finished_run):
    losses = trained_losses(finished_run[0])
    assert [line["step"] for line in losses] == list(range(1, 9))
    assert all(math.isfinite(line[name]) for line in losses for name in LOSSES)
    weighted = losses[0]["loss_global"] + 0.1 * losses[0]["loss_local"] + 0.1 * losses[0]["loss_perturbation"]
    assert losses[0]["loss"] == pytest.approx(weighted, rel=1e-5)
    assert losses[-1]["loss"] < losses[0]["loss"]


@dataclass(frozen=True)
class Elsewhere:
    """The folder where a process without the project ran, what it printed, and the Hub, to which the run is pushed."""

    folder: Path
    printed: str
    hub: Hub


@pytest.fixture(scope="module")
def elsewhere(finished_run, phantom_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    run, folder = finished_run[0], tmp_path_factory.mktemp("elsewhere")
    rows = load_dataset(str(phantom_dir), split="validation")[:4]
    for index, image in enumerate(rows["image"]):
        image.save(folder / f"{index}.png")
    (folder / "reports.json").write_text(json.dumps(rows["report"]))
    with running_hub() as hub:
        with uploads_to(hub):
            push_model_folder(run, "org/private", public=False)
            push_model_folder(run, "org/public", public=True)
        environment = client_environment(hub, folder / "hf") | {"HF_HUB_OFFLINE": "1"}
        printed = run_without_project(_LOAD, folder, str(run), "org/private", "org/public", **environment)
    return Elsewhere(folder, printed, hub)


def test_a_process_without_the_project_loads_the_folder_and_gives_the_same_embeddings(
    finished_run, phantom_dir: Path, elsewhere: Elsewhere
):
    _, model, processor = finished_run
    rows = load_dataset(str(phantom_dir), split="validation")[:4]
    loaded = load_file(elsewhere.folder / "embeddings.safetensors")
    inputs = processor(images=rows["image"], text=rows["report"], return_tensors="pt")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        # Training lays convolution weights out channels-last, whose kernels round otherwise; a file has no layout.
        model.eval().to(memory_format=torch.contiguous_format)
        images = model.get_image_features(inputs["pixel_values"]).pooler_output
        texts = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
    torch.set_num_threads(threads)
    assert torch.equal(loaded["images"], images)
    assert torch.equal(loaded["texts"], texts)


_LOAD = """
import json, sys

import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoProcessor

folder = sys.argv[1]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules")
assert config.model_type == model.config.model_type == "prd"
images = [Image.open(f"{index}.png") for index in range(4)]
inputs = processor(images=images, text=json.load(open("reports.json")), return_tensors="pt")
with torch.inference_mode():
    save_file(
        {
            "images": model.get_image_features(inputs["pixel_values"]).pooler_output,
            "texts": model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output,
        },
        "embeddings.safetensors",
    )

constants.HF_HUB_OFFLINE = False  # the folder was loaded without asking anyone
for repository in sys.argv[2:]:
    model = AutoModel.from_pretrained(repository, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
    output = model(**processor(text="the lungs are clear", return_tensors="pt"))
    print(repository, *output.text_embeds.shape)
"""


def test_two_processes_in_micro_batches_contrast_with_the_pairs_of_both_as_one_process_on_the_joined_batch(
    write_recipe,
):
    changes = {"vision_config": VIT, "vision_pooling": "mean", "max_steps": 2}
    one_recipe, one = write_recipe("one", batch_size=8, **changes)
    train.main(["--config", str(one_recipe)])
    two_recipe, two = write_recipe("two", batch_size=4, micro_batch_size=3, **changes)
    result = launch(train.main, ["--config", two_recipe])
    assert result.statuses == [0, 0], result.stderr[-3000:]
    joined, split = trained_losses(one), trained_losses(two)
    assert len(split) == 2
    for name in LOSSES:
        assert [line[name] for line in split] == pytest.approx([line[name] for line in joined], rel=2e-4), name
    expected, weights = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=2e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("public", [False, True])
def test_a_pushed_folder_is_private_unless_said_and_loads_from_the_hub(
    finished_run, elsewhere: Elsewhere, public: bool
):
    repo_id = "org/public" if public else "org/private"
    repository = elsewhere.hub.repositories[repo_id]
    assert repository.private is not public
    assert repository.files["model.safetensors"] == (finished_run[0] / "model.safetensors").read_bytes()
    assert not [path for path in repository.files if path.startswith(("checkpoints/", "logs/", "recipe"))]
    assert f"{repo_id} 1 8\n" in elsewhere.printed
