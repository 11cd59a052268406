"""PRD: a radiology vision-language model that is trained to tell a report from its perturbed versions."""

from .configuration_prd import PRDConfig
from .modeling_prd import PRDModel, PRDOutput
from .processing_prd import PRDProcessor, normalize_report

__all__ = ["PRDConfig", "PRDModel", "PRDOutput", "PRDProcessor", "normalize_report"]
