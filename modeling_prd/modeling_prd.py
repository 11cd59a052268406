"""The PRD dual encoder: an image and a text encoder, trained by a global, a local and a perturbation loss."""

import math
import os
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .checkpoints_prd import load_text_encoder, load_vision_encoder, split_arguments
from .configuration_prd import PRDConfig
from .distributed_prd import world_size
from .encoders_prd import build_encoder, patch_count, stage_state
from .heads_prd import ImageHead, RegionFlattening, TextHead
from .inputs_prd import check_rows, check_shapes, check_wanted_losses
from .losses_prd import upcast
from .objective_prd import ImageVectors, Objective, ReportVectors, compare, similarity_of_words
from .output_prd import PRDOutput
from .text_batching_prd import EncodedTexts, encode_texts, join_texts

_LEAST_TEMPERATURE = 0.01  # CLIP's bound


class PRDPreTrainedModel(PreTrainedModel):
    """Weight initialisation and what the encoders' common features are."""

    config: PRDConfig
    config_class = PRDConfig
    base_model_prefix = "prd"
    input_modalities = ["image", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, RegionFlattening):
            init.normal_(module.positions, std=0.02)
        if isinstance(module, PRDModel) and module.log_temperature is not None:
            init.constant_(module.log_temperature, math.log(self.config.temperature))


class PRDModel(PRDPreTrainedModel):
    """Dual encoder of radiographs and reports, trained by Perturbed Report Discrimination.

    Args:
        config: the encoders, the heads and the losses.
        vision_model, text_model: encoders with weights; None makes them from `config` with random ones.
    """

    def __init__(
        self,
        config: PRDConfig,
        vision_model: PreTrainedModel | None = None,
        text_model: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        self.vision_model = build_encoder(config.vision_config) if vision_model is None else vision_model
        self.text_model = build_encoder(config.text_config) if text_model is None else text_model
        # Each encoder chose its attention; let both sides share one configuration from here on.
        config.vision_config._attn_implementation = self.vision_model.config._attn_implementation
        config.text_config._attn_implementation = self.text_model.config._attn_implementation
        self.vision_model.config = config.vision_config
        self.text_model.config = config.text_config

        self.image_head = ImageHead(config)
        self.text_head = TextHead(config)
        self.objective = Objective(config)
        # [1]: FSDP shards no scalars.
        self.log_temperature = (
            nn.Parameter(torch.tensor([math.log(config.temperature)])) if config.learn_temperature else None
        )
        self.post_init()

    @classmethod
    def from_vision_text_pretrained(
        cls,
        vision: str | os.PathLike,
        text: str | os.PathLike,
        dtype: torch.dtype | str = torch.float32,
        **kwargs: Any,
    ) -> "PRDModel":
        """Make a model from two published encoders; heads that were not published with them start at random.

        Args:
            vision: Hub id or folder of a transformers vision encoder, or the path of BioViL's published file
                `biovil_image_resnet50_proj_size_128.pt`, whose projector is loaded too.
            text: Hub id or folder of a transformers text encoder, or of CXR-BERT or BioViL-T, whose projection head is
                loaded too; their remote code is not run.
            dtype: of all weights, such as `torch.float16` or `"float16"`.
            kwargs: arguments of [`PRDConfig`]; any other `vision_NAME` or `text_NAME` sets NAME in that encoder's
                configuration or is an argument of its loading, such as `vision_image_size` or `text_revision`. What a
                published head fixes (its pooling, its kind and its width) need not be given.

        Returns:
            The model, in evaluation mode.

        Raises:
            ValueError: a checkpoint's key is missing, extra or misshaped, its file is damaged, or a setting
                contradicts a published head.
            TypeError: an argument is none of the above.
        """
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        settings, vision_arguments, text_arguments = split_arguments(kwargs)
        published = (
            load_vision_encoder(vision, dtype, vision_arguments),
            load_text_encoder(text, dtype, text_arguments),
        )
        for part in published:
            for name, value in part.settings.items():
                if settings.setdefault(name, value) != value:
                    raise ValueError(f"{name}={settings[name]!r} contradicts {part.source}, which has {value!r}")
        vision_model, text_model = (part.encoder for part in published)
        config = PRDConfig.from_vision_text_configs(vision_model.config, text_model.config, **settings)
        model = cls(config, vision_model, text_model)
        for projection, part in zip((model.image_head.projection, model.text_head.projection), published, strict=True):
            if part.projection is not None:
                projection.load_state_dict(part.projection.state_dict())
        model.image_head.to(dtype)
        model.text_head.to(dtype)
        return model.eval()

    def get_input_embeddings(self) -> nn.Module:
        """Return the text encoder's token embeddings."""
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text encoder's token embeddings."""
        self.text_model.set_input_embeddings(value)

    @property
    def temperature(self) -> float | Tensor:
        """Tau, by which cosine similarities are divided: the configuration's, or the learned one in float32."""
        learned = self._learned_temperature()
        return self.config.temperature if learned is None else learned

    def _learned_temperature(self) -> Tensor | None:
        if self.log_temperature is None:
            return None
        return upcast(self.log_temperature[0]).exp().clamp(min=_LEAST_TEMPERATURE)

    @can_return_tuple
    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """Encode images.

        Args:
            pixel_values: [B, channels, rows, columns].

        Returns:
            The encoder's `last_hidden_state`, and as `pooler_output` the projected vector [B, D], not normalised.
        """
        outputs, features, _ = self._encode_images(pixel_values)
        return BaseModelOutputWithPooling(last_hidden_state=outputs.last_hidden_state, pooler_output=features)

    @can_return_tuple
    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BaseModelOutputWithPooling:
        """Encode texts.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], 0 on padding; None is all ones.
            token_type_ids: accepted as tokenizers give it, and not used: a report is one segment.

        Returns:
            The encoder's `last_hidden_state` [B, L, C], of no meaning on padding, and as `pooler_output` the projected
            vector [B, D], not normalised.
        """
        features, hidden_state = self._encode_texts(input_ids, attention_mask, kept=len(input_ids))
        return BaseModelOutputWithPooling(last_hidden_state=hidden_state, pooler_output=features)

    def get_image_regions(self, pixel_values: Tensor) -> Tensor:
        """Encode images [B, channels, rows, columns] to region vectors [B, M, D], row by row, not normalised."""
        return self._encode_images(pixel_values)[2]

    def get_word_embeddings(
        self, input_ids: Tensor, attention_mask: Tensor | None, word_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode texts [B, L] to word vectors [B, W, D], not normalised, and their mask [B, W].

        Args:
            input_ids, attention_mask: [B, L], as in `get_text_features`.
            word_ids: [B, L], the word that a token belongs to; -1 where to none.
        """
        _, hidden_state = self._encode_texts(input_ids, attention_mask, kept=len(input_ids))
        return self.text_head.words(hidden_state, word_ids)

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_ids: Tensor | None = None,
        perturbed_input_ids: Tensor | None = None,
        perturbed_attention_mask: Tensor | None = None,
        perturbation_mask: Tensor | None = None,
        report_ids: Tensor | None = None,
        return_loss: bool | None = None,
        token_type_ids: Tensor | None = None,
        encode_only: bool = False,
    ) -> PRDOutput:
        """Encode images, reports or both, compare them and compute the losses.

        A loss whose weight is 0 is computed too when its inputs are there, so that every parameter has a gradient.

        Args:
            pixel_values: [B, channels, rows, columns].
            input_ids, attention_mask: reports, [T, L].
            word_ids: [T, L], the word of its report that a token belongs to; -1 where to none.
            perturbed_input_ids, perturbed_attention_mask: [B, P, L'].
            perturbation_mask: [B, P] bool, False where a perturbation is left out.
            report_ids: [B] int64, equal where reports are the same.
            return_loss: None computes the losses whose inputs are there, for as many images as reports; True also
                raises if the input of a loss with a weight is missing; False computes none.
            token_type_ids: accepted as tokenizers give it, and not used: a report is one segment.
            encode_only: give the vectors alone, for `compute_losses`, with the temperature where it is learned.

        Raises:
            ValueError: no input at all, an input of a wanted loss is missing, inputs differ in their number of reports
                (or of images, with `return_loss=True`), or a report has no word.
        """
        check_rows(
            pixel_values, input_ids, word_ids=word_ids, perturbed_input_ids=perturbed_input_ids, report_ids=report_ids
        )
        if return_loss:
            check_wanted_losses(self.config, pixel_values, input_ids, word_ids, perturbed_input_ids)
        check_shapes(input_ids, word_ids, perturbed_input_ids, perturbation_mask)
        images = reports = None
        values: dict[str, Tensor | None] = {}
        if input_ids is not None:
            reports = self._embed_reports(
                input_ids, attention_mask, word_ids, perturbed_input_ids, perturbed_attention_mask
            )
            values["text_embeds"], values["perturbed_embeds"] = reports.embeds, reports.perturbed
            values["word_embeds"], values["word_mask"] = reports.words or (None, None)
        if pixel_values is not None:  # last, so that their activations are freed before the texts' gradients are made
            images = self._embed_images(pixel_values)
            values["image_embeds"], values["image_regions"] = images
        if encode_only:
            return PRDOutput(**values, temperature=self._learned_temperature())
        if images is None or reports is None:
            return PRDOutput(**values)
        paired = len(images.embeds) == len(reports.embeds)
        if return_loss and not paired:
            raise ValueError(
                f"a loss needs one report an image: got {len(images.embeds)} images and {len(reports.embeds)} reports"
            )
        with_losses = paired and return_loss is not False
        values |= compare(
            self.objective,
            images,
            reports,
            self.temperature,
            perturbation_mask,
            report_ids,
            with_losses,
            gather=with_losses and self._gathers(),
        )
        return PRDOutput(**values)

    def compute_losses(
        self,
        image_embeds: Tensor,
        image_regions: Tensor,
        text_embeds: Tensor,
        perturbed_embeds: Tensor | None = None,
        word_embeds: Tensor | None = None,
        word_mask: Tensor | None = None,
        temperature: Tensor | None = None,
        perturbation_mask: Tensor | None = None,
        report_ids: Tensor | None = None,
    ) -> PRDOutput:
        """Compare the vectors of B images and their B reports and compute the losses, as `forward` does with its own.

        Args:
            image_embeds, image_regions, text_embeds, perturbed_embeds, word_embeds, word_mask, temperature: of
                `forward(..., encode_only=True)`, or those of several batches joined; no temperature is the
                configuration's.
            perturbation_mask, report_ids: [B, P] and [B], as in `forward`.

        Returns:
            The losses and the logits.
        """
        words = None if word_embeds is None or word_mask is None else (word_embeds, word_mask)
        return PRDOutput(
            **compare(
                self.objective,
                ImageVectors(image_embeds, image_regions),
                ReportVectors(text_embeds, perturbed_embeds, words),
                self.config.temperature if temperature is None else temperature,
                perturbation_mask,
                report_ids,
                with_losses=True,
                gather=self._gathers(),
            )
        )

    def local_similarity(self, image_regions: Tensor, word_embeds: Tensor, word_mask: Tensor) -> Tensor:
        """Score every image with every report by the configuration's local variant.

        Args:
            image_regions: [B, M, D], of `get_image_regions`.
            word_embeds, word_mask: [T, W, D] and [T, W], of `get_word_embeddings`.

        Returns:
            S [B, T], before any temperature or logit scale.
        """
        return similarity_of_words(self.config, image_regions, word_embeds, word_mask)

    def _gathers(self) -> bool:
        """Whether pairs are contrasted with those of other processes."""
        return self.training and self.config.gather_negatives and world_size() > 1

    def _encode_images(self, pixel_values: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Return the encoder's outputs, the image features [B, D] and the region vectors [B, M, D]."""
        stage = self.config.region_stage
        outputs = self.vision_model(
            pixel_values=pixel_values.to(self.vision_model.dtype), output_hidden_states=stage is not None
        )
        features, regions = self.image_head(
            outputs.last_hidden_state,
            outputs.get("pooler_output"),
            stage_state(outputs, stage),
            patch_count(self.config.vision_config, pixel_values),
        )
        return outputs, features, regions

    def _encode_texts(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        kept: int,
    ) -> EncodedTexts:
        """Encode texts and project their pooled states to [N, D]; the first `kept` give their token states."""
        texts = encode_texts(
            self.text_model,
            self.text_head.pool,
            input_ids,
            torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            kept=kept,
            micro_batch_size=self.config.text_micro_batch_size,
        )
        return EncodedTexts(self.text_head(texts.pooled), texts.states)

    def _embed_images(self, pixel_values: Tensor) -> ImageVectors:
        _, features, regions = self._encode_images(pixel_values)
        return ImageVectors(nn.functional.normalize(upcast(features), dim=-1), regions)

    def _embed_reports(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        word_ids: Tensor | None,
        perturbed_input_ids: Tensor | None,
        perturbed_attention_mask: Tensor | None,
    ) -> ReportVectors:
        """Encode reports and perturbed reports together; token states are kept of reports whose words are wanted."""
        reports, length = input_ids.shape
        if perturbed_input_ids is not None:
            input_ids, attention_mask = join_texts(
                input_ids, attention_mask, perturbed_input_ids, perturbed_attention_mask
            )
        kept = 0 if word_ids is None else reports
        features, hidden_state = self._encode_texts(input_ids, attention_mask, kept)
        embeds = nn.functional.normalize(upcast(features), dim=-1)
        perturbed = words = None
        if perturbed_input_ids is not None:
            perturbed = embeds[reports:].unflatten(0, perturbed_input_ids.shape[:2])  # [T, P, D]
        if word_ids is not None:
            words = self.text_head.words(hidden_state[:, :length], word_ids)
        return ReportVectors(embeds[:reports], perturbed, words)


__all__ = ["PRDModel", "PRDOutput", "PRDPreTrainedModel"]
