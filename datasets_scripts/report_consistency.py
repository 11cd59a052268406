"""Whether other sentences speak of what an edit changes: it would contradict the report itself, not only the image."""

import re

from .report_language import ReportText, TextEdit

_LUNG = ("airspace", "nodule", "mass", "granuloma", "cavity", "interstitium", "atelectasis", "scar", "edema")
_BONE = ("bone", "fracture", "degeneration", "sclerosis", "lysis", "osteopenia", "scoliosis", "kyphosis")
_CHEST = (*_LUNG, "effusion", "pneumothorax", "congestion", "pleural plaque", "pleural mass", "bronchiectasis")

# What is said of a part without a finding's name, most often that it is healthy, and the facts that it speaks of.
_SAID_OF_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\blungs?\b[^.]*\b(?:clear|normal(?!ly)|unremarkable)\b|\b(?:clear|normal) lungs?\b", _LUNG),
    (r"\b(?:pleural spaces?|pleura|costophrenic|cp angles?|sulci)\b[^.]*\b(?:clear|sharp|normal|no)\b", ("effusion",)),
    (r"\bpleural spaces?\b[^.]*\b(?:clear|normal|unremarkable|no)\b", ("pneumothorax",)),
    (r"\b(?:bon[ey]s?|osseous|skelet\w+|ribs?|spine)\b[^.]*\b(?:intact|unremarkable|normal|no|without)\b", _BONE),
    (r"\b(?:no|negative for|without)\b[^.]*\b(?:bon[ey]|osseous|skelet\w+)\b", _BONE),
    (r"\bhil(?:a|ar|um)\b[^.]*\b(?:unremarkable|normal)\b", ("adenopathy",)),
    (r"\bvascul\w+\b[^.]*\b(?:unremarkable|normal)\b", ("congestion", "edema")),
    (r"mediastin\w+\b[^.]*\b(?:unremarkable|normal|not enlarged)\b", ("widening", "aneurysm")),
    (r"\b(?:unremarkable|normal)\b[^.]*mediastin\w+\b", ("widening", "aneurysm")),
    (r"\baort\w+\b[^.]*\b(?:unremarkable|normal)\b|\b(?:unremarkable|normal)\b[^.]*\baort\w+\b", ("aneurysm",)),
    (r"\baort\w+\b[^.]*\b(?:tortuous|ectatic|dilat\w+|uncoiled|unfolded)\b|\btortuous\b", ("tortuosity", "aneurysm")),
    (r"\baort\w+\b[^.]*\bcalcified\b|\bcalcified[^.]*\baort|\batherosclero", ("aortic calcification",)),
    (r"\b(?:curvature|kyphotic|scoliotic)\b", ("scoliosis", "kyphosis")),
    (r"\bhernia\b", ("hernia",)),
    (r"\bwedg\w+|\bcompression|\bvertebral (?:body )?heights?\b", ("fracture",)),
    (r"\bno (?:acute |active )?(?:cardio ?)?(?:pulmonary |chest )?(?:abnormalit|disease|process|finding)", _CHEST),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), facts) for pattern, facts in _SAID_OF_PARTS)
_HEALTHY_SIDE = {
    side: re.compile(
        rf"\b{side} (?:lung|chest|hemithorax|side|base|apex|(?:upper|lower) lobe|hemidiaphragm|costophrenic)\b[^.]*"
        rf"\b(?:clear|normal|unremarkable|sharp|well[- ](?:aerated|expanded))\b|\b(?:clear|normal) {side} lung\b",
        re.IGNORECASE,
    )
    for side in ("left", "right")
}
_TAKES_UP = re.compile(r"\s*(?:this|these|it|its|they|the (?:largest|lesion|nodule|opacity))\b", re.IGNORECASE)


def stated_elsewhere(report: ReportText, edit: TextEdit, fact: str) -> bool:
    """Whether the report speaks of a fact outside the edit, be it by a healthy part or by a finding."""
    if any(mention.term.fact == fact and not edit.start <= mention.start < edit.end for mention in report.mentions):
        return True
    before, after = report.text[: edit.start], report.text[edit.end :]
    return any(fact in facts and (pattern.search(before) or pattern.search(after)) for pattern, facts in _PATTERNS)


def side_is_healthy(report: ReportText, side: str, start: int, end: int) -> bool:
    """Whether the report calls its `left` or `right` lung healthy outside characters `start:end`."""
    healthy = _HEALTHY_SIDE[side]
    return bool(healthy.search(report.text[:start]) or healthy.search(report.text[end:]))


def goes_on(report: ReportText, start: int, end: int) -> bool:
    """Whether a sentence and one beside it are of the same finding, so that both would have to change."""
    return _TAKES_UP.match(report.text, start) is not None or _TAKES_UP.match(report.text, end) is not None
