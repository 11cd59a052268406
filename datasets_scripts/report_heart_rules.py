"""Heart size: what is normal becomes enlarged, what is enlarged becomes normal."""

import re
from collections.abc import Callable

from .report_language import ReportText, TextEdit
from .report_phrases import any_of, capitalized

_HEART = (
    r"(?:heart (?:size|silhouette|shadow|contours?)|heart|cardiomediastinum"
    r"|(?:cardiac and mediastinal|mediastinal and cardiac|cardiac|cardio ?-?mediastinal|cardiopericardial)"
    r" (?:silhouettes?|contours?|size|shadow)(?: size)?)"
)
# Other parts that a report calls normal in the same breath, and that can be called enlarged in it too.
_PART = (
    r"(?:the )?(?:mediastin(?:um|al)(?: size| contours?| silhouettes?)*|(?:pulmonary )?vascul(?:ature|arity)"
    r"|pulmonary xxxx|hilar contours?|contours?|shape|size|configuration)"
)
_PARTS = rf"(?:(?: size)?(?:, and|,| and|/) ?{_PART})*"
_SIZE = r"(?:size|contours?|shape|configuration|appearance|caliber)"
_SIZES = rf"{_SIZE}(?:(?:, and| and|,) {_SIZE})*"
_LIMITS = r"(?:(?:the )?(?:upper )?(?:limits? of normal|normal limits?|limits normal))"
_NORMAL = (
    rf"(?:(?:of |within |at |in )?{_LIMITS}|(?:of )?(?:upper |top |high |low )?normal|unremarkable"
    rf"|not (?:significantly |grossly )?enlarged)(?: (?:in |for )?(?:overall )?{_SIZES})?"
)
_BE = r"(?::| (?:is|are|appears?(?: to be)?|remains?|was|were))"
_ADVERBS = r"(?:(?:grossly|again|also|overall|still|stable and|persistently) )*"
_DEGREE = r"(?:(?:mild|mildly|moderate|moderately|severely|markedly|slightly|borderline|marked|severe) )?"
_END = r"(?=\s*(?:[.,;]|$)|\s+(?:and|with|without|for)\b)"

_IS_NORMAL = re.compile(rf"\b{_HEART}{_PARTS}{_BE}? (?P<state>{_ADVERBS}{_NORMAL}){_END}", re.IGNORECASE)
_NORMAL_HEART = re.compile(rf"\b(?:a )?normal {_HEART}(?! and (?:clear )?lungs| size| mediastin)\b", re.IGNORECASE)
_NORMAL_SIZE = re.compile(rf"\bnormal {_SIZES} of (?=(?:the )?{_HEART}\b)", re.IGNORECASE)
_IS_ENLARGED = re.compile(
    rf"\b(?P<subject>{_HEART}){_BE}? (?P<state>{_ADVERBS}{_DEGREE}enlarged)(?: in size)?\b", re.IGNORECASE
)
_ENLARGED_HEART = re.compile(rf"\b(?:an? )?{_DEGREE}enlarged (?={_HEART}\b)", re.IGNORECASE)
_ENLARGEMENT = re.compile(rf"\b{_DEGREE}enlargement of (?=(?:the )?{_HEART}\b)", re.IGNORECASE)
_CARDIOMEGALY = re.compile(
    r"(?P<before>^|[.,;:]\s+|\bthere is (?:a )?|\bwith |\band )"
    r"(?P<state>(?:(?:stable|unchanged|persistent|mild|moderate|severe|marked|borderline|minimal)\s+)*cardiomegaly)\b"
    r"(?P<end>\s*(?:[.;]|$))?",
    re.IGNORECASE,
)
_NO_CARDIOMEGALY = re.compile(
    r"\b(?P<cue>no|without|negative for) (?:(?:evidence of|definite|significant) )*"
    r"(?P<noun>cardiomegaly|cardiac enlargement)"
    r"(?=\s*(?:[.;]|$)|\s+(?:is|seen|identified|noted)\b)",
    re.IGNORECASE,
)
_AFFIRMING = {"no": "", "without": "with ", "negative for": "positive for "}
_HEDGED = any_of(r"may|might|could|versus|question\w*|accentuat\w*|exaggerat\w*|suspected|or")


def heart_size_edits(report: ReportText) -> list[TextEdit]:
    """The edit of the report's one statement of heart size; none where it has two, which had to change together."""
    statements = [write(match) for pattern, write in _RULES for match in pattern.finditer(report.text)]
    if len(statements) != 1 or statements[0] is None:
        return []
    hedged = any(
        start <= statements[0].start < end and _HEDGED.search(report.text, start, end)
        for start, end in report.sentences
    )
    return [] if hedged else [statements[0]]


def _enlarge_predicate(match: re.Match[str]) -> TextEdit | None:
    statement = match.group().lower()
    follows_another = re.search(r"\band (?:the )?$", match.string[: match.start()], re.IGNORECASE)
    if follows_another and re.search(r"\b(?:are|appear|remain)\b", statement):
        return None  # "The lungs and heart are normal": what else would be called enlarged is not known
    borderline = re.search(r"\b(?:upper|top|high)\b", match["state"].lower())
    state = "increased" if "vascularity" in statement else "markedly enlarged" if borderline else "enlarged"
    return TextEdit(match.start("state"), match.end("state"), state)


def _enlarge_noun(match: re.Match[str]) -> TextEdit:
    phrase = match.group()
    enlarged = re.sub(r"normal (heart)(?: size)?", r"enlarged \1", phrase, flags=re.IGNORECASE)
    enlarged = re.sub(r"normal", "enlarged", enlarged, flags=re.IGNORECASE)
    return _replacing(match, re.sub(r"^a ", "an ", enlarged, flags=re.IGNORECASE))


def _normalize_predicate(match: re.Match[str]) -> TextEdit:
    state = "normal" if "size" in match["subject"].lower() else "normal in size"
    return TextEdit(match.start("state"), match.end(), state)


def _normalize_noun(match: re.Match[str]) -> TextEdit:
    return _replacing(match, "a normal " if match.group().lower().startswith("a") else "normal ")


def _deny_cardiomegaly(match: re.Match[str]) -> TextEdit:
    alone = match["end"] is not None and not match["before"].lower().startswith(("with", "and", ","))
    state = "no cardiomegaly" if alone else "normal heart size"
    begins = match["state"][0].isupper()
    return TextEdit(match.start("state"), match.end("state"), capitalized(state) if begins else state)


def _affirm_cardiomegaly(match: re.Match[str]) -> TextEdit:
    return _replacing(match, _AFFIRMING[match["cue"].lower()] + match["noun"].lower())


def _replacing(match: re.Match[str], replacement: str) -> TextEdit:
    begins = match.group()[0].isupper()
    return TextEdit(match.start(), match.end(), capitalized(replacement) if begins else replacement)


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], TextEdit | None]], ...] = (
    (_IS_NORMAL, _enlarge_predicate),
    (_NORMAL_HEART, _enlarge_noun),
    (_NORMAL_SIZE, lambda match: _replacing(match, "enlargement of ")),
    (_IS_ENLARGED, _normalize_predicate),
    (_ENLARGED_HEART, _normalize_noun),
    (_ENLARGEMENT, lambda match: _replacing(match, "normal size of ")),
    (_CARDIOMEGALY, _deny_cardiomegaly),
    (_NO_CARDIOMEGALY, _affirm_cardiomegaly),
)
