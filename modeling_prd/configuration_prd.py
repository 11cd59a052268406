"""Configuration of the PRD dual encoder."""

import copy
import math
from typing import Any, ClassVar

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

CHOICES: dict[str, tuple[str, ...]] = {
    "vision_pooling": ("pooler", "mean", "flatten", "projected_mean"),
    "text_pooling": ("cls", "mean"),
    "vision_projection": ("linear", "biovil"),
    "text_projection": ("linear", "cxr_bert"),
    "local_variant": ("paper", "gloria"),
    "duplicate_reports": ("mask", "negative"),
}
_SCALES = ("temperature", "attention_temperature", "similarity_temperature", "local_logit_scale")
_WEIGHTS = ("global_weight", "alpha", "beta")


class PRDConfig(PreTrainedConfig):
    """Configuration of a [`PRDModel`]: a vision encoder, a text encoder, their heads and the losses.

    The loss is `global_weight * L_global + alpha * L_local + beta * L_pert` (Zhong et al., equation of section III-B).

    Args:
        vision_config: a transformers configuration or a dict with its `model_type`; None is a default ResNet-50.
            `vision_pooling="flatten"` needs its `image_size`, which a ResNet's configuration takes as an extra key.
        text_config: a transformers configuration or a dict with its `model_type`; None is a default BERT.
        projection_dim: D, the width of every projected vector.
        vision_pooling: the global image vector. `pooler`: the encoder's own pooled state, else its class token, else
            the mean of its regions. `mean`: the mean of the regions. `projected_mean`: the mean of the projected
            regions (BioViL). `flatten`: every projected region plus a learned position, joined and projected again.
        text_pooling: the global text vector: the first token (`cls`) or the mean of the real tokens (`mean`).
        vision_projection: `linear` (no bias) or `biovil`, its two-layer 1x1-convolution head.
        text_projection: `linear` (no bias) or `cxr_bert`, its dense-GELU-LayerNorm-dense head.
        region_stage: which of the vision encoder's `hidden_states` the image regions are; None is its last output.
        temperature: tau, by which cosine similarities (and the `paper` variant's S) are divided.
        learn_temperature: make tau a parameter that starts at `temperature` and stays at 0.01 or above.
        global_weight, alpha, beta: weights of the global, the local and the perturbation loss.
        local_variant: the local loss, `paper` or `gloria`.
        local_length_normalized: subtract log W from the `paper` variant's S; the paper's recipe sets False.
        attention_temperature, similarity_temperature, local_logit_scale: the `gloria` variant's factors inside the
            attention, inside the sum over words and of the logits.
        duplicate_reports: whether another pair with the same `report_ids` is a `negative` or left out (`mask`).
        text_micro_batch_size: encode at most this many texts at once; None sets no limit. Texts are sorted by length
            and encoded in calls with little padding either way. Not used under `torch.compile` of the whole model.
        local_loss_memory_mb: what the local loss may keep for its gradient, in MB; what is beyond that is computed
            twice. The blocks it computes at once take less than as much again, the matches of all words with all
            images a few numbers each. Under `torch.compile` it keeps all, some numbers for each word and region.
        gather_negatives: in distributed training, contrast with the pairs of every process.
        classifier_dropout: share of the pooled vector that a fine-tuned classifier drops in training, 0 or above and
            below 1; [`PRDModel`] has no classifier.

    Raises:
        ValueError: a setting is not among its choices or out of its range.
    """

    model_type = "prd"
    sub_configs: ClassVar[dict[str, type]] = {"vision_config": AutoConfig, "text_config": AutoConfig}

    vision_config: Any = None
    text_config: Any = None
    projection_dim: int = 128
    vision_pooling: str = "pooler"
    text_pooling: str = "cls"
    vision_projection: str = "linear"
    text_projection: str = "linear"
    region_stage: int | None = None
    temperature: float = 0.07
    learn_temperature: bool = False
    global_weight: float = 1.0
    alpha: float = 0.1
    beta: float = 0.1
    local_variant: str = "paper"
    local_length_normalized: bool = True
    attention_temperature: float = 4.0
    similarity_temperature: float = 5.0
    local_logit_scale: float = 10.0
    duplicate_reports: str = "mask"
    text_micro_batch_size: int | None = None
    local_loss_memory_mb: int = 1024
    gather_negatives: bool = True
    classifier_dropout: float = 0.1

    def __post_init__(self, **kwargs: Any) -> None:
        self.vision_config = _encoder_config("vision_config", self.vision_config, default="resnet")
        self.text_config = _encoder_config("text_config", self.text_config, default="bert")
        self._check_settings()
        super().__post_init__(**kwargs)

    @classmethod
    def from_vision_text_configs(
        cls, vision_config: PreTrainedConfig, text_config: PreTrainedConfig, **kwargs: Any
    ) -> "PRDConfig":
        """Make a configuration from those of the two encoders; `kwargs` are this class's other arguments."""
        return cls(vision_config=vision_config, text_config=text_config, **kwargs)

    def _check_settings(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(choices)}")
        for name in _SCALES:
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ValueError(f"{name}={value!r} must be a number above 0")
        for name in _WEIGHTS:
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ValueError(f"{name}={value!r} must be a number of at least 0")
        for name in ("projection_dim", "text_micro_batch_size", "local_loss_memory_mb"):
            value = getattr(self, name)
            if value is None and name == "text_micro_batch_size":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number above 0")
        dropout = self.classifier_dropout
        if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise ValueError(f"classifier_dropout={dropout!r} must be a number of at least 0 and below 1")
        if not (self.region_stage is None or isinstance(self.region_stage, int)):
            raise ValueError(f"region_stage={self.region_stage!r} must be an index into hidden_states, or None")


def _encoder_config(name: str, config: PreTrainedConfig | dict[str, Any] | None, default: str) -> PreTrainedConfig:
    if config is None:
        return CONFIG_MAPPING[default]()
    if isinstance(config, PreTrainedConfig):
        # The model writes its attention implementation into the configuration; the caller's stays as it was.
        return copy.deepcopy(config)
    if "model_type" not in config:
        raise ValueError(f"{name} names no model_type: give one that transformers knows, such as {default!r}")
    if config["model_type"] not in CONFIG_MAPPING:
        raise ValueError(f"{name} has model_type={config['model_type']!r}, which transformers does not know")
    settings = {key: value for key, value in config.items() if key != "model_type"}
    return CONFIG_MAPPING[config["model_type"]](**settings)


PRDConfig.register_for_auto_class()

__all__ = ["PRDConfig"]
