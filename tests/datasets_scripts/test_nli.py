import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dataset_helpers import file_hashes, licence_in, load

from datasets_scripts.__main__ import main
from datasets_scripts.nli import KIND

# As PhysioNet publishes them, less the sentences; MedNLI's lines also hold SNLI's parses.
MEDNLI_KEYS = ("gold_label", "pairID", "sentence1", "sentence1_binary_parse", "sentence1_parse", "sentence2")
MEDNLI_FILES = ("mli_train_v1.jsonl", "mli_dev_v1.jsonl", "mli_test_v1.jsonl")
RADNLI_FILES = ("radnli_dev_v1.jsonl", "radnli_test_v1.jsonl")
LABELS = ("entailment", "neutral", "contradiction", "-", "neutral")


def mednli_pair(number: int, label: str) -> dict[str, Any]:
    values = {"gold_label": label, "pairID": f"id-{number}", "sentence2": f"The patient has finding {number}."}
    return {**dict.fromkeys(MEDNLI_KEYS, "(S)"), "sentence1": f"History of finding {number}.", **values}


def radnli_pair(number: int, label: str) -> dict[str, Any]:
    sentences = {"sentence1": "The lungs are clear.", "sentence2": f"No finding {number}."}
    return {"pair_id": f"r-{number}", **sentences, "gold_label": label}


def write_lines(path: Path, pairs: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")


@pytest.fixture
def mednli(tmp_path: Path) -> Path:
    for name in MEDNLI_FILES:
        write_lines(tmp_path / name, [mednli_pair(number, label) for number, label in enumerate(LABELS)])
    return tmp_path


@pytest.fixture
def radnli(tmp_path: Path) -> Path:
    for name in RADNLI_FILES:
        write_lines(tmp_path / name, [radnli_pair(number, label) for number, label in enumerate(LABELS)])
    return tmp_path


def build(name: str, source: Path, out: Path, *more: str) -> int:
    return main(["build", name, "--source", str(source), "--out", str(out), *more])


def error_of(name: str, source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert build(name, source, source / "out") == 2
    assert not (source / "out").exists()
    lines = capsys.readouterr().err.splitlines()
    return lines[-1]


def test_mednli_has_its_three_splits_with_premise_hypothesis_label_and_pair_id(mednli: Path) -> None:
    assert build("mednli", mednli, mednli / "out") == 0

    dataset = load(mednli / "out")
    assert {name: len(rows) for name, rows in dataset.items()} == {"train": 4, "validation": 4, "test": 4}
    assert dataset["train"].features == KIND.features
    assert dataset["train"].features["label"].names == ["entailment", "neutral", "contradiction"]
    assert dataset["test"][2] == {
        "premise": "History of finding 2.",
        "hypothesis": "The patient has finding 2.",
        "label": 2,
        "pair_id": "id-2",
    }


def test_radnli_has_a_development_and_a_test_split_and_spells_the_pair_id_its_own_way(radnli: Path) -> None:
    assert build("radnli", radnli, radnli / "out") == 0

    dataset = load(radnli / "out")
    assert {name: len(rows) for name, rows in dataset.items()} == {"validation": 4, "test": 4}
    assert dataset["validation"]["pair_id"][0] == "r-0"


def test_a_dataset_of_pairs_streams(radnli: Path) -> None:
    build("radnli", radnli, radnli / "out")

    rows = list(load(radnli / "out", streaming=True)["test"])

    assert [row["label"] for row in rows] == [0, 1, 2, 1]


def test_a_pair_without_gold_label_is_left_out_and_counted(mednli: Path) -> None:
    build("mednli", mednli, mednli / "out")

    assert "| gold_label is '-': its annotators did not agree | 3 |" in (mednli / "out" / "README.md").read_text()


def test_the_card_names_source_licence_counts_inputs_and_command(mednli: Path) -> None:
    build("mednli", mednli, mednli / "out")

    card = (mednli / "out" / "README.md").read_text()
    assert "PhysioNet Credentialed Health Data License 1.5.0" in card
    assert "may be shared" in card
    assert "- `train`: 1 entailment, 2 neutral, 1 contradiction" in card
    assert "python -m datasets_scripts build mednli --source" in card
    assert str(mednli.parent) not in card
    assert all(f"input `{name}`: SHA-256" in card for name in MEDNLI_FILES)


@pytest.mark.parametrize(("name", "project"), [("mednli", "mednli"), ("radnli", "radnli-report-inference")])
def test_the_card_names_the_licence_as_the_hub_wants_it_and_links_the_corpus_s_page_of_it(
    name: str, project: str, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(name)
    build(name, source, source / "out")

    link = f"https://physionet.org/content/{project}/view-license/1.0.0/"
    assert licence_in(source / "out") == ("other", "physionet-credentialed-health-data-license-1.5.0", link)


def test_two_builds_give_the_same_bytes(mednli: Path) -> None:
    for name in ("first", "second"):
        build("mednli", mednli, mednli / name)

    assert file_hashes(mednli / "first") == file_hashes(mednli / "second")


def test_a_dataset_is_replaced_only_when_asked(mednli: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("mednli", mednli, mednli / "out")

    assert build("mednli", mednli, mednli / "out") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert build("mednli", mednli, mednli / "out", "--overwrite") == 0
    assert not list(mednli.glob(".out*"))


def test_every_missing_file_is_named(mednli: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mednli / "mli_dev_v1.jsonl").unlink()
    (mednli / "mli_test_v1.jsonl").unlink()

    error = error_of("mednli", mednli, capsys)

    assert "no mli_dev_v1.jsonl, no mli_test_v1.jsonl" in error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"gold_label": "neu', "is no JSON"),
        (b"\xff\xfe{}", "is no JSON"),
        (b"", "is no JSON"),
        (b"[1, 2]", "is no JSON object"),
        (b'{"sentence1": "A.", "sentence2": "B.", "pairID": "1"}', "has no 'gold_label'"),
        (b'{"gold_label": "neutral", "sentence2": "B.", "pairID": "1"}', "has no 'sentence1'"),
        (b'{"gold_label": "neutral", "sentence1": "A.", "sentence2": "B."}', "has no 'pairID'"),
        (b'{"gold_label": "maybe", "sentence1": "A.", "sentence2": "B.", "pairID": "1"}', "gold_label is 'maybe'"),
        (b'{"gold_label": "neutral", "sentence1": " ", "sentence2": "B.", "pairID": "1"}', "sentence1 is ' '"),
        (b'{"gold_label": "neutral", "sentence1": null, "sentence2": "B.", "pairID": "1"}', "sentence1 is None"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(
    mednli: Path, capsys: pytest.CaptureFixture[str], line: bytes, said: str
) -> None:
    path = mednli / "mli_dev_v1.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:]]))

    error = error_of("mednli", mednli, capsys)

    assert "mli_dev_v1.jsonl:4" in error
    assert said in error
