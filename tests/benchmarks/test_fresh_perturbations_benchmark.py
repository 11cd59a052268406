"""The benchmark of fresh perturbations compares with the tokenizer's real outputs, at tiny size."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_processors import byte_level_bpe, word_piece

from benchmarks.fresh_perturbations import main
from training.fresh import NotWordLocalError, WordTokens

FINDINGS = [
    "The lungs are clear. There is no pleural effusion or pneumothorax.",
    "Heart size is normal.",
    "2.5 cm nodule in the left apex.",
    "Heart size is normal!",
    "",
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, findings in enumerate(FINDINGS):
        (folder / f"{number}.xml").write_text(
            f'<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>'
            f'<AbstractText Label="FINDINGS">{findings}</AbstractText>'
            "</Abstract></Article></MedlineCitation></eCitation>"
        )
    return folder


@pytest.fixture
def tokenizers(tmp_path: Path) -> list[str]:
    folders = [tmp_path / "word_piece", tmp_path / "bpe"]
    for folder, build in zip(folders, (word_piece, byte_level_bpe), strict=True):
        build().save_pretrained(folder)
    return [str(folder) for folder in folders]


def run(corpus: Path, tokenizers: list[str], *flags: str) -> dict[str, Any]:
    out = corpus.with_name("out.json")
    sizes = ["--reports", "3", "--epochs", "2", "--batch_size", "2", "--repeats", "1"]
    main(["--openi", str(corpus), "--tokenizer", *tokenizers, *sizes, *flags, "--json", str(out)])
    return json.loads(out.read_text())


@pytest.mark.parametrize("max_length", ["12", "64"])
def test_every_text_of_every_epoch_is_compared_and_none_differs(
    corpus: Path, tokenizers: list[str], max_length: str, capsys: pytest.CaptureFixture[str]
):
    results = run(corpus, tokenizers, "--max_length", max_length)["tokenizers"]

    assert [results[name]["model"] for name in tokenizers] == ["WordPiece", "BPE"]
    for row in results.values():
        assert row["texts"] == 3 * (1 + 9) * 2
        assert (row["differing"], row["differing_from_string"], row["not_word_local"]) == (0, 0, None)
        assert row["ratio"] == row["assembled"]["texts_per_second"] / row["tokenizer"]["texts_per_second"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 of 3 distinct reports")
    assert [line.split()[0] for line in lines[2:]] == ["word_piece", "bpe"]
    assert all(line.endswith("word-local") for line in lines[2:])


def test_a_wrong_token_is_counted_in_each_text_that_has_its_word(
    corpus: Path, tokenizers: list[str], monkeypatch: pytest.MonkeyPatch
):
    build = WordTokens.__init__

    def build_wrong(self: WordTokens, *args: Any) -> None:
        build(self, *args)
        self._ids["heart"] = [token + 1 for token in self._ids["heart"]]

    monkeypatch.setattr(WordTokens, "__init__", build_wrong)
    row = run(corpus, tokenizers[:1])["tokenizers"][tokenizers[0]]
    assert (row["differing"], row["differing_from_string"]) == (20, 20)  # one report of the three, in two epochs


def test_a_tokenizer_that_is_not_word_local_falls_back_and_says_why(
    corpus: Path, tokenizers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuse(self: WordTokens, reports: list[str]) -> None:
        raise NotWordLocalError("it looks around")

    monkeypatch.setattr(WordTokens, "_check", refuse)
    row = run(corpus, tokenizers[:1])["tokenizers"][tokenizers[0]]
    assert (row["not_word_local"], row["texts"], row["differing"]) == ("it looks around", 60, 0)
    assert {"assembled", "ratio"}.isdisjoint(row)
    assert capsys.readouterr().out.endswith("not word-local: it looks around, falls back\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--reports", "4"], "--reports 4 is more than the 3 distinct reports of the corpus"),
        (["--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["--tokenizer", str(Path(__file__).parent)], "tests/benchmarks is no folder and no Hub id of a tokenizer"),
        (["--openi", "nowhere.tgz"], "nowhere.tgz does not exist"),
    ],
)
def test_what_cannot_be_used_is_named(
    corpus: Path, tokenizers: list[str], flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        run(corpus, tokenizers, *flags)
    assert message in capsys.readouterr().err
