"""Whether other sentences speak of what an edit changes: it would contradict the report itself, not only the image."""

import re

from .report_language import ReportText, TextEdit

_LUNG = ("airspace", "nodule", "mass", "granuloma", "cavity", "interstitium", "atelectasis", "scar", "edema")
_BONE = ("bone", "fracture", "degeneration", "sclerosis", "scoliosis", "kyphosis")
_CHEST = (*_LUNG, "effusion", "pneumothorax", "congestion", "pleural plaque", "pleural mass", "bronchiectasis")

# What is said of healthy parts, and the facts that it denies.
_HEALTHY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\blungs?\b[^.]*\b(?:clear|normal(?!ly)|unremarkable)\b|\b(?:clear|normal) lungs?\b", _LUNG),
    (r"\b(?:pleural spaces?|pleura|costophrenic|cp angles?|sulci)\b[^.]*\b(?:clear|sharp|normal|no)\b", ("effusion",)),
    (r"\bpleural spaces?\b[^.]*\b(?:clear|normal|unremarkable|no)\b", ("pneumothorax",)),
    (r"\b(?:bon[ey]s?|osseous|skelet\w+|ribs?|spine)\b[^.]*\b(?:intact|unremarkable|normal|no|without)\b", _BONE),
    (r"\b(?:no|negative for|without)\b[^.]*\b(?:bon[ey]|osseous|skelet\w+)\b", _BONE),
    (r"\bhil(?:a|ar|um)\b[^.]*\b(?:unremarkable|normal)\b", ("adenopathy",)),
    (r"\bvascul\w+\b[^.]*\b(?:unremarkable|normal)\b", ("congestion", "edema")),
    (r"\bmediastin\w+\b[^.]*\b(?:unremarkable|normal)\b", ("widening",)),
    (r"\bno (?:acute |active )?(?:cardio ?)?(?:pulmonary |chest )?(?:abnormalit|disease|process|finding)", _CHEST),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), facts) for pattern, facts in _HEALTHY)
_TAKES_UP = re.compile(r"\s*(?:this|these|it|its|they|the (?:largest|lesion|nodule|opacity))\b", re.IGNORECASE)


def stated_elsewhere(report: ReportText, edit: TextEdit, fact: str) -> bool:
    """Whether the report speaks of a fact outside the edit, be it by a healthy part or by a finding."""
    if any(mention.term.fact == fact and not edit.start <= mention.start < edit.end for mention in report.mentions):
        return True
    before, after = report.text[: edit.start], report.text[edit.end :]
    return any(fact in facts and (pattern.search(before) or pattern.search(after)) for pattern, facts in _PATTERNS)


def taken_up(report: ReportText, sentence_end: int) -> bool:
    """Whether the next sentence goes on about what this one says, and would have to change too."""
    return _TAKES_UP.match(report.text, sentence_end) is not None
