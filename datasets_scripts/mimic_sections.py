"""The sections of a MIMIC-CXR report text, as the official code of the corpus cuts them.

Follows `txt/section_parser.py` and `txt/create_section_files.py` of https://github.com/MIT-LCP/mimic-cxr (Johnson et
al.), which write `mimic_cxr_sectioned.csv`, but for the list of 54 studies whose text is cut there by hand.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SECTIONS: tuple[str, ...] = ("findings", "impression", "last_paragraph")

# Each line of a report begins with a space; of a heading's, a new line may be all that divides it from its text.
_HEADING = re.compile(r"\n ?([A-Z ()/,-]+):\s")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

# Headings in small letters, with the misspelt ones that the official code lists.
_IMPRESSION = re.compile(
    ".*impression.*|conclusion|impresson|imprression|imoression|impressoin|imprssion|impresion|imperssion|mpression"
    "|impession|ndication"
)
_FINDINGS = re.compile(".*findings.*|finding|findins|findindgs|findgings|findngs|findnings|finidngs")
_OTHER = re.compile(".*(?:history|comparison|addendum).*")
# A heading that names the examination, such as `CHEST, PA AND LATERAL`, stands over its findings.
_EXAMINATION = re.compile(
    ".*(?:chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|frontal view"
    "|pa view|ap view|one view|lateral view|bone window|frontal upright|frontal semi-upright|ribs).*"
)


@dataclass(frozen=True)
class ReportSections:
    """What a report says, as written; a section that is not there is empty.

    Attributes:
        findings, impression: the last section of that kind that has text.
        last_paragraph: where there is neither, what follows the first paragraph of the report's last section (an empty
            one of findings or impression does not count).
    """

    findings: str = ""
    impression: str = ""
    last_paragraph: str = ""


def parse_sections(text: str) -> ReportSections:
    """Cut a report into sections: a heading is of capitals, begins a line and ends with a colon."""
    kinds: dict[str, str] = {}
    last = ""
    for heading, body in _split(text):
        kind = _kind(heading)
        if kind is None:
            last = body
        elif body.strip():
            kinds[kind] = body.strip()
    if kinds:
        return ReportSections(**kinds)
    _, *paragraphs = _BLANK_LINE.split(last, maxsplit=1)
    return ReportSections(last_paragraph="".join(paragraphs).strip())


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Headings and what stands under each; first what stands before them all, under an empty one."""
    text = f"\n{text}"
    heading, start = "", 0
    for match in _HEADING.finditer(text):
        yield heading, text[start : match.start()]
        heading, start = match[1].strip().lower(), match.end()
    yield heading, text[start:]


def _kind(heading: str) -> str | None:
    if _IMPRESSION.fullmatch(heading):
        return "impression"
    if _FINDINGS.fullmatch(heading):
        return "findings"
    if _OTHER.fullmatch(heading):
        return None
    return "findings" if _EXAMINATION.fullmatch(heading) else None
