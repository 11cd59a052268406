"""A named finding for another: an affirmed finding gives way to one that the report does not speak of."""

import re

from .report_consistency import goes_on, stated_elsewhere
from .report_language import Mention, ReportText, Term, TextEdit, terms
from .report_phrases import any_of, capitalized, with_article

# Words that may stand before any finding of a slot; another one may belong to this finding only.
_BEFORE = re.compile(
    r"(?:(?:a|an|the|there|is|are|was|were|again|also|seen|noted|some|few|several|multiple|scattered|mild|minimal"
    r"|moderate|severe|small|large|tiny|stable|chronic|old|residual|focal|left|right|bilateral|upper|lower|mid|lobe|lung"
    r"|midlung|basilar|bibasilar|apical|biapical|base|bases|multilevel|thoracic|lumbar|spine|aortic)(?:-sided)?,?\s+)*",
    re.IGNORECASE,
)
# A finding that is guessed at, explained, or one of two is not contradicted by another name.
_HEDGED = any_of(
    r"may|might|could|represent\w*|suggest\w*|consistent|compatible|likely|probabl[ey]|possibl[ey]|due|secondary|or"
    r"|versus|vs|question\w*|xxxx|and|with|without|no|not|resol\w+|measur\w+|prior|previous\w*|mm|cm|appears?"
)
# A mass is a large nodule, a granuloma an old one, and so on: neither contradicts the other.
_KINDRED = (
    {"nodule", "mass", "granuloma"},
    {"scar", "atelectasis", "interstitium"},
    {"congestion", "edema"},
    {"tortuosity", "aneurysm"},
    {"calcification", "aortic calcification"},
)
_DEGREE = any_of(r"mild|minimal|moderate|severe")  # a scoliosis has one, a mass does not
_SIZE = any_of(r"small|large|tiny")  # a nodule has one, a scoliosis does not
# What decides between the singular and the plural.
_NUMBER = any_of(r"an?|is|are|was|were|some|few|several|multiple|scattered|multilevel")
# The terms of these slots can be of another part too.
_PARTS = {"spine": any_of(r"spine|spinal|vertebra\w*|thoracic|lumbar|thoracolumbar"), "aorta": any_of(r"aort\w+")}


def finding_edits(report: ReportText) -> list[TextEdit]:
    """All edits that put another finding in the place of one that is affirmed, and said once."""
    unlinked = [sentence for sentence in report.statements if not goes_on(report, *sentence)]
    return [edit for start, end in unlinked for edit in _swaps(report, start, end)]


def _swaps(report: ReportText, start: int, end: int) -> list[TextEdit]:
    mentions = report.mentions_in(start, end)
    if len(mentions) != 1 or mentions[0].denied:
        return []
    mention, slot = mentions[0], mentions[0].term.slot
    before, after = report.text[start : mention.start], report.text[mention.end : end]
    if slot is None or not _BEFORE.fullmatch(before) or _HEDGED.search(after):
        return []
    if slot in _PARTS and not _PARTS[slot].search(before + after):
        return []
    if stated_elsewhere(report, TextEdit(mention.start, mention.end, ""), mention.term.fact):
        return []
    edits = (_swap(report.text, mention, other) for other in _others(mention.term, before, after))
    return [edit for edit, fact in edits if not stated_elsewhere(report, edit, fact)]


def _others(term: Term, before: str, after: str) -> list[Term]:
    """The terms that can stand in a term's place between the rest of its sentence, and then say something else."""
    kindred = {term.fact}.union(*(group for group in _KINDRED if term.fact in group))
    others = [
        other for other in terms().values() if other.slot == term.slot and other.comes_in and other.fact not in kindred
    ]
    if _DEGREE.search(before):
        others = [other for other in others if other.graded]
    if _SIZE.search(before) and term.slot not in ("pleura", "focus", "retrocardiac"):
        return []
    if term.takes_article or _NUMBER.search(before) or _NUMBER.search(after):
        return [other for other in others if (other.plural, other.countable) == (term.plural, term.countable)]
    return [other for other in others if not other.takes_article]


def _swap(text: str, mention: Mention, other: Term) -> tuple[TextEdit, str]:
    """The edit, in the case of the original and with the article before it made to fit, and the fact it states."""
    article = re.search(r"\b(an?) $", text[: mention.start], re.IGNORECASE)
    start, name = mention.start, other.text
    if article:
        start, name = article.start(), with_article(name)
    return TextEdit(start, mention.end, capitalized(name) if text[start].isupper() else name), other.fact
