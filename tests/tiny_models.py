"""Tiny encoders, models and batches that the tests of the model share."""

from typing import Any

import torch
from transformers import BertConfig, ModernBertConfig, PreTrainedConfig, ResNetConfig, ViTConfig

from modeling_prd import PRDConfig, PRDModel

VOCABULARY = 50
IMAGE_SIZE = 64


def resnet_config(**changes: Any) -> ResNetConfig:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1], "image_size": IMAGE_SIZE}
    return ResNetConfig(**(sizes | changes))


def vit_config(**changes: Any) -> ViTConfig:
    sizes = {"image_size": IMAGE_SIZE, "patch_size": 16, "hidden_size": 24, "num_hidden_layers": 2}
    return ViTConfig(**(sizes | {"num_attention_heads": 2, "intermediate_size": 32} | changes))


def bert_config(**changes: Any) -> BertConfig:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    rest = {"intermediate_size": 32, "max_position_embeddings": 32}
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertConfig(**(sizes | rest | without_dropout | changes))


def modernbert_config(**changes: Any) -> ModernBertConfig:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    rest = {"intermediate_size": 32, "max_position_embeddings": 64}
    return ModernBertConfig(**(sizes | rest | tokens | changes))


ENCODERS: dict[str, tuple[PreTrainedConfig, PreTrainedConfig]] = {
    "resnet_bert": (resnet_config(), bert_config()),
    "vit_modernbert": (vit_config(), modernbert_config()),
}


def tiny_model(encoders: str = "resnet_bert", seed: int = 0, **settings: Any) -> PRDModel:
    """Make a model in evaluation mode, so that batch normalisation looks at no other row."""
    torch.manual_seed(seed)
    vision_config, text_config = ENCODERS[encoders]
    settings = {"projection_dim": 8} | settings
    return PRDModel(PRDConfig(vision_config=vision_config, text_config=text_config, **settings)).eval()


def tiny_batch(size: int = 4, perturbations: int = 3, length: int = 9, seed: int = 0) -> dict[str, torch.Tensor]:
    """Make the inputs of `size` pairs whose reports have 2 to 5 words, some of two sub-words."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(*shape: int) -> torch.Tensor:
        return torch.randint(3, VOCABULARY, shape, generator=generator)

    words = torch.tensor([[-1, 0, 1, 1, 2, 3, 4, 4, -1], [-1, 0, 0, 1, -1, -1, -1, -1, -1]])
    word_ids = words[torch.arange(size) % 2, :length]
    lengths = torch.tensor([9, 5])[torch.arange(size) % 2]
    perturbed_lengths = torch.randint(4, length + 3, (size, perturbations), generator=generator)
    mask = torch.rand(size, perturbations, generator=generator) > 0.3
    return {
        "pixel_values": torch.rand(size, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator),
        "input_ids": tokens(size, length),
        "attention_mask": (torch.arange(length) < lengths[:, None]).long(),
        "word_ids": word_ids,
        "perturbed_input_ids": tokens(size, perturbations, length + 2),
        "perturbed_attention_mask": (torch.arange(length + 2) < perturbed_lengths[..., None]).long(),
        "perturbation_mask": mask,
        "report_ids": (torch.arange(size) - 1).clamp(min=0),  # the first two pairs share their report
    }
