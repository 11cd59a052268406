"""The losses of Perturbed Report Discrimination, as pure functions of tensors.

Zhong et al., "Enhancing Biomedical Multi-modal Representation Learning with Multi-scale Pre-training and Perturbed
Report Discrimination", section III-B. Shapes: B images, T reports, W words, M image regions, P perturbations, width D.

Products, softmax, norms and log-sum-exp are computed in float32, or in float64 when given it, under autocast too.
"""

import torch
from torch import Tensor, nn

from .word_matches_prd import EPSILON, word_matches


def upcast(tensor: Tensor) -> Tensor:
    """Return a floating-point tensor in float32, or unchanged where it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def full_precision(tensor: Tensor) -> torch.autocast:
    """Return a context in which autocast is off on the device of `tensor`."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def symmetric_cross_entropy(logits: Tensor, negative_mask: Tensor | None = None) -> Tensor:
    """Mean of the cross-entropies of a square matrix's rows and of its columns; pair (i, i) is the right answer.

    Args:
        logits: [B, B].
        negative_mask: [B, B] bool; False leaves a pair out of its row and its column. The diagonal always counts.

    Returns:
        A scalar.

    Raises:
        ValueError: `logits` is not square.
    """
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1]:
        raise ValueError(f"a contrastive loss needs one report an image, but the logits are {tuple(logits.shape)}")
    targets = torch.arange(len(logits), device=logits.device)
    if negative_mask is not None:
        left_out = ~negative_mask & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(left_out, -torch.inf)
    image_to_text = nn.functional.cross_entropy(logits, targets)
    text_to_image = nn.functional.cross_entropy(logits.T, targets)
    return (image_to_text + text_to_image) / 2


def global_contrastive_loss(
    image_embeds: Tensor, text_embeds: Tensor, temperature: float | Tensor, negative_mask: Tensor | None = None
) -> Tensor:
    """Image-report matching contrastive loss: symmetric cross-entropy over cosine / temperature.

    Args:
        image_embeds, text_embeds: [B, D], L2-normalised; not normalised again.
        temperature: tau.
        negative_mask: [B, B] bool, False where a report is no negative of an image (the same report).

    Returns:
        A scalar.

    Raises:
        ValueError: the numbers of images and of reports differ.
    """
    with full_precision(image_embeds):
        logits = upcast(image_embeds) @ upcast(text_embeds).T / temperature  # [B, B]
        return symmetric_cross_entropy(logits, negative_mask)


def local_attention(
    image_regions: Tensor,
    word_embeds: Tensor,
    word_mask: Tensor,
    variant: str = "paper",
    attention_temperature: float = 4.0,
) -> tuple[Tensor, Tensor]:
    """Attention of every word of every report over the regions of every image.

    `paper`: a_kj = softmax over regions j of r_j . w_k. `gloria`: the products first go through a softmax over the
    report's words, and that times `attention_temperature` through the softmax over regions.

    Args:
        image_regions: [B, M, D].
        word_embeds: [T, W, D].
        word_mask: [T, W] bool, False where there is no word.
        variant: `paper` or `gloria`.
        attention_temperature: the `gloria` variant's factor.

    Returns:
        The attention [B, T, W, M] and the products r_j . w_k it was made of, [B, T, W, M].

    Raises:
        ValueError: the variant is unknown.
    """
    check_variant(variant)
    with full_precision(image_regions):
        regions, words = upcast(image_regions), upcast(word_embeds)
        products = words.flatten(0, 1) @ regions.transpose(1, 2)  # [B, T * W, M]
        products = products.unflatten(1, word_mask.shape)  # [B, T, W, M]
        if variant == "paper":
            return products.softmax(dim=-1), products
        over_words = products.masked_fill(~word_mask[..., None], -torch.inf).softmax(dim=-2)
        return (attention_temperature * over_words).softmax(dim=-1), products


def local_similarity(
    image_regions: Tensor,
    word_embeds: Tensor,
    word_mask: Tensor,
    variant: str = "paper",
    length_normalized: bool = False,
    attention_temperature: float = 4.0,
    similarity_temperature: float = 5.0,
    memory_mb: int = 1024,
) -> Tensor:
    """Local attentive matching score S of every image with every report.

    With the attention a of [`local_attention`] and the context v_k = sum_j a_kj r_j of word w_k,
    `paper`: S = log sum_k exp(v_k . w_k), less log W if `length_normalized`;
    `gloria` (Huang et al. 2021): S = log sum_k exp(similarity_temperature * cos(v_k, w_k)).
    The real words are packed and computed in blocks ([`word_matches`]), which has first derivatives only; under
    `torch.compile`, where no size may hang on a value, all of [B, T, W, M] at once, for the compiler to fuse.

    Args:
        image_regions: [B, M, D], as the encoder gives them: not normalised.
        word_embeds: [T, W, D], likewise.
        word_mask: [T, W] bool, False where there is no word. Every report has a word.
        variant: `paper` or `gloria`.
        length_normalized: the `paper` variant's; `gloria` has none.
        attention_temperature, similarity_temperature: the `gloria` variant's.
        memory_mb: what may be kept for the gradient, in MB; beyond it blocks are computed twice. A few numbers for
            each word and image come on top. Without effect under `torch.compile`.

    Returns:
        S, [B, T], before any temperature or logit scale.

    Raises:
        ValueError: the variant is unknown, or a report has no word (not checked under `torch.compile`).
    """
    check_words(word_mask)
    check_variant(variant)
    scale = similarity_temperature if variant == "gloria" else 1.0
    scores_of = _padded_scores if torch.compiler.is_compiling() else _packed_scores
    with full_precision(image_regions):
        scores = scores_of(  # [B, T]
            upcast(image_regions), upcast(word_embeds), word_mask, variant, attention_temperature, scale, memory_mb
        )
        if variant == "paper" and length_normalized:
            scores = scores - word_mask.sum(dim=-1).to(scores.dtype).log()
        return scores


def _packed_scores(
    regions: Tensor,
    words: Tensor,
    word_mask: Tensor,
    variant: str,
    attention_temperature: float,
    scale: float,
    memory_mb: int,
) -> Tensor:
    """Return log sum_k exp(scale * match) of regions [B, M, D] and the real ones of words [T, W, D]: [B, T]."""
    report, _ = word_mask.nonzero(as_tuple=True)  # of each word: [N]
    lengths = word_mask.sum(dim=1).tolist()
    matches = scale * word_matches(regions, words[word_mask], lengths, variant, attention_temperature, memory_mb)
    peaks = matches.new_full((len(word_mask), matches.shape[1]), -torch.inf)
    peaks.scatter_reduce_(0, report[:, None].expand_as(matches), matches.detach(), "amax")  # [T, B]
    sums = torch.zeros_like(peaks).index_add(0, report, (matches - peaks[report]).exp())
    return (peaks + sums.log()).T


def _padded_scores(
    regions: Tensor,
    words: Tensor,
    word_mask: Tensor,
    variant: str,
    attention_temperature: float,
    scale: float,
    memory_mb: int,
) -> Tensor:
    """Return what `_packed_scores` does, of all words at once, padding and all, whatever memory that takes."""
    attention, products = local_attention(regions, words, word_mask, variant, attention_temperature)
    matches = (attention * products).sum(dim=-1)  # v_k . w_k: [B, T, W]
    if variant == "gloria":
        matches = _context_cosine(matches, attention, regions, words)
    return (scale * matches).masked_fill(~word_mask, -torch.inf).logsumexp(dim=-1)


def _context_cosine(matches: Tensor, attention: Tensor, image_regions: Tensor, word_embeds: Tensor) -> Tensor:
    """Cosine of every word [T, W, D] and its context, from their product `matches` [B, T, W]."""
    regions = upcast(image_regions)
    gram = regions @ regions.transpose(1, 2)  # [B, M, M]
    weights = attention.flatten(1, 2)  # [B, T * W, M]
    squared = ((weights @ gram) * weights).sum(dim=-1).view_as(matches)  # |v_k|^2: [B, T, W]
    # Rounding may leave a context of almost no length with a square below 0.
    context_norms = squared.clamp(min=EPSILON**2).sqrt()
    word_norms = upcast(word_embeds).norm(dim=-1)  # [T, W]
    return matches / (context_norms * word_norms).clamp(min=EPSILON)


def check_variant(variant: str) -> None:
    """Raise ValueError where the local loss has no such variant."""
    if variant not in ("paper", "gloria"):
        raise ValueError(f"local loss variant {variant!r} is not one of paper, gloria")


def check_words(word_mask: Tensor) -> None:
    """Raise where a report of [T, W] has no word: ValueError that names the rows, RuntimeError in a compiled graph."""
    if torch.compiler.is_compiling():  # a value read from a tensor would break the graph
        torch._assert_async(word_mask.any(dim=-1).all(), "a report has no word: leave such reports out")
        return
    empty = (~word_mask.any(dim=-1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"the reports in rows {empty} have no word: they are empty, or truncated before their first word; "
            "leave such reports out"
        )


def local_contrastive_loss(
    similarity: Tensor, logit_scale: float | Tensor, negative_mask: Tensor | None = None
) -> Tensor:
    """Local attentive contrastive loss: symmetric cross-entropy over S * logit_scale.

    Args:
        similarity: S of [`local_similarity`], [B, B].
        logit_scale: 1 / tau in the paper, 10 in GLoRIA.
        negative_mask: as in [`global_contrastive_loss`].

    Returns:
        A scalar.

    Raises:
        ValueError: the numbers of images and of reports differ.
    """
    with full_precision(similarity):
        return symmetric_cross_entropy(upcast(similarity) * logit_scale, negative_mask)


def perturbation_logits(
    image_embeds: Tensor,
    text_embeds: Tensor,
    perturbed_embeds: Tensor,
    perturbation_mask: Tensor | None,
    temperature: float | Tensor,
) -> Tensor:
    """Cosine / temperature of every image with its own report (first) and with that report's perturbations.

    Args:
        image_embeds, text_embeds: [B, D], L2-normalised; not normalised again.
        perturbed_embeds: [B, P, D], likewise.
        perturbation_mask: [B, P] bool, False where a perturbation is left out: its logit is minus infinity.
        temperature: tau.

    Returns:
        [B, 1 + P].
    """
    with full_precision(image_embeds):
        candidates = torch.cat([upcast(text_embeds)[:, None], upcast(perturbed_embeds)], dim=1)  # [B, 1 + P, D]
        logits = (candidates @ upcast(image_embeds)[..., None]).squeeze(-1) / temperature  # [B, 1 + P]
        if perturbation_mask is not None:
            kept = torch.cat([torch.ones_like(perturbation_mask[:, :1]), perturbation_mask], dim=1)
            logits = logits.masked_fill(~kept, -torch.inf)
        return logits


def perturbation_cross_entropy(logits: Tensor) -> Tensor:
    """Mean over images of the cross-entropy of [`perturbation_logits`] [B, 1 + P]; the first is the right answer."""
    targets = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return nn.functional.cross_entropy(logits, targets)


def perturbation_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    perturbed_embeds: Tensor,
    perturbation_mask: Tensor | None,
    temperature: float | Tensor,
) -> Tensor:
    """Report perturbation sensitivity loss: every image's own report against that report's perturbations.

    Args:
        image_embeds, text_embeds: [B, D], L2-normalised; not normalised again.
        perturbed_embeds: [B, P, D], likewise.
        perturbation_mask: [B, P] bool, False where a perturbation is left out; None keeps all. An image with none
            left counts as loss 0 in the mean.
        temperature: tau.

    Returns:
        A scalar, the mean over the B images.
    """
    logits = perturbation_logits(image_embeds, text_embeds, perturbed_embeds, perturbation_mask, temperature)
    return perturbation_cross_entropy(logits)
