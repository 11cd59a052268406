"""The tokenizer of a processor alone: on whole texts and on pairs, saved or not, it gives the processor's tokens."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_processors import SPECIAL, TOKENIZERS, byte_level_bpe, image_processor, word_piece
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from modeling_prd.processing_prd import PRDProcessor, normalize_report
from modeling_prd.tokenization_prd import report_tokenizer

WRITTEN = ["The lungs are CLEAR.", "Pneumothorax, 2.5 cm, in the left-sided apex"]
FINAL_SIGMA = "ς"  # Python writes it at a word's end, Rust does not


def bert() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, "[MASK]", "the", "lungs", "are", "clear", "sep", *"abcdefghijklmnopqrstuvwxyz0123456789."]
    return BertTokenizer(vocab={token: index for index, token in enumerate([*words, "##.", "##s"])})


@pytest.mark.parametrize("tokenizer", [*TOKENIZERS, bert])
def test_the_tokenizer_alone_gives_the_processors_tokens(tokenizer: Callable[[], PreTrainedTokenizerFast]):
    processor = PRDProcessor(image_processor(), tokenizer())
    assert processor.tokenizer(WRITTEN)["input_ids"] == processor(text=WRITTEN, padding=False)["input_ids"]


@pytest.mark.parametrize("tokenizer", [*TOKENIZERS, bert])
def test_it_does_so_on_pairs_when_it_was_saved_alone(tokenizer: Callable[[], PreTrainedTokenizerFast], tmp_path: Path):
    given_one = tokenizer()
    PRDProcessor(image_processor(), given_one).tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    words = [normalize_report(text).split() for text in WRITTEN]
    word_by_word = report_tokenizer(given_one, normalize_text=False)
    assert dict(loaded(*WRITTEN)) == dict(word_by_word(*words, is_split_into_words=True))


def test_names_of_special_tokens_are_text_like_any_other():
    tokenizer = report_tokenizer(bert(), normalize_text=True)
    assert tokenizer("clear [SEP]")["input_ids"] == tokenizer("clear sep")["input_ids"]


def test_what_a_tokenizer_says_of_itself_stays():
    given_one = word_piece()
    given_one.padding_side, given_one.model_max_length = "left", 9
    made = report_tokenizer(given_one, normalize_text=True)
    for name in ("padding_side", "model_max_length", "model_input_names", "special_tokens_map", "vocab"):
        assert getattr(made, name) == getattr(given_one, name), name


def test_the_length_of_an_earlier_call_is_forgotten():
    given_one = word_piece()
    whole = given_one("the lungs are clear")
    given_one("the lungs are clear", truncation=True, padding="max_length", max_length=3)
    made = report_tokenizer(given_one, normalize_text=True)
    assert made.backend_tokenizer.truncation is made.backend_tokenizer.padding is None  # what is saved
    assert made("the lungs are clear") == whole


def test_a_tokenizer_that_does_all_this_is_left_as_it_is(tmp_path: Path):
    for given_one, normalize_text in ((byte_level_bpe(), True), (byte_level_bpe(), False), (word_piece(), True)):
        tokenizer = report_tokenizer(given_one, normalize_text)
        assert tokenizer is not given_one
        assert report_tokenizer(tokenizer, normalize_text) is tokenizer
        tokenizer.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert report_tokenizer(loaded, normalize_text) is loaded
    written_as_is = word_piece()
    assert report_tokenizer(written_as_is, normalize_text=False) is written_as_is


NORMALIZER = report_tokenizer(word_piece(), normalize_text=True).backend_tokenizer.normalizer


def is_old(code: int) -> bool:
    """Whether Unicode 3.2 had the character: the tables of the libraries end in different years."""
    return unicodedata.ucd_3_2_0.category(chr(code)) != "Cn"


OLD_CHARACTERS = st.characters(max_codepoint=0x2BFF).filter(lambda char: is_old(ord(char)))


@given(st.text(OLD_CHARACTERS).filter(lambda text: FINAL_SIGMA not in text.lower()))
@example("ﬁbrosis_Ⅷ [**Name**]\t2.5 ｃｍ, İstanbul Ödem")
def test_its_normaliser_is_normalize_report(text: str):
    assert NORMALIZER.normalize_str(text) == normalize_report(text)


def test_it_is_so_for_every_character_of_latin_and_greek_text_and_for_signs():
    for code in filter(is_old, range(0x2C00)):
        assert NORMALIZER.normalize_str(f"a{chr(code)}b") == normalize_report(f"a{chr(code)}b"), hex(code)
