"""Findings in a radiology report as written, and which of them it denies.

A rule (spaCy's SpanRuler over the reviewed list `data/report_findings.tsv`) finds the findings; negspacy's NegEx
(Chapman et al., 2001) with its clinical terms decides which are denied. No statistical model takes part.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import negspacy.negation  # noqa: F401  (registers the pipe `negex`)
from negspacy.termsets import termset
from spacy.tokens import Doc

from .report_sentences import blank_pipeline

_TABLE = "report_findings.tsv"
_NONE = "-"
_SPANS = "findings"
HEART = "heart"
"""The fact of the terms for an enlarged heart."""

_LABEL = re.compile(r"(?:\d+\. )?[^\W\d]\w*(?:[ /,&-]+\w+){0,3}: (?=\S)")
"""What a structured report puts before a sentence: `Lungs: Clear.`"""

# `free` after a finding is free air far more often than NegEx's "is free"; `versus` and `with` deny nothing here.
_ADDED = {
    "preceding_negations": ["nor", "clear of", "rather than", "resolved"],
    "termination": [";", "with", "and there is", "and there are", "there is a", "there are a few"],
    "pseudo_negations": ["no longer", "without change", "without interval change"],
}
_REMOVED = {"following_negations": ["free"], "preceding_negations": ["versus", "ro", "r/o"]}


@dataclass(frozen=True)
class Term:
    """A noun phrase that names a finding.

    Attributes:
        text: in lower case.
        fact: what it states; two terms of one fact say the same thing.
        slot: terms of one slot and number can stand in each other's place; None if it has no such place.
        comes_in: whether it may come in for another; vague terms only go.
        plural: whether this is the plural.
        countable: whether the singular takes `a`.
        graded: whether it can be mild, moderate or severe.
    """

    text: str
    fact: str
    slot: str | None
    comes_in: bool
    plural: bool
    countable: bool
    graded: bool

    @property
    def takes_article(self) -> bool:
        """Whether `a` or `an` can stand before it."""
        return self.countable and not self.plural


@dataclass(frozen=True)
class Mention:
    """A finding in a report: its term, its characters `start:end` of the report as written, and if it is denied."""

    term: Term
    start: int
    end: int
    denied: bool


@dataclass(frozen=True)
class TextEdit:
    """Characters `start:end` of a report as written give way to `replacement`."""

    start: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        """The edited report as written."""
        return text[: self.start] + self.replacement + text[self.end :]


@dataclass(frozen=True)
class ReportText:
    """A report as written, its sentences as `(start, end)` characters, and the findings that it mentions, in order."""

    text: str
    sentences: tuple[tuple[int, int], ...]
    mentions: tuple[Mention, ...]

    @property
    def statements(self) -> tuple[tuple[int, int], ...]:
        """The sentences without a label before them, such as `Lungs:`."""
        labels = [_LABEL.match(self.text, start, end) for start, end in self.sentences]
        return tuple(
            (label.end() if label else start, end) for label, (start, end) in zip(labels, self.sentences, strict=True)
        )

    def mentions_in(self, start: int, end: int) -> list[Mention]:
        """The findings that lie in characters `start:end`."""
        return [mention for mention in self.mentions if start <= mention.start and mention.end <= end]

    def states_once(self, fact: str) -> bool:
        """Whether no other finding of the report, affirmed or denied, speaks of the fact."""
        return sum(mention.term.fact == fact for mention in self.mentions) == 1


class ReportParser:
    """Splits reports into sentences and finds their findings; rules only, about a millisecond a report."""

    def __init__(self) -> None:
        self._nlp = blank_pipeline()
        ruler = self._nlp.add_pipe(
            "span_ruler",
            config={
                "spans_key": _SPANS,
                "phrase_matcher_attr": "LOWER",
                "spans_filter": {"@misc": "spacy.first_longest_spans_filter.v1"},
            },
        )
        ruler.add_patterns([{"label": "FINDING", "pattern": term} for term in terms()])  # type: ignore[attr-defined]
        self._nlp.add_pipe("negex", config={"neg_termset": _negations(), "span_keys": [_SPANS]})

    def parse(self, reports: Iterable[str]) -> Iterator[ReportText]:
        """Parse reports as written, in order; their case makes no difference."""
        for doc, text in self._nlp.pipe(((_lower(text), text) for text in reports), as_tuples=True):
            yield _report_text(text, doc)


def _negations() -> dict[str, list[str]]:
    # Made anew: termset's own methods change the lists that every user of negspacy in this process shares.
    return {
        kind: [phrase for phrase in phrases if phrase not in _REMOVED.get(kind, ())] + _ADDED.get(kind, [])
        for kind, phrases in termset("en_clinical").get_patterns().items()
    }


def _lower(text: str) -> str:
    # spaCy's tokenizer splits `cannot` but not `CANNOT`. Only the dotted capital I has a longer lower case.
    return text.replace("\u0130", "I").lower()


def _report_text(text: str, doc: Doc) -> ReportText:
    mentions = tuple(
        Mention(terms()[span.text], span.start_char, span.end_char, bool(span._.negex))
        for span in sorted(doc.spans[_SPANS], key=lambda span: span.start)
    )
    return ReportText(text, tuple((sent.start_char, sent.end_char) for sent in doc.sents), mentions)


@cache
def terms() -> dict[str, Term]:
    """The findings by their text, singular and plural, in the order of the table.

    Raises:
        ValueError: a line has not six fields, or a term stands twice.
    """
    found: dict[str, Term] = {}
    text = (files(__package__) / "data" / _TABLE).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 6:
            raise ValueError(f"{_TABLE}, line {number}: {line!r} has {len(fields)} fields, not six")
        singular, plural, fact, slot, article, degree = fields
        place, _, direction = slot.partition(" ")
        for form in (singular, plural):
            if form in found:
                raise ValueError(f"{_TABLE}, line {number}: {form!r} stands above")
            if form != _NONE:
                named_place = None if place == _NONE else place
                found[form] = Term(
                    form, fact, named_place, not direction, form == plural, article == "a", degree == "mild"
                )
    return found
