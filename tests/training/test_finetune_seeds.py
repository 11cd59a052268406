"""Several seeds in one call, runs that go on, early stopping and class weights."""

import json
import statistics
from pathlib import Path

import pytest
import torch
from finetune_helpers import metrics, refused, run_finetune, save_prd, write_mednli

from modeling_prd import PRDForSequenceClassification
from training.finetuning.loop import FineTuner, Progress
from training.finetuning.output import best_seed, over_seeds
from training.finetuning.task import Batch


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("inputs")
    prd, mednli = save_prd(folder / "prd"), write_mednli(folder / "mednli")
    return ["--task", "mednli", "--model", str(prd), "--data", str(mednli), "--learning_rate", "5e-3"]


@pytest.fixture
def trained_seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds whose training began."""
    seeds: list[int] = []
    train = FineTuner.train

    def noted(tuner: FineTuner) -> Progress:
        seeds.append(tuner.seed)
        return train(tuner)

    monkeypatch.setattr(FineTuner, "train", noted)
    return seeds


def test_seeds_are_told_apart_and_summed_up(inputs: list[str], tmp_path: Path):
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1,2", "--max_steps", 6)
    numbers = metrics(tmp_path / "run")
    values = [numbers["seeds"][seed]["test"]["accuracy"]["value"] for seed in ("0", "1", "2")]
    summed = numbers["over_seeds"]["test"]["accuracy"]
    assert summed["values"] == values
    assert summed["mean"] == pytest.approx(statistics.fmean(values))
    assert summed["deviation"] == pytest.approx(statistics.stdev(values))
    losses = {numbers["seeds"][seed]["history"][-1]["loss"] for seed in ("0", "1", "2")}
    assert len(losses) == 3


def test_the_folder_holds_the_seed_that_is_best_on_validation(inputs: list[str], tmp_path: Path):
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1,2", "--max_steps", 6)
    numbers = metrics(tmp_path / "run")
    scores = {seed: result["score"] for seed, result in numbers["seeds"].items()}
    assert scores[str(numbers["seed"])] == max(scores.values())
    assert numbers["test"] == numbers["seeds"][str(numbers["seed"])]["test"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_of_equally_good_seeds_the_lowest_is_taken_whatever_was_read_first(order: tuple[int, ...]):
    """A call that goes on reads finished seeds in any order, and the folder holds the weights of an earlier call."""
    scores = {0: 0.8, 1: 0.9, 2: 0.9}
    assert best_seed({seed: {"score": scores[seed]} for seed in order}) == 1


def test_the_same_seed_gives_the_same_numbers(inputs: list[str], tmp_path: Path):
    for name in ("first", "second"):
        run_finetune(*inputs, "--output_dir", tmp_path / name, "--seeds", "4", "--max_steps", 4)
    first, second = (metrics(tmp_path / name)["seeds"]["4"] for name in ("first", "second"))
    assert first["history"] == second["history"]
    assert first["test"] == second["test"]


def test_a_seed_does_not_depend_on_those_before_it(inputs: list[str], tmp_path: Path):
    run_finetune(*inputs, "--output_dir", tmp_path / "both", "--seeds", "0,1", "--max_steps", 4)
    run_finetune(*inputs, "--output_dir", tmp_path / "alone", "--seeds", "1", "--max_steps", 4)
    both, alone = metrics(tmp_path / "both")["seeds"]["1"], metrics(tmp_path / "alone")["seeds"]["1"]
    assert both["history"] == alone["history"]


def test_each_seed_has_an_order_of_the_rows_of_its_own(inputs: list[str], tmp_path: Path, monkeypatch):
    rows: dict[int, list[int]] = {}
    step = FineTuner._step

    def noted(tuner: FineTuner, batch: Batch) -> torch.Tensor:
        rows.setdefault(tuner.seed, []).extend(batch["input_ids"].sum(dim=1).tolist())
        return step(tuner, batch)

    monkeypatch.setattr(FineTuner, "_step", noted)
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1", "--num_train_epochs", 2)
    for of_seed in rows.values():
        first, second = of_seed[:48], of_seed[48:]
        assert sorted(first) == sorted(second)
        assert first != second
    assert sorted(rows[0]) == sorted(rows[1])
    assert rows[0][:48] != rows[1][:48]


def test_batches_are_accumulated_to_the_end_of_the_epoch(inputs: list[str], tmp_path: Path):
    """Six batches an epoch are a step of four and one of two."""
    accumulated = ["--gradient_accumulation_steps", 4, "--num_train_epochs", 2]
    run_finetune(*inputs, "--output_dir", tmp_path / "run", *accumulated)
    result = metrics(tmp_path / "run")["seeds"]["0"]
    assert [line["step"] for line in result["history"]] == [2, 4]
    assert result["steps"] == 4


def test_a_finished_seed_is_kept_and_not_run_again(inputs: list[str], tmp_path: Path, trained_seeds: list[int]):
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0", "--max_steps", 3)
    before = metrics(tmp_path / "run")["seeds"]["0"]
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1", "--max_steps", 3)
    assert trained_seeds == [0, 1]
    assert metrics(tmp_path / "run")["seeds"]["0"] == before


def test_the_card_names_the_seeds_of_earlier_calls_too(inputs: list[str], tmp_path: Path):
    for seed in (3, 1):
        run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", seed, "--max_steps", 1)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Seeds 1, 3;" in card
    assert "seeds:\n- 1\n- 3\n" in card


def test_a_killed_seed_is_run_again(inputs: list[str], tmp_path: Path, monkeypatch, trained_seeds: list[int]):
    step = FineTuner._step
    with pytest.MonkeyPatch.context() as patch:

        def killed(tuner: FineTuner, batch):
            if tuner.seed == 1 and tuner.progress.step == 2:
                raise KeyboardInterrupt
            return step(tuner, batch)

        patch.setattr(FineTuner, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1", "--max_steps", 3)
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0,1", "--max_steps", 3)
    assert trained_seeds == [0, 1, 1]
    assert sorted(metrics(tmp_path / "run")["seeds"]) == ["0", "1"]


def test_another_fine_tuning_is_not_gone_on_with(inputs: list[str], tmp_path: Path, capsys):
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--max_steps", 1)
    error = refused(capsys, *inputs, "--output_dir", tmp_path / "run", "--max_steps", 2)
    assert "its max_steps is 1, not 2" in error


def test_overwrite_forgets_what_was_there(inputs: list[str], tmp_path: Path):
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "0", "--max_steps", 1)
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--seeds", "1", "--max_steps", 2, "--overwrite", "true")
    assert list(metrics(tmp_path / "run")["seeds"]) == ["1"]


def test_a_folder_is_not_overwritten_by_what_starts_from_it(inputs: list[str], tmp_path: Path, capsys):
    run = tmp_path / "run"
    run_finetune(*inputs, "--output_dir", run, "--max_steps", 1)
    error = refused(capsys, *inputs, "--model", run, "--output_dir", run, "--max_steps", 1, "--overwrite", "true")
    assert "it would delete the model" in error
    assert (run / "model.safetensors").is_file()


def test_weights_that_became_no_numbers_are_no_result(inputs: list[str], tmp_path: Path, capsys):
    """After the last step no loss would tell."""
    error = refused(capsys, *inputs, "--output_dir", tmp_path / "run", "--max_steps", 2, "--learning_rate", 1e30)
    assert "the answers are no numbers after step 2: lower learning_rate" in error
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(("text", "seeds"), [("[2, 3]", ["2", "3"]), ("5", ["5"])])
def test_seeds_stand_in_a_file_as_numbers(inputs: list[str], tmp_path: Path, text: str, seeds: list[str]):
    (tmp_path / "run.yaml").write_text(f"seeds: {text}\nmax_steps: 1\n")
    run_finetune(*inputs, "--output_dir", tmp_path / "run", "--config", tmp_path / "run.yaml")
    assert list(metrics(tmp_path / "run")["seeds"]) == seeds


def test_training_stops_early_and_keeps_the_best_weights(inputs: list[str], tmp_path: Path, monkeypatch):
    scores = iter([0.2, 0.7, 0.5, 0.6, 0.9])
    weights: list[torch.Tensor] = []

    def scored(task, logits, rows):
        return next(scores)

    evaluate = FineTuner._evaluate

    def noted(tuner: FineTuner, *arguments) -> bool:
        weights.append(tuner._unwrapped.classifier.weight.detach().clone())
        return evaluate(tuner, *arguments)

    monkeypatch.setattr("training.finetuning.nli.NLITask.score", scored)
    monkeypatch.setattr(FineTuner, "_evaluate", noted)
    run = tmp_path / "run"
    run_finetune(*inputs, "--output_dir", run, "--max_steps", 40, "--eval_steps", 2, "--early_stopping_patience", 2)
    result = metrics(run)["seeds"]["0"]
    assert (result["steps"], result["best_step"], result["score"]) == (8, 4, 0.7)
    assert torch.equal(PRDForSequenceClassification.from_pretrained(run).classifier.weight, weights[1])


def test_class_weights_turn_a_model_to_the_rare_classes(tmp_path: Path):
    """With no step to learn what tells them apart, weights alone decide how often a class is answered."""
    prd, mednli = save_prd(tmp_path / "prd"), write_mednli(tmp_path / "mednli", train=90)
    file = mednli / "mli_train_v1.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [line for number, line in enumerate(lines) if line["gold_label"] == "neutral" or number % 10 == 0]
    for line in kept:
        line["sentence2"] = "the lungs are clear"  # nothing tells the classes apart
    file.write_text("\n".join(map(json.dumps, kept)))
    answers = {}
    for weights in ("none", "balanced"):
        run = tmp_path / weights
        run_finetune(
            *("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", run, "--max_steps", 60),
            *("--learning_rate", 1e-2, "--class_weights", weights, "--eval_steps", 60),
        )
        counts = metrics(run)["test"]["confusion_counts"]
        answers[weights] = sum(row[1] for row in counts) / 24
    assert answers["none"] == 1.0
    assert answers["balanced"] < 1.0


def test_a_number_that_a_seed_lacks_is_averaged_over_the_others():
    trees = {
        0: {"validation": {}, "test": {"auroc": {"mean": {"value": 0.5}, "Edema": {"value": 0.6}}}},
        1: {"validation": {}, "test": {"auroc": {"mean": {"value": 0.7}}}},
    }
    summed = over_seeds(trees)["test"]["auroc"]
    assert summed["mean"]["mean"] == pytest.approx(0.6)
    assert (summed["Edema"]["n"], summed["Edema"]["deviation"]) == (1, None)
