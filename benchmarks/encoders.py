"""The text encoder that the benchmarks of the training step share, and the gradients that they compare."""

from torch import Tensor, nn
from transformers import BertConfig


def bert_without_dropout(vocabulary: int, width: int, layers: int, heads: int) -> BertConfig:
    """Describe a BERT of a shape, without dropout: both sides of a comparison have to compute the same.

    Args:
        vocabulary: entries of its vocabulary.
        width: of its states; the layers between are four times as wide.
        layers, heads: how many.
    """
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def gradients(module: nn.Module) -> list[Tensor]:
    """Return the gradients of a module's weights, but not of BERT's key biases: they are 0 but for rounding."""
    named = module.named_parameters()
    return [weight.grad for name, weight in named if weight.grad is not None and not name.endswith("key.bias")]
