"""Negation: a denied finding is affirmed, an affirmed one denied.

`No pneumothorax or pleural effusion is seen` becomes `A pleural effusion but no pneumothorax is seen`; `There is a
small left pleural effusion` becomes `There is no pleural effusion`: its size and side go, for `no small effusion`
would leave a large one possible.
"""

import re
from typing import NamedTuple

from .report_consistency import goes_on, stated_elsewhere
from .report_language import HEART, Mention, ReportText, TextEdit
from .report_phrases import Item, any_of, capitalized, joined, parse_items

_CUE = re.compile(
    r"\b(?:(?P<there>there (?:is|are|was|were|has been|have been) no)"
    r"|(?P<absent>(?P<verb>is|are|appears?|remains?)(?: \w+ly)? (?:free|clear) of)"
    r"|(?P<negative>negative for)|(?P<without>without)|(?P<no>no)) ",
    re.IGNORECASE,
)
_HEAD = re.compile(
    r"(?:any |definite |typical |convincing |radiographic )*(?:evidence|findings|signs?) (?:of|for) ", re.IGNORECASE
)
_PLURAL_HEAD = re.compile(r"\b(?:findings|signs)\b", re.IGNORECASE)
# What may follow the findings; anything else may change what the sentence says of them.
_TAIL = re.compile(
    r"\s*(?:[.;,]|$)|\s+(?:is|are|was|were|seen|identified|noted|present|evident|visuali[sz]ed|demonstrated|appreciated"
    r"|detected|apparent|visible|in|within|on|at|of the|to suggest|bilaterally)\b",
    re.IGNORECASE,
)
_VERB_TAIL = re.compile(r"\s+(?P<be>is|are|was|were)\b", re.IGNORECASE)
_AFTER_VERB = re.compile(r"\b(?:shows?|reveals?|demonstrates?|ha(?:ve|s)|with|exhibits?)\s+$", re.IGNORECASE)
_AFTER_CONJUNCTION = re.compile(
    r"(?P<comma>(?<!specifically),)\s*(?P<word>and\s+)?$|(?:;|\band|\bspecifically,)\s*$", re.IGNORECASE
)
_LONE_ADVERB = re.compile(r"(?:otherwise|again|also|overall|however|\w+ly)\s*", re.IGNORECASE)
_HEDGED = any_of(
    r"which|that|may|might|could|represent\w*|suggest\w*|consistent|compatible|likely|probabl[ey]|possibl[ey]|due"
    r"|secondary|compared?|unchanged|stable|again|measur\w+|than|also|versus|vs|but|although|however|with|from|since|or"
    r"|(?:in|de)creased?|and|interval|xxxx|prior|previous\w*|resol\w+|not|no|without|now|improv\w+|as|question\w*|older?"
)
_THERE = re.compile(r"there (?:is|are|was|were) (?:(?:again|also) )?(?:seen )?", re.IGNORECASE)
# What a denial drops of the words before a finding, and what it keeps.
_DROPPED = (
    r"an?|the|some|few|several|multiple|numerous|scattered|mild(?:ly)?|minimal(?:ly)?|moderate(?:ly)?|severe|marked|small"
    r"|large|tiny|slight|subtle|trace|extensive|stable|persistent|unchanged|chronic|residual|diffuse|patchy|streaky"
    r"|(?:left|right)(?:-sided)?|bilateral|bibasilar|basilar|lower|upper|mid|lobe|lung|midlung"
)
_KEPT = any_of("acute|old|healed|calcified|thoracic|focal|pulmonary|aortic|atherosclerotic|spine|multilevel|dense")
_MODIFIERS = re.compile(rf"(?:(?:{_DROPPED}|{_KEPT.pattern}),?\s+)*", re.IGNORECASE)
_BE = {"is": "are", "are": "is", "was": "were", "were": "was", "has been": "have been", "have been": "has been"}
_PLURAL_BE = {"are", "were", "have been"}

_CLEAR = re.compile(
    r"\b((?:lungs|pleural spaces|(?:osseous|bony) structures)(?: (?:are|is)|:)) (clear|intact)(?=\s*(?:\.|$))",
    re.IGNORECASE,
)


class _Frame(NamedTuple):
    """Characters `start:end` give way to `phrase`, and to `denial` with what else they listed."""

    start: int
    end: int
    phrase: str
    denial: str = "no"


def negation_edits(report: ReportText) -> list[TextEdit]:
    """All edits that turn one finding's presence into absence or the other way round."""
    statements = report.statements
    edits = [edit for start, end in statements for edit in _affirmations(report, start, end)]
    edits += [edit for start, end in statements for edit in _denials(report, start, end)]
    return edits or _not_clear(report)


def _affirmations(report: ReportText, start: int, end: int) -> list[TextEdit]:
    edits = []
    for cue in _CUE.finditer(report.text, start, end):
        head = _HEAD.match(report.text, cue.end(), end)
        items = parse_items(report, head.end() if head else cue.end(), end)
        if not items or not all(item.mention.denied for item in items) or not _TAIL.match(report.text, items[-1].end):
            continue
        for item in items:
            frame = _frame(report.text, cue, start, item, items[-1].end, head.group() if head else "")
            if frame is None or item.mention.term.fact in (HEART, "abnormality"):
                continue
            others = [other for other in items if other is not item]
            but = "and" if frame.phrase.startswith("but ") else "but"
            rest = f" {but} {frame.denial} {joined(others)}" if others else ""
            edit = TextEdit(frame.start, frame.end, frame.phrase + rest)
            same_fact = any(other.mention.term.fact == item.mention.term.fact for other in others)
            if not same_fact and not stated_elsewhere(report, edit, item.mention.term.fact):
                edits.append(edit)
    return edits


def _frame(text: str, cue: re.Match[str], sentence_start: int, item: Item, list_end: int, head: str) -> _Frame | None:
    """How to affirm an item of a denied list; None if nothing fits there."""
    head = re.sub(r"^any ", "", head, flags=re.IGNORECASE)
    phrase = head + item.affirmed(article=not head)
    plural = bool(_PLURAL_HEAD.search(head)) if head else item.plural
    begin = cue.start()
    if cue["there"]:
        there = cue["there"].split()[0]
        be = cue["there"].lower().removeprefix("there ").removesuffix(" no")
        return _Frame(begin, list_end, f"{there} {be if plural == (be in _PLURAL_BE) else _BE[be]} {phrase}")
    if cue["absent"]:
        show = "show" if cue["verb"].lower() in ("are", "appear", "remain") else "shows"
        return _Frame(begin, list_end, f"{show} {phrase}")
    if cue["negative"]:
        adjective = capitalized("positive for") if cue["negative"][0].isupper() else "positive for"
        return _Frame(begin, list_end, f"{adjective} {head}{item.affirmed(article=False)}", "negative for")
    if cue["without"]:
        return _Frame(begin, list_end, f"with {phrase}") if begin > sentence_start else None
    if _AFTER_VERB.search(text, sentence_start, begin):
        return _Frame(begin, list_end, phrase)
    return _clause(text, begin, list_end, phrase, plural, sentence_start)


def _clause(text: str, begin: int, list_end: int, phrase: str, plural: bool, sentence_start: int) -> _Frame | None:
    """A clause of its own: with the list's verb if that agrees with the phrase, else with `there is` in its place."""
    conjunction = _AFTER_CONJUNCTION.search(text, sentence_start, begin)
    if begin > sentence_start and conjunction is None:
        return None
    verb = _VERB_TAIL.match(text, list_end)
    if verb is None or plural != (verb["be"].lower() in _PLURAL_BE):
        phrase = f"there {'are' if plural else 'is'} {phrase}"
        list_end = verb.end() if verb else list_end
    if conjunction is None:
        return _Frame(begin, list_end, capitalized(phrase))
    clauses = conjunction["comma"] and not _LONE_ADVERB.fullmatch(text, sentence_start, conjunction.start())
    but = "but " if clauses and not conjunction["word"] else ""
    return _Frame(begin, list_end, but + phrase)


def _denials(report: ReportText, start: int, end: int) -> list[TextEdit]:
    mentions = report.mentions_in(start, end)
    if len(mentions) != 1 or mentions[0].denied or mentions[0].term.fact == HEART:
        return []
    mention = mentions[0]
    there = _THERE.match(report.text, start, end)
    modifiers = report.text[there.end() if there else start : mention.start]
    tail = report.text[mention.end : end]
    if goes_on(report, start, end) or not _MODIFIERS.fullmatch(modifiers):
        return []
    if _HEDGED.search(tail) or not _TAIL.match(tail):
        return []
    denial = " ".join(["no", *_KEPT.findall(modifiers.lower()), _lowered(report.text, mention)])
    edit = TextEdit(there.end() if there else start, mention.end, denial if there else capitalized(denial))
    return [] if stated_elsewhere(report, edit, mention.term.fact) else [edit]


def _lowered(text: str, mention: Mention) -> str:
    return text[mention.start].lower() + text[mention.start + 1 : mention.end]


def _not_clear(report: ReportText) -> list[TextEdit]:
    """Where no finding can be affirmed or denied, `The lungs are clear` becomes `The lungs are not clear`."""
    return [TextEdit(match.end(1), match.start(2), " not ") for match in _CLEAR.finditer(report.text)]
