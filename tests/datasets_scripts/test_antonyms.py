"""Antonyms come from WordNet's adjectives, and before it from the reviewed list."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from datasets_scripts import derive_antonyms
from datasets_scripts.antonyms import antonym, read_table

# Lines as in WordNet 3.1, shortened; "clear" and its antonyms are made up, with two senses.
DATA_ADJ = """\
  1 This software and database is being provided to you, the LICENSEE, by  
  2 WordNet 3.1 Copyright 2011 by Princeton University.  All rights reserved.  
00001740 00 a 01 able 0 003 = 05207437 n 0000 + 05624029 n 0101 ! 00002098 a 0101 | can
00002098 00 a 01 unable 0 001 ! 00001740 a 0101 | cannot
00003000 00 a 02 clear(p) 0 vivid 0 002 ! 00003100 a 0101 ! 00003200 a 0101 | first sense
00003100 00 a 01 ill-defined 0 001 ! 00003000 a 0101 | hyphenated
00003200 00 a 01 Unclear 0 001 ! 00003000 a 0101 | not clear
00003300 00 a 01 clear 1 001 ! 00003400 a 0102 | second sense
00003400 00 a 02 dim 0 opaque 0 001 ! 00003300 a 0201 | not transparent
00003500 00 s 01 pleural 0 001 & 00001740 a 0000 | of the pleura
"""  # noqa: W291
INDEX_ADJ = """\
  1 This software and database is being provided to you, the LICENSEE, by  
able a 1 3 = ! + 1 1 00001740
clear a 2 1 ! 2 2 00003300 00003000
ill-defined a 1 1 ! 1 0 00003100
opaque a 1 1 ! 1 0 00003400
pleural a 1 1 & 1 0 00003500
unable a 1 1 ! 1 0 00002098
unclear a 1 1 ! 1 0 00003200
vivid a 1 0 1 0 00003000
"""  # noqa: W291


def derived(index: str = INDEX_ADJ, data: str = DATA_ADJ) -> dict[str, str]:
    return derive_antonyms.derive(data.splitlines(keepends=True), index.splitlines(keepends=True))


def test_direct_antonyms_are_derived_in_alphabetical_order():
    assert list(derived().items()) == [
        ("able", "unable"),
        ("clear", "opaque"),
        ("opaque", "clear"),
        ("unable", "able"),
        ("unclear", "clear"),
    ]


def test_the_most_frequent_sense_decides():
    assert derived(INDEX_ADJ.replace("00003300 00003000", "00003000 00003300"))["clear"] == "unclear"


def test_antonyms_that_are_no_single_word_are_passed_over():
    assert "ill-defined" not in derived()
    assert "ill-defined" not in derived().values()


def test_an_antonym_belongs_to_its_lemma_and_not_to_the_synset():
    assert "vivid" not in derived()


@pytest.mark.parametrize("line", ["00009999 00 a 02 short", "00009999 00 a zz able 0 000 | gloss"])
def test_a_broken_line_of_data_adj_is_named(line: str):
    with pytest.raises(ValueError, match=rf"data\.adj: '{line[:12]}"):
        derived(data=DATA_ADJ + line + "\n")


def test_a_broken_line_of_index_adj_is_named():
    with pytest.raises(ValueError, match=r"index\.adj: 'able a'"):
        derived(index="able a\n")


def test_an_index_of_another_wordnet_is_an_error():
    with pytest.raises(ValueError, match=r"'able' the synset 77777777, which data\.adj does not have"):
        derived(index="able a 1 1 ! 1 1 77777777\n")


def test_the_written_table_names_its_source_and_has_the_licence_beside_it(tmp_path: Path):
    (tmp_path / "data.adj").write_text(DATA_ADJ)
    (tmp_path / "index.adj").write_text(INDEX_ADJ)
    derive_antonyms.main([str(tmp_path), "--source", "a test", "--out", str(tmp_path)])
    table = (tmp_path / "antonyms.tsv").read_text()
    assert table.startswith("# WordNet 3.1 Copyright 2011 by Princeton University.")
    assert "from a test:" in table
    assert table.endswith("able\tunable\nclear\topaque\nopaque\tclear\nunable\table\nunclear\tclear\n")
    notice = (tmp_path / "WORDNET_LICENSE").read_text()
    assert notice.startswith("This software and database is being provided to you, the LICENSEE, by\nWordNet 3.1")


def test_a_data_adj_without_its_licence_is_an_error():
    with pytest.raises(ValueError, match="no licence notice"):
        derive_antonyms.licence(["00001740 00 a 01 able 0 000 | gloss\n"])


def test_the_package_holds_wordnets_licence():
    notice = (files("datasets_scripts") / "data" / "WORDNET_LICENSE").read_text(encoding="utf-8")
    assert "WordNet 3.1 Copyright 2011 by Princeton University." in notice
    assert "Permission to use, copy, modify and distribute this software" in notice


@pytest.mark.parametrize("name", ["antonyms.tsv", "antonyms_reviewed.tsv"])
def test_both_sides_are_single_normalised_words_and_differ(name: str):
    for adjective, opposite in read_table(name).items():
        assert re.fullmatch(r"[a-z0-9]+", adjective)
        assert re.fullmatch(r"[a-z0-9]+|-", opposite)
        assert adjective != opposite


@pytest.mark.parametrize(
    ("adjective", "opposite"),
    [
        ("clear", "unclear"),
        ("normal", "abnormal"),
        ("right", "left"),
        ("left", "right"),
        ("focal", "diffuse"),
        ("enlarged", "small"),
        ("acute", "chronic"),
        ("mild", "severe"),
        ("upper", "lower"),
        ("bilateral", "unilateral"),
        ("unremarkable", "remarkable"),
        ("present", "absent"),
        ("posterior", "anterior"),
        ("limited", "adequate"),
        ("moderate", "minimal"),
        ("free", "full"),  # as in "free of"
    ],
)
def test_frequent_adjectives_of_radiology_have_the_antonym_that_radiology_means(adjective: str, opposite: str):
    assert antonym(adjective) == opposite


@pytest.mark.parametrize("word", ["pleural", "cardiac", "pulmonary", "patient", "middle", "pneumothorax"])
def test_anatomy_and_nouns_have_no_antonym(word: str):
    assert antonym(word) is None


@pytest.mark.parametrize(
    "phrase",
    [
        "soft tissues",
        "vascular congestion",
        "technical factors",
        "portable technique",
        "first rib",
        "last exam",
        "top normal",
        "bottom",
        "other infiltrates",
        "same region",
        "secondary to",
    ],
)
def test_adjectives_of_fixed_phrases_have_no_antonym(phrase: str):
    assert antonym(phrase.split()[0]) is None


def test_the_reviewed_list_stands_before_wordnet():
    assert read_table("antonyms.tsv")["old"] == "young"
    assert antonym("old") == "new"
