"""The words of PhantomCXR's reports, in Open-I's manner: noun phrases, sentence frames and sentences.

In a noun phrase, `{side}`, `{zone}` and `{size}` stand for the finding's words; one that starts with `a ` takes an
article, one that starts with `some ` a plural verb and no article. Alternatives that say the same stand beside each
other; `phantom_report` picks among them.
"""

from collections.abc import Mapping
from types import MappingProxyType

NOUN_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "effusion": (
            "a {size} {side} pleural effusion",
            "a {size} effusion on the {side}",
            "a {size} {side} sided pleural effusion",
            "a {size} effusion in the {side} pleural space",
            "a {size} amount of {side} pleural fluid",
            "a {side} pleural effusion of {size} volume",
            "a {size} collection of fluid at the {side} costophrenic sulcus",
        ),
        "pneumothorax": (
            "a {size} {side} pneumothorax",
            "a {size} pneumothorax on the {side}",
            "a {side} sided {size} pneumothorax",
            "a {size} {side} apical pneumothorax",
            "a {size} pneumothorax with its pleural line in the {side} hemithorax",
        ),
        "consolidation": (
            "{size} consolidation in the {side} {zone}",
            "{size} airspace opacity in the {side} {zone}",
            "{size} {side} {zone} consolidation",
            "{size} {side} {zone} infiltrate",
            "a {size} area of airspace disease within the {side} {zone}",
            "a {size} parenchymal opacity projecting over the {side} {zone}",
            "{size} alveolar opacity involving the {side} {zone}",
        ),
        "nodule": (
            "a {size} nodule in the {side} {zone}",
            "a {size} {side} {zone} nodule",
            "a {size} rounded density within the {side} {zone}",
            "a {size} pulmonary nodule projecting over the {side} {zone}",
            "a {size} nodular opacity overlying the {side} {zone}",
        ),
        "atelectasis": (
            "{size} atelectasis in the {side} {zone}",
            "{size} {side} {zone} atelectasis",
            "{size} linear opacity in the {side} {zone} compatible with atelectasis",
            "{size} band of atelectasis across the {side} {zone}",
            "{size} discoid atelectasis within the {side} {zone}",
        ),
        "edema": (
            "{size} pulmonary edema",
            "{size} interstitial edema",
            "{size} pulmonary vascular congestion with edema",
            "some {size} perihilar opacities consistent with edema",
            "{size} bilateral perihilar edema",
        ),
        "central_line": (
            "a {side} central venous catheter with tip in the {zone}",
            "a {side} subclavian catheter terminating in the {zone}",
            "a {side} chest port with catheter tip overlying the {zone}",
            "a {side} sided central line whose tip projects over the {zone}",
        ),
        "endotracheal_tube": (
            "an endotracheal tube with tip {zone}",
            "an endotracheal tube terminating {zone}",
            "an endotracheal tube whose tip lies {zone}",
        ),
        "enteric_tube": (
            "an enteric tube coursing below the diaphragm",
            "a nasogastric tube with tip in the stomach",
            "a feeding tube passing into the abdomen",
        ),
        "pacemaker": (
            "a {side} chest wall pacemaker with intact leads",
            "a {side} sided cardiac pacemaker with its lead in the right ventricle",
            "a pacemaker generator over the {side} chest",
            "a {side} pectoral cardiac device",
        ),
        "sternal_wires": (
            "some intact midline sternotomy wires",
            "some median sternotomy wires",
            "some postsurgical changes of prior sternotomy",
        ),
        "monitoring_leads": (
            "some monitoring leads overlying the chest",
            "some external electrodes and wires projecting over the thorax",
            "some cardiac monitor leads across the chest wall",
        ),
        "surgical_clips": (
            "some surgical clips in the abdomen",
            "some cholecystectomy clips below the diaphragm",
            "some metallic clips of prior abdominal surgery",
        ),
        "spinal_hardware": (
            "posterior spinal fusion hardware",
            "some spinal stabilization rods and screws",
            "orthopedic hardware of the lower spine",
        ),
        "shoulder_prosthesis": (
            "a {side} shoulder arthroplasty",
            "a {side} shoulder prosthesis",
            "a {side} humeral head replacement",
        ),
        "tortuous_aorta": (
            "{size} tortuosity of the thoracic aorta",
            "{size} unfolding of the aorta",
            "{size} ectasia of the descending aorta",
        ),
        "scoliosis": (
            "{size} scoliosis of the thoracic spine convex to the {side}",
            "a {size} {side} convex curvature of the thoracic spine",
            "{size} thoracic scoliosis with {side} convexity",
        ),
        "raised_diaphragm": (
            "{size} elevation of the {side} hemidiaphragm",
            "{size} eventration of the {side} hemidiaphragm",
            "a {side} hemidiaphragm with {size} elevation",
        ),
        "portable": (
            "a portable AP view of the chest",
            "a portable semi upright examination",
            "bedside portable technique",
        ),
        "habitus": (
            "large body habitus",
            "abundant overlying soft tissue",
            "some prominent soft tissues of a large patient",
        ),
        "rotation": (
            "rotation of the patient to the {side}",
            "{side} rotated positioning",
            "patient rotation toward the {side}",
        ),
        "rib_fracture": (
            "an old fracture of the {side} {zone}",
            "a healed fracture deformity of the {side} {zone}",
            "a remote fracture of the {side} {zone}",
        ),
        "granuloma": (
            "a calcified granuloma in the {side} {zone}",
            "a calcified {side} {zone} granuloma",
            "a tiny calcification within the {side} {zone}",
            "a granulomatous calcification projecting over the {side} {zone}",
        ),
    }
)

ZONE_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "lungs": {
            "upper": ("upper lobe", "upper lung", "upper lung zone", "apex"),
            "mid": ("midlung", "mid lung", "mid lung zone", "perihilar region"),
            "lower": ("lower lobe", "lower lung", "lower lung zone", "base"),
        },
        "rib_fracture": {
            "upper": ("upper ribs", "third rib", "fourth rib"),
            "mid": ("middle ribs", "sixth rib", "seventh rib"),
            "lower": ("lower ribs", "ninth rib", "tenth rib"),
        },
        "central_line": {
            "vena cava": ("superior vena cava", "mid svc", "cavoatrial junction"),
            "atrium": ("right atrium", "low right atrium", "right atrial chamber"),
        },
        "endotracheal_tube": {
            "trachea": ("above the carina", "in the mid trachea", "4 cm above the carina"),
            "bronchus": ("in the right mainstem bronchus", "below the carina", "in the right main bronchus"),
        },
    }
)

SIZE_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "effusion": {
            "small": ("small", "trace", "minimal"),
            "moderate": ("moderate", "moderate sized", "medium"),
            "large": ("large", "massive", "sizable"),
        },
        "pneumothorax": {"small": ("small", "tiny", "minimal"), "large": ("large", "extensive", "sizable")},
        "consolidation": {"small": ("patchy", "small", "mild"), "large": ("dense", "large", "extensive")},
        "nodule": {
            "small": ("8 mm", "small", "subcentimeter", "9 mm"),
            "large": ("2.5 cm", "large", "2 cm", "2.2 cm"),
        },
        "atelectasis": {"small": ("mild", "minimal", "subtle"), "large": ("marked", "thick", "pronounced")},
        "edema": {"mild": ("mild", "slight", "minimal"), "severe": ("severe", "marked", "florid")},
        "tortuous_aorta": {"small": ("mild", "slight"), "large": ("marked", "pronounced")},
        "scoliosis": {"small": ("mild", "minimal", "slight"), "large": ("severe", "marked", "pronounced")},
        "raised_diaphragm": {"small": ("mild", "slight", "small"), "large": ("marked", "severe", "large")},
    }
)

FRAMES: tuple[str, ...] = (
    "There {be} {article}{phrase}.",
    "{article}{phrase} {be} present.",
    "{article}{phrase} {be} seen.",
    "{article}{phrase} {be} noted.",
    "{phrase}.",
    "There is evidence of {article}{phrase}.",
    "The examination shows {article}{phrase}.",
    "{article}{phrase} {be} identified.",
    "Note is made of {article}{phrase}.",
)

DENIED_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "effusion": ("pleural effusion", "effusion", "pleural fluid"),
        "pneumothorax": ("pneumothorax", "pleural air collection"),
        "consolidation": ("focal consolidation", "focal airspace disease", "focal infiltrate", "lobar pneumonia"),
        "nodule": ("pulmonary nodule", "suspicious nodule", "nodule or mass", "lung mass"),
        "atelectasis": ("atelectasis", "volume loss", "subsegmental atelectasis"),
        "edema": ("pulmonary edema", "overt edema", "vascular congestion"),
    }
)

DENIAL_FRAMES: tuple[str, ...] = (
    "No {list}.",
    "There is no {list}.",
    "No {list} is seen.",
    "No evidence of {list}.",
    "There is no evidence of {list}.",
    "Negative for {list}.",
    "No {list} is identified.",
    "No visible {list}.",
    "Specifically, no {list}.",
)

DENIAL_GROUPS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("effusion", "pneumothorax"), ("consolidation", "atelectasis", "nodule", "edema")),
    (("effusion", "pneumothorax", "consolidation"), ("nodule", "atelectasis", "edema")),
    (("effusion", "pneumothorax", "consolidation", "nodule", "edema", "atelectasis"),),
    (("pneumothorax",), ("effusion", "edema"), ("consolidation", "atelectasis", "nodule")),
    (("effusion", "pneumothorax", "edema"), ("consolidation", "nodule", "atelectasis")),
    (("effusion", "pneumothorax"), ("consolidation", "edema"), ("nodule", "atelectasis")),
)
"""The ways in which one report's denials are grouped into sentences."""

CLEAR_SENTENCES: tuple[str, ...] = (
    "The lungs are {otherwise}clear.",
    "Lungs are {otherwise}clear.",
    "Both lungs are {otherwise}clear.",
    "The lungs are {otherwise}clear bilaterally.",
    "{Otherwise}clear lungs.",
    "The lung fields are {otherwise}clear.",
)

HEART_SENTENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "normal": (
            "The heart is normal in size.",
            "Heart size is normal.",
            "Heart size within normal limits.",
            "Normal heart size.",
            "The cardiac silhouette is normal.",
            "Cardiac size is within normal limits.",
            "The heart is not enlarged.",
        ),
        "mild": (
            "The heart is mildly enlarged.",
            "Mild cardiomegaly.",
            "Heart size is mildly increased.",
            "Mild enlargement of the heart.",
            "The cardiac silhouette is slightly enlarged.",
            "There is borderline cardiomegaly.",
            "The heart is slightly large.",
        ),
        "moderate": (
            "The heart is moderately enlarged.",
            "Moderate cardiomegaly.",
            "Heart size is moderately increased.",
            "Moderate enlargement of the heart.",
            "The cardiac silhouette is moderately enlarged.",
            "There is moderate cardiomegaly.",
            "The heart is moderately large.",
        ),
        "severe": (
            "The heart is severely enlarged.",
            "Severe cardiomegaly.",
            "Heart size is markedly increased.",
            "Marked enlargement of the heart.",
            "The cardiac silhouette is massively enlarged.",
            "There is gross cardiomegaly.",
            "The heart is very large.",
        ),
    }
)

VOLUME_SENTENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "normal": (
            "The lungs are normally inflated.",
            "The lungs are well expanded.",
            "Lung volumes are normal.",
            "Normal lung volumes.",
        ),
        "low": (
            "The lungs are hypoinflated.",
            "The lungs are poorly expanded.",
            "Lung volumes are low.",
            "Low lung volumes.",
        ),
        "high": (
            "The lungs are hyperexpanded.",
            "The lungs are hyperinflated.",
            "Lung volumes are large.",
            "Hyperexpanded lungs suggesting emphysema.",
        ),
    }
)

ABSENT_LESSER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tortuous_aorta": (
            "The mediastinal contours are normal.",
            "The aorta is unremarkable.",
            "Mediastinum is within normal limits.",
            "The mediastinum is unremarkable.",
        ),
        "scoliosis": (
            "The thoracic spine is straight.",
            "Normal alignment of the spine.",
            "Spinal alignment is maintained.",
        ),
        "raised_diaphragm": (
            "The diaphragm is normal in position.",
            "Both hemidiaphragms are in normal position.",
            "Normal contour of the diaphragm.",
        ),
    }
)

FILLERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "technique": (
            "Frontal view of the chest was obtained.",
            "Single frontal radiograph of the chest.",
            "No prior studies for comparison.",
            "Comparison is made with the prior examination.",
        ),
        "bones": (
            "No acute bony abnormality.",
            "No suspicious bone lesion.",
            "No acute osseous abnormality is seen.",
            "There are no acute osseous findings.",
            "Bone density is appropriate for patient age.",
        ),
        "trachea": ("The trachea is midline.", "Midline trachea.", "Airway is patent and midline."),
        "soft_tissue": (
            "The visualized abdomen is within normal limits.",
            "No subcutaneous emphysema.",
            "No free air under the diaphragm.",
            "The upper abdomen is unremarkable.",
        ),
    }
)
"""Sentences that are true of every phantom, and say nothing of the image."""

IMPRESSIONS: tuple[str, ...] = (
    "No acute cardiopulmonary abnormality.",
    "No acute disease.",
    "No acute cardiopulmonary findings.",
    "No evidence of active disease.",
)
