"""Tokenizers of every kind with tiny vocabularies, and tiny image processors."""

import json
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, RobertaTokenizer, ViTImageProcessorPil

REPORT = "the lungs are clear there is no pleural effusion or pneumothorax"
CORPUS = [REPORT, "heart size is normal", "2 5 cm in the left sided apex"] * 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def special_tokens_around(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
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
