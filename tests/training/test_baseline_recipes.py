"""The paper's methods as recipes of one trainer: they differ in what a method is, and in nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.arguments import DEFAULT_RECIPE, parse_recipe
from training.finetuning.arguments import parse_finetuning
from training.recipe_files import recipe_keys, with_bases

RECIPES = DEFAULT_RECIPE.parent
PRD = {"alpha": 0.1, "beta": 0.1, "local_variant": "paper", "temperature": 0.07, "sentence_sampling": False}
METHODS: dict[str, dict[str, Any]] = {
    "convirt": {"alpha": 0.0, "beta": 0.0},
    "gloria": {"beta": 0.0},
    "gloria_original": {"alpha": 1.0, "beta": 0.0, "local_variant": "gloria", "temperature": 0.1},
    "prd_without_local": {"alpha": 0.0},
    "prd": {},
}


def keys_of(name: str, *flags: str) -> dict[str, Any]:
    return parse_recipe(["--config", str(RECIPES / f"{name}.yaml"), *flags]).to_flat_dict()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_papers_recipe_but_for_what_the_method_is(name: str) -> None:
    paper, method = keys_of("openi"), keys_of(name)
    assert {key: paper[key] for key in PRD} == PRD
    differing = {key: value for key, value in method.items() if value != paper[key]}
    assert differing.pop("output_dir") not in ("", paper["output_dir"])
    assert differing == METHODS[name]


def test_all_methods_train_both_of_the_same_published_encoders_and_write_to_folders_of_their_own() -> None:
    recipes = [keys_of(name) for name in METHODS]
    for recipe in recipes:
        assert recipe["vision_model"] == "biovil_image_resnet50_proj_size_128.pt"
        assert recipe["text_model"] == "microsoft/BiomedVLP-CXR-BERT-specialized"
        assert recipe["freeze"] == "none"
    assert len({recipe["output_dir"] for recipe in recipes}) == len(METHODS)


def test_convirts_own_sampling_and_temperature_are_flags() -> None:
    own = keys_of("convirt", "--sentence_sampling", "true", "--temperature", "0.1")
    assert (own["sentence_sampling"], own["temperature"], own["beta"]) == (True, 0.1, 0.0)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_file_stands_over_the_one_that_it_extends_and_flags_over_both(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "vision_model: v\ntext_model: t\nalpha: 0.2\nbeta: 0.3\nmax_steps: 4\n")
    write(tmp_path, "middle.yaml", "extends: base.yaml\nbeta: 0.4\nmax_steps: null\naugmentation: {shear: 2}\n")
    own = write(tmp_path, "own.yaml", 'extends: middle.yaml\ntext_model: "true"\nimage_mean: [0.5]\n')
    recipe = parse_recipe([f"--config={own}", "--alpha", "0.5"])
    assert (recipe.model.alpha, recipe.model.beta, recipe.model.text_model) == (0.5, 0.4, "true")
    assert (recipe.optimization.max_steps, recipe.optimization.augmentation.shear) == (None, 2)
    assert recipe.data.image_mean == [0.5]


def test_a_command_line_without_such_a_file_stays_as_it_is(tmp_path: Path) -> None:
    plain = write(tmp_path, "plain.yaml", "alpha: 1\n")
    arguments = ["--config", str(plain), "--beta", json.dumps(0.5), "--data=x"]
    assert with_bases(arguments) == arguments


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: own.yaml\n", ["extends itself", "own.yaml"]),
        ("extends: nowhere.yaml\n", ["nowhere.yaml", "not there", "own.yaml"]),
        ("extends: other.yaml\n", ["extends itself"]),
    ],
)
def test_a_file_that_cannot_be_extended_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    write(tmp_path, "other.yaml", "extends: own.yaml\n")
    own = write(tmp_path, "own.yaml", text)
    with pytest.raises(ValueError, match="extends") as raised:
        parse_recipe(["--config", str(own)])
    assert all(word in str(raised.value) for word in words)


def test_a_file_of_fine_tuning_extends_another_too(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "task: mednli\nmodel: start\ndata: pairs\nlearning_rate: 0.01\nbatch_size: 4\n")
    own = write(tmp_path, "own.yaml", "extends: base.yaml\nbatch_size: 8\n")
    finetuning = parse_finetuning(["--config", str(own), "--output_dir", str(tmp_path / "out")])
    assert (finetuning.optimization.learning_rate, finetuning.optimization.batch_size) == (0.01, 8)


def test_an_unknown_key_of_a_file_that_extends_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "base.yaml", "vision_model: v\ntext_model: t\n")
    own = write(tmp_path, "own.yaml", "extends: base.yaml\nalhpa: 1\n")
    with pytest.raises(SystemExit):
        parse_recipe(["--config", str(own)])
    assert "did you mean alpha" in capsys.readouterr().err


def test_the_keys_of_a_file_are_those_of_its_bases_and_its_own_over_them(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "alpha: 0.2\nbeta: 0.3\naugmentation: {shear: 2, scale: 1}\n")
    own = write(tmp_path, "own.yaml", "extends: base.yaml\nbeta: 0.4\naugmentation: {shear: 3}\n")
    assert recipe_keys(own) == {"alpha": 0.2, "beta": 0.4, "augmentation": {"shear": 3}}


def test_what_sets_no_keys_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recipe at"):
        recipe_keys(tmp_path / "nowhere.yaml")
    with pytest.raises(ValueError, match="sets no keys"):
        recipe_keys(write(tmp_path, "empty.yaml", "\n"))
