"""How well every word matches its context in every image: the inner loop of the local loss, without its contexts.

A word's context in an image is v = sum_j a_j r_j, by its attention a over the regions r_j. With the products s_j =
r_j . w, the match is v . w = sum_j a_j s_j, and |v|^2 = a^T (R R^T) a with the regions R: contexts of width D are
formed only where that costs less. Real words are packed, and computed in blocks that fit a given memory; what a
block's gradient needs is kept while it fits and computed again where it does not. The gradients are written by hand:
a block's products are read once and its gradient is written once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .grouping_prd import group_by_length

EPSILON = 1e-8  # the least product of norms that a cosine divides by, as in torch.nn.functional.cosine_similarity
_GROUP_OVERHEAD = 16  # words; what a group of reports costs beside its rows, where these were timed on CPUs
_BYTES_OF_A_PRODUCT = 256  # memory a block may take, in bytes for each of its products: a dozen tensors' and room


class _Block(NamedTuple):
    """Words of whole reports, and images.

    Attributes:
        images: which.
        rows: [n], the packed words, report after report, each padded to the longest with word 0.
        real: [n] bool, False for padding; None where there is none.
        reports: how many reports the rows are of.
    """

    images: slice
    rows: Tensor
    real: Tensor | None
    reports: int


def word_matches(
    image_regions: Tensor,
    words: Tensor,
    lengths: Sequence[int],
    variant: str,
    attention_temperature: float,
    memory_mb: int,
) -> Tensor:
    """Match every word of every report with its context in every image.

    Args:
        image_regions: [B, M, D], float32 or float64.
        words: [N, D], the words of all reports, one report after the other.
        lengths: words of each report, each at least 1; their sum is N.
        variant: `paper`, whose match is v . w, or `gloria`, whose match is the cosine of v and w.
        attention_temperature: the `gloria` variant's.
        memory_mb: what may be kept between forward and backward, in MB; blocks take less than as much again.

    Returns:
        The matches, [N, B]. They have first derivatives only.
    """
    products = max(1, memory_mb * 1_000_000 // _BYTES_OF_A_PRODUCT)
    blocks = _split(lengths, image_regions.shape, products, whole_reports=variant == "gloria")
    blocks = [_on_device(block, words.device) for block in blocks]
    with_gradient = torch.is_grad_enabled() and (image_regions.requires_grad or words.requires_grad)
    kept_bytes = memory_mb * 1_000_000 if with_gradient else 0
    regions, words = image_regions.contiguous(), words.contiguous()
    return _WordMatches.apply(regions, words, variant, attention_temperature, blocks, kept_bytes)


def _split(lengths: Sequence[int], shape: Sequence[int], products: int, whole_reports: bool) -> list[_Block]:
    """Cut the words and the images [B, M, D] into blocks of at most so many products, or of one report and image."""
    images, regions, _ = shape
    longest = max(lengths) if whole_reports else 1
    images_of_block = min(images, max(1, products // (regions * longest)))
    rows_of_block = max(1, products // (regions * images_of_block))
    starts = torch.tensor([0, *lengths]).cumsum(0)
    parts: list[tuple[Tensor, Tensor | None, int]] = []
    if whole_reports:
        for group in group_by_length(lengths, _GROUP_OVERHEAD):
            reports_of_block = max(1, rows_of_block // lengths[group[0]])
            for first in range(0, len(group), reports_of_block):
                own = group[first : first + reports_of_block]
                places = torch.arange(lengths[own[0]])  # [W], of the longest
                real = (places < torch.tensor([lengths[report] for report in own])[:, None]).flatten()
                rows = (starts[own][:, None] + places).flatten()
                parts.append((rows.where(real, 0), None if real.all() else real, len(own)))
    else:
        parts = [(rows, None, len(rows)) for rows in torch.arange(int(starts[-1])).split(rows_of_block)]
    slices = [slice(first, min(first + images_of_block, images)) for first in range(0, images, images_of_block)]
    return [_Block(part, *words) for part in slices for words in parts]


def _on_device(block: _Block, device: torch.device) -> _Block:
    real = None if block.real is None else block.real.to(device)
    return block._replace(rows=block.rows.to(device), real=real)


class _PaperForm:
    """v . w, with an attention that is the softmax of the products over regions."""

    def match(self, products: Tensor, block: _Block) -> tuple[Tensor, ...]:
        """Return the matches [n, b] of products [n, b, M], and what the gradient needs beside the products."""
        attention = products.softmax(dim=-1)
        return (attention * products).sum(dim=-1), attention

    def products_gradient(
        self, gradient: Tensor, products: Tensor, state: tuple[Tensor, ...], block: _Block
    ) -> Tensor:
        """Return the gradient [n, b, M] of the products from that of the matches [n, b]."""
        matches, attention = state
        # d match / d s_j = a_j (1 + s_j - match)
        result = products - matches[..., None]
        result += 1
        result *= attention
        result *= gradient[..., None]
        return result


class _GloriaForm:
    """The cosine of v and w, with GLoRIA's attention: a softmax over the report's words, then one over regions."""

    def __init__(self, regions: Tensor, words: Tensor, attention_temperature: float):
        self.regions = regions
        self.attention_temperature = attention_temperature
        self.words = words
        self.word_norms = words.norm(dim=-1)  # [N]
        # |v|^2 by the regions' Gram matrices costs 2 products of width M, by contexts 3 of width D.
        by_gram = 2 * regions.shape[1] <= 3 * regions.shape[2]
        self.gram = regions @ regions.transpose(1, 2) if by_gram else None  # [B, M, M]
        self.gram_gradient = None if self.gram is None else torch.zeros_like(self.gram)
        self.region_gradient = torch.zeros_like(regions)
        self.word_gradient = torch.zeros_like(words)

    def match(self, products: Tensor, block: _Block) -> tuple[Tensor, ...]:
        """Return the matches [n, b] of products [n, b, M], and what the gradient needs beside the products."""
        by_report = products.view(block.reports, -1, *products.shape[1:])  # [reports, W, b, M]
        if block.real is not None:
            by_report = by_report.masked_fill(~block.real.view(*by_report.shape[:2], 1, 1), -torch.inf)
        over_words = by_report.softmax(dim=1).view_as(products)
        attention = (over_words * self.attention_temperature).softmax(dim=-1)
        dots = (attention * products).sum(dim=-1)  # v . w: [n, b]
        by_image = attention.transpose(0, 1)  # [b, n, M]
        if self.gram is not None:
            mixed = torch.bmm(by_image, self.gram[block.images]).transpose(0, 1)  # R R^T a: [n, b, M]
            squares = (mixed * attention).sum(dim=-1)
        else:
            mixed = torch.bmm(by_image, self.regions[block.images]).transpose(0, 1)  # v: [n, b, D]
            squares = mixed.square().sum(dim=-1)
        # Rounding may leave a context of almost no length with a square below 0.
        context_norms = squares.clamp(min=EPSILON**2).sqrt()
        norms = context_norms * self.word_norms[block.rows][:, None]
        return dots / norms.clamp(min=EPSILON), dots, context_norms, over_words, attention, mixed

    def products_gradient(
        self, gradient: Tensor, products: Tensor, state: tuple[Tensor, ...], block: _Block
    ) -> Tensor:
        """Return the gradient [n, b, M] of the products from that of the matches [n, b]; add up those of the rest."""
        cosines, _, context_norms, over_words, attention, mixed = state
        dot_gradient, square_gradient = self._norm_gradients(gradient, cosines, context_norms, block)
        attention_gradient = products * dot_gradient[..., None]
        by_image = attention.permute(1, 2, 0)  # [b, M, n]
        weighted = mixed * (2 * square_gradient)[..., None]
        if self.gram is not None and self.gram_gradient is not None:
            attention_gradient += weighted
            scaled = (attention * square_gradient[..., None]).transpose(0, 1)  # [b, n, M]
            self.gram_gradient[block.images].baddbmm_(by_image, scaled)
        else:
            context_gradient = weighted.transpose(0, 1)  # [b, n, D]
            regions = self.regions[block.images]
            attention_gradient += torch.bmm(context_gradient, regions.transpose(1, 2)).transpose(0, 1)
            self.region_gradient[block.images].baddbmm_(by_image, context_gradient)
        over_regions = torch._softmax_backward_data(attention_gradient, attention, -1, attention.dtype)
        over_regions *= self.attention_temperature
        shape = (block.reports, -1, *products.shape[1:])  # [reports, W, b, M]
        result = torch._softmax_backward_data(over_regions.view(shape), over_words.view(shape), 1, products.dtype)
        return result.view_as(products).addcmul_(attention, dot_gradient[..., None])

    def _norm_gradients(
        self, gradient: Tensor, cosines: Tensor, context_norms: Tensor, block: _Block
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of v . w and of |v|^2, both [n, b]; add up those of |w|."""
        word_norms = self.word_norms[block.rows][:, None]
        norms = context_norms * word_norms
        dot_gradient = gradient / norms.clamp(min=EPSILON)
        # What is clamped does not move.
        norm_gradient = (-dot_gradient * cosines).masked_fill_(norms < EPSILON, 0)
        square_gradient = norm_gradient * word_norms / (2 * context_norms)
        square_gradient.masked_fill_(context_norms <= EPSILON, 0)
        of_word_norms = (norm_gradient * context_norms).sum(dim=1, keepdim=True)
        of_words = self.words[block.rows] * (of_word_norms / word_norms.clamp(min=EPSILON))
        self.word_gradient.index_add_(0, block.rows, of_words)
        return dot_gradient, square_gradient

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of the regions and of the words that did not pass through the products."""
        if self.gram_gradient is not None:
            self.region_gradient.baddbmm_(self.gram_gradient, self.regions, alpha=2)
        return self.region_gradient, self.word_gradient


class _WordMatches(torch.autograd.Function):
    """(regions [B, M, D], words [N, D]) -> matches [N, B], block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        words: Tensor,
        variant: str,
        attention_temperature: float,
        blocks: list[_Block],
        kept_bytes: int,
    ) -> Tensor:
        form = _form(regions, words, variant, attention_temperature)
        matches = words.new_empty(len(words), len(regions))
        kept: list[Tensor] = []
        counts = []  # kept tensors of each block
        for block in blocks:
            products = _products(regions, words, block)
            state = form.match(products, block)
            rows, found = block.rows, state[0]
            if block.real is not None:
                rows, found = rows[block.real], found[block.real]
            matches[rows, block.images] = found
            size = sum(tensor.nbytes for tensor in (products, *state))
            kept_bytes -= size
            if kept_bytes >= 0:
                kept += [products, *state]
            counts.append(1 + len(state) if kept_bytes >= 0 else 0)
        ctx.save_for_backward(regions, words, *kept)
        ctx.settings, ctx.blocks, ctx.counts = (variant, attention_temperature), blocks, counts
        return matches

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradient.device.type, enabled=False):  # as the forward pass, wherever it is called
            return *_gradients(ctx, gradient), None, None, None, None


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the regions and of the words from that of the matches [N, B]."""
    regions, words, *kept = ctx.saved_tensors
    form = _form(regions, words, *ctx.settings)
    region_gradient, word_gradient = torch.zeros_like(regions), torch.zeros_like(words)
    for block, count in zip(ctx.blocks, ctx.counts, strict=True):
        if count:
            products, *state = kept[:count]
            del kept[:count]
        else:
            products = _products(regions, words, block)
            state = form.match(products, block)
        own = gradient[block.rows, block.images]
        if block.real is not None:
            own = own * block.real[:, None]
        of_products = form.products_gradient(own, products, state, block).flatten(1)  # [n, b * M]
        region_gradient[block.images].flatten(0, 1).addmm_(of_products.T, words[block.rows])
        word_gradient.index_add_(0, block.rows, of_products @ regions[block.images].flatten(0, 1))
    if isinstance(form, _GloriaForm):
        of_regions, of_words = form.gradients()
        region_gradient += of_regions
        word_gradient += of_words
    return region_gradient, word_gradient


def _form(regions: Tensor, words: Tensor, variant: str, attention_temperature: float) -> _PaperForm | _GloriaForm:
    return _PaperForm() if variant == "paper" else _GloriaForm(regions, words, attention_temperature)


def _products(regions: Tensor, words: Tensor, block: _Block) -> Tensor:
    """Return r_j . w of a block, [n, b, M]."""
    own = regions[block.images]  # [b, M, D]
    return (words[block.rows] @ own.flatten(0, 1).T).unflatten(1, own.shape[:2])
