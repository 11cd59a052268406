"""The models that see no image: a trigram model and an n-gram classifier."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_encoders import dataset, pair
from sklearn.feature_extraction.text import CountVectorizer

from evaluate_suite.controls import NotComputable
from evaluate_suite.controls.blind import (
    NgramClassifier,
    TrigramModel,
    blind_gaps,
    edits_to_fit,
    gaps_fitted_on_train,
    pair_accuracy,
    pair_gaps,
    reports_to_fit,
)
from evaluate_suite.controls.ngrams import NgramTable
from evaluate_suite.counterfactual_pairs import counterfactual_pairs, edits_by_kind

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), min_size=1, max_size=8)


def loop_score(reports: list[str], text: str) -> float:
    """The trigram model of one text, word by word, with counters of tuples of words."""
    known = {word for word in "abcde" if sum(word in report.split() for report in reports) > 1} | {"</s>"}

    def grams(sentence: str) -> list[tuple[str, ...]]:
        words = [word if word in known else "<unk>" for word in sentence.split()]
        padded = ["<s>", "<s>", *words, "</s>"]
        return [tuple(padded[place - 2 : place + 1]) for place in range(2, len(padded))]

    counts = [Counter(gram[2 - order :] for report in reports for gram in grams(report)) for order in range(3)]
    logs = []
    for gram in grams(text):
        probability = 1e-9
        for order, weight in enumerate((0.1, 0.3, 0.6)):
            context = sum(count for seen, count in counts[order].items() if seen[:-1] == gram[2 - order : 2])
            if context:
                probability += weight * counts[order][gram[2 - order :]] / context
        logs.append(math.log(probability))
    return sum(logs) / len(logs)


def test_the_trigram_model_interpolates_the_three_frequencies_and_counts_the_end() -> None:
    model = TrigramModel(["no effusion", "no mass", "no effusion", "no mass"])

    # Twelve words with the ends: `no` 4, `effusion` 2, the end 4; each of the three words of the report:
    no = 0.1 * 4 / 12 + 0.3 * 1 + 0.6 * 1
    effusion = 0.1 * 2 / 12 + 0.3 * 2 / 4 + 0.6 * 2 / 4
    end = 0.1 * 4 / 12 + 0.3 * 1 + 0.6 * 1
    assert model.scores(["no effusion"]) == pytest.approx(sum(map(math.log, (no, effusion, end))) / 3, abs=1e-6)


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=60)
def test_trigram_scores_equal_a_loop_over_words(reports: list[str], texts: list[str]) -> None:
    expected = [loop_score(reports, text) for text in texts]
    assert TrigramModel(reports).scores(texts) == pytest.approx(expected, abs=1e-11)


def test_a_word_of_one_report_alone_is_unknown() -> None:
    no_cavity, no_effusion, unheard = TrigramModel(["no effusion", "no cavity"]).scores(
        ["no cavity", "no effusion", "no unheard"]
    )
    assert no_cavity == no_effusion == unheard


def test_the_same_trigrams_in_another_order_tie() -> None:
    frequencies = {"a": 7, "b": 5, "c": 3, "d": 11, "e": 2, "f": 13, "g": 4}
    model = TrigramModel([f"x y {word} x y" for word, times in frequencies.items() for _ in range(times)])
    orders = ("abcdefg", "gfedcba", "daebfcg", "fbdgace", "cgadfbe")
    texts = [" ".join(f"x y {word}" for word in order) + " x y" for order in orders]
    assert len(set(model.scores(texts))) == 1


def test_a_trigram_model_needs_a_report() -> None:
    with pytest.raises(ValueError, match="no report to fit"):
        TrigramModel([])


def test_the_original_of_a_pair_wins_where_it_is_more_probable_and_a_tie_is_half() -> None:
    model = TrigramModel(["no effusion"] * 9 + ["an effusion"] * 2)

    assert pair_accuracy(model, [("no effusion", "an effusion"), ("an effusion", "no effusion")]) == 0.5
    assert pair_accuracy(model, [("no effusion", "no effusion")]) == 0.5
    assert pair_accuracy(model, [("no effusion", "an effusion")]) == 1.0
    assert pair_gaps(model, ["no effusion"], ["an effusion"]) == model.scores(["no effusion"]) - model.scores(
        ["an effusion"]
    )


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=60)
def test_the_ngram_table_equals_scikit_learns(texts: list[str], others: list[str]) -> None:
    texts = [f"a b {text}" for text in texts] + ["a b", "a b"]  # scikit-learn refuses a table without columns
    peer = CountVectorizer(ngram_range=(1, 3), min_df=3, binary=True, token_pattern=r"\S+").fit(texts)
    table = NgramTable(texts)
    assert len(table) == len(peer.vocabulary_)
    ours, theirs = table.matrix(texts + others).toarray(), peer.transform(texts + others).toarray()
    assert sorted(map(tuple, ours.T)) == sorted(map(tuple, theirs.T))


def test_the_ngram_classifier_finds_a_word_that_gives_the_edit_away_and_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["heart", "lung", "left", "right", "no", "small"], 6)) for _ in range(2000)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    betrayed = [(original, f"{edit} zz") for original, edit in pairs]
    assert pair_accuracy(NgramClassifier(betrayed[:500]), betrayed[500:]) == 1.0
    assert pair_accuracy(NgramClassifier(pairs[:500]), pairs[500:]) == pytest.approx(0.5, abs=0.08)
    assert pair_accuracy(NgramClassifier(pairs[:500]), [(text, text) for text in texts]) == 0.5


@pytest.mark.parametrize("pairs", [[], [("a b", "c d")], [("", "")]])
def test_a_classifier_with_nothing_to_learn_scores_every_text_the_same(pairs: list[tuple[str, str]]) -> None:
    assert NgramClassifier(pairs).scores(["a b", "c d"]).tolist() == [0, 0]
    assert NgramClassifier(pairs).scores([]).tolist() == []


def test_blind_models_are_fitted_on_distinct_training_reports_that_are_no_text_of_the_test() -> None:
    train = dataset([pair(0, "s", "clear"), pair(1, "s", "clear"), pair(2, "t", "mass"), pair(3, "u", "nodule")])
    assert reports_to_fit(train, {"mass"}) == (["clear", "nodule"], 1)
    with pytest.raises(NotComputable, match="no training split"):
        reports_to_fit(None, {"mass"})
    with pytest.raises(NotComputable, match="every report of the training split"):
        reports_to_fit(train, {"clear", "mass", "nodule"})


def test_training_edits_with_a_text_of_the_test_are_left_out_and_counted() -> None:
    train = dataset(
        [
            pair(0, "s", "clear", counterfactuals={"finding": "mass", "negation": "not clear"}),
            pair(1, "t", "nodule", counterfactuals={"finding": "cavity"}),
            pair(2, "u", "mass", counterfactuals={"finding": "clear"}),
            pair(3, "u", "mass", counterfactuals={"finding": "clear"}),
        ]
    )
    kept, left_out = edits_to_fit(train, {"mass"})
    assert kept == {"finding": {("nodule", "cavity")}, "negation": {("clear", "not clear")}}
    assert left_out == 2


def test_a_tested_report_that_training_knows_as_an_edit_does_not_look_like_one() -> None:
    words = ("one", "two", "three", "four", "five", "six")
    edit_of = [
        pair(grey, f"s{grey}", f"{word} clear", counterfactuals={"finding": "a mass here"})
        for grey, word in enumerate(words)
    ]
    test = dataset([pair(9, "t", "a mass here", counterfactuals={"finding": "nothing here"})])
    gaps, n_left_out = gaps_fitted_on_train(dataset(edit_of), test, counterfactual_pairs(test))
    assert gaps["ngram"].tolist() == [0]
    assert n_left_out == {"reports": 0, "edits": 6}


def test_a_training_report_that_is_tested_as_an_edit_is_not_fitted_on() -> None:
    train = dataset([pair(0, "s", "a mass"), pair(1, "t", "a mass here"), pair(2, "u", "no rib here")])
    test = dataset([pair(9, "v", "no mass", counterfactuals={"negation": "a mass"})])
    gaps, n_left_out = gaps_fitted_on_train(train, test, counterfactual_pairs(test))
    others = TrigramModel(["a mass here", "no rib here"])
    assert gaps["trigram"] == others.scores(["no mass"]) - others.scores(["a mass"])
    assert n_left_out == {"reports": 1, "edits": 0}


def test_a_classifier_learns_one_kind_and_only_from_the_reports_that_it_may_see() -> None:
    data = dataset(
        [
            pair(grey, f"s{grey}", f"no mass {grey}", counterfactuals={"negation": f"some mass {grey}"})
            for grey in range(6)
        ]
        + [pair(9, "t", "no mass 9", counterfactuals={"negation": "some mass 9", "finding": "some mass 9"})]
    )
    pairs = counterfactual_pairs(data)
    edits, reports = edits_by_kind([pairs]), data["report"][:]
    gaps = blind_gaps(reports, edits, pairs)["ngram"]
    assert (gaps[pairs.kinds == pairs.names.index("negation")] > 0).all()
    assert gaps[pairs.kinds == pairs.names.index("finding")].tolist() == [0]  # one pair is too little to learn from
    assert not blind_gaps(["no mass 0", "another"], edits, pairs)["ngram"].any()
