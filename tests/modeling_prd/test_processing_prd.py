"""PRDProcessor: words, perturbed reports, images of any mode, and a folder that loads without the project."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, RobertaTokenizer, ViTImageProcessorPil

from modeling_prd.processing_prd import PRDProcessor, normalize_report

REPORT = "the lungs are clear there is no pleural effusion or pneumothorax"
CORPUS = [REPORT, "heart size is normal", "2 5 cm in the left sided apex"] * 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def special_tokens_around(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)


def word_piece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=60, special_tokens=SPECIAL))
    return special_tokens_around(tokenizer)


def byte_level_bpe(pre_tokenizer: Any = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE as ModernBERT's: made without the space before the first word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return special_tokens_around(tokenizer)


def byte_level_bpe_after_digits() -> PreTrainedTokenizerFast:
    steps = [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return byte_level_bpe(pre_tokenizers.Sequence(steps))


def of_class(tokenizer_class: type) -> PreTrainedTokenizerFast:
    """GPT-2's or RoBERTa's tokenizer on the small BPE's vocabulary."""
    model = json.loads(byte_level_bpe().backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return tokenizer_class(vocab=model["vocab"], merges=merges, pad_token="[PAD]", unk_token="[UNK]")


def gpt2() -> PreTrainedTokenizerFast:
    return of_class(GPT2Tokenizer)


def roberta() -> PreTrainedTokenizerFast:
    return of_class(RobertaTokenizer)


TOKENIZERS = [word_piece, byte_level_bpe, byte_level_bpe_after_digits, gpt2, roberta]


def image_processor(**settings: Any) -> ViTImageProcessorPil:
    return ViTImageProcessorPil(size={"height": 8, "width": 8}, **settings)


def one_channel() -> ViTImageProcessorPil:
    return image_processor(image_mean=[0.5], image_std=[0.5])


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


# Text


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
        ([[], []], r"report 0 has \[\], that of report 0 \[\]"),
        (["size heart", "no"], "report 0 must be a sequence or a mapping, got 'size heart'"),
        ([{"a": "size heart"}, {"a": "."}], "perturbed report 'a' of report 1 has no words"),
        ([["size heart"], [3]], "perturbed report 0 of report 1 must be a string, got int"),
    ],
)
def test_perturbed_reports_that_do_not_fit_are_errors(processor: PRDProcessor, perturbed_text: Any, message: str):
    with pytest.raises(ValueError, match=message):
        processor(text=["heart size", "no effusion"], perturbed_text=perturbed_text)


# Images


GREY = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
SAME_GREY = [
    Image.fromarray(GREY),
    Image.fromarray(GREY).convert("RGB"),
    Image.fromarray(GREY).convert("RGBA"),
    Image.fromarray(GREY.astype(np.uint16) * 257),
    Image.fromarray(GREY.astype(np.int32) * 257),
    Image.fromarray(GREY.astype(np.float32) / 255),
    GREY,
    GREY[None],
    np.stack([GREY] * 3, axis=-1),
    GREY.astype(np.uint16) * 257,
    torch.from_numpy(GREY).expand(3, 8, 8),
    torch.from_numpy(GREY) / 255,
]


def test_grey_images_of_every_mode_give_the_same_pixels(processor: PRDProcessor):
    pixels = processor(images=SAME_GREY, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (len(SAME_GREY), 3, 8, 8)
    expected = torch.from_numpy(GREY).float() / 255 * 2 - 1  # mean and deviation are 0.5
    torch.testing.assert_close(pixels, expected.expand_as(pixels), rtol=0, atol=1e-6)


def test_one_channel_is_kept_where_the_image_processor_has_one():
    pixels = PRDProcessor(one_channel(), word_piece())(images=SAME_GREY, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (len(SAME_GREY), 1, 8, 8)
    expected = torch.from_numpy(GREY).float() / 255 * 2 - 1
    torch.testing.assert_close(pixels, expected.expand_as(pixels), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "images", [Image.fromarray(GREY), GREY, torch.from_numpy(GREY)[None, None], np.stack([GREY] * 3, axis=-1)[None]]
)
def test_one_image_and_a_batch_array_are_taken(processor: PRDProcessor, images: Any):
    assert processor(images=images, return_tensors="pt")["pixel_values"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((8, 8), 2.0), r"image 1 is float64 with values from 2\.0 to 2\.0; expected 0 to 1"),
        (np.full((8, 8), np.nan), "image 1 is float64 with values from nan"),
        (np.zeros((8, 8), np.int64), "image 1 is int64; expected uint8, uint16, or floats"),
        (np.zeros((5, 8, 8), np.uint8), r"image 1 has shape \(5, 8, 8\)"),
    ],
)
def test_images_that_cannot_be_read_are_named(processor: PRDProcessor, image: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        processor(images=[GREY, image])


@pytest.mark.parametrize("mode", ["L", "I;16"])
@pytest.mark.parametrize("suffix", ["PNG", "TIFF"])
def test_a_truncated_image_file_is_named(processor: PRDProcessor, mode: str, suffix: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8 if mode == "L" else np.uint16)
    whole = BytesIO()
    Image.fromarray(noise).save(whole, suffix)
    truncated = Image.open(BytesIO(whole.getvalue()[: len(whole.getvalue()) // 2]))
    assert truncated.mode == mode
    with pytest.raises(ValueError, match=r"image 1 cannot be read: .*truncated"):
        processor(images=[GREY, truncated])


# As a whole


def test_images_and_reports_together_give_what_the_model_takes(processor: PRDProcessor):
    inputs = processor(images=[GREY], text=["heart size"], perturbed_text=[["size heart"]], return_tensors="pt")
    assert sorted(inputs) == sorted(processor.model_input_names)


def test_neither_images_nor_text_is_an_error(processor: PRDProcessor):
    with pytest.raises(ValueError, match="needs images, text or both"):
        processor()
    with pytest.raises(ValueError, match="perturbed_text needs the reports"):
        processor(images=[GREY], perturbed_text=[["size heart"]])


def test_a_tokenizer_that_truncates_on_the_left_is_an_error():
    tokenizer = word_piece()
    tokenizer.truncation_side = "left"
    with pytest.raises(ValueError, match="truncates on the left"):
        PRDProcessor(image_processor(), tokenizer)


def test_a_slow_tokenizer_is_an_error():
    with pytest.raises(ValueError, match="slow tokenizer"):
        PRDProcessor(image_processor(), transformers.ByT5Tokenizer())


def test_a_bert_tokenizer_is_left_as_it_is():
    tokenizer = BertTokenizer(vocab={token: index for index, token in enumerate([*SPECIAL, "[MASK]", "clear"])})
    assert PRDProcessor(image_processor(), tokenizer).tokenizer is tokenizer


class TorchvisionOnlyImageProcessor(transformers.image_processing_utils.BaseImageProcessor):
    """Stands in for an image processor that has no Pillow twin."""


def test_an_image_processor_without_a_pillow_twin_is_an_error():
    with pytest.raises(ValueError, match="TorchvisionOnlyImageProcessor has no Pillow twin"):
        PRDProcessor(TorchvisionOnlyImageProcessor(), word_piece())


def test_an_image_processor_of_torchvision_is_replaced_by_its_pillow_twin():
    # A class with the name of the torchvision one, so that the test needs no torchvision.
    class ViTImageProcessor(transformers.image_processing_utils.BaseImageProcessor):
        def to_dict(self) -> dict[str, Any]:
            return image_processor(image_mean=[0.1, 0.2, 0.3]).to_dict()

    processor = PRDProcessor(ViTImageProcessor(), word_piece())
    assert type(processor.image_processor) is ViTImageProcessorPil
    assert list(processor.image_processor.image_mean) == [0.1, 0.2, 0.3]


LOAD_ELSEWHERE = """
import sys
sys.modules["modeling_prd"] = None  # importing it fails, installed or not
import torch
from transformers import AutoProcessor
for folder in sys.argv[1:]:
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    assert type(processor.image_processor).__name__ == "ViTImageProcessorPil"
    call = torch.load(f"{folder}/call.pt", weights_only=False)
    torch.save((processor.normalize_text, dict(processor(**call, return_tensors="pt"))), f"{folder}/outputs.pt")
"""


def test_a_saved_processor_loads_without_the_project_and_gives_the_same(tmp_path: Path):
    call = {"images": [GREY], "text": ["Heart size"], "perturbed_text": [["size Heart", None]]}
    saved = {
        "word_piece": PRDProcessor(image_processor(), word_piece()),
        "one_channel": PRDProcessor(one_channel(), byte_level_bpe()),
        "as_written": PRDProcessor(image_processor(), gpt2(), normalize_text=False),
    }
    for folder, processor in saved.items():
        processor.save_pretrained(tmp_path / folder)
        torch.save(call, tmp_path / folder / "call.pt")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    command = [sys.executable, "-c", LOAD_ELSEWHERE, *saved]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for folder, processor in saved.items():
        normalize_text, loaded = torch.load(tmp_path / folder / "outputs.pt")
        assert normalize_text == processor.normalize_text
        expected = processor(**call, return_tensors="pt")
        assert set(loaded) == set(expected)
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
