"""The benchmark of the perturbations measures what it says, at tiny size."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.perturbations import NEED_TAGS, main, recombine
from datasets_scripts.perturbations import PERTURBATIONS, perturb_words

REPORTS = [
    "The lungs are clear.",
    "No pleural effusion, no pneumothorax.",
    "The lungs are clear!",
    "",
    "Normal heart.",
]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    (tmp_path / "reports.txt").write_text("\n".join(REPORTS))
    return tmp_path / "reports.txt"


def test_every_figure_is_printed_and_written(reports: Path, capsys: pytest.CaptureFixture[str]):
    main(["--reports", str(reports), "--recombined", "50", "--json", str(reports.with_name("out.json"))])

    results = json.loads(reports.with_name("out.json").read_text())
    assert (results["reports"], results["distinct"]) == (4, 3)
    assert {name: results[name]["reports"] for name in ("ours", "peer", "recombined")} == {
        "ours": 3,
        "peer": 3,
        "recombined": 50,
    }
    ours, peer = results["ours"], results["peer"]
    assert results["ratio"] == ours["reports_per_second"] / peer["reports_per_second"]
    assert results["recombined"]["peak_memory_mb"] >= ours["peak_memory_mb"] > 50
    shown = capsys.readouterr().out
    assert f"ours / peer: {results['ratio']:.1f} times" in shown
    assert f"recombined / corpus: {results['rate_of_recombined']:.3f} times" in shown


def test_the_peer_can_be_left_out(reports: Path):
    main(["--reports", str(reports), "--peer_reports", "0", "--json", str(reports.with_name("out.json"))])

    assert {"peer", "ratio"}.isdisjoint(json.loads(reports.with_name("out.json").read_text()))


def test_the_peer_is_called_for_each_perturbation_that_depends_on_the_tags():
    words = ["clear", "left", "lungs", "are", "normal"]
    by_tags = [perturb_words(words, [tag] * 5, lambda name: random.Random(0)) for tag in ("NN", "JJ", "VB", "IN")]
    assert {
        name for name in PERTURBATIONS if any(perturbed[name] != by_tags[0][name] for perturbed in by_tags)
    } == set(NEED_TAGS)


def test_recombined_reports_are_distinct_and_of_the_corpus_s_words_and_lengths():
    corpus = ["a b c d e", "f g h i j k l"]
    made = list(recombine(corpus, 200))
    assert len(set(made)) == 200
    assert {len(report.split()) for report in made} == {5, 7}
    assert {word for report in made for word in report.split()} == set("abcdefghijkl")
    assert made == list(islice(recombine(corpus, 300), 200))


def test_a_corpus_too_small_to_recombine_is_named():
    with pytest.raises(ValueError, match="2 words of 2 reports do not make 3 distinct ones"):
        list(recombine(["a", "b"], 3))


def test_a_file_without_reports_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty.txt").write_text("...\n")
    with pytest.raises(SystemExit):
        main(["--reports", str(tmp_path / "empty.txt")])
    assert "empty.txt holds no report with a word" in capsys.readouterr().err
