"""`train.py` from end to end, on tiny encoders and a tiny PhantomCXR."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from hub_server import running_hub
from safetensors.torch import load_file
from tiny_recipe import TINY_RECIPE

import train
from training.loop import PreTrainer

ROOT = Path(train.__file__).parent
LOSSES = ("loss", "loss_global", "loss_local", "loss_perturbation")
VIT = {
    "model_type": "vit",
    "num_channels": 1,
    "patch_size": 16,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


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
    _, model, processor, _ = models[0]
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


def test_the_metrics_hold_every_task_beside_its_chance(finished_run):
    run, _, _ = finished_run
    validation = json.loads((run / "metrics.json").read_text())["validation"]
    assert validation["structure"]["accuracy"]["chance"] == pytest.approx(0.1, abs=0.02)
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


def test_the_losses_are_logged_each_step_and_fall(finished_run):
    losses = trained_losses(finished_run[0])
    assert [line["step"] for line in losses] == list(range(1, 9))
    assert all(math.isfinite(line[name]) for line in losses for name in LOSSES)
    weighted = losses[0]["loss_global"] + 0.1 * losses[0]["loss_local"] + 0.1 * losses[0]["loss_perturbation"]
    assert losses[0]["loss"] == pytest.approx(weighted, rel=1e-5)
    assert losses[-1]["loss"] < losses[0]["loss"]


def test_a_process_without_the_project_loads_the_folder_and_gives_the_same_embeddings(
    finished_run, phantom_dir: Path, tmp_path: Path
):
    run, model, processor = finished_run
    rows = load_dataset(str(phantom_dir), split="validation")[:4]
    for index, image in enumerate(rows["image"]):
        image.save(tmp_path / f"{index}.png")
    (tmp_path / "reports.json").write_text(json.dumps(rows["report"]))
    (tmp_path / "load.py").write_text(_LOAD_WITHOUT_PROJECT)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "load.py", str(run)], cwd=tmp_path, env=environment, check=True)
    loaded = load_file(tmp_path / "embeddings.safetensors")
    inputs = processor(images=rows["image"], text=rows["report"], return_tensors="pt")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        model.eval()
        images = model.get_image_features(inputs["pixel_values"]).pooler_output
        texts = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
    torch.set_num_threads(threads)
    assert torch.equal(loaded["images"], images)
    assert torch.equal(loaded["texts"], texts)


_LOAD_WITHOUT_PROJECT = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("modeling_prd", "training", "datasets_scripts", "evaluate_suite", "train"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import torch
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
"""


def test_a_killed_and_resumed_run_ends_with_the_weights_of_one_that_was_not(
    write_recipe, monkeypatch: pytest.MonkeyPatch
):
    changes = {
        "num_train_epochs": 2,
        "save_steps": 3,
        "perturbations_per_image": 4,
        "text_config": {**TINY_RECIPE["text_config"], "attention_dropout": 0.1, "mlp_dropout": 0.1},
        "augmentation": {"rotation": 5.0, "brightness": 0.1},
    }
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])

    killed_recipe, killed = write_recipe("killed", **changes)
    step = PreTrainer._step

    def step_until_killed(trainer: PreTrainer, batch: Any) -> Any:
        if trainer.progress.step == 7:
            raise KeyboardInterrupt
        return step(trainer, batch)

    monkeypatch.setattr(PreTrainer, "_step", step_until_killed)
    with pytest.raises(KeyboardInterrupt):
        train.main(["--config", str(killed_recipe)])
    assert not (killed / "model.safetensors").exists()
    monkeypatch.setattr(PreTrainer, "_step", step)
    train.main(["--config", str(killed_recipe), "--resume", "auto"])

    expected, resumed = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    steps = [line["step"] for line in trained_losses(killed)]
    assert steps == list(range(1, 9))
    assert history(killed) == history(whole)


def test_the_papers_optimizer_trains(write_recipe):
    recipe, run = write_recipe(
        max_steps=5,
        optimizer="sgd",
        learning_rate=0.0015,
        momentum=0.9,
        weight_decay=5e-4,
        lr_scheduler="constant",
        warmup_ratio=0.0,
        max_grad_norm=0.0,
        alpha=0.1,
        beta=0.1,
        local_length_normalized=False,
        duplicate_reports="negative",
    )
    train.main(["--config", str(recipe)])
    losses = trained_losses(run)
    assert [line["learning_rate"] for line in losses] == [0.0015] * 5
    assert all(math.isfinite(line[name]) for line in losses for name in LOSSES)


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ({"alpha": 0.0, "beta": 0.0}, "loss_global"),
        ({"global_weight": 0.0, "alpha": 1.0, "beta": 0.0}, "loss_local"),
        ({"global_weight": 0.0, "alpha": 0.0, "beta": 1.0}, "loss_perturbation"),
    ],
)
def test_each_loss_trains_alone(write_recipe, weights: dict[str, float], kept: str):
    recipe, run = write_recipe(max_steps=2, **weights)
    train.main(["--config", str(recipe)])
    for line in trained_losses(run):
        assert line["loss"] == pytest.approx(line[kept])
        assert ("loss_perturbation" in line) == (weights["beta"] > 0)


def test_accumulated_batches_make_one_step(write_recipe):
    recipe, run = write_recipe(gradient_accumulation_steps=3, num_train_epochs=1)
    train.main(["--config", str(recipe)])
    assert [line["step"] for line in trained_losses(run)] == [1, 2]  # four batches: three and one


def test_bf16_autocast_trains(write_recipe):
    recipe, run = write_recipe(mixed_precision="bf16", max_steps=2)
    train.main(["--config", str(recipe)])
    assert all(math.isfinite(line["loss"]) for line in trained_losses(run))


@pytest.mark.parametrize("freeze", ["vision", "text"])
def test_a_frozen_encoder_stays_as_it_was_running_statistics_too(write_recipe, freeze: str):
    recipe, run = write_recipe(freeze=freeze, max_steps=2)
    start_recipe, start = write_recipe("start", freeze=freeze, max_steps=1, learning_rate=0.0)
    train.main(["--config", str(start_recipe)])
    train.main(["--config", str(recipe)])
    before, after = load_file(start / "model.safetensors"), load_file(run / "model.safetensors")
    frozen = [name for name in before if name.startswith(f"{freeze}_model.")]
    trained = [name for name in before if not name.startswith(f"{freeze}_model.") and before[name].is_floating_point()]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in trained)


def test_two_processes_contrast_with_the_pairs_of_both_as_one_process_on_the_joined_batch(write_recipe):
    changes = {"vision_config": VIT, "vision_pooling": "mean", "max_steps": 2}
    one_recipe, one = write_recipe("one", batch_size=8, **changes)
    train.main(["--config", str(one_recipe)])
    two_recipe, two = write_recipe("two", batch_size=4, **changes)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    result = subprocess.run(
        [*command, "train.py", "--config", str(two_recipe)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    joined, split = trained_losses(one), trained_losses(two)
    assert len(split) == 2
    for name in LOSSES:
        assert [line[name] for line in split] == pytest.approx([line[name] for line in joined], rel=2e-4), name
    expected, weights = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=2e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "nowhere/at/all"}, ["nowhere/at/all"]),
        ({"train_split": "trian"}, ["trian", "train, validation"]),
        ({"device": "cuda"}, ["cuda"]),
        ({"vision_config": {"model_type": "resnat"}}, ["resnat"]),
        ({"resume": "no/checkpoint"}, ["no/checkpoint"]),
        ({"resume": "auto", "overwrite": True}, ["overwrite", "resume"]),
        ({"mixed_precision": "fp16"}, ["fp16"]),
        ({"report_to": ["comet_ml"]}, ["comet_ml"]),
        ({"push_to_hub": "no repo id"}, ["no repo id"]),
        ({"vision_config": {**TINY_RECIPE["vision_config"], "dephts": [1]}}, ["dephts", "depths"]),
        ({"text_config": {**TINY_RECIPE["text_config"], "vocab_size": 50}}, ["encoders"]),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_leaves_nothing(
    write_recipe, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: list[str]
):
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    recipe, run = write_recipe(**changes)
    message = refused(["--config", str(recipe)], capsys)
    assert all(word in message for word in words), message
    assert not run.exists()


def test_a_folder_with_another_run_is_refused_until_told_otherwise(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe(max_steps=2)
    train.main(["--config", str(recipe)])
    weights = (run / "model.safetensors").read_bytes()
    assert "--resume auto" in refused(["--config", str(recipe)], capsys)
    assert "learning_rate" in refused(["--config", str(recipe), "--resume=auto", "--learning_rate=0.5"], capsys)
    assert (run / "model.safetensors").read_bytes() == weights
    train.main(["--config", str(recipe), "--learning_rate=0.5", "--overwrite=true"])
    assert (run / "model.safetensors").read_bytes() != weights


def test_a_checkpoint_of_another_run_is_not_resumed(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe(max_steps=1)
    train.main(["--config", str(recipe)])
    other_recipe, other = write_recipe("other", max_steps=1, resume=str(run / "checkpoints" / "step-1"))
    assert "projection_dim" in refused(["--config", str(other_recipe), "--projection_dim", "4"], capsys)
    few = ["--config", str(other_recipe), "--max_train_images", "8"]
    assert "max_train_images" in refused(few, capsys)
    assert not other.exists()


def test_the_history_holds_means_over_the_batches_since_its_last_line(write_recipe):
    changes = {"learning_rate": 0.0, "num_train_epochs": 2, "freeze": "both"}
    each_recipe, each = write_recipe("each", **changes)
    train.main(["--config", str(each_recipe)])
    third_recipe, third = write_recipe("third", **changes, logging_steps=3)
    train.main(["--config", str(third_recipe)])
    steps = [line["loss_global"] for line in trained_losses(each)]
    lines = trained_losses(third)
    assert [line["step"] for line in lines] == [3, 6]
    assert [line["loss_global"] for line in lines] == pytest.approx([sum(steps[:3]) / 3, sum(steps[3:6]) / 3])


def test_a_folder_that_is_no_run_is_never_overwritten(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe()
    run.mkdir()
    (run / "thesis.txt").write_text("years of work")
    assert "no run" in refused(["--config", str(recipe), "--overwrite=true"], capsys)
    assert (run / "thesis.txt").read_text() == "years of work"


def test_a_finished_run_that_is_resumed_trains_no_more_and_writes_its_folder_again(write_recipe):
    recipe, run = write_recipe(max_steps=2)
    train.main(["--config", str(recipe)])
    weights = load_file(run / "model.safetensors")
    (run / "README.md").unlink()
    train.main(["--config", str(recipe), "--resume", "auto"])
    assert (run / "README.md").exists()
    again = load_file(run / "model.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(write_recipe):
    recipe, _ = write_recipe(learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0, optimizer="sgd")
    with pytest.raises(FloatingPointError, match="step"):
        train.main(["--config", str(recipe)])


@pytest.mark.parametrize("public", [False, True])
def test_a_pushed_folder_is_private_unless_said_and_loads_from_the_hub(finished_run, tmp_path: Path, public: bool):
    run = finished_run[0]
    with running_hub() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": "hf_test",
            "HF_HOME": str(tmp_path / "hf"),
            "PYTHONPATH": str(ROOT),
        }
        push = f"from training.publish import *; push_model_folder(Path({str(run)!r}), 'org/prd', public={public})"
        subprocess.run([sys.executable, "-c", push], cwd=tmp_path, env=environment, check=True)
        repository = hub.repositories["org/prd"]
        assert repository.private is not public
        assert repository.files["model.safetensors"] == (run / "model.safetensors").read_bytes()
        assert not [path for path in repository.files if path.startswith(("checkpoints/", "logs/", "recipe"))]
        if public:
            return
        environment.pop("PYTHONPATH")
        load = (
            "from transformers import AutoModel, AutoProcessor\n"
            "model = AutoModel.from_pretrained('org/prd', trust_remote_code=True)\n"
            "processor = AutoProcessor.from_pretrained('org/prd', trust_remote_code=True)\n"
            "inputs = processor(text='the lungs are clear', return_tensors='pt')\n"
            "assert model(**inputs).text_embeds.shape == (1, 8)\n"
        )
        subprocess.run([sys.executable, "-c", load], cwd=tmp_path, env=environment, check=True)
