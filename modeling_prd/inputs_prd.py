"""What `PRDModel.forward` refuses: inputs that are missing, or that do not fit each other."""

import torch
from torch import Tensor

from .configuration_prd import PRDConfig


def check_wanted_losses(
    config: PRDConfig,
    pixel_values: Tensor | None,
    input_ids: Tensor | None,
    word_ids: Tensor | None,
    perturbed_input_ids: Tensor | None,
) -> None:
    """Raise if an input is missing that a loss with a weight needs."""
    absent = {
        "pixel_values": pixel_values is None,
        "input_ids": input_ids is None,
        "word_ids": word_ids is None and config.alpha > 0,
        "perturbed_input_ids": perturbed_input_ids is None and config.beta > 0,
    }
    if any(absent.values()):
        missing = ", ".join(name for name, is_absent in absent.items() if is_absent)
        raise ValueError(f"return_loss=True needs {missing} (alpha={config.alpha}, beta={config.beta})")


def check_rows(pixel_values: Tensor | None, input_ids: Tensor | None, **with_reports: Tensor | None) -> None:
    """Raise if there is nothing to encode, or if inputs that belong to reports have not one row a report."""
    if pixel_values is None and input_ids is None:
        raise ValueError("give pixel_values, input_ids or both")
    reports = None if input_ids is None else len(input_ids)
    for name, value in with_reports.items():
        if value is None:
            continue
        if reports is None:
            raise ValueError(f"{name} belongs to input_ids, which is missing")
        if len(value) != reports:
            raise ValueError(f"{name} has {len(value)} rows for {reports} reports")


def check_shapes(
    input_ids: Tensor | None,
    word_ids: Tensor | None,
    perturbed_input_ids: Tensor | None,
    perturbation_mask: Tensor | None,
) -> None:
    """Raise if the words are not given token by token, or the mask not perturbation by perturbation."""
    if word_ids is not None and input_ids is not None and word_ids.shape != input_ids.shape:
        raise ValueError(f"word_ids has shape {list(word_ids.shape)} where input_ids has {list(input_ids.shape)}")
    if perturbation_mask is None:
        return
    if perturbed_input_ids is None:
        raise ValueError("perturbation_mask belongs to perturbed_input_ids, which is missing")
    if perturbation_mask.shape != perturbed_input_ids.shape[:2]:
        wanted = list(perturbed_input_ids.shape[:2])
        raise ValueError(f"perturbation_mask has shape {list(perturbation_mask.shape)}, not {wanted}")
    if perturbation_mask.dtype != torch.bool:
        raise ValueError(f"perturbation_mask is {perturbation_mask.dtype}, not torch.bool")
