"""Laterality, location and severity: one word of an affirmed statement gives way to its opposite."""

import re
from collections.abc import Iterator

from .report_consistency import goes_on, side_is_healthy
from .report_language import ReportText, TextEdit
from .report_phrases import any_of, capitalized

_SIDE = re.compile(r"\b(?:left|right)(?=(?:-sided|-side|ward|wards)?\b)(?!-to-)", re.IGNORECASE)
_COMPARED_SIDES = re.compile(
    r"\b(?P<first>left|right) (?P<than>(?:side )?(?:greater|larger|worse|more) than (?:the )?)"
    r"(?P<second>left|right)\b",
    re.IGNORECASE,
)
# Parts that are on one side only, sides of the view and not of the body, organs that give the side away, and limbs,
# whose own examination a report may go on with.
_ONE_SIDED = any_of(
    r"heart|cardiac|cardio\w+|atri\w+|ventric\w+|biventric\w+|aort\w+|lingula\w*|middle|minor|horizontal|azygos|cava\w*"
    r"|svc|liver|hepat\w+|spleen|splen\w+|stomach|gastr\w+|gallbladder|cholecyst\w+|gallstones?|\w*abdom\w+|quadrant|colon|rotat\w+|oblique"
    r"|decubitus|(?:left|right) lateral|midline|pericardi\w+|brachiocephalic|innominate|coronary|epicardial"
    r"|retrocardiac|feeding|enteric|nasogastric|orogastric|ng|arm|elbow|forearm|wrist|hand|fingers?|hip|pelvi[sc]|leg|thigh|femur|femoral|knee|tibia\w*|fibula\w*"
    r"|ankle|foot|feet|toes?"
)
_DENIAL = any_of(
    r"no|not|without|negative|free of|clear|cannot|neither|nor|resol\w+|remov\w+|cleared|normal|unremarkable"
    r"|previous\w*"
)
_HEADING = re.compile(r"(?:left|right) \w+\s*\.?", re.IGNORECASE)  # `Right shoulder.`: another examination begins
_GUESS = any_of(r"may|might|could|possib\w+|probab\w+|question\w*|suggest\w*|versus|vs")
# The side that the mediastinum moves to follows from the side of what moves it.
_SHIFT_TO_SIDE = re.compile(
    r"\b(?:shift\w*|deviat\w+)\b[^.]*\b(?:left|right)|\b(?:left|right)\w*[^.]*\b(?:shift|deviat)", re.IGNORECASE
)
_UPPER_LOWER = re.compile(
    r"(?<!and )(?<!or )(?<!to )\b(?:upper|lower|mid|middle(?= lobe\b))"
    r"(?= (?:lobes?|lungs?|zones?|thoracic|lumbar|cervical)\b)|\bmidlung\b",
    re.IGNORECASE,
)
_BASE_APEX = re.compile(
    r"\b(?:bibasilar|basilar|basal|biapical|apical|(?<=left )(?:base|apex)|(?<=right )(?:base|apex)"
    r"|(?<=lung )(?:bases?|apex|apices)|(?<=both )(?:bases|apices))\b(?! (?:lordotic|artery|xxxx))",
    re.IGNORECASE,
)
_PLACES = {
    "upper": ("lower",),
    "lower": ("upper",),
    "mid": ("upper", "lower"),
    "middle": ("upper", "lower"),
    "midlung": ("upper lung", "lower lung"),
    "bibasilar": ("biapical",),
    "biapical": ("bibasilar",),
    "basilar": ("apical",),
    "basal": ("apical",),
    "apical": ("basilar",),
    "base": ("apex",),
    "apex": ("base",),
    "bases": ("apices",),
    "apices": ("bases",),
}
# What has its one place: fluid sinks to the bases, a pneumothorax rises, a catheter's tip lies along its way, the
# lingula is in the upper lobe, a chin hides the apices, and a vertebra's number says where it is.
_PLACED = any_of(
    r"effusions?|fluid|pneumothora\w+|costophrenic|diaphragm\w*|hemidiaphragm\w*|heart|lordotic|capping|cap|tip|picc"
    r"|catheter|line|lobectomy|segments?|hypoinflat\w+|low lung volumes|hypoventilat\w+|fissure|middle lobe syndrome"
    r"|vascul\w+|fat|ribs?|secondary|lingula\w*|chin|obscur\w*|[tl]-?\d+"
)
_DEGREES = {
    "mild": "severe",
    "severe": "mild",
    "mildly": "severely",
    "severely": "mildly",
    "small": "large",
    "large": "small",
    "tiny": "large",
    "moderate": "minimal",
    "moderately": "minimally",
    "minimal": "marked",
    "minimally": "markedly",
    "marked": "minimal",
    "markedly": "minimally",
    "slight": "marked",
    "slightly": "markedly",
}
_SEVERITY = re.compile(
    rf"(?<!too )(?<!to )(?<!or )\b(?:{'|'.join(_DEGREES)})\b(?![- ]?(?:to|or|and)\b)(?!-)"
    r"(?! (?:bowel|colon|early|on|bore|caliber|body|xxxx|lung volumes|left xxxx|right xxxx|vessel|airways?|sized?"
    r"|(?:in|de)creased?|improve\w*|worse\w*|progress\w*)\b)",
    re.IGNORECASE,
)
# The heart's degrees belong to heart_size, the patient's position is none of the image's findings, and a measured
# degree would have to change with its measure.
_NO_DEGREE = any_of(
    r"heart|cardiac|cardio\w+|patient|rotat\w+|position\w*|inspirat\w+|expos\w+|penetrat\w+|reflect\w*|represent\w*"
    r"|than|(?:\d+ ?)?(?:mm|cm|millimeters?)"
)
_RESECTION = any_of(r"pneumonectom\w+|(?:bi)?lobectom\w+")  # the rest of the report tells the side of it
_LONG_WORD = re.compile(r"[a-z]{5,}")
_COMMON = {"there", "right", "stable", "noted", "present", "again", "lower", "upper", "small", "large", "severe"}


def laterality_edits(report: ReportText) -> list[TextEdit]:
    """Left for right: the one side that a sentence names, or both of `left greater than right`."""
    edits: list[TextEdit] = []
    if _SHIFT_TO_SIDE.search(report.text) or _RESECTION.search(report.text):
        return edits
    for start, end in _affirmed_sentences(report):
        sentence = report.text[start:end]
        sides = list(_SIDE.finditer(report.text, start, end))
        if _HEADING.fullmatch(sentence) and not report.mentions_in(start, end):
            continue
        if _ONE_SIDED.search(sentence) or _GUESS.search(sentence) or _repeated(report, start, end, _SIDE):
            continue
        compared = _COMPARED_SIDES.search(report.text, start, end)
        if compared and len(sides) == 2 and compared["first"].lower() != compared["second"].lower():
            swapped = f"{_other_side(compared['first'])} {compared['than']}{_other_side(compared['second'])}"
            edits.append(TextEdit(compared.start(), compared.end(), swapped))
        elif len(sides) == 1:
            other = _other_side(sides[0].group())
            if not side_is_healthy(report, other.lower(), start, end):
                edits.append(TextEdit(sides[0].start(), sides[0].end(), other))
    return edits


def location_edits(report: ReportText) -> list[TextEdit]:
    """Upper for lower, middle for either, base for apex: the one place that a sentence names."""
    edits = []
    for start, end in _affirmed_sentences(report):
        places = [*_UPPER_LOWER.finditer(report.text, start, end), *_BASE_APEX.finditer(report.text, start, end)]
        if len(places) != 1 or _PLACED.search(report.text, start, end):
            continue
        if not _repeated(report, start, end, places[0].re):
            edits += [_word_edit(report.text, places[0], other) for other in _PLACES[places[0].group().lower()]]
    return edits


def severity_edits(report: ReportText) -> list[TextEdit]:
    """Mild for severe, small for large: a degree that the report gives to one finding once."""
    edits = []
    for start, end in _affirmed_sentences(report):
        if any(pattern.search(report.text, start, end) for pattern in (_NO_DEGREE, _GUESS)):
            continue
        if _denied_elsewhere(report, start, end) or _repeated(report, start, end, _SEVERITY):
            continue
        for degree in _SEVERITY.finditer(report.text, start, end):
            edits.append(_word_edit(report.text, degree, _DEGREES[degree.group().lower()]))
    return edits


def _affirmed_sentences(report: ReportText) -> Iterator[tuple[int, int]]:
    """The sentences that deny nothing, neither by negspacy's scope nor by a word for what is healthy or gone.

    Less those that go on about another sentence's finding, for that one may depend on what is changed.
    """
    for start, end in report.sentences:
        denied = any(mention.denied for mention in report.mentions_in(start, end))
        if not denied and not _DENIAL.search(report.text, start, end) and not goes_on(report, start, end):
            yield start, end


def _repeated(report: ReportText, start: int, end: int, attribute: re.Pattern[str]) -> bool:
    """Whether another sentence gives something of this one such an attribute too: both would have to change."""
    topics = _topics(report, start, end)
    return any(
        attribute.search(report.text, *other) and topics & _topics(report, *other)
        for other in report.sentences
        if other != (start, end)
    )


def _denied_elsewhere(report: ReportText, start: int, end: int) -> bool:
    """Whether the report denies, be it in part, what this sentence affirms: `No large effusion` bounds its size."""
    facts = {mention.term.fact for mention in report.mentions_in(start, end)}
    return any(mention.denied and mention.term.fact in facts for mention in report.mentions)


def _topics(report: ReportText, start: int, end: int) -> set[str]:
    """What a sentence is about: the facts of its findings, or its long words where it names none."""
    facts = {mention.term.fact for mention in report.mentions_in(start, end)}
    return facts or set(_LONG_WORD.findall(report.text[start:end].lower())) - _COMMON


def _other_side(side: str) -> str:
    other = "right" if side.lower() == "left" else "left"
    return capitalized(other) if side[0].isupper() else other


def _word_edit(text: str, word: re.Match[str], other: str) -> TextEdit:
    """The edit of one word, in its case, with the article before it made to fit."""
    replacement = capitalized(other) if word.group()[0].isupper() else other
    article = re.search(r"\b(an?) $", text[: word.start()], re.IGNORECASE)
    if article is None:
        return TextEdit(word.start(), word.end(), replacement)
    fitting = article[1][0] + ("n" if replacement[0].lower() in "aeiou" else "")
    return TextEdit(article.start(), word.end(), f"{fitting} {replacement}")
