"""Which losses the gradients of a tiny model are checked for, and when two ways to compute them agree."""

from collections.abc import Mapping
from typing import Any

import torch

# Far below what is asked for (1e-5), and far above the rounding of float64.
_TOLERANCE = 1e-9

_ALONE = {"global_weight": 0.0, "alpha": 0.0, "beta": 0.0}
LOSSES: dict[str, dict[str, Any]] = {
    "global": {**_ALONE, "global_weight": 1.0},
    "local_paper": {**_ALONE, "alpha": 1.0},
    "local_gloria": {**_ALONE, "alpha": 1.0, "local_variant": "gloria"},
    "perturbation": {**_ALONE, "beta": 1.0},
    "together": {},
}
"""Settings of the model: each loss alone, and all together."""


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_gradients_agree(actual: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Each parameter's within a share of its norm, or of a ten-thousandth of all: BERT's key biases have none."""
    assert actual.keys() == expected.keys()
    everything = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    assert everything > 0
    for name, gradient in expected.items():
        scale = max(gradient.norm(), 1e-4 * everything)
        difference = (actual[name] - gradient).norm() / scale
        assert difference <= _TOLERANCE, f"{name}: {difference:.1e}"
