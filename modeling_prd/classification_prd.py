"""Classifiers on one encoder of a pre-trained [`PRDModel`]: of reports or pairs of them, and of radiographs.

Their sub-modules are called as `PRDModel`'s, so `from_pretrained` on a `PRDModel` folder takes its weights by name:
what belongs to the other encoder or to the losses is left, and `classifier` is new. A folder that `train.py` wrote
names both classes, and `AutoModelForSequenceClassification` and `AutoModelForImageClassification` load them from it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput, SequenceClassifierOutput
from transformers.utils import can_return_tuple

from .classification_loss_prd import classification_loss, label_count
from .configuration_prd import PRDConfig
from .encoders_prd import build_encoder, patch_count
from .heads_prd import ImagePooling, pool_tokens
from .modeling_prd import PRDPreTrainedModel


class PRDForSequenceClassification(PRDPreTrainedModel):
    """Classifies a report or a pair of texts: text encoder, its pooled vector before projection, dropout, linear.

    Loaded from a [`PRDModel`] folder, only `classifier` is new. Texts are tokenised by the tokenizer of a
    [`PRDProcessor`] alone, `processor.tokenizer(premises, hypotheses, ...)`: it holds the normalisation of reports, so
    that `pipeline("text-classification")`, which calls nothing but a folder's tokenizer, gets the tokens of training:

    ```python
    model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    classifier = pipeline("text-classification", model=folder, trust_remote_code=True, truncation=True)
    classifier({"text": "No effusion.", "text_pair": "There is an effusion."}, top_k=None)
    ```

    Args:
        config: the text encoder, `text_pooling`, `num_labels`, `id2label`, `problem_type`, `classifier_dropout`.

    Raises:
        ValueError: as `label_count`.
    """

    input_modalities = ["text"]
    accepts_loss_kwargs = False  # a trainer has to average over accumulated batches itself
    _keys_to_ignore_on_load_unexpected = [r"^(vision_model|image_head|text_head)\.", r"^log_temperature$"]

    def __init__(self, config: PRDConfig):
        _keep_auto_classes(config, "AutoModelForSequenceClassification")
        super().__init__(config)
        self.text_model = build_encoder(config.text_config)
        config.text_config._attn_implementation = self.text_model.config._attn_implementation
        self.text_model.config = config.text_config
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.text_config.hidden_size, label_count(config))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the text encoder's token embeddings."""
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text encoder's token embeddings."""
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        word_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify texts or pairs of them.

        Args:
            input_ids: [B, L], of a text, or of two joined by the tokenizer.
            attention_mask: [B, L], 0 on padding; None is all ones.
            token_type_ids: [B, L], which text of a pair a token is of; not used by encoders without such embeddings.
            labels: as `classification_loss` takes them; None computes no loss.
            word_ids: accepted as [`PRDProcessor`] gives it, and not used.
            kwargs: further arguments of the text encoder, such as `output_attentions`.

        Returns:
            `logits` [B, `num_labels`], and `loss` where there are labels.

        Raises:
            ValueError: as `classification_loss`.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if getattr(self.config.text_config, "type_vocab_size", 0) > 1:
            kwargs["token_type_ids"] = token_type_ids
        outputs = self.text_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        features = pool_tokens(self.config.text_pooling, outputs.last_hidden_state, attention_mask)  # [B, C]
        logits = self.classifier(self.dropout(features))  # [B, K]
        return SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(logits, labels, self.config),
            logits=logits,
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )


class PRDForImageClassification(PRDPreTrainedModel):
    """Classifies a radiograph: vision encoder, its pooled vector, dropout, linear.

    The vector is the one that pre-training made of the image: before projection for `vision_pooling` `pooler` and
    `mean`, of the projected regions for `projected_mean` and `flatten`. Loaded from a [`PRDModel`] folder, only
    `classifier` is new. A pipeline gets the pixels of a [`PRDProcessor`] from its image half:

    ```python
    model.save_pretrained(folder)
    PRDImageProcessor(processor.image_processor).save_pretrained(folder)
    pipeline("image-classification", model=folder, trust_remote_code=True)("radiograph.png")
    ```

    Args:
        config: the vision encoder, `vision_pooling`, `num_labels`, `id2label`, `problem_type`, `classifier_dropout`.

    Raises:
        ValueError: as `label_count`.
    """

    main_input_name = "pixel_values"
    input_modalities = ["image"]
    accepts_loss_kwargs = False  # a trainer has to average over accumulated batches itself
    _keys_to_ignore_on_load_unexpected = [
        r"^(text_model|text_head)\.",
        r"^image_head\.(region_)?projection\.",
        r"^log_temperature$",
    ]

    def __init__(self, config: PRDConfig):
        _keep_auto_classes(config, "AutoModelForImageClassification")
        super().__init__(config)
        self.vision_model = build_encoder(config.vision_config)
        config.vision_config._attn_implementation = self.vision_model.config._attn_implementation
        self.vision_model.config = config.vision_config
        self.image_head = ImagePooling(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(self.image_head.width, label_count(config))
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs: Any) -> ImageClassifierOutput:
        """Classify images.

        Args:
            pixel_values: [B, channels, rows, columns].
            labels: as `classification_loss` takes them; None computes no loss.
            kwargs: further arguments of the vision encoder, such as `output_hidden_states`.

        Returns:
            `logits` [B, `num_labels`], and `loss` where there are labels.

        Raises:
            ValueError: as `classification_loss`, or `flatten` was built for another number of regions.
        """
        outputs = self.vision_model(pixel_values=pixel_values.to(self.vision_model.dtype), **kwargs)
        patches = patch_count(self.config.vision_config, pixel_values)
        features, _ = self.image_head.pool(outputs.last_hidden_state, outputs.get("pooler_output"), patches)
        logits = self.classifier(self.dropout(features))  # [B, K]
        return ImageClassifierOutput(
            loss=None if labels is None else classification_loss(logits, labels, self.config),
            logits=logits,
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )


def _keep_auto_classes(config: PRDConfig, own: str) -> None:
    # A PRDModel's folder names its own class and those of both classifiers; a classifier is saved as itself alone.
    named = getattr(config, "auto_map", None) or {}
    config.auto_map = {name: named[name] for name in ("AutoConfig", own) if name in named}


PRDForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
PRDForImageClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = ["PRDForImageClassification", "PRDForSequenceClassification"]
