"""A compiled step is one graph a part, the same for batches of all sizes, and computes what a plain one does."""

from collections.abc import Iterator

import pytest
import torch
import torch.fx.experimental._config
from tiny_models import IMAGE_SIZE, bert_config, resnet_config, tiny_batch
from torch._dynamo.utils import counters

from modeling_prd import PRDConfig, PRDModel
from training.arguments import ModelArguments
from training.compilation import compile_parts
from training.models import build_model, build_tokenizer


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """Nothing compiled, nothing counted, and the compiler's settings as they were again afterwards."""
    torch._dynamo.reset()
    counters.clear()
    with torch.fx.experimental._config.patch(use_duck_shape=True):
        yield
    torch._dynamo.reset()


def _model() -> PRDModel:
    torch.manual_seed(0)
    vision, text = resnet_config(depths=[1], hidden_sizes=[8]), bert_config(num_hidden_layers=1)
    settings = {"projection_dim": 8, "local_variant": "gloria", "learn_temperature": True}
    return PRDModel(PRDConfig(vision_config=vision, text_config=text, **settings)).train()


def _step(model: PRDModel, size: int, perturbations: int, length: int = 9) -> tuple[torch.Tensor, ...]:
    """The losses and the gradients of a batch."""
    model.zero_grad()
    output = model(**tiny_batch(size, perturbations, length, seed=size))
    output.loss.backward()
    losses = (output.loss, output.loss_global, output.loss_local, output.loss_perturbation)
    return *losses, *(parameter.grad for parameter in model.parameters())


def test_each_part_is_one_graph_for_batches_of_all_sizes() -> None:
    compiled, plain = _model(), _model()
    compile_parts(compiled, backend="eager")
    _step(compiled, size=4, perturbations=3)
    assert counters["stats"]["unique_graphs"] == 3
    with torch._dynamo.config.patch(error_on_recompile=True):
        for size, perturbations, length in ((2, 3, 9), (3, 2, 8), (4, 3, 6), (5, 4, 9), (9, 3, 7)):
            steps = [_step(model, size, perturbations, length) for model in (compiled, plain)]
            torch.testing.assert_close(*steps)
        one = tiny_batch()["input_ids"][:1]  # a single text, without padding
        features = [model.get_text_features(one).pooler_output for model in (compiled, plain)]
        torch.testing.assert_close(*features)
    assert counters["stats"]["unique_graphs"] == 3
    assert not counters["graph_break"]


def test_checkpointed_encoders_are_one_graph_each() -> None:
    tokenizer = build_tokenizer(["the lungs are clear"], vocab_size=200, max_length=32)
    text = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"model_type": "vit", "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 1}
    arguments = ModelArguments(
        vision_config={**vision, "num_attention_heads": 2, "intermediate_size": 16},
        text_config={**text, "intermediate_size": 16, "max_position_embeddings": 32},
        vision_pooling="mean",
        projection_dim=8,
        gradient_checkpointing=True,
    )
    model = build_model(arguments, IMAGE_SIZE, tokenizer).train()
    compile_parts(model, backend="eager")
    model(**tiny_batch()).loss.backward()
    assert counters["stats"]["unique_graphs"] == 3
    assert not counters["graph_break"]
