"""From the encoders' states to the vectors that the losses compare: pooling and projection."""

import torch
from torch import Tensor, nn

from .configuration_prd import PRDConfig
from .encoders_prd import VisionShape, pooled_state, probe_vision_shape, region_states
from .losses_prd import check_words, upcast


class BioViLProjection(nn.Module):
    """BioViL's projector: two 1x1 convolutions with batch normalisation and ReLU between, on every region alone.

    The names are those of the published file, `projector.model.{0,1,3}`.
    """

    def __init__(self, width: int, projection_dim: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(width, projection_dim, kernel_size=1, bias=False),
            nn.BatchNorm2d(projection_dim),
            nn.ReLU(),
            nn.Conv2d(projection_dim, projection_dim, kernel_size=1),
        )

    def forward(self, states: Tensor) -> Tensor:
        """Project states [B, C] or [B, M, C] to [B, D] or [B, M, D]."""
        channels = states.view(states.shape[0], -1, states.shape[-1]).transpose(1, 2)[..., None]  # [B, C, M, 1]
        projected = self.model(channels).squeeze(-1).transpose(1, 2)  # [B, M, D]
        return projected.reshape(*states.shape[:-1], projected.shape[-1])


class CXRBertProjection(nn.Module):
    """CXR-BERT's projection head: dense, GELU, LayerNorm, dense.

    The names are those of the published file, `cls_projection_head.*`.
    """

    def __init__(self, width: int, projection_dim: int):
        super().__init__()
        self.dense_to_hidden = nn.Linear(width, projection_dim)
        self.LayerNorm = nn.LayerNorm(projection_dim, eps=1e-12)
        self.dense_to_output = nn.Linear(projection_dim, projection_dim)

    def forward(self, states: Tensor) -> Tensor:
        """Project states [..., C] to [..., D]."""
        hidden = nn.functional.gelu(self.dense_to_hidden(states))
        return self.dense_to_output(self.LayerNorm(hidden))


def build_projection(kind: str, width: int, projection_dim: int) -> nn.Module:
    """Make a projection from `width` to `projection_dim`; `kind` is `linear`, `biovil` or `cxr_bert`."""
    if kind == "biovil":
        return BioViLProjection(width, projection_dim)
    if kind == "cxr_bert":
        return CXRBertProjection(width, projection_dim)
    return nn.Linear(width, projection_dim, bias=False)


class RegionFlattening(nn.Module):
    """One vector of all of an image's regions, each with a learned position: unlike a mean it keeps places and sides.

    Args:
        shape: how many regions there are, of images of which size.
        projection_dim: D.
    """

    def __init__(self, shape: VisionShape, projection_dim: int):
        super().__init__()
        self.shape = shape
        self.positions = nn.Parameter(torch.zeros(shape.regions, projection_dim))
        self.projection = nn.Linear(shape.regions * projection_dim, projection_dim, bias=False)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image vectors [B, D] of regions [B, M, D], and the regions with their positions.

        Raises:
            ValueError: there are more or fewer regions than positions.
        """
        if regions.shape[1] != self.shape.regions:
            rows, columns = self.shape.image_size
            raise ValueError(
                f"vision_pooling='flatten' holds {self.shape.regions} regions, those of images of {rows} x {columns} "
                f"pixels, but these images have {regions.shape[1]} regions: resize them"
            )
        regions = regions + self.positions
        return self.projection(regions.flatten(1)), regions


class ImagePooling(nn.Module):
    """One vector an image from a vision encoder's states, by `config.vision_pooling`.

    `projected_mean` and `flatten` make it from projected regions of the last hidden state, the other poolings before
    any projection.

    Attributes:
        width: of the vectors: D where regions are projected, else that of the encoder's states.

    Raises:
        ValueError: `flatten` without an image size in the vision encoder's configuration.
    """

    def __init__(self, config: PRDConfig):
        super().__init__()
        self.pooling = config.vision_pooling
        self.shape = probe_vision_shape(config.vision_config, config.region_stage)
        self.pools_projected = self.pooling in ("projected_mean", "flatten")
        dim, width = config.projection_dim, self.shape.width
        self.width = dim if self.pools_projected else width
        # Where nothing is projected there are no weights either: a weight without a gradient breaks DDP.
        kind = config.vision_projection
        self.projection = build_projection(kind, width, dim) if self.pools_projected else nn.Identity()
        if self.pooling == "flatten" and getattr(config.vision_config, "image_size", None) is None:
            raise ValueError("vision_pooling='flatten' learns a position per region: set vision_config.image_size")
        self.flattening = RegionFlattening(self.shape, dim) if self.pooling == "flatten" else None

    def pool(
        self, last_hidden_state: Tensor, pooler_output: Tensor | None, patches: int | None
    ) -> tuple[Tensor, Tensor]:
        """Pool the states of images.

        Args:
            last_hidden_state: [B, C, rows, columns] or [B, tokens, C].
            pooler_output: [B, C] or [B, C, 1, 1], None where the encoder has no pooler.
            patches: how many patches the images were cut into; None if into none.

        Returns:
            The image vectors [B, `width`] and the regions [B, M, `width`], projected where the vectors are.

        Raises:
            ValueError: `flatten` was built for another number of regions.
        """
        regions = region_states(last_hidden_state, patches)  # [B, M, C]
        if self.pooling == "pooler":
            return pooled_state(last_hidden_state, pooler_output, patches), regions
        if self.pooling == "mean":
            return regions.mean(dim=1), regions
        regions = self.projection(regions)  # [B, M, D]
        return (regions.mean(dim=1), regions) if self.flattening is None else self.flattening(regions)


class ImageHead(ImagePooling):
    """Pools and projects a vision encoder's states to one vector an image and one a region.

    Where the image vector is made of projected regions and no `region_stage` is set, those are the region vectors too.
    Otherwise regions have a projection of their own.

    Raises:
        ValueError: as `ImagePooling`.
    """

    def __init__(self, config: PRDConfig):
        super().__init__(config)
        dim, kind = config.projection_dim, config.vision_projection
        if not self.pools_projected:
            self.projection = build_projection(kind, self.shape.width, dim)
        shares_projection = self.pools_projected and config.region_stage is None
        self.region_projection = None if shares_projection else build_projection(kind, self.shape.region_width, dim)

    def forward(
        self, last_hidden_state: Tensor, pooler_output: Tensor | None, stage_state: Tensor, patches: int | None
    ) -> tuple[Tensor, Tensor]:
        """Pool and project.

        Args:
            last_hidden_state: [B, C, rows, columns] or [B, tokens, C].
            pooler_output: [B, C] or [B, C, 1, 1], None where the encoder has no pooler.
            stage_state: the hidden state that regions are taken from, shaped as `last_hidden_state`.
            patches: how many patches the images were cut into; None if into none.

        Returns:
            The image vectors [B, D] and the region vectors [B, M, D], neither normalised.

        Raises:
            ValueError: `flatten` was built for another number of regions.
        """
        features, regions = self.pool(last_hidden_state, pooler_output, patches)
        if not self.pools_projected:
            features = self.projection(features)
        if self.region_projection is None:
            return features, regions
        return features, self.region_projection(region_states(stage_state, patches))


def pool_tokens(pooling: str, hidden_state: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Make one vector a text of its tokens' states.

    Args:
        pooling: `cls`, the first token, or `mean`, the mean of the real tokens.
        hidden_state: [B, L, C].
        attention_mask: [B, L], 0 on padding; None is all ones.

    Returns:
        [B, C].
    """
    if attention_mask is None:
        return hidden_state[:, 0] if pooling == "cls" else hidden_state.mean(dim=1)
    if pooling == "cls":
        first = attention_mask.to(torch.uint8).argmax(dim=1)  # [B]; not 0 where padding is on the left
        return hidden_state[torch.arange(len(first), device=first.device), first]
    weights = attention_mask[..., None].to(hidden_state.dtype)  # [B, L, 1]
    return (hidden_state * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class TextHead(nn.Module):
    """Pools and projects a text encoder's states to one vector a report and one a word."""

    def __init__(self, config: PRDConfig):
        super().__init__()
        self.pooling = config.text_pooling
        width = config.text_config.hidden_size
        self.projection = build_projection(config.text_projection, width, config.projection_dim)
        self.word_projection = nn.Linear(width, config.projection_dim, bias=False)

    def pool(self, hidden_state: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Make one vector [B, C] a report of token states [B, L, C]; `attention_mask` is as in `pool_tokens`."""
        return pool_tokens(self.pooling, hidden_state, attention_mask)

    def forward(self, pooled: Tensor) -> Tensor:
        """Project pooled states [B, C] to report vectors [B, D], not normalised."""
        return self.projection(pooled)

    def words(self, hidden_state: Tensor, word_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Pool tokens to words and project them.

        Args:
            hidden_state: token states [B, L, C].
            word_ids: [B, L], which word a token belongs to; -1 where to none.

        Returns:
            Word vectors [B, W, D], not normalised, and the mask [B, W] of the places that hold a word.

        Raises:
            ValueError: a report has no word.
        """
        word_states, word_mask = pool_words(hidden_state, word_ids)
        check_words(word_mask)
        return self.word_projection(word_states), word_mask


def pool_words(hidden_state: Tensor, word_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Average the states of each word's sub-words.

    Args:
        hidden_state: token states [B, L, C].
        word_ids: [B, L], -1 where a token belongs to no word (special token, padding).

    Returns:
        Word states [B, W, C], zero where there is no word, and the mask [B, W], True where there is one. W is the
        greatest number of words in a report, or L under `torch.compile`, where no size may hang on a value.
    """
    batch, length, width = hidden_state.shape
    words = length if torch.compiler.is_compiling() else max(1, int(word_ids.max()) + 1)
    places = word_ids.masked_fill(word_ids < 0, words)  # tokens without a word go to one place more, dropped below
    states = upcast(hidden_state)
    sums = states.new_zeros(batch, words + 1, width)
    sums = sums.scatter_add(1, places[..., None].expand(-1, -1, width), states)
    counts = states.new_zeros(batch, words + 1).scatter_add(1, places, states.new_ones(batch, length))
    means = sums[:, :words] / counts[:, :words, None].clamp(min=1)
    return means.to(hidden_state.dtype), counts[:, :words] > 0
