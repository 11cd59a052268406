"""Low-rank adapters on a model's encoders, through peft: attached, saved alone, merged into the weights."""

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers.pytorch_utils import Conv1D

from .arguments import LoraArguments
from .parsing import listed

AUTO = "auto"
"""As `lora_targets`: what is adapted follows from the encoder."""

ADAPTER_FOLDER = "adapter"
"""Within a model folder."""

# Names of attention modules in transformers: attention, attn, self_attn, SelfAttention.
_ATTENTION = re.compile(r"att(n|ention)", re.IGNORECASE)


def attach_lora(
    model: nn.Module, arguments: LoraArguments, encoders: Sequence[str], heads: Sequence[str], base_name: str
) -> PeftModel | None:
    """Puts adapters into a model in place and freezes its weights, but for its heads.

    Batch normalisation of the encoders is trained with the heads: its running statistics follow the data, and an
    adapter without them would not give the model again.

    Args:
        model: its modules are wrapped in place; go on using it.
        arguments: rank and targets; a rank of None attaches nothing.
        encoders: names of the sub-modules that are adapted.
        heads: names of the sub-modules that are trained whole, and saved with the adapter.
        base_name: Hub id or folder's name of the model as it was, for the adapter's configuration.

    Returns:
        the wrapper of the model by which the adapter is saved and merged; None without a rank.

    Raises:
        ValueError: `lora_targets` names what matches no layer that can be adapted, or there is no such layer.
    """
    if arguments.lora_r is None:
        return None
    targets = _targets(model, encoders, heads, arguments.lora_targets)
    statistics = [
        name
        for encoder in encoders
        for name, module in _modules(model, encoder, heads)
        if isinstance(module, _BatchNorm)
    ]
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=2 * arguments.lora_r if arguments.lora_alpha is None else arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=targets,
        modules_to_save=[*heads, *statistics],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")  # peft then sets it right
        adapted = get_peft_model(model, config)
    config.base_model_name_or_path = base_name  # peft has put there where the model was loaded from
    return adapted


def save_adapter(adapted: PeftModel, folder: Path) -> None:
    """Writes the adapter with the heads, which `PeftModel.from_pretrained(base, folder)` loads onto the base model."""
    # The embeddings are not adapted: without saying so, peft asks the Hub how many there were.
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink()  # an empty form with the machine's path of the base model


def merge_adapter(adapted: PeftModel) -> nn.Module:
    """The model that the adapters were attached to, with them in its weights and without peft's modules."""
    model: nn.Module = adapted.merge_and_unload()
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model


def trainable_share(model: nn.Module, adapted: PeftModel | None = None) -> str:
    """How many weights are trained, of how many the model has without adapters, in words."""
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = sum(weight.numel() for name, weight in model.named_parameters() if not _is_added(name, adapted))
    return f"{trained:,} of {total:,} weights ({trained / total:.2%})"


def _is_added(name: str, adapted: PeftModel | None) -> bool:
    return adapted is not None and (".lora_" in name or ".modules_to_save." in name)


def _targets(model: nn.Module, encoders: Sequence[str], heads: Sequence[str], wanted: list[str] | str) -> list[str]:
    layers = {
        encoder: [name for name, module in _modules(model, encoder, heads) if _is_adaptable(module)]
        for encoder in encoders
    }
    every = [name for names in layers.values() for name in names]
    if wanted != AUTO:
        ends = listed(wanted)
        if not ends:
            raise ValueError("lora_targets: name at least one, or auto")
        for end in ends:
            if not any(_ends_with(name, end) for name in every):
                there = ", ".join(sorted({name.rpartition(".")[2] for name in every}))
                raise ValueError(
                    f"lora_targets: {end!r} matches no linear layer or convolution of {' or '.join(encoders)}, which "
                    f"have {there}"
                )
        return [name for name in every if any(_ends_with(name, end) for end in ends)]
    if not every:
        raise ValueError(f"lora_r: {' and '.join(encoders)} has no linear layer and no convolution to adapt")
    return [
        name
        for encoder, names in layers.items()
        for name in [name for name in names if _ATTENTION.search(name.removeprefix(encoder))] or names
    ]


def _ends_with(name: str, end: str) -> bool:
    return f".{name}".endswith(f".{end}")


def _modules(model: nn.Module, encoder: str, heads: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """The modules within an encoder, by their names in the model, without those of the heads."""
    for name, module in model.get_submodule(encoder).named_modules(prefix=encoder):
        if not any(name == head or name.startswith(f"{head}.") for head in heads):
            yield name, module


def _is_adaptable(module: nn.Module) -> bool:
    convolution = isinstance(module, nn.Conv2d) and module.groups == 1
    return convolution or isinstance(module, nn.Linear | Conv1D)
