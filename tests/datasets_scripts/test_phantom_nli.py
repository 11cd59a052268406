"""PhantomNLI: labels follow from both sentences and from neither alone; its files have MedNLI's form."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import file_hashes, licence_in, load

from benchmarks.phantom_inference import ngram_accuracy, one_pair_a_block
from datasets_scripts.__main__ import main
from datasets_scripts.nli import KIND, LABELS
from datasets_scripts.phantom_entailment import (
    HEART,
    PAIRS_IN_BLOCK,
    SUBJECTS,
    Fact,
    contradicting_facts,
    make_block,
    write_fact,
)
from datasets_scripts.phantom_nli import split_pairs
from datasets_scripts.phantom_report import Choices
from datasets_scripts.phantom_state import FINDINGS, HEART_SIZES, Finding

FLAGS = ("--train", "36", "--validation", "12", "--test", "24")


def build(out: Path, *more: str) -> int:
    return main(["build", "phantom_nli", "--out", str(out), *FLAGS, *more])


def rng_of(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def value_words(fact: Fact) -> tuple[str, ...]:
    """What a fact says, spelt out: its presence, side, zone and size."""
    if fact.value is None:
        return ("absent",)
    if isinstance(fact.value, Finding):
        return tuple(str(part) for part in (fact.value.side, fact.value.zone, fact.value.size))
    return (fact.value,)


def test_the_dataset_has_the_columns_of_mednli_and_ids_that_say_that_it_is_synthetic(tmp_path: Path):
    assert build(tmp_path / "out") == 0

    dataset = load(tmp_path / "out")
    assert {name: len(rows) for name, rows in dataset.items()} == {"train": 36, "validation": 12, "test": 24}
    assert dataset["train"].features == KIND.features
    assert all(name.startswith("phantom-nli-0-test-") for name in dataset["test"]["pair_id"])
    card = (tmp_path / "out" / "README.md").read_text()
    assert "The sentences are synthetic" in card
    assert "- synthetic\n" in card
    assert "- `test`: 8 entailment, 8 neutral, 8 contradiction" in card


def test_every_premise_and_every_hypothesis_of_a_block_has_each_label_once():
    for seed in range(200):
        pairs = make_block(rng_of(seed))
        assert len(pairs) == PAIRS_IN_BLOCK
        for side in ("premise", "hypothesis"):
            sentences = Counter(getattr(pair, side) for pair in pairs)
            labels = Counter((getattr(pair, side), pair.label) for pair in pairs)
            assert all(
                labels[sentence, label] == count / 3 for sentence, count in sentences.items() for label in LABELS
            )


@pytest.mark.parametrize("side", ["premise", "hypothesis"])
def test_an_n_gram_model_of_one_sentence_alone_is_right_for_a_third(side: str):
    train, test = (split_pairs(0, split, 1800) for split in ("train", "test"))
    assert ngram_accuracy([side], train, test, seed=0) == pytest.approx(1 / 3, abs=1e-12)


@pytest.mark.parametrize("side", ["premise", "hypothesis"])
def test_an_n_gram_model_of_one_sentence_alone_is_at_chance_on_pairs_of_different_blocks(side: str):
    train, test = (one_pair_a_block(split, 1800, seed=0) for split in ("train", "test"))
    standard_error = math.sqrt(2 / 9 / 1800)
    assert ngram_accuracy([side], train, test, seed=0) == pytest.approx(1 / 3, abs=4 * standard_error)


@pytest.mark.parametrize("side", ["premise", "hypothesis"])
def test_the_n_gram_model_would_see_a_cue(side: str):
    """The control of the two tests above: where one sentence in five has a word that goes with its label."""
    train, test = (list(one_pair_a_block(split, 1800, seed=0)) for split in ("train", "test"))
    for rows in (train, test):
        rows[::5] = [{**row, side: f"{row[side]} {row['label']}"} for row in rows[::5]]
    assert ngram_accuracy([side], train, test, seed=0) > 1 / 3 + 4 * math.sqrt(2 / 9 / 1800)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_two_facts_differ_in_one_attribute_and_are_as_likely_as_their_reverse(subject: str):
    kinds: Counter[str] = Counter()
    flows: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
    for seed in range(3000):
        first, second = (value_words(fact) for fact in contradicting_facts(subject, rng_of(seed)))
        assert first != second
        if len(first) == len(second):
            assert sum(a != b for a, b in zip(first, second, strict=True)) == 1
        kinds["presence" if "absent" in (*first, *second) else "attribute"] += 1
        flows[first, second] += 1
    attributes = 1 if subject == HEART else sum(map(bool, FINDINGS[subject].attributes.values()))
    if subject != HEART:
        assert kinds["presence"] / 3000 == pytest.approx(1 / (1 + attributes), abs=0.04)
    for (first, second), count in flows.items():
        back = flows[second, first]
        assert abs(count - back) <= 4.5 * math.sqrt(count + back)


def test_a_label_says_how_the_two_facts_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written plainly, subject and value, the sentences of a block decide its labels."""

    def plain(fact: Fact, choices: Choices) -> str:
        return f"{fact.subject}={'/'.join(value_words(fact))}"

    monkeypatch.setattr("datasets_scripts.phantom_entailment.write_fact", plain)
    for seed in range(100):
        for pair in make_block(rng_of(seed)):
            subject, value = pair.hypothesis.split("=")
            stated, said = pair.premise.split("=")
            agreement = "entailment" if said == value else "contradiction"
            assert pair.label == (agreement if stated == subject else "neutral")


def test_each_size_of_the_heart_is_said_in_words_of_its_own():
    sizes = {size: write_fact(Fact(HEART, size), Choices(rng_of(1))) for size in HEART_SIZES}
    assert len(set(sizes.values())) == len(HEART_SIZES)


def test_a_larger_split_begins_with_a_smaller_one_and_splits_and_seeds_differ():
    assert split_pairs(0, "train", 40)[:31] == split_pairs(0, "train", 31)
    sentences = {
        tuple(row["premise"] for row in split_pairs(seed, split, 12))
        for seed in (0, 1)
        for split in ("train", "validation", "test")
    }
    assert len(sentences) == 6


def test_its_jsonl_files_are_read_as_mednlis_and_the_card_says_that_they_are_not(tmp_path: Path):
    files = tmp_path / "files"
    assert build(tmp_path / "out", "--jsonl", str(files)) == 0
    assert main(["build", "mednli", "--source", str(files), "--out", str(tmp_path / "mednli")]) == 0

    ours, read = load(tmp_path / "out"), load(tmp_path / "mednli")
    assert {split: list(rows) for split, rows in ours.items()} == {split: list(rows) for split, rows in read.items()}
    card = (tmp_path / "mednli" / "README.md").read_text()
    assert "# PhantomNLI in MedNLI's form" in card
    assert "The sentences are synthetic: written by a program, not MedNLI's." in card


def test_its_pairs_in_mednlis_files_keep_their_own_licence(tmp_path: Path):
    build(tmp_path / "out", "--jsonl", str(tmp_path / "files"))
    main(["build", "mednli", "--source", str(tmp_path / "files"), "--out", str(tmp_path / "mednli")])

    assert licence_in(tmp_path / "mednli") == ("apache-2.0", None, None)
    assert "PhysioNet" not in (tmp_path / "mednli" / "README.md").read_text()


def test_its_pairs_are_not_mixed_with_a_corpuss(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    build(tmp_path / "out", "--jsonl", str(tmp_path / "files"))
    pair = {"sentence1": "A.", "sentence2": "B.", "gold_label": "neutral", "pairID": "real-7"}
    (tmp_path / "files" / "mli_dev_v1.jsonl").write_text(json.dumps(pair) + "\n")

    assert main(["build", "mednli", "--source", str(tmp_path / "files"), "--out", str(tmp_path / "mednli")]) == 2
    assert "is PhantomNLI's and 'real-7' is not" in capsys.readouterr().err.splitlines()[-1]


def test_a_line_of_its_files_has_mednlis_keys(tmp_path: Path):
    build(tmp_path / "out", "--jsonl", str(tmp_path))
    lines = (tmp_path / "mli_dev_v1.jsonl").read_text().splitlines()
    assert len(lines) == 12
    assert {key for line in lines for key in json.loads(line)} == {"sentence1", "sentence2", "gold_label", "pairID"}
    assert Counter(json.loads(line)["gold_label"] for line in lines) == dict.fromkeys(LABELS, 4)


def test_two_builds_give_the_same_bytes_and_another_seed_others(tmp_path: Path):
    for name, seed in (("first", "0"), ("second", "0"), ("third", "1")):
        build(tmp_path / name, "--seed", seed)
    first, second, third = (file_hashes(tmp_path / name) for name in ("first", "second", "third"))
    assert first == second
    assert all(first[name] != third[name] for name in first)


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    build(tmp_path / "out", "--jsonl", str(tmp_path / "files"))
    assert build(tmp_path / "out") == 2
    assert build(tmp_path / "other", "--jsonl", str(tmp_path / "files")) == 2
    assert "mli_train_v1.jsonl is there" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert build(tmp_path / "out", "--jsonl", str(tmp_path / "files"), "--overwrite") == 0


def test_a_negative_count_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert build(tmp_path / "out", "--seed", "-1") == 2
    assert "'seed': -1" in capsys.readouterr().err


def test_the_pairs_of_a_block_stand_together_and_share_their_name():
    names = [row["pair_id"].rpartition("-")[0] for row in split_pairs(0, "train", 60)]
    assert [len(set(names[start : start + PAIRS_IN_BLOCK])) for start in range(0, 60, PAIRS_IN_BLOCK)] == [1] * 5
    assert len(set(names)) == 5
