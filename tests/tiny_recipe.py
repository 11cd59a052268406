"""A recipe that trains in seconds."""

from typing import Any

TINY_RECIPE: dict[str, Any] = {
    "image_size": 32,
    "vocab_size": 300,
    "max_length": 160,
    "vision_config": {
        "model_type": "resnet",
        "num_channels": 1,
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "text_config": {
        "model_type": "modernbert",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 160,
    },
    "projection_dim": 8,
    "vision_pooling": "flatten",
    "text_pooling": "mean",
    "batch_size": 8,
    "num_train_epochs": 2,
    "logging_steps": 1,
    "device": "cpu",
    "cpu_threads": 1,
    "dataloader_num_workers": 0,
}

VIT = {
    "model_type": "vit",
    "num_channels": 1,
    "patch_size": 16,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
