"""The sentences of a report as written, by spaCy's rules; no trained model of it is needed."""

from functools import cached_property
from typing import TYPE_CHECKING

from .perturbations import normalize_report

if TYPE_CHECKING:
    from spacy.language import Language

SENTENCE_ENDS: tuple[str, ...] = (".", "..", "...", "!", "?", ".,")


def blank_pipeline() -> "Language":
    """spaCy's English tokenizer and sentence ends."""
    import spacy  # takes a second, which training with whole reports need not wait for

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer", config={"punct_chars": list(SENTENCE_ENDS)})
    return nlp


class SentenceSplitter:
    """Splits reports into their sentences, normalised."""

    @cached_property
    def _nlp(self) -> "Language":  # made where it is first used, in each worker process
        return blank_pipeline()

    def split(self, text: str) -> list[str]:
        """The sentences of a report as written that have a letter: the number of a list's item alone is none."""
        sentences = (normalize_report(sentence.text) for sentence in self._nlp(text).sents)
        return [sentence for sentence in sentences if has_letter(sentence)]


def has_letter(text: str | None) -> bool:
    """Whether a text has a sentence, which `SentenceSplitter` finds."""
    return any(map(str.isalpha, text or ""))
