"""Loading published encoders strictly: BioViL's image model, CXR-BERT's layout, and any encoder of transformers.

A key that is missing, extra or misshaped is an error that names it; nobody's remote code is run.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)
from transformers.modeling_utils import load_state_dict
from transformers.utils import cached_file

from .configuration_prd import PRDConfig
from .encoders_prd import encoder_class, probe_vision_shape, without_pooler
from .heads_prd import BioViLProjection, CXRBertProjection

_BIOVIL_PROJECTION_DIM = 128  # of the published biovil_image_resnet50_proj_size_128.pt
_BIOVIL_IGNORED = ("encoder.encoder.fc.",)  # ImageNet's classifier, which BioViL never uses
# The masked-language head, and a buffer of token positions that old versions of transformers saved.
_CXR_BERT_IGNORED = ("cls.predictions.", "bert.embeddings.position_ids")
_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


@dataclass(frozen=True)
class PublishedEncoder:
    """An encoder with its published weights.

    Attributes:
        source: where it came from, for messages.
        encoder: the bare encoder.
        projection: the projection head that was published with it, None where there is none.
        settings: what its projection fixes of a [`PRDConfig`].
    """

    source: str
    encoder: PreTrainedModel
    projection: nn.Module | None
    settings: dict[str, Any]


def split_arguments(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Split into settings of PRDConfig and arguments of the vision and of the text encoder, these without prefix.

    Raises:
        TypeError: an argument is neither.
    """
    names = {field.name for field in fields(PRDConfig)}
    settings = {name: value for name, value in arguments.items() if name in names}
    rest = {name: value for name, value in arguments.items() if name not in names}
    vision = {name.removeprefix("vision_"): value for name, value in rest.items() if name.startswith("vision_")}
    text = {name.removeprefix("text_"): value for name, value in rest.items() if name.startswith("text_")}
    unknown = [name for name in rest if not name.startswith(("vision_", "text_"))]
    if unknown:
        raise TypeError(
            f"unknown arguments {', '.join(unknown)}: neither settings of PRDConfig nor vision_* or text_*"
        )
    return settings, vision, text


def load_vision_encoder(vision: str | os.PathLike, dtype: torch.dtype, arguments: dict[str, Any]) -> PublishedEncoder:
    """Load BioViL's published file, or a folder or Hub repository of a transformers vision encoder.

    Args:
        vision: the path of the file or the folder, or the Hub id.
        dtype: of the weights.
        arguments: changes to the encoder's configuration, and for the Hub such as `revision`.

    Raises:
        FileNotFoundError: there is no such `.pt` file.
        ValueError: a key is missing, extra or misshaped, or the file is damaged.
    """
    if os.path.isfile(vision) or os.fspath(vision).endswith(".pt"):
        return _load_biovil(os.fspath(vision), dtype, arguments)
    return _load_transformers_encoder(os.fspath(vision), dtype, arguments)


def load_text_encoder(text: str | os.PathLike, dtype: torch.dtype, arguments: dict[str, Any]) -> PublishedEncoder:
    """Load a folder or Hub repository in CXR-BERT's layout (BioViL-T's too) or of a transformers text encoder.

    Args:
        text: the path of the folder, or the Hub id.
        dtype: of the weights.
        arguments: changes to the encoder's configuration, and for the Hub such as `revision`.

    Raises:
        ValueError: a key is missing, extra or misshaped, or there are no weights, or they are damaged.
    """
    hub_arguments = {name: value for name, value in arguments.items() if name in _HUB_ARGUMENTS}
    published, _ = PreTrainedConfig.get_config_dict(text, **hub_arguments)
    if published.get("model_type") == "cxr-bert":
        changes = {name: value for name, value in arguments.items() if name not in _HUB_ARGUMENTS}
        return _load_cxr_bert(os.fspath(text), dtype, published | changes, hub_arguments)
    return _load_transformers_encoder(os.fspath(text), dtype, arguments)


def _load_biovil(file: str, dtype: torch.dtype, arguments: dict[str, Any]) -> PublishedEncoder:
    # ResNetConfig's defaults are ResNet-50 with the stride on the 3x3 convolutions, as torchvision's.
    encoder = ResNetModel(ResNetConfig(**arguments))
    projector = BioViLProjection(probe_vision_shape(encoder.config, None).width, _BIOVIL_PROJECTION_DIM)
    model = nn.ModuleDict({"encoder": encoder, "projector": projector}).to(dtype)
    _load_strictly(model, _read_weights(file), file, _torchvision_name, _BIOVIL_IGNORED)
    settings = {
        "vision_pooling": "projected_mean",
        "vision_projection": "biovil",
        "projection_dim": _BIOVIL_PROJECTION_DIM,
    }
    return PublishedEncoder(file, encoder.eval(), projector, settings)


def _torchvision_name(key: str) -> str:
    """Translate a key of transformers' ResNet under `encoder.` to BioViL's, which is torchvision's."""
    key = re.sub(r"^encoder\.embedder\.embedder\.convolution\.", "encoder.encoder.conv1.", key)
    key = re.sub(r"^encoder\.embedder\.embedder\.normalization\.", "encoder.encoder.bn1.", key)
    stage = re.match(r"^encoder\.encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)$", key)
    if stage is None:
        return key
    index, layer, rest = int(stage[1]), stage[2], stage[3]
    rest = re.sub(r"^layer\.(\d+)\.convolution\.", lambda conv: f"conv{int(conv[1]) + 1}.", rest)
    rest = re.sub(r"^layer\.(\d+)\.normalization\.", lambda norm: f"bn{int(norm[1]) + 1}.", rest)
    rest = re.sub(r"^shortcut\.convolution\.", "downsample.0.", rest)
    rest = re.sub(r"^shortcut\.normalization\.", "downsample.1.", rest)
    return f"encoder.encoder.layer{index + 1}.{layer}.{rest}"


def _load_cxr_bert(
    text: str, dtype: torch.dtype, published: dict[str, Any], hub_arguments: dict[str, Any]
) -> PublishedEncoder:
    known = BertConfig().to_dict().keys() - {"model_type", "architectures", "dtype", "transformers_version"}
    encoder = BertModel(
        BertConfig(**{name: published[name] for name in known & published.keys()}), add_pooling_layer=False
    )
    head = CXRBertProjection(encoder.config.hidden_size, published["projection_size"])
    model = nn.ModuleDict({"bert": encoder, "cls_projection_head": head}).to(dtype)
    file = _weights_file(text, hub_arguments)
    _load_strictly(model, _read_weights(file), file, str, _CXR_BERT_IGNORED)
    settings = {
        "text_pooling": "cls",
        "text_projection": "cxr_bert",
        "projection_dim": published["projection_size"],
    }
    return PublishedEncoder(text, encoder.eval(), head, settings)


def _weights_file(text: str, hub_arguments: dict[str, Any]) -> str:
    names = ("model.safetensors", "pytorch_model.bin")
    for name in names:
        file = cached_file(text, name, _raise_exceptions_for_missing_entries=False, **hub_arguments)
        if file is not None:
            return file
    raise ValueError(f"{text} has no weights: neither {' nor '.join(names)}")


def _read_weights(file: str) -> dict[str, Tensor]:
    with naming_damage(file):
        return load_state_dict(file)


@contextmanager
def naming_damage(source: str) -> Iterator[None]:
    """Name the source where its weights cannot be read: what is raised for a damaged file does not.

    Raises:
        ValueError: in place of what was raised, unless that was of what was asked for, or names the source.
    """
    try:
        yield
    except (ValueError, TypeError, ImportError):
        raise  # of what was asked for, not of the bytes
    except Exception as error:  # torch, pickle and safetensors raise many kinds that have no other class in common
        if isinstance(error, OSError) and source in str(error):
            raise
        kind = type(error).__name__
        raise ValueError(f"the weights of {source} cannot be read ({kind}: {error}): download them again") from error


def _load_strictly(
    model: nn.Module, state: dict[str, Tensor], file: str, file_name: Callable[[str], str], ignored: tuple[str, ...]
) -> None:
    """Copy a file's `state` into `model`, whose key k is `file_name(k)` there; skip keys that begin as `ignored`."""
    own_state = model.state_dict()
    own_keys = {file_name(key): key for key in own_state}
    missing = own_keys.keys() - state.keys()
    extra = [key for key in state if key not in own_keys and not key.startswith(ignored)]
    misshaped = [
        (key, state[key].shape, own_state[own_keys[key]].shape)
        for key in own_keys.keys() & state.keys()
        if state[key].shape != own_state[own_keys[key]].shape
    ]
    _raise_on_mismatch(file, missing, extra, misshaped)
    model.load_state_dict({own_keys[key]: state[key] for key in own_keys})


def _load_transformers_encoder(source: str, dtype: torch.dtype, arguments: dict[str, Any]) -> PublishedEncoder:
    config, unused = AutoConfig.from_pretrained(source, return_unused_kwargs=True, **arguments)
    if "image_size" in unused:  # a ResNet's configuration has none of its own
        config.image_size = unused.pop("image_size")
    hub_arguments = {name: value for name, value in arguments.items() if name in _HUB_ARGUMENTS}
    with naming_damage(source):
        encoder, info = AutoModel.from_pretrained(
            source,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that all of them are told, below
            **(unused | hub_arguments | without_pooler(config)),
        )
    extra = [key for key in info["unexpected_keys"] if not _belongs_to_head(key, config, encoder.base_model_prefix)]
    _raise_on_mismatch(source, info["missing_keys"], extra, info["mismatched_keys"])
    return PublishedEncoder(source, encoder, None, {})


def _belongs_to_head(key: str, config: PreTrainedConfig, prefix: str) -> bool:
    """Whether a checkpoint's key is of a part that is left out on purpose: the pooler, or a task's head."""
    if key.removeprefix(f"{prefix}.").startswith("pooler."):
        return True
    saved_bare = encoder_class(config).__name__ in (config.architectures or ())
    return not saved_bare and not key.startswith(f"{prefix}.")


def _raise_on_mismatch(
    source: str, missing: Iterable[str], extra: Iterable[str], misshaped: Iterable[tuple[str, torch.Size, torch.Size]]
) -> None:
    problems = [f"{key} is missing" for key in sorted(missing)]
    problems += [f"{key} is not part of the model" for key in sorted(extra)]
    problems += [
        f"{key} has shape {list(found)} where the model has {list(wanted)}" for key, found, wanted in sorted(misshaped)
    ]
    if problems:
        raise ValueError(f"{source} does not fit: {'; '.join(problems)}")
