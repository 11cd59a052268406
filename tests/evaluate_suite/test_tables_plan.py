"""Which cells the paper's tables take: methods that start alike, corpora, command lines that the programs take."""

from pathlib import Path

import pytest
from tables_helpers import METHODS, SMALL, corpora, quick_plan

from evaluate_suite.tables.corpora import CORPORA, folder_digest, given_corpora
from evaluate_suite.tables.paper import TABLES
from evaluate_suite.tables.plan import ROOT, Plan, check_same_start, make_plan, recipe_files, settings_with_needs
from training.arguments import parse_recipe
from training.finetuning.arguments import parse_finetuning
from training.models import build_model, build_tokenizer
from training.recipe_files import recipe_keys

ALL = ("convirt", "gloria", "gloria_original", "prd_without_local", "prd")
PAPER = ROOT / "recipes"


def plan_of(folder: Path, scale: str, out: Path, there: tuple[str, ...] = tuple(CORPORA)) -> Plan:
    return make_plan(recipe_files(ALL, folder), folder / "finetune", corpora(there), (0, 1), scale, out)


def program_arguments(command: tuple[str, ...], program: str) -> list[str]:
    return list(command[command.index(str(ROOT / program)) + 1 :])


@pytest.mark.parametrize(("scale", "folder"), [("small", SMALL), ("paper", PAPER)])
def test_the_programs_take_every_command_line(scale: str, folder: Path, tmp_path: Path):
    plan = plan_of(folder, scale, tmp_path)
    for cell in plan.cells:
        if cell.step == "pretrain":
            recipe = parse_recipe(program_arguments(cell.command, "train.py"))
            assert (recipe.data.data, recipe.run.seed, recipe.run.resume) == ("org/pairs", cell.seed, "auto")
            assert recipe.run.output_dir == str(cell.folder)
        elif cell.step != "evaluate":
            tuning = parse_finetuning(program_arguments(cell.command, "finetune.py"))
            assert (tuning.task.task, tuning.task.data, tuning.seeds) == (cell.step, f"org/{cell.step}", [cell.seed])
            assert (tuning.task.train_data is not None) == (cell.step == "radnli")


@pytest.mark.parametrize("folder", [SMALL, PAPER], ids=["small", "paper"])
def test_the_recipes_differ_in_what_a_method_is(folder: Path):
    check_same_start({name: recipe_keys(file) for name, file in recipe_files(ALL, folder).items()})


def test_the_small_recipes_start_from_the_same_weights(tmp_path: Path):
    import torch

    starts = []
    for name in ALL:
        recipe = parse_recipe(["--config", str(SMALL / f"{name}.yaml")])
        torch.manual_seed(0)
        tokenizer = build_tokenizer(["the lungs are clear"], 300, recipe.data.max_length)
        starts.append(build_model(recipe.model, recipe.data.image_size, tokenizer).state_dict())
    for start in starts[1:]:
        assert start.keys() == starts[0].keys()
        assert all(torch.equal(weight, starts[0][key]) for key, weight in start.items())


def test_recipes_that_differ_in_more_are_refused(tmp_path: Path):
    recipe = tmp_path / "faster.yaml"
    recipe.write_text(f"extends: {SMALL / 'prd.yaml'}\nlearning_rate: 0.5\n")
    recipes = {name: recipe_keys(file) for name, file in recipe_files(["convirt", str(recipe)], SMALL).items()}
    with pytest.raises(ValueError, match=r"convirt and faster differ in learning_rate, 0.002 and 0.5"):
        check_same_start(recipes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nothing"], "'nothing' is not there"),
        (["prd", "prd"], "prd stands twice"),
        (["elsewhere/prd.yaml"], "'elsewhere/prd.yaml' is not there"),
    ],
)
def test_a_recipe_that_is_none_is_named(names: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        recipe_files(names, SMALL)


@pytest.mark.parametrize("name", ["data", "start", "random", "published", "majority", "hypothesis", "chance", "blind"])
def test_a_recipe_is_not_named_as_another_row(name: str, tmp_path: Path):
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text("alpha: 0.0\n")
    with pytest.raises(ValueError, match=f"{name} stands twice, or is the name of a row of its own"):
        recipe_files([str(recipe)], SMALL)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mednli", "not of the form NAME=DIR_OR_ID"),
        ("mimic=org/name", "'mimic' is none of pairs, mednli, radnli, chexpert"),
        ("mednli=no/such/folder", "mednli=no/such/folder is not there"),
    ],
)
def test_a_corpus_that_is_none_is_named(given: str, message: str):
    with pytest.raises(ValueError, match=message):
        given_corpora([given])


def test_a_folder_is_known_by_what_it_holds(tmp_path: Path):
    for name, text in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "file").write_text(text)
    (tmp_path / "same" / ".cache").write_text("whatever")
    one, same, other = (folder_digest(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    assert given_corpora([f"pairs={tmp_path / 'one'}"])["pairs"].identity == one


def test_at_small_scale_stand_ins_are_built_for_what_is_not_given(tmp_path: Path):
    plan = plan_of(SMALL, "small", tmp_path, ("mednli",))
    built = [cell.name for cell in plan.cells if cell.row == "data"]
    assert built == ["data-build_pairs", "data-build_radnli", "data-build_chexpert_source", "data-build_chexpert"]
    assert plan.cell("prd", "radnli", 0).needs == ("data-build_radnli", "prd-pretrain-seed0")
    assert all((cell.missing is None) == (cell.row != "published") for cell in plan.cells)


def test_nothing_is_run_that_no_table_needs(tmp_path: Path):
    files = recipe_files(["prd"], SMALL)
    for name, steps, read in (
        ("II", {"pretrain", "chexpert"}, {"pairs", "chexpert"}),
        ("III", {"pretrain", "mednli", "radnli"}, {"pairs", "mednli", "radnli"}),
        ("IV", {"pretrain", "evaluate"}, {"pairs"}),
    ):
        chosen = [table for table in TABLES if table.name == name]
        plan = make_plan(files, SMALL / "finetune", {}, (0,), "small", tmp_path, chosen)
        assert {cell.step for cell in plan.cells if cell.row != "data"} == steps
        assert set(plan.corpora) == read
        built = {cell.step.removeprefix("build_") for cell in plan.cells if cell.row == "data"}
        assert built == read | ({"chexpert_source"} if "chexpert" in read else set())
        assert ("hypothesis" in {cell.row for cell in plan.cells}) == (name == "III")


def test_at_paper_scale_what_is_not_given_is_said(tmp_path: Path):
    plan = plan_of(PAPER, "paper", tmp_path, ("pairs", "radnli"))
    assert plan.cell("prd", "pretrain", 0).missing is None
    assert "chexpert=DIR_OR_ID was not given" in str(plan.cell("prd", "chexpert", 0).missing)
    assert "mednli=DIR_OR_ID was not given" in str(plan.cell("prd", "radnli", 0).missing)
    assert not [cell for cell in plan.cells if cell.row == "data"]
    assert plan.cell("published", "evaluate", 0).missing is None
    assert "--init random" in " ".join(plan.cell("random", "mednli", 0).command)
    assert "no random start of their architecture" in str(plan.cell("random", "evaluate", 0).missing)


def test_what_a_cell_reads_is_part_of_its_settings(tmp_path: Path):
    plan = quick_plan(tmp_path)
    by_name = {cell.name: cell for cell in plan.cells}
    settings = [settings_with_needs(plan.cell(name, "mednli", 0), by_name) for name in METHODS]
    differing = {
        key for key in settings[0].keys() | settings[1].keys() if settings[0].get(key) != settings[1].get(key)
    }
    assert differing == {"from convirt-pretrain-seed0", "from prd-pretrain-seed0"}
