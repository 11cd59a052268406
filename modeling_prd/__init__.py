"""PRD: a radiology vision-language model that is trained to tell a report from its perturbed versions.

What stands here is imported when it is first asked for: building data needs none of torch and transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .classification_prd import PRDForImageClassification, PRDForSequenceClassification
    from .configuration_prd import PRDConfig
    from .image_processing_prd import PRDImageProcessor
    from .modeling_prd import PRDModel
    from .normalization_prd import normalize_report
    from .output_prd import PRDOutput
    from .processing_prd import PRDProcessor

_FILES = {
    "PRDConfig": "configuration_prd",
    "PRDForImageClassification": "classification_prd",
    "PRDForSequenceClassification": "classification_prd",
    "PRDImageProcessor": "image_processing_prd",
    "PRDModel": "modeling_prd",
    "PRDOutput": "output_prd",
    "PRDProcessor": "processing_prd",
    "normalize_report": "normalization_prd",
}

__all__ = [
    "PRDConfig",
    "PRDForImageClassification",
    "PRDForSequenceClassification",
    "PRDImageProcessor",
    "PRDModel",
    "PRDOutput",
    "PRDProcessor",
    "normalize_report",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FILES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
