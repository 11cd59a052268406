"""A named finding for another: an affirmed finding gives way to one that the report does not speak of."""

import re

from .report_consistency import stated_elsewhere, taken_up
from .report_language import Mention, ReportText, Term, TextEdit, terms
from .report_phrases import any_of, capitalized, with_article

# Words that may stand before any finding of a slot; another one may belong to this finding only.
_BEFORE = re.compile(
    r"(?:(?:a|an|the|there|is|are|was|were|again|also|seen|noted|some|few|several|multiple|scattered|mild|minimal"
    r"|moderate|severe|small|large|tiny|stable|chronic|old|residual|focal|left|right|bilateral|upper|lower|mid|lobe|lung"
    r"|midlung|basilar|bibasilar|apical|biapical|base|bases|multilevel|thoracic|lumbar|spine)(?:-sided)?,?\s+)*",
    re.IGNORECASE,
)
# A finding that is guessed at, explained, or one of two is not contradicted by another name.
_HEDGED = any_of(
    r"may|might|could|represent\w*|suggest\w*|consistent|compatible|likely|probabl[ey]|possibl[ey]|due|secondary|or"
    r"|versus|vs|question\w*|xxxx|and|with|without|no|not|resol\w+|measur\w+|prior|previous\w*|mm|cm|appears?"
)
# What no one term of the table says: the volume of the lungs.
_VOLUMES = tuple(
    (re.compile(pattern, re.IGNORECASE), other)
    for pattern, other in (
        (r"\bhyper(?:expanded|inflated|aerated)\b", "hypoinflated"),
        (r"\b(?:hypo|under)(?:expanded|inflated|aerated|ventilated)\b", "hyperinflated"),
        (r"\bhyper(?:expansion|inflation|aeration)\b", "hypoinflation"),
        (r"\bhypo(?:expansion|inflation|aeration|ventilation)\b", "hyperinflation"),
        (r"\blow(?= (?:lung|inspiratory) volumes\b)|(?<=lung volumes are )low\b", "large"),
    )
)
_TALKS_OF_VOLUME = re.compile(
    r"hyper(?:expan|inflat|aerat|lucen)|hypo(?:expan|inflat|aerat|ventil)|under(?:inflat|aerat)|volumes?\b|emphysema|copd"
    r"|obstructive|flatten|inspirat|crowd|well[- ](?:expanded|aerated|inflated)|normally inflated",
    re.IGNORECASE,
)
# A mass is a large nodule, a granuloma an old one: neither contradicts the other.
_KINDRED = ({"nodule", "mass", "granuloma"}, {"scar", "atelectasis"})
# "Contours are normal given low lung volumes" says little of the lungs.
_DENIED_OR_CAUSE = any_of(
    r"no|not|without|allowing|given|due|secondary|because|may|might|could|possib\w+|question\w*|atelecta\w+"
)
_DEGREE = any_of(r"mild|minimal|moderate|trace")  # an effusion or a pneumothorax has one, a mass does not
_SPINE = re.compile(r"\b(?:spine|spinal|vertebra\w*|thoracic|lumbar|thoracolumbar)\b", re.IGNORECASE)


def finding_edits(report: ReportText) -> list[TextEdit]:
    """All edits that put another finding in the place of one that is affirmed, and said once."""
    edits = [
        edit for start, end in report.sentences if not taken_up(report, end) for edit in _swaps(report, start, end)
    ]
    return edits + _volume_edits(report)


def _swaps(report: ReportText, start: int, end: int) -> list[TextEdit]:
    mentions = report.mentions_in(start, end)
    if len(mentions) != 1 or mentions[0].denied or mentions[0].term.slot is None:
        return []
    mention = mentions[0]
    before, after = report.text[start : mention.start], report.text[mention.end : end]
    if not _BEFORE.fullmatch(before) or _HEDGED.search(after):
        return []
    if mention.term.slot in ("spine", "curve") and not _SPINE.search(before + after):
        return []
    if stated_elsewhere(report, TextEdit(mention.start, mention.end, ""), mention.term.fact):
        return []
    others = _others(mention.term)
    if mention.term.slot == "pleura" and _DEGREE.search(before):
        others = [other for other in others if other.fact in ("effusion", "pneumothorax")]
    edits = (_swap(report.text, mention, other) for other in others)
    return [edit for edit, fact in edits if not stated_elsewhere(report, edit, fact)]


def _others(term: Term) -> list[Term]:
    """The terms that can stand in a term's place, and then say something else."""
    kindred = {term.fact}.union(*(group for group in _KINDRED if term.fact in group))
    return [
        other
        for other in terms().values()
        if (other.slot, other.plural, other.countable) == (term.slot, term.plural, term.countable)
        and other.comes_in
        and other.fact not in kindred
    ]


def _swap(text: str, mention: Mention, other: Term) -> tuple[TextEdit, str]:
    """The edit, in the case of the original and with the article before it made to fit, and the fact it states."""
    article = re.search(r"\b(an?) $", text[: mention.start], re.IGNORECASE)
    start, name = mention.start, other.text
    if article:
        start, name = article.start(), with_article(name)
    return TextEdit(start, mention.end, capitalized(name) if text[start].isupper() else name), other.fact


def _volume_edits(report: ReportText) -> list[TextEdit]:
    if len(_TALKS_OF_VOLUME.findall(report.text)) != 1:
        return []
    return [
        TextEdit(match.start(), match.end(), capitalized(other) if match.group()[0].isupper() else other)
        for start, end in report.sentences
        if not _DENIED_OR_CAUSE.search(report.text, start, end)
        for pattern, other in _VOLUMES
        for match in pattern.finditer(report.text, start, end)
    ]
