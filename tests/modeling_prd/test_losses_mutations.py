"""Every sign, axis, mask and scale of the losses matters: with one of them wrong, a reference check fails."""

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest
from loss_checks import CHECKS

from modeling_prd import losses_prd

MUTATIONS = {
    # symmetric cross-entropy
    "one direction only": ("(image_to_text + text_to_image) / 2", "image_to_text"),
    "directions subtracted": ("(image_to_text + text_to_image) / 2", "(image_to_text - text_to_image) / 2"),
    "directions summed": ("(image_to_text + text_to_image) / 2", "image_to_text + text_to_image"),
    "columns taken for rows": ("cross_entropy(logits.T, targets)", "cross_entropy(logits, targets)"),
    "negative mask inverted": ("left_out = ~negative_mask", "left_out = negative_mask"),
    "diagonal masked": (" & ~torch.eye(", " | torch.eye("),
    "negative mask unused": ("logits = logits.masked_fill(left_out, -torch.inf)", "pass"),
    # global
    "global temperature dropped": (".T / temperature", ".T"),
    "global temperature multiplied": (".T / temperature", ".T * temperature"),
    "global sign": ("logits = upcast(image_embeds) @", "logits = -upcast(image_embeds) @"),
    # attention
    "paper attends over words": (
        "return products.softmax(dim=-1), products",
        "return products.softmax(dim=-2), products",
    ),
    "paper attention sign": (
        "return products.softmax(dim=-1), products",
        "return (-products).softmax(dim=-1), products",
    ),
    "gloria's first softmax over regions": ("-torch.inf).softmax(dim=-2)", "-torch.inf).softmax(dim=-1)"),
    "gloria's padding attended": (
        "products.masked_fill(~word_mask[..., None], -torch.inf).softmax",
        "products.softmax",
    ),
    "attention temperature dropped": ("(attention_temperature * over_words)", "(over_words)"),
    "gloria's second softmax over words": (
        "(attention_temperature * over_words).softmax(dim=-1)",
        "(attention_temperature * over_words).softmax(dim=-2)",
    ),
    # similarity
    "match sign": ("matches = (attention * products)", "matches = -(attention * products)"),
    "attention left out of the match": ("(attention * products).sum(dim=-1)", "products.sum(dim=-1)"),
    "similarity temperature dropped": ("similarity_temperature * _context_cosine", "_context_cosine"),
    "padding scored": ("matches.masked_fill(~word_mask, -torch.inf).logsumexp", "matches.logsumexp"),
    "word mask inverted": ("matches.masked_fill(~word_mask", "matches.masked_fill(word_mask"),
    "length added": ("scores = scores - word_mask", "scores = scores + word_mask"),
    "length normalization unused": ('if variant == "paper" and length_normalized', "if False"),
    "length normalization of gloria": ('if variant == "paper" and length_normalized', "if length_normalized"),
    "gram matrix dropped": ("((weights @ gram) * weights)", "(weights * weights)"),
    "context length squared": ("clamp(min=_EPSILON**2).sqrt()", "clamp(min=_EPSILON**2)"),
    "word length dropped": ("(context_norms * word_norms)", "context_norms[...]"),
    "context length dropped": ("(context_norms * word_norms)", "word_norms[...]"),
    "local scale dropped": ("upcast(similarity) * logit_scale", "upcast(similarity)"),
    "local scale divided": ("upcast(similarity) * logit_scale", "upcast(similarity) / logit_scale"),
    "local sign": ("upcast(similarity) * logit_scale", "-upcast(similarity) * logit_scale"),
    # perturbation
    "perturbation temperature dropped": (".squeeze(-1) / temperature", ".squeeze(-1)"),
    "perturbation temperature multiplied": (".squeeze(-1) / temperature", ".squeeze(-1) * temperature"),
    "perturbation sign": ("logits = (candidates @", "logits = -(candidates @"),
    "a perturbation is the answer": ("torch.zeros(len(logits)", "torch.ones(len(logits)"),
    "perturbation mask inverted": ("masked_fill(~kept", "masked_fill(kept"),
    "perturbation mask unused": ("logits = logits.masked_fill(~kept, -torch.inf)", "pass"),
    # guards
    "empty reports let through": ("    if empty:", "    if False:"),
    "empty reports sought among words": ("(~word_mask.any(dim=-1))", "(~word_mask.all(dim=-1))"),
    "half precision kept": ("tensor if tensor.dtype == torch.float64 else tensor.float()", "tensor"),
    "autocast left on": ("device_type=tensor.device.type, enabled=False", "device_type=tensor.device.type"),
}


def _mutated(fragment: str, replacement: str) -> ModuleType:
    source = inspect.getsource(losses_prd)
    assert source.count(fragment) == 1, f"{fragment!r} stands {source.count(fragment)} times in losses_prd.py"
    module = ModuleType("mutated_losses_prd")
    exec(compile(source.replace(fragment, replacement), "mutated_losses_prd.py", "exec"), module.__dict__)
    return module


def _fails(check: Callable[[ModuleType], None], module: ModuleType) -> bool:
    try:
        check(module)
    except (AssertionError, ValueError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize(("fragment", "replacement"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_reference_check_notices(fragment: str, replacement: str) -> None:
    module = _mutated(fragment, replacement)
    assert any(_fails(check, module) for check in CHECKS)
