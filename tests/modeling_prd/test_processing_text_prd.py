"""PRDProcessor on text: words of reports and of perturbed reports."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_processors import (
    REPORT,
    TOKENIZERS,
    byte_level_bpe,
    byte_level_bpe_after_digits,
    gpt2,
    image_processor,
    roberta,
    word_piece,
)

from modeling_prd.processing_prd import PRDProcessor, normalize_report


@pytest.fixture
def processor() -> PRDProcessor:
    return PRDProcessor(image_processor(), word_piece())


def words_from_tokens(processor: PRDProcessor, input_ids: torch.Tensor, word_ids: torch.Tensor) -> list[str]:
    """The words again, by joining the text of the tokens that share a word."""
    words: dict[int, str] = {}
    for token_id, word in zip(input_ids.tolist(), word_ids.tolist(), strict=True):
        if word >= 0:
            token = processor.tokenizer.decode([token_id])
            words[word] = words.get(word, "") + token.replace("##", "").strip()
    return [words[word] for word in sorted(words)]


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        ("The lungs are clear.", "the lungs are clear"),
        ("2.5 cm", "2 5 cm"),
        ("  T8-T9\n(mild)_ ", "t8 t9 mild"),
        ("ﬁbrosis ＸＲ", "fibrosis xr"),
        ("Ödem µm", "ödem μm"),
        ("...", ""),
    ],
)
def test_reports_are_normalised(written: str, normalized: str):
    assert normalize_report(written) == normalized


@given(st.text())
def test_normalisation_leaves_lower_case_letters_digits_and_single_spaces(text: str):
    normalized = normalize_report(text)
    assert all(word.isalnum() for word in normalized.split(" ") if normalized)
    assert normalize_report(normalized) == normalized


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_word_ids_join_the_tokens_to_the_reports_words(tokenizer: Any):
    processor = PRDProcessor(image_processor(), tokenizer())
    written = ["The lungs are clear.", "Pneumothorax, 2.5 cm, in the left-sided apex"]
    inputs = processor(text=written, return_tensors="pt")
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == inputs["word_ids"].shape
    for row, report in enumerate(written):
        words = words_from_tokens(processor, inputs["input_ids"][row], inputs["word_ids"][row])
        assert words == normalize_report(report).split()


def test_special_tokens_and_padding_belong_to_no_word(processor: PRDProcessor):
    inputs = processor(text=["clear", "the lungs are clear"], return_tensors="pt")
    special = torch.isin(inputs["input_ids"], torch.tensor(processor.tokenizer.all_special_ids))
    assert torch.equal(inputs["word_ids"] == -1, special)
    assert (inputs["attention_mask"][0] == 0).any()


@pytest.mark.parametrize("tokenizer", [byte_level_bpe, byte_level_bpe_after_digits, gpt2, roberta])
def test_byte_level_bpe_writes_a_word_alike_wherever_it_stands(tokenizer: Any):
    processor = PRDProcessor(image_processor(), tokenizer())
    inputs = processor(text=["clear lungs clear"], return_tensors="pt")
    ids, words = inputs["input_ids"][0], inputs["word_ids"][0]
    assert torch.equal(ids[words == 0], ids[words == 2])
    as_plain_text = processor.tokenizer("clear lungs clear", return_tensors="pt")["input_ids"][0]
    assert torch.equal(as_plain_text, ids)


@pytest.mark.parametrize("tokenizer", [byte_level_bpe, gpt2, roberta])
def test_the_saved_tokenizer_alone_splits_as_the_processor_does(tmp_path: Path, tokenizer: Any):
    processor = PRDProcessor(image_processor(), tokenizer())
    processor.save_pretrained(tmp_path)
    alone = type(processor.tokenizer).from_pretrained(tmp_path)
    assert alone("heart size")["input_ids"] == processor(text="heart size")["input_ids"][0]


def test_the_tokenizer_that_was_given_is_left_alone():
    given_one = byte_level_bpe()
    before = given_one("clear")["input_ids"]
    assert PRDProcessor(image_processor(), given_one).tokenizer("clear")["input_ids"] != before
    assert given_one("clear")["input_ids"] == before


def test_text_is_taken_as_it_is_without_normalisation():
    processor = PRDProcessor(image_processor(), byte_level_bpe(), normalize_text=False)
    inputs = processor(text=["Clear. 2.5"], return_tensors="pt")
    assert words_from_tokens(processor, inputs["input_ids"][0], inputs["word_ids"][0]) == ["Clear.", "2.5"]


def test_a_long_report_keeps_its_first_words(processor: PRDProcessor):
    whole = processor(text=[REPORT], return_tensors="pt")
    cut = processor(text=[REPORT], max_length=8, return_tensors="pt")
    assert cut["input_ids"].shape == (1, 8)
    assert torch.equal(cut["word_ids"][0, :-1], whole["word_ids"][0, :7])
    assert cut["word_ids"][0, -1] == -1


def test_a_report_that_truncation_leaves_without_a_word_is_an_error(processor: PRDProcessor):
    with pytest.raises(ValueError, match="report 0 has no word left after truncation to 2 tokens"):
        processor(text=["clear"], max_length=2)


@pytest.mark.parametrize("empty", ["", " .. "])
def test_a_report_without_words_is_named(processor: PRDProcessor, empty: str):
    with pytest.raises(ValueError, match="report 1 has no words"):
        processor(text=["clear", empty])


def test_padding_to_max_length_and_none(processor: PRDProcessor):
    text = ["clear", "the lungs are clear"]
    assert processor(text=text, padding="max_length", max_length=32, return_tensors="pt")["input_ids"].shape == (2, 32)
    ragged = processor(text=text, padding=False)
    assert [len(row) for row in ragged["input_ids"]] == [len(row) for row in ragged["word_ids"]]
    assert len(ragged["input_ids"][0]) < len(ragged["input_ids"][1])


# Perturbed reports


def test_perturbed_reports_are_tokenised_like_reports(processor: PRDProcessor):
    text = ["the lungs are clear", "heart size"]
    perturbed = [
        ["clear are lungs the", "lungs the clear are"],
        ["size heart", "the heart size is normal no effusion"],
    ]
    inputs = processor(text=text, perturbed_text=perturbed, return_tensors="pt")
    flat = processor(text=[entry for row in perturbed for entry in row], return_tensors="pt")
    assert torch.equal(inputs["perturbed_input_ids"].flatten(0, 1), flat["input_ids"])
    assert torch.equal(inputs["perturbed_attention_mask"].flatten(0, 1), flat["attention_mask"])
    alone = processor(text=text, return_tensors="pt")
    assert all(torch.equal(inputs[name], alone[name]) for name in alone)
    assert inputs["perturbation_mask"].dtype == torch.bool


@pytest.mark.parametrize("side", ["left", "right"])
def test_reports_are_padded_to_the_longest_report_and_not_to_the_longest_perturbed_one(side: str):
    tokenizer = word_piece()
    tokenizer.padding_side = side
    processor = PRDProcessor(image_processor(), tokenizer)
    inputs = processor(text=["clear", "no effusion"], perturbed_text=[[REPORT], ["no"]], return_tensors="pt")
    alone = processor(text=["clear", "no effusion"], return_tensors="pt")
    assert torch.equal(inputs["input_ids"], alone["input_ids"])
    assert torch.equal(inputs["word_ids"], alone["word_ids"])
    assert inputs["perturbed_input_ids"].shape[-1] > inputs["input_ids"].shape[-1]


def test_perturbations_equal_to_the_report_or_none_are_masked_out(processor: PRDProcessor):
    inputs = processor(
        text=["Lungs clear.", "heart size"],
        perturbed_text=[["clear lungs", "lungs CLEAR"], [None, "size heart"]],
        return_tensors="pt",
    )
    assert inputs["perturbation_mask"].tolist() == [[True, False], [False, True]]
    assert inputs["perturbed_attention_mask"].any(-1).all(), "a row that is left out is still a proper report"


@pytest.mark.parametrize("padding", [True, "max_length", False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_perturbations_that_truncation_makes_equal_to_the_report_are_masked_out(padding: bool | str, side: str):
    tokenizer = word_piece()
    tokenizer.padding_side = side
    processor = PRDProcessor(image_processor(), tokenizer)
    words = f"{REPORT} heart size is normal no effusion clear".split()
    assert len(words) == 18
    last_changed, first_changed = [*words[:-1], "lungs"], ["no", *words[1:]]
    perturbed = [[" ".join(last_changed), " ".join(first_changed)], ["clear lungs", "no lungs clear"]]
    options: dict[str, Any] = {"text": [" ".join(words), "lungs clear"], "perturbed_text": perturbed}
    cut = processor(**options, max_length=10, padding=padding)
    assert cut["perturbation_mask"] == [[False, True], [True, True]]
    assert processor(**options, max_length=64, padding=padding)["perturbation_mask"] == [[True, True], [True, True]]


def test_perturbed_reports_by_name_stand_in_the_first_mappings_order(processor: PRDProcessor):
    by_name = [{"a": "size heart", "b": "heart"}, {"b": "no", "a": "effusion no"}]
    by_place = [["size heart", "heart"], ["effusion no", "no"]]
    text = ["heart size", "no effusion"]
    named = processor(text=text, perturbed_text=by_name)
    placed = processor(text=text, perturbed_text=by_place)
    assert named["perturbed_input_ids"] == placed["perturbed_input_ids"]


def test_one_report_takes_its_perturbed_reports_without_a_list_around(processor: PRDProcessor):
    inputs = processor(text="heart size", perturbed_text={"reverse_sentence": "size heart"}, return_tensors="pt")
    assert inputs["input_ids"].shape[0] == 1
    assert inputs["perturbed_input_ids"].shape[:2] == (1, 1)


@pytest.mark.parametrize(
    ("perturbed_text", "message"),
    [
        ([["size heart"]], "perturbed_text is for 1 reports, text holds 2"),
        ([["size heart"], ["no", "clear"]], r"report 1 has \[0, 1\], that of report 0 \[0\]"),
        ([{"a": "size heart"}, {"b": "no"}], r"report 1 has \['b'\], that of report 0 \['a'\]"),
        ([[], []], "report 0 holds no perturbed report"),
        (["size heart", "no"], "report 0 must be a sequence or a mapping, got 'size heart'"),
        ([{"a": "size heart"}, {"a": "."}], "perturbed report 'a' of report 1 has no words"),
        ([["size heart"], [3]], "perturbed report 0 of report 1 must be a string, got int"),
    ],
)
def test_perturbed_reports_that_do_not_fit_are_errors(processor: PRDProcessor, perturbed_text: Any, message: str):
    with pytest.raises(ValueError, match=message):
        processor(text=["heart size", "no effusion"], perturbed_text=perturbed_text)
