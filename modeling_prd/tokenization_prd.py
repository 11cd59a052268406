"""The tokenizer of a `PRDProcessor`: it gives for a whole text what it gives for the text's normalised words."""

import json
from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

# `normalize_report` in the form of `tokenizers`: what a pipeline calls is a folder's tokenizer alone.
_NORMALIZE_REPORT: list[dict[str, Any]] = [
    {"type": "NFKC"},
    {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"Regex": r"[^\p{L}\p{N}]+"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
]
_SETTINGS = ("model_max_length", "model_input_names", "padding_side", "clean_up_tokenization_spaces")


def report_tokenizer(tokenizer: PreTrainedTokenizerBase, normalize_text: bool) -> PreTrainedTokenizerBase:
    """Make a tokenizer that splits a report alike as a whole and word by word.

    A byte-level BPE puts the space before a word itself. With `normalize_text`, `normalize_report` goes before the
    tokenizer's own normaliser and the names of special tokens are text like any other, so that
    `tokenizer("Clear.")` and `tokenizer(["clear"], is_split_into_words=True)` give the same, pairs of texts too, and
    both are saved with it. Only characters that are newer than a library's Unicode tables and a Greek sigma at a
    word's end may differ from `normalize_report`.

    Args:
        tokenizer: a fast tokenizer of transformers; it is left as it is.
        normalize_text: whether reports are normalised.

    Returns:
        A tokenizer whose every step is in its `tokenizer.json`, or `tokenizer` itself where it does all this already.

    Raises:
        ValueError: the tokenizer is slow or truncates on the left.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} is a slow tokenizer; word_ids need a fast one")
    if tokenizer.truncation_side != "right":
        raise ValueError(f"the tokenizer truncates on the {tokenizer.truncation_side}; reports keep their first words")
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    changed = _add_prefix_spaces(state["pre_tokenizer"])
    if normalize_text:
        changed = _add_normalization(state) or changed
    if not changed:
        return tokenizer
    state["truncation"] = state["padding"] = None  # of its last call
    # A class with a constructor, such as BertTokenizer, makes its steps itself whatever stands in tokenizer.json.
    own_class = type(tokenizer)
    tokenizer_class = PreTrainedTokenizerFast if "__init__" in vars(own_class) else own_class
    return tokenizer_class(
        tokenizer_object=type(backend).from_str(json.dumps(state)),
        split_special_tokens=normalize_text or tokenizer.split_special_tokens,
        extra_special_tokens=tokenizer.extra_special_tokens,
        **tokenizer.special_tokens_map,
        **{name: getattr(tokenizer, name) for name in _SETTINGS},
    )


def _add_prefix_spaces(pre_tokenizer: dict[str, Any] | None) -> bool:
    """Let each byte-level step of a pre-tokenizer's state add the space; return whether that changes one."""
    lacking = [step for step in _steps(pre_tokenizer, "pretokenizers") if step.get("add_prefix_space") is False]
    for step in lacking:
        step["add_prefix_space"] = True
    return bool(lacking)


def _add_normalization(state: dict[str, Any]) -> bool:
    """Put `normalize_report`, and a split at its spaces, before a tokenizer's own; return whether it was not there."""
    own = _steps(state["normalizer"], "normalizers")
    if own[: len(_NORMALIZE_REPORT)] == _NORMALIZE_REPORT:
        return False
    state["normalizer"] = {"type": "Sequence", "normalizers": [*_NORMALIZE_REPORT, *own]}
    split = [{"type": "WhitespaceSplit"}, *_steps(state["pre_tokenizer"], "pretokenizers")]
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": split}
    return True


def _steps(step: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The steps of a tokenizer's part, `name` in a sequence of them."""
    return [] if step is None else step.get(name, [step])
