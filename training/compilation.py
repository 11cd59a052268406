"""A training step compiled part by part, each part once for batches of all sizes."""

from typing import Any

import torch.fx.experimental._config

from modeling_prd import PRDModel


def compile_parts(model: PRDModel, **options: Any) -> None:
    """Compiles the encoders and the losses in place, each as one graph.

    What is between them runs as it is, so that texts are still encoded in calls of like lengths, each distinct text
    once. `torch.compile(model)` compiles the whole, with padding and every text anew.

    Args:
        model: any; its weights keep their names.
        options: of `torch.compile`, such as `backend`.
    """
    # Else two sizes that are equal in the first batch are taken to be so in every batch, until they are not.
    torch.fx.experimental._config.use_duck_shape = False
    for part in (model.vision_model, model.text_model, model.objective):
        part.compile(fullgraph=True, dynamic=True, **options)
