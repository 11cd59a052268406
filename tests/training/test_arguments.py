import json
from dataclasses import fields
from pathlib import Path

import pytest

from training.arguments import (
    DEFAULT_RECIPE,
    DataArguments,
    ModelArguments,
    PreTrainOptimization,
    RunArguments,
    parse_recipe,
)

RECIPES = sorted(path for path in DEFAULT_RECIPE.parent.rglob("*.yaml") if path.parent.name != "finetune")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_info:
        parse_recipe(arguments)
    assert exit_info.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


def test_flags_override_the_recipe_file(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("vision_model: v\ntext_model: t\nbeta: 0.5\naugmentation: {rotation: 3}\n")
    recipe = parse_recipe(["--config", str(file), "--beta", "0.25", "--augmentation.shear=2"])
    assert (recipe.model.vision_model, recipe.model.beta) == ("v", 0.25)
    assert (recipe.optimization.augmentation.rotation, recipe.optimization.augmentation.shear) == (3, 2)


def test_the_default_recipe_is_phantoms():
    assert parse_recipe([]) == parse_recipe(["--config", str(DEFAULT_RECIPE)])
    assert DEFAULT_RECIPE.name == "phantom.yaml"


def test_a_recipe_file_says_nothing_of_the_default_one(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("vision_model: v\ntext_model: t\n")
    assert parse_recipe(["--config", str(file)]).model.vision_config is None


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_writes_itself_again(recipe: Path, tmp_path: Path):
    parsed = parse_recipe(["--config", str(recipe)])
    again = tmp_path / "again.yaml"
    again.write_text(parsed.to_yaml())
    assert parse_recipe(["--config", str(again)]) == parsed


@pytest.mark.parametrize("section", [DataArguments, ModelArguments, PreTrainOptimization, RunArguments])
def test_every_key_is_a_flag_of_the_same_name(section: type):
    recipe = parse_recipe([])
    values = recipe.to_flat_dict()
    for key in fields(section):
        if key.name != "augmentation":
            value = values[key.name]
            flag = value if isinstance(value, str) else json.dumps(value)
            assert parse_recipe([f"--{key.name}={flag}"]) == recipe


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--alhpa", "1"], ["alhpa", "alpha"]),
        (["--augmentation.rotatoin", "1"], ["rotatoin", "augmentation.rotation"]),
        (["--beta", "much"], ["beta", "much"]),
        (["--max_steps", "2.5"], ["max_steps", "2.5"]),
        (["--freeze", "images"], ["freeze", "images", "vision"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--learning", "1"], ["learning"]),
    ],
)
def test_an_unknown_or_ill_typed_flag_is_named(
    arguments: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
):
    message = refused(arguments, capsys)
    assert all(name in message for name in names), message


def test_an_unknown_key_in_a_file_is_named_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "recipe.yaml"
    file.write_text("learnig_rate: 1\n")
    message = refused(["--config", str(file)], capsys)
    assert "learnig_rate" in message
    assert "did you mean learning_rate?" in message


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--batch_size", "0"], "batch_size"),
        (["--vision_model", "somewhere"], "vision_model"),
        (["--text_model", "somewhere"], "text_model"),
        (
            ["--perturbation_types", '["negation", "word_salad"]'],
            "'word_salad' is none of shuffle_",
        ),
        (["--perturbation_types", '["negation", "negation"]'], "perturbation_types: 'negation' stands twice"),
        (["--perturbation_types", "[]"], "perturbation_types: name at least one"),
    ],
)
def test_values_out_of_range_or_in_contradiction_are_named(arguments: list[str], name: str):
    with pytest.raises(ValueError, match=name):
        parse_recipe(arguments)
