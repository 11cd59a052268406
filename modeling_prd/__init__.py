"""PRD: a radiology vision-language model that is trained to tell a report from its perturbed versions."""

from .classification_prd import PRDForImageClassification, PRDForSequenceClassification
from .configuration_prd import PRDConfig
from .image_processing_prd import PRDImageProcessor
from .modeling_prd import PRDModel, PRDOutput
from .processing_prd import PRDProcessor, normalize_report

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
