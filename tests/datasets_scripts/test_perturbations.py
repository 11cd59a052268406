"""The nine perturbations follow Table I, and depend on tagger, seed, report and name alone."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle, islice, permutations, product
from multiprocessing import get_context
from pathlib import Path

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_scripts import tagging
from datasets_scripts.antonyms import antonym
from datasets_scripts.perturbations import PERTURBATIONS, ReportPerturber
from datasets_scripts.tagging import DEFAULT_SPACY_MODEL, PartOfSpeechTagger

TABLE_1 = "the lungs are clear there is no pleural effusion or pneumothorax"
NOUNS = {"NN", "NNS", "NNP", "NNPS"}
ADJECTIVES = {"JJ", "JJR", "JJS"}
VERBS = {"VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "MD"}
SHUFFLES = PERTURBATIONS[:8]

VOCABULARY = [*TABLE_1.split(), "left", "heart", "size", "normal", "may", "be", "seen", "2", "cm"]
reports = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=40).map(" ".join)
short_reports = st.lists(st.sampled_from(["clear", "lungs", "is", "no"]), min_size=1, max_size=7).map(" ".join)
properties = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def tagger() -> PartOfSpeechTagger:
    return PartOfSpeechTagger()


def trigrams(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + 3]) for start in range(0, len(words), 3)]


def places_by_rule(name: str, words: list[str], tags: list[str]) -> list[list[int]]:
    """The groups of places within which a shuffle may move words, straight from the design's table."""
    everywhere = range(len(words))
    nouns = [place for place in everywhere if tags[place] in NOUNS]
    adjectives = [place for place in everywhere if tags[place] in ADJECTIVES]
    return {
        "shuffle_all_words": [list(everywhere)],
        "shuffle_within_trigrams": [[p for p in everywhere if p // 3 == g] for g in range(len(trigrams(words)))],
        "shuffle_nouns_adjectives": [nouns, adjectives],
        "shuffle_all_but_nouns_adjectives": [[p for p in everywhere if tags[p] not in NOUNS | ADJECTIVES]],
        "shuffle_nouns_verbs_adjectives": [[p for p in everywhere if tags[p] in NOUNS | ADJECTIVES | VERBS]],
    }[name]


def assert_moves_only_within(groups: list[list[int]], words: list[str], perturbed: list[str]) -> None:
    for group in groups:
        assert Counter(words[place] for place in group) == Counter(perturbed[place] for place in group)
    moved = {place for place in range(len(words)) if words[place] != perturbed[place]}
    assert moved <= {place for group in groups for place in group}


def is_order_of(groups: list[tuple[str, ...]], words: list[str]) -> bool:
    """Whether `words` are `groups` in some order, each whole; only the last group may be short, wherever it goes."""
    short = len(groups[-1])
    cuts = ([3] * place + [short] + [3] * (len(groups) - 1 - place) for place in range(len(groups)))
    return any(Counter(cut_at(words, sizes)) == Counter(groups) for sizes in cuts)


def cut_at(words: list[str], sizes: list[int]) -> list[tuple[str, ...]]:
    rest = iter(words)
    return [tuple(islice(rest, size)) for size in sizes]


def assert_follows_rule(name: str, words: list[str], tags: list[str], perturbed: list[str]) -> None:
    if name == "swap_adjacent_words":
        pairs = [words[start : start + 2] for start in range(0, len(words), 2)]
        assert perturbed == [word for pair in pairs for word in reversed(pair)]
    elif name == "reverse_sentence":
        assert perturbed == list(reversed(words))
    elif name == "shuffle_trigrams":
        assert is_order_of(trigrams(words), perturbed)
    elif name == "replace_adjectives_with_antonyms":
        expected = [antonym(w) if t in ADJECTIVES and antonym(w) else w for w, t in zip(words, tags, strict=True)]
        assert perturbed == expected
    else:
        assert_moves_only_within(places_by_rule(name, words, tags), words, perturbed)


def results_by_rule(name: str, words: list[str], tags: list[str]) -> Iterator[list[str]]:
    """Every result that a shuffle may have, by trying all permutations."""
    if name == "shuffle_trigrams":
        for order in permutations(trigrams(words)):
            yield [word for group in order for word in group]
        return
    groups = places_by_rule(name, words, tags)
    for orders in product(*(permutations(group) for group in groups)):
        result = list(words)
        for group, order in zip(groups, orders, strict=True):
            for place, source in zip(group, order, strict=True):
                result[place] = words[source]
        yield result


def test_names_stand_in_the_order_of_table_1():
    assert PERTURBATIONS == (
        "shuffle_all_words",
        "swap_adjacent_words",
        "reverse_sentence",
        "shuffle_within_trigrams",
        "shuffle_trigrams",
        "shuffle_nouns_adjectives",
        "shuffle_all_but_nouns_adjectives",
        "shuffle_nouns_verbs_adjectives",
        "replace_adjectives_with_antonyms",
    )


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("swap_adjacent_words", "lungs the clear are is there pleural no or effusion pneumothorax"),
        ("reverse_sentence", "pneumothorax or effusion pleural no is there clear are lungs the"),
        (
            "replace_adjectives_with_antonyms",
            "the lungs are unclear there is no pleural effusion or pneumothorax",
        ),
    ],
)
def test_deterministic_rows_of_table_1_come_out_exactly(perturber: ReportPerturber, name: str, row: str):
    assert perturber.perturb(TABLE_1)[name] == row


def test_drawn_rows_are_the_same_on_every_machine(perturber: ReportPerturber):
    perturbed = perturber.perturb(TABLE_1)
    assert perturbed["shuffle_all_words"] == "or the pneumothorax clear no effusion is there pleural lungs are"
    assert perturbed["shuffle_trigrams"] == "or pneumothorax the lungs are no pleural effusion clear there is"


@properties
@given(report=reports)
def test_every_perturbation_follows_its_rule(perturber: ReportPerturber, tagger: PartOfSpeechTagger, report: str):
    words = report.split()
    (tags,) = tagger.tag([words])
    perturbed = perturber.perturb(report)
    assert tuple(perturbed) == PERTURBATIONS
    for name, text in perturbed.items():
        assert_follows_rule(name, words, tags, text.split(" "))
        assert name not in SHUFFLES or Counter(text.split()) == Counter(words)


@properties
@given(report=short_reports)
def test_a_shuffle_changes_the_report_whenever_another_result_exists(
    perturber: ReportPerturber, tagger: PartOfSpeechTagger, report: str
):
    words = report.split()
    (tags,) = tagger.tag([words])
    perturbed = perturber.perturb(report)
    for name in set(SHUFFLES) - {"swap_adjacent_words", "reverse_sentence"}:
        another_exists = any(result != words for result in results_by_rule(name, words, tags))
        assert (perturbed[name] != report) == another_exists, name


class FixedTagger:
    """Gives every word the same tag."""

    def __init__(self, tag: str) -> None:
        self.fixed = tag

    def tag(self, reports: Iterable[list[str]]) -> Iterator[list[str]]:
        return ([self.fixed] * len(words) for words in reports)


@pytest.mark.parametrize("tag", [*sorted(NOUNS | ADJECTIVES | VERBS), "RB", "IN", "DT", "CD"])
def test_penn_tags_decide_which_words_move(perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch, tag: str):
    monkeypatch.setattr(perturber, "_tagger", FixedTagger(tag))
    perturbed = perturber.perturb("right clear")
    changed = {name for name, text in perturbed.items() if text != "right clear"}
    assert ("shuffle_nouns_adjectives" in changed) == (tag in NOUNS | ADJECTIVES)
    assert ("shuffle_all_but_nouns_adjectives" in changed) == (tag not in NOUNS | ADJECTIVES)
    assert ("shuffle_nouns_verbs_adjectives" in changed) == (tag in NOUNS | ADJECTIVES | VERBS)
    assert ("replace_adjectives_with_antonyms" in changed) == (tag in ADJECTIVES)


def test_groups_that_are_powers_of_one_word_cannot_be_told_apart(perturber: ReportPerturber):
    assert perturber.perturb("no no no no no")["shuffle_trigrams"] == "no no no no no"


def test_every_permutation_that_changes_the_report_is_equally_likely(perturber: ReportPerturber):
    batch = [f"first{i} second{i} third{i}" for i in range(1000)]
    drawn = (perturbed["shuffle_all_words"] for perturbed in perturber.perturb_batch(batch))
    orders = Counter(
        tuple(report.split().index(word) for word in text.split()) for report, text in zip(batch, drawn, strict=True)
    )
    assert (0, 1, 2) not in orders
    assert len(orders) == 5
    assert all(abs(count - 200) < 4 * (1000 * 0.2 * 0.8) ** 0.5 for count in orders.values())


def test_a_result_does_not_depend_on_batch_or_order(perturber: ReportPerturber):
    batch = [TABLE_1, "heart size is normal", "no acute disease", TABLE_1]
    assert list(perturber.perturb_batch(batch)) == [perturber.perturb(report) for report in batch]


def test_a_report_is_normalised_first(perturber: ReportPerturber):
    written = "The lungs are clear. There is NO pleural effusion, or pneumothorax!"
    assert perturber.perturb(written) == perturber.perturb(TABLE_1)


def test_the_seed_changes_what_is_drawn_and_nothing_else():
    one, other = ReportPerturber(seed=0).perturb(TABLE_1), ReportPerturber(seed=1).perturb(TABLE_1)
    fixed = {"swap_adjacent_words", "reverse_sentence", "replace_adjectives_with_antonyms"}
    assert {name for name in PERTURBATIONS if one[name] == other[name]} == fixed


@pytest.mark.slow
def test_two_processes_give_what_one_gives_as_they_stream(perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tagging, "get_context", lambda method: get_context("forkserver"))  # has imported spaCy

    def endless() -> Iterator[str]:
        return (f"nodule {number} in the left upper lobe is {word}" for number, word in enumerate(cycle(VOCABULARY)))

    shared = list(islice(perturber.perturb_batch(endless(), num_proc=2), 600))
    assert shared == list(islice(perturber.perturb_batch(endless()), 600))


def test_a_very_long_report_is_perturbed(perturber: ReportPerturber):
    report = " ".join([TABLE_1] * 500)
    assert Counter(perturber.perturb(report)["shuffle_trigrams"].split()) == Counter(report.split())


def test_a_report_without_words_is_named_by_its_position(perturber: ReportPerturber):
    with pytest.raises(ValueError, match=r"report 1 .*'\.\.\.'"):
        list(perturber.perturb_batch([TABLE_1, "..."]))


def test_a_tagged_report_is_perturbed_as_an_untagged_one(perturber: ReportPerturber, tagger: PartOfSpeechTagger):
    (tags,) = tagger.tag([TABLE_1.split()])
    assert perturber.perturb_tagged(TABLE_1, tags) == perturber.perturb(TABLE_1)


def test_tags_that_are_not_one_a_word_are_an_error(perturber: ReportPerturber):
    with pytest.raises(ValueError, match=r"1 tags for the 2 words of 'clear lungs'; give one a word"):
        perturber.perturb_tagged("clear lungs", ["JJ"])


def test_perturbing_from_stored_tags_imports_nothing_large():
    code = (
        "import random, sys; from datasets_scripts.perturbations import perturb_words; "
        "perturb_words(['clear', 'lungs'], ['JJ', 'NNS'], random.Random); "
        "sys.exit(bool({'spacy', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    path = os.pathsep.join(sys.path)
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}).returncode == 0


@pytest.mark.slow
def test_tagging_processes_end_when_their_parent_is_killed():
    code = (
        "import os, signal\n"
        "from datasets_scripts.perturbations import ReportPerturber\n"
        "if __name__ == '__main__':\n"
        "    with ReportPerturber().tagging(num_proc=2) as tagger:\n"
        "        print(list(tagger.tag([['clear', 'lungs']])), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(sys.path)
    # The processes hold the standard output, so that reading it to its end waits for theirs.
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"[['JJ', 'NNS']]\n")


def test_num_proc_below_one_is_an_error(perturber: ReportPerturber):
    with pytest.raises(ValueError, match="num_proc must be at least 1, got 0"):
        perturber.perturb_batch([TABLE_1], num_proc=0)


def test_a_missing_spacy_model_is_an_error_that_says_how_to_install_it():
    with pytest.raises(ValueError, match=r"en_core_web_none.*pip install en-core-web-none"):
        ReportPerturber(spacy_model="en_core_web_none")


def test_a_spacy_model_without_a_tagger_is_an_error(tmp_path: Path):
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(ValueError, match="no tagger"):
        ReportPerturber(spacy_model=str(tmp_path))


def test_the_tagger_tells_its_name_version_and_hash(perturber: ReportPerturber):
    assert perturber.tagger.name == DEFAULT_SPACY_MODEL
    assert perturber.tagger.version == "3.8.0"
    assert perturber.tagger.sha256 == "04935df637ec557a0f2e0ceedba4c6ba6848e6183d1e864b335340a22decb60a"


def test_tags_stand_on_white_space_words(tagger: PartOfSpeechTagger):
    # spaCy's own tokenizer would make two words of "cannot" and "5mm".
    (tags,) = tagger.tag([["lungs", "cannot", "be", "5mm"]])
    assert len(tags) == 4


def test_words_are_let_go_when_they_are_tagged(tagger: PartOfSpeechTagger):
    assert len(list(tagger.tag([["qxzlungs", "qxzclear"]]))) == 1
    assert "qxzlungs" not in tagger._nlp.vocab.strings


@pytest.fixture(scope="module")
def openi_findings() -> list[str]:
    if "PRD_OPENI_REPORTS" not in os.environ:
        pytest.skip("PRD_OPENI_REPORTS does not name Open-I's NLMCXR_reports.tgz")
    from datasets_scripts.openi_reports import read_reports
    from datasets_scripts.perturbations import normalize_report

    normalized = (normalize_report(report.findings) for report in read_reports(Path(os.environ["PRD_OPENI_REPORTS"])))
    return [findings for findings in normalized if findings]


def test_every_perturbation_of_openi_follows_its_rule(
    perturber: ReportPerturber, tagger: PartOfSpeechTagger, openi_findings: list[str]
):
    assert len(openi_findings) == 3425
    all_tags = tagger.tag([report.split() for report in openi_findings], batch_size=1)
    all_perturbed = perturber.perturb_batch(openi_findings)
    unchanged = 0
    for report, tags, perturbed in zip(openi_findings, all_tags, all_perturbed, strict=True):
        for name, text in perturbed.items():
            assert_follows_rule(name, report.split(), tags, text.split(" "))
        unchanged += report in perturbed.values()
    assert unchanged <= 0.007 * len(openi_findings)


@pytest.mark.slow
def test_openi_is_the_same_by_two_runs_and_by_two_processes(openi_findings: list[str]):
    first = list(ReportPerturber().perturb_batch(openi_findings))
    assert first == list(ReportPerturber().perturb_batch(openi_findings))
    assert first == list(ReportPerturber().perturb_batch(openi_findings, num_proc=2))
