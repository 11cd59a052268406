"""Noun phrases of findings: `focal areas of consolidation, a large pleural effusion or pneumothorax`."""

import re
from dataclasses import dataclass

from .report_language import Mention, ReportText

_MODIFIER = re.compile(
    r"(?:abnormal|active|acute|aggressive|air space|airspace|alveolar|any|apical|appreciable|areas? of|basilar"
    r"|bilateral|calcified|cavitary|chronic|confluent|convincing|definite|dense|destructive|discern[ai]ble|discrete|displaced"
    r"|dominant|focal|frank|gross|hilar|interstitial|large|left|lobar|lung|lytic|measurable|mediastinal|moderate|new"
    r"|obvious|overt|parenchymal|patchy|pericardial|pleural|pulmonary|radiographic|right|significant|sizea?ble"
    r"|suspicious|thoracic|visible|visualized)\s+",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*(?:,\s*(?:or|and|nor)\s+|,\s*|\s(?:or|and|nor)\s+|/)", re.IGNORECASE)
_AN = re.compile(r"(?!uni|use|one)[aeiou]", re.IGNORECASE)
_CLAUSE_AHEAD = re.compile(r"(?:no|not|but|without|there|the|this|these)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """A finding with its modifiers: characters `start:end` of a report, which read `text`."""

    text: str
    start: int
    end: int
    mention: Mention

    @property
    def plural(self) -> bool:
        """Whether its verb is in the plural."""
        return re.search(r"\bareas of\b", self.text, re.IGNORECASE) is not None or self.mention.term.plural

    def affirmed(self, article: bool = True) -> str:
        """The phrase that says it is there: with `a` or `an` where that is due, without `any`."""
        phrase = re.sub(r"^any\s+", "", self.text, flags=re.IGNORECASE)
        counted = not self.plural and (self.mention.term.countable or "area of" in phrase.lower())
        return with_article(phrase) if article and counted else phrase


def any_of(alternatives: str) -> re.Pattern[str]:
    """The pattern of any of these words or phrases, divided by `|`, as whole words in either case."""
    return re.compile(rf"\b(?:{alternatives})\b", re.IGNORECASE)


def with_article(phrase: str) -> str:
    """The phrase after `a` or `an`."""
    return f"{'an' if _AN.match(phrase) else 'a'} {phrase}"


def capitalized(phrase: str) -> str:
    """The phrase with its first letter in upper case, as a sentence begins."""
    return phrase[:1].upper() + phrase[1:]


def joined(items: list[Item], conjunction: str = "or") -> str:
    """Items as a list: `A`, `A or B`, `A, B or C`."""
    texts = [item.text for item in items]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {conjunction} {texts[-1]}"


def parse_items(report: ReportText, start: int, end: int) -> list[Item]:
    """The list of findings that begins at character `start` and ends before `end`.

    Returns:
        The items; none if something in the list is unknown, for then it is unclear what belongs to it.
    """
    mention_at = {mention.start: mention for mention in report.mentions}
    items: list[Item] = []
    position = start
    while True:
        head = position
        while head not in mention_at and (modifier := _MODIFIER.match(report.text, head, end)):
            head = modifier.end()
        mention = mention_at.get(head)
        if mention is None or mention.end > end:
            return []
        items.append(Item(report.text[position : mention.end], position, mention.end, mention))
        separator = _SEPARATOR.match(report.text, mention.end, end)
        if separator is None or _CLAUSE_AHEAD.match(report.text, separator.end(), end):
            return items
        position = separator.end()
