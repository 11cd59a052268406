"""`finetune.py` on sentence pairs, from end to end, on tiny encoders."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from finetune_helpers import WORDS, metrics, run_finetune, save_bert, save_prd, write_mednli, write_radnli
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2Model,
)

from datasets_scripts import phantom_nli
from datasets_scripts.nli import LABELS
from modeling_prd import PRDForSequenceClassification, PRDModel
from training.finetuning.arguments import ClassifierArguments
from training.finetuning.models import load_classifier
from training.finetuning.nli import NLITask
from training.finetuning.task import Splits
from training.models import build_tokenizer


@pytest.fixture(scope="module")
def prd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prd(tmp_path_factory.mktemp("prd"))


@pytest.fixture(scope="module")
def mednli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mednli(tmp_path_factory.mktemp("pairs") / "mednli")


@pytest.fixture(scope="module")
def learned(prd: Path, mednli: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run long enough to learn what the words tell."""
    run = tmp_path_factory.mktemp("learned") / "run"
    run_finetune(
        *("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", run),
        *("--max_steps", 80, "--learning_rate", 1e-2, "--eval_steps", 20),
    )
    return run


def test_a_run_learns_the_pairs_and_reports_the_test_split(learned: Path):
    test = metrics(learned)["test"]
    assert test["accuracy"]["value"] > 0.9
    assert test["accuracy"]["n"] == 24
    assert test["accuracy"]["chance"] == pytest.approx(1 / 3)
    assert test["majority"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert sum(map(sum, test["confusion_counts"])) == 24


def test_the_folder_gives_the_accuracy_that_it_reports(learned: Path, mednli: Path):
    model = PRDForSequenceClassification.from_pretrained(learned).eval()
    tokenizer = AutoTokenizer.from_pretrained(learned, trust_remote_code=True)
    pairs = [json.loads(line) for line in (mednli / "mli_test_v1.jsonl").read_text().splitlines()]
    inputs = tokenizer(
        [pair["sentence1"] for pair in pairs],
        [pair["sentence2"] for pair in pairs],
        padding=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        answers = model(**inputs).logits.argmax(dim=1)
    right = [model.config.id2label[int(a)] == pair["gold_label"] for a, pair in zip(answers, pairs, strict=True)]
    assert sum(right) / len(right) == metrics(learned)["test"]["accuracy"]["value"]


def test_the_card_shows_the_numbers_and_no_machine_path(learned: Path):
    card = (learned / "README.md").read_text()
    assert "| accuracy |" in card
    assert str(learned.parent) not in card
    assert "taken for neutral" in card


def test_the_configuration_names_no_place_it_was_loaded_from(learned: Path, prd: Path):
    assert str(prd) not in (learned / "config.json").read_text()


def test_without_the_premise_the_model_sees_the_hypothesis_alone(prd: Path):
    rows = Dataset.from_list([{"premise": "a nodule", "hypothesis": "no effusion", "pair_id": "p", "label": 1}])
    prepare = load_classifier(ClassifierArguments(model=str(prd)), LABELS, "single_label_classification").prepare
    for alone, expected in ((True, prepare(["no effusion"])), (False, prepare(["a nodule"], ["no effusion"]))):
        batch = NLITask(Splits(rows, rows, rows), 10, hypothesis_only=alone).collator(prepare)(list(rows))
        assert torch.equal(batch["input_ids"], expected["input_ids"])


def test_a_control_without_the_premise_says_so(prd: Path, mednli: Path, tmp_path: Path, capsys):
    run_finetune(
        *("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", tmp_path / "run"),
        *("--max_steps", 1, "--hypothesis_only", "true"),
    )
    assert "hypothesis alone, a control" in capsys.readouterr().out
    assert "A control" in (tmp_path / "run" / "README.md").read_text()


def test_radnli_trains_on_mednli_and_chooses_on_its_own_validation_split(
    prd: Path, mednli: Path, tmp_path: Path, capsys
):
    run_finetune(
        *("--task", "radnli", "--model", prd, "--data", write_radnli(tmp_path / "radnli"), "--train_data", mednli),
        *("--output_dir", tmp_path / "run", "--max_steps", 1),
    )
    numbers = metrics(tmp_path / "run")
    assert numbers["seeds"]["0"]["train_rows"] == 48
    assert numbers["validation"]["accuracy"]["n"] == 30
    assert numbers["test"]["accuracy"]["n"] == 24
    assert "Trained on MedNLI" in capsys.readouterr().out


def test_radnli_directly_trains_on_its_validation_split_less_the_pairs_to_choose_on(prd: Path, tmp_path: Path):
    run_finetune(
        *("--task", "radnli", "--model", prd, "--data", write_radnli(tmp_path / "radnli"), "--direct", "true"),
        *("--held_out", 0.2, "--output_dir", tmp_path / "run", "--max_steps", 1),
    )
    numbers = metrics(tmp_path / "run")
    trained, chosen = numbers["seeds"]["0"]["train_rows"], numbers["validation"]["accuracy"]["n"]
    assert trained + chosen == 30
    assert 6 <= chosen <= 10


def test_the_card_says_that_pairs_are_a_stand_in(prd: Path, tmp_path: Path):
    phantom_nli.build(tmp_path / "pairs", train=36, validation=12, test=12, progress=False)
    run_finetune(
        *("--task", "mednli", "--model", prd, "--data", tmp_path / "pairs", "--output_dir", tmp_path / "run"),
        *("--max_steps", 1),
    )
    card = (tmp_path / "run" / "README.md").read_text()
    assert "All of the 36 training pairs are synthetic: written by a program, not taken from records." in card


def test_what_is_reported_on_is_said_to_be_a_stand_in_though_what_was_trained_on_is_none(
    prd: Path, mednli: Path, tmp_path: Path
):
    phantom_nli.build(tmp_path / "pairs", train=0, validation=12, test=24, progress=False)
    run_finetune(
        *("--task", "radnli", "--model", prd, "--data", tmp_path / "pairs", "--train_data", mednli),
        *("--output_dir", tmp_path / "run", "--max_steps", 1),
    )
    numbers = metrics(tmp_path / "run")
    assert (numbers["n_synthetic"], numbers["n_test"], numbers["n_test_synthetic"]) == (0, 24, 24)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "All of the 24 reported pairs are synthetic: written by a program, not taken from records." in card
    assert "training pairs are synthetic" not in card


def test_a_checkpoint_of_transformers_starts_a_run_too(mednli: Path, tmp_path: Path):
    run = tmp_path / "run"
    run_finetune(
        *("--task", "mednli", "--model", save_bert(tmp_path / "bert"), "--data", mednli, "--output_dir", run),
        *("--max_steps", 2),
    )
    model = BertForSequenceClassification.from_pretrained(run)
    assert model.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}


def test_a_decoder_without_a_padding_token_starts_a_run_too(mednli: Path, tmp_path: Path):
    checkpoint, run = tmp_path / "gpt2", tmp_path / "run"
    tokenizer = build_tokenizer([" ".join(WORDS)], 200, 64)
    tokenizer.eos_token, tokenizer.pad_token = tokenizer.sep_token, None
    sizes = {"vocab_size": len(tokenizer), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    GPT2Model(GPT2Config(**sizes)).save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    run_finetune(
        *("--task", "mednli", "--model", checkpoint, "--data", mednli, "--output_dir", run),
        *("--max_steps", 2),
    )
    assert GPT2ForSequenceClassification.from_pretrained(run).config.pad_token_id == tokenizer.sep_token_id


@pytest.mark.parametrize("init", ["pretrained", "random"])
@pytest.mark.parametrize("save", [save_bert, save_prd])
def test_a_checkpoint_in_half_precision_is_trained_in_float32(tmp_path: Path, save, init):
    folder = save(tmp_path / "half")
    model_class = PRDModel if save is save_prd else BertModel
    model_class.from_pretrained(folder).half().save_pretrained(folder)
    classifier = load_classifier(
        ClassifierArguments(model=str(folder), init=init), ("a", "b"), "single_label_classification"
    )
    assert {weight.dtype for weight in classifier.model.parameters()} == {torch.float32}


def test_random_weights_are_not_the_checkpoints(prd: Path, mednli: Path, tmp_path: Path):
    run = tmp_path / "run"
    run_finetune(
        *("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", run),
        *("--max_steps", 1, "--learning_rate", 0, "--init", "random"),
    )
    drawn = PRDForSequenceClassification.from_pretrained(run).text_model.embeddings.tok_embeddings.weight
    given = PRDForSequenceClassification.from_pretrained(prd).text_model.embeddings.tok_embeddings.weight
    assert not torch.equal(drawn, given)


def test_a_linear_probe_leaves_the_encoder_as_it_is(prd: Path, mednli: Path, tmp_path: Path):
    run = tmp_path / "run"
    run_finetune(
        *("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", run),
        *("--max_steps", 3, "--learning_rate", 1e-2, "--method", "linear_probe"),
    )
    after = PRDForSequenceClassification.from_pretrained(run).state_dict()
    before = PRDForSequenceClassification.from_pretrained(prd, num_labels=3).state_dict()
    assert [name for name in after if not torch.equal(after[name], before[name])] == [
        "classifier.weight",
        "classifier.bias",
    ]


def test_a_linear_probe_trains_the_pooler_that_the_checkpoint_lacks(mednli: Path, tmp_path: Path):
    """Left as it was drawn, it would stand between what the encoder knows and the classifier."""
    bert, run = save_bert(tmp_path / "bert", model_class=BertForMaskedLM), tmp_path / "run"
    run_finetune(
        *("--task", "mednli", "--model", bert, "--data", mednli, "--output_dir", run),
        *("--max_steps", 3, "--learning_rate", 1e-2, "--method", "linear_probe"),
    )
    after = BertForSequenceClassification.from_pretrained(run).state_dict()
    before = BertForMaskedLM.from_pretrained(bert).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after.keys() & before.keys())
    assert metrics(run)["seeds"]["0"]["trained"].startswith(f"{16 * 16 + 16 + 3 * 16 + 3:,} of ")
