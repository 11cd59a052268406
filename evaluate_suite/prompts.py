"""What a report says of each of CheXpert's labels where it is there, and where it is not.

The words are those of chest radiograph reports, normalised as the reports are (`normalize_report`). Each ensemble
names a finding in several ways, sides and sizes, for one prompt's wording alone moves a score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Prompts:
    """A label's sentences: those of a report that affirms it, and those of one that denies it."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


PROMPTS: Mapping[str, Prompts] = MappingProxyType(
    {
        "No Finding": Prompts(
            positive=(
                "no acute cardiopulmonary abnormality",
                "normal chest radiograph",
                "the lungs are clear there is no pleural effusion or pneumothorax the heart is normal in size",
                "heart size is normal no focal consolidation pleural effusion or pneumothorax",
                "the lungs are clear bilaterally",
                "no acute disease",
            ),
            negative=(
                "abnormal chest radiograph",
                "there is a pleural effusion",
                "the heart is enlarged",
                "there is airspace opacity in the lung",
                "there is atelectasis in the lung base",
                "there is a pneumothorax",
                "there is a pulmonary nodule",
                "there is pulmonary edema",
            ),
        ),
        "Enlarged Cardiomediastinum": Prompts(
            positive=(
                "the cardiomediastinal silhouette is enlarged",
                "widening of the mediastinum",
                "the mediastinum is widened",
                "enlarged mediastinal contours",
                "there is mediastinal widening",
            ),
            negative=(
                "the cardiomediastinal silhouette is normal",
                "the mediastinum is within normal limits",
                "the mediastinal contours are normal",
                "the mediastinum is unremarkable",
                "cardiomediastinal silhouette is within normal limits",
            ),
        ),
        "Cardiomegaly": Prompts(
            positive=(
                "the heart is enlarged",
                "there is cardiomegaly",
                "the cardiac silhouette is enlarged",
                "heart size is increased",
                "enlargement of the heart",
                "the heart is mildly enlarged",
                "the heart is moderately enlarged",
                "severe cardiomegaly",
            ),
            negative=(
                "the heart is normal in size",
                "heart size is normal",
                "heart size within normal limits",
                "the cardiac silhouette is normal",
                "the heart is not enlarged",
                "normal heart size",
                "no cardiomegaly",
                "cardiac size is within normal limits",
            ),
        ),
        "Lung Opacity": Prompts(
            positive=(
                "there is airspace opacity in the left lung",
                "there is airspace opacity in the right lung",
                "patchy opacity in the lower lobe",
                "bilateral opacities are seen",
                "there is an opacity in the lung",
                "airspace disease in the lung base",
            ),
            negative=(
                "the lungs are clear",
                "both lungs are clear",
                "no focal opacity",
                "no focal airspace disease",
                "the lung fields are clear",
                "no airspace opacity is seen",
            ),
        ),
        "Lung Lesion": Prompts(
            positive=(
                "there is a pulmonary nodule",
                "a nodule in the left lung",
                "a nodule in the right lung",
                "there is a lung mass",
                "a rounded density within the lung",
                "nodular opacity in the upper lobe",
            ),
            negative=(
                "no pulmonary nodule",
                "no suspicious nodule",
                "no nodule or mass",
                "no lung mass",
                "there is no pulmonary nodule or mass",
                "no suspicious pulmonary nodule is seen",
            ),
        ),
        "Edema": Prompts(
            positive=(
                "there is pulmonary edema",
                "mild pulmonary edema",
                "severe pulmonary edema",
                "interstitial edema is present",
                "pulmonary vascular congestion with edema",
                "perihilar opacities consistent with edema",
            ),
            negative=(
                "no pulmonary edema",
                "there is no pulmonary edema",
                "no overt edema",
                "no evidence of pulmonary edema",
                "no vascular congestion",
                "no pulmonary edema is seen",
            ),
        ),
        "Consolidation": Prompts(
            positive=(
                "there is consolidation in the left lung",
                "there is consolidation in the right lung",
                "dense consolidation in the lower lobe",
                "patchy consolidation in the upper lobe",
                "focal consolidation is present",
                "alveolar opacity with consolidation",
            ),
            negative=(
                "no focal consolidation",
                "there is no consolidation",
                "no consolidation is seen",
                "no evidence of focal consolidation",
                "negative for focal consolidation",
                "the lungs are clear without consolidation",
            ),
        ),
        "Pneumonia": Prompts(
            positive=(
                "findings consistent with pneumonia",
                "there is pneumonia",
                "right lower lobe pneumonia",
                "left lower lobe pneumonia",
                "infiltrate compatible with pneumonia",
                "multifocal pneumonia",
            ),
            negative=(
                "no evidence of pneumonia",
                "there is no pneumonia",
                "no pneumonia",
                "negative for pneumonia",
                "no focal infiltrate",
                "no lobar pneumonia",
            ),
        ),
        "Atelectasis": Prompts(
            positive=(
                "there is atelectasis",
                "left lower lobe atelectasis",
                "right lower lobe atelectasis",
                "linear opacity compatible with atelectasis",
                "discoid atelectasis is seen",
                "bibasilar atelectasis",
            ),
            negative=(
                "no atelectasis",
                "there is no atelectasis",
                "no volume loss",
                "no evidence of atelectasis",
                "no subsegmental atelectasis",
                "no atelectasis is seen",
            ),
        ),
        "Pneumothorax": Prompts(
            positive=(
                "there is a pneumothorax",
                "left pneumothorax",
                "right pneumothorax",
                "small apical pneumothorax",
                "large pneumothorax",
                "a pneumothorax is present",
            ),
            negative=(
                "no pneumothorax",
                "there is no pneumothorax",
                "no evidence of pneumothorax",
                "no pneumothorax is seen",
                "negative for pneumothorax",
                "no visible pneumothorax",
            ),
        ),
        "Pleural Effusion": Prompts(
            positive=(
                "there is a pleural effusion",
                "left pleural effusion",
                "right pleural effusion",
                "small pleural effusion",
                "large pleural effusion",
                "bilateral pleural effusions",
                "fluid in the pleural space",
            ),
            negative=(
                "no pleural effusion",
                "there is no pleural effusion",
                "no pleural effusion is seen",
                "no evidence of pleural effusion",
                "negative for pleural effusion",
                "no effusion",
                "no pleural fluid",
            ),
        ),
        "Pleural Other": Prompts(
            positive=(
                "there is pleural thickening",
                "pleural scarring",
                "calcified pleural plaques",
                "biapical pleural thickening",
                "pleural plaque",
            ),
            negative=(
                "no pleural thickening",
                "no pleural abnormality",
                "the pleural spaces are clear",
                "no pleural plaque",
                "no pleural scarring",
            ),
        ),
        "Fracture": Prompts(
            positive=(
                "there is a rib fracture",
                "a healed fracture deformity of the rib",
                "an old fracture of the left ribs",
                "an old fracture of the right ribs",
                "compression fracture of the thoracic spine",
                "a fracture is seen",
            ),
            negative=(
                "no fracture",
                "no rib fracture",
                "no acute bony abnormality",
                "no fracture is seen",
                "the osseous structures are intact",
                "no displaced rib fracture",
            ),
        ),
        "Support Devices": Prompts(
            positive=(
                "a central venous catheter is present",
                "an endotracheal tube is seen",
                "an enteric tube coursing below the diaphragm",
                "a chest wall pacemaker with intact leads",
                "median sternotomy wires are noted",
                "monitoring leads overlying the chest",
                "surgical clips are seen",
                "spinal fusion hardware is present",
            ),
            negative=(
                "no central venous catheter",
                "no endotracheal tube",
                "no lines or tubes are seen",
                "no pacemaker",
                "no support devices",
                "no surgical clips or sternotomy wires",
                "no monitoring leads",
                "no hardware is seen",
            ),
        ),
    }
)
"""By label, CheXpert's fourteen in their order."""
