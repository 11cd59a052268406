"""Every sign, axis, mask and scale of the losses matters: with one of them wrong, a reference check fails."""

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from loss_checks import CHECKS

from modeling_prd import losses_prd, word_matches_prd

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
    "similarity temperature dropped": ('similarity_temperature if variant == "gloria"', '1.0 if variant == "gloria"'),
    "padding scored": ("matches).masked_fill(~word_mask, -torch.inf).logsumexp", "matches).logsumexp"),
    "word mask inverted": ("matches).masked_fill(~word_mask", "matches).masked_fill(word_mask"),
    "length added": ("scores = scores - word_mask", "scores = scores + word_mask"),
    "length normalization unused": ('if variant == "paper" and length_normalized', "if False"),
    "length normalization of gloria": ('if variant == "paper" and length_normalized', "if length_normalized"),
    "reports and images exchanged": ("(peaks + sums.log()).T", "(peaks + sums.log()).T.flip(1)"),
    "words of other reports": ("index_add(0, report,", "index_add(0, report.flip(0),"),
    "packed scale dropped": ("matches = scale * word_matches(", "matches = word_matches("),
    "peak not subtracted": ("(matches - peaks[report])", "matches"),
    # the padded form
    "match sign": ("matches = (attention * products)", "matches = -(attention * products)"),
    "attention left out of the match": ("(attention * products).sum(dim=-1)", "products.sum(dim=-1)"),
    "gram matrix dropped": ("((weights @ gram) * weights)", "(weights * weights)"),
    "context length squared": ("clamp(min=EPSILON**2).sqrt()", "clamp(min=EPSILON**2)"),
    "word length dropped": ("(context_norms * word_norms)", "context_norms[...]"),
    "context length dropped": ("(context_norms * word_norms)", "word_norms[...]"),
    # the local loss
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


BLOCK_MUTATIONS = {
    # forward
    "blocks' paper match": ("(attention * products).sum(dim=-1), attention", "products.sum(dim=-1), attention"),
    "blocks' words unmasked": (
        "if block.real is not None:\n            by_report",
        "if False:\n            by_report",
    ),
    "blocks' first softmax over reports": ("by_report.softmax(dim=1)", "by_report.softmax(dim=0)"),
    "blocks' attention temperature": ("(over_words * self.attention_temperature)", "(over_words * 1.0)"),
    "blocks' gram matrix": ("(mixed * attention).sum(dim=-1)", "(attention * attention).sum(dim=-1)"),
    "blocks' context length squared": ("clamp(min=EPSILON**2).sqrt()", "clamp(min=EPSILON**2)"),
    "blocks' word length": ("context_norms * self.word_norms[block.rows][:, None]", "context_norms[...]"),
    "blocks' padding written": ("rows, found = rows[block.real], found[block.real]", "pass"),
    # backward
    "paper's attention held": ("        result += 1\n", ""),
    "paper's match not subtracted": ("result = products - matches[..., None]", "result = products.clone()"),
    "padding's gradient": ("own = own * block.real[:, None]", "pass"),
    "attention held": ("attention_gradient = products * dot", "attention_gradient = 0 * products * dot"),
    "square of the context held": ("attention_gradient += weighted", "pass"),
    "square counted once": ("weighted = mixed * (2 * square_gradient)", "weighted = mixed * (square_gradient)"),
    "gram matrix held": ("self.gram_gradient[block.images].baddbmm_(by_image, scaled)", "pass"),
    "gram's symmetry": ("self.regions, alpha=2)", "self.regions, alpha=1)"),
    "gradient's temperature": ("over_regions *= self.attention_temperature", "pass"),
    "products held in the dot": (".addcmul_(attention, dot_gradient[..., None])", ""),
    "word length held": ("self.word_gradient.index_add_(0, block.rows, of_words)", "pass"),
    "norm's sign": ("(-dot_gradient * cosines)", "(dot_gradient * cosines)"),
    "square's root": ("word_norms / (2 * context_norms)", "word_norms / context_norms"),
    "regions' gradient": ("addmm_(of_products.T, words[block.rows])", "addmm_(of_products.T, 0 * words[block.rows])"),
    "words' gradient": (
        "word_gradient.index_add_(0, block.rows, of_products @",
        "word_gradient.index_add_(0, block.rows, -of_products @",
    ),
}


def _mutated(source_of: ModuleType, fragment: str, replacement: str) -> ModuleType:
    """Return a copy of a module of `modeling_prd` with a fragment replaced."""
    source = inspect.getsource(source_of)
    assert source.count(fragment) == 1, f"{fragment!r} stands {source.count(fragment)} times in {source_of.__name__}"
    module = ModuleType("mutated")
    module.__package__ = "modeling_prd"
    exec(compile(source.replace(fragment, replacement), "mutated.py", "exec"), module.__dict__)
    return module


def the_padded_form_is_the_packed(losses: ModuleType) -> None:
    """Hold the form that is compiled against the one that is not."""
    generator = torch.Generator().manual_seed(0)
    regions, words = torch.randn(3, 4, 5, generator=generator), torch.randn(2, 6, 5, generator=generator)
    mask = torch.arange(6) < torch.tensor([6, 3])[:, None]
    for variant in ("paper", "gloria"):
        padded = losses._padded_scores(regions, words, mask, variant, 4.0, 5.0, 1)
        packed = losses._packed_scores(regions, words, mask, variant, 4.0, 5.0, 1)
        torch.testing.assert_close(padded, packed)


def _fails(check: Callable[[ModuleType], None], module: ModuleType) -> bool:
    try:
        check(module)
    except (AssertionError, ValueError, RuntimeError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize(("fragment", "replacement"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_reference_check_notices(fragment: str, replacement: str) -> None:
    module = _mutated(losses_prd, fragment, replacement)
    assert any(_fails(check, module) for check in (*CHECKS, the_padded_form_is_the_packed))


@pytest.mark.parametrize(("fragment", "replacement"), BLOCK_MUTATIONS.values(), ids=BLOCK_MUTATIONS.keys())
def test_a_reference_check_notices_in_the_blocks(fragment: str, replacement: str) -> None:
    module = _mutated(losses_prd, "upcast(tensor: Tensor)", "upcast(tensor: Tensor)")
    module.word_matches = _mutated(word_matches_prd, fragment, replacement).word_matches  # type: ignore[attr-defined]
    assert any(_fails(check, module) for check in CHECKS)
