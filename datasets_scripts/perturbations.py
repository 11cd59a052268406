"""The nine perturbations of a report (the paper's Table I): its words reordered, or its adjectives turned around.

A perturbed report depends on the tagger, the seed, the report and the perturbation's name, and on nothing else: each
is drawn from its own stream of random numbers, seeded by the SHA-256 of those four.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise, tee

from modeling_prd.normalization_prd import normalize_report

from .antonyms import antonym
from .tagging import DEFAULT_SPACY_MODEL, PartOfSpeechTagger, TaggingProcesses

__all__ = ["DEFAULT_SPACY_MODEL", "PERTURBATIONS", "ReportPerturber", "normalize_report", "perturb_words"]


def _is_noun(tag: str) -> bool:
    return tag in {"NN", "NNS", "NNP", "NNPS"}


def _is_adjective(tag: str) -> bool:
    return tag in {"JJ", "JJR", "JJS"}


def _is_verb(tag: str) -> bool:
    return tag.startswith("VB") or tag == "MD"


def _places(tags: Sequence[str], wanted: Callable[[str], bool]) -> list[int]:
    return [place for place, tag in enumerate(tags) if wanted(tag)]


def _trigrams(count: int) -> list[list[int]]:
    return [list(range(start, min(start + 3, count))) for start in range(0, count, 3)]


def _permutation(count: int, rng: random.Random) -> list[int]:
    # Sorting by random keys rests on Random.random() alone, whose stream Python promises to keep between versions.
    return sorted(range(count), key=lambda _: rng.random())


def _redraw_until_changed(words: list[str], draw: Callable[[], list[str]]) -> list[str]:
    """Draw until the words change: uniform over the permutations that change them.

    Callers make sure that some permutation does; then at least half of them do, so it takes two draws on average.
    """
    while (drawn := draw()) == words:
        pass
    return drawn


def _permute_within(words: list[str], groups: Sequence[list[int]], rng: random.Random) -> list[str]:
    """Permute the words of each group of places among these places."""
    if all(len({words[place] for place in group}) < 2 for group in groups):
        return list(words)

    def draw() -> list[str]:
        drawn = list(words)
        for group in groups:
            for place, source in zip(group, _permutation(len(group), rng), strict=True):
                drawn[place] = words[group[source]]
        return drawn

    return _redraw_until_changed(words, draw)


def _shuffle_all_words(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    return _permute_within(words, [list(range(len(words)))], rng)


def _swap_adjacent_words(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    swapped = list(words)
    even = len(words) - len(words) % 2
    swapped[0:even:2], swapped[1:even:2] = words[1:even:2], words[0:even:2]
    return swapped


def _reverse_sentence(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    return words[::-1]


def _shuffle_within_trigrams(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    return _permute_within(words, _trigrams(len(words)), rng)


def _shuffle_trigrams(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    groups = [[words[place] for place in group] for group in _trigrams(len(words))]
    # Two groups that commute are powers of one word sequence, so commuting is transitive and neighbours decide:
    # if all commute, every order of the groups reads the same.
    if all(first + second == second + first for first, second in pairwise(groups)):
        return list(words)

    def draw() -> list[str]:
        return [word for index in _permutation(len(groups), rng) for word in groups[index]]

    return _redraw_until_changed(words, draw)


def _shuffle_nouns_adjectives(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    return _permute_within(words, [_places(tags, _is_noun), _places(tags, _is_adjective)], rng)


def _shuffle_all_but_nouns_adjectives(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    others = _places(tags, lambda tag: not (_is_noun(tag) or _is_adjective(tag)))
    return _permute_within(words, [others], rng)


def _shuffle_nouns_verbs_adjectives(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    content = _places(tags, lambda tag: _is_noun(tag) or _is_verb(tag) or _is_adjective(tag))
    return _permute_within(words, [content], rng)


def _replace_adjectives_with_antonyms(words: list[str], tags: Sequence[str], rng: random.Random) -> list[str]:
    return [(antonym(word) or word) if _is_adjective(tag) else word for word, tag in zip(words, tags, strict=True)]


_RULES: dict[str, Callable[[list[str], Sequence[str], random.Random], list[str]]] = {
    "shuffle_all_words": _shuffle_all_words,
    "swap_adjacent_words": _swap_adjacent_words,
    "reverse_sentence": _reverse_sentence,
    "shuffle_within_trigrams": _shuffle_within_trigrams,
    "shuffle_trigrams": _shuffle_trigrams,
    "shuffle_nouns_adjectives": _shuffle_nouns_adjectives,
    "shuffle_all_but_nouns_adjectives": _shuffle_all_but_nouns_adjectives,
    "shuffle_nouns_verbs_adjectives": _shuffle_nouns_verbs_adjectives,
    "replace_adjectives_with_antonyms": _replace_adjectives_with_antonyms,
}

PERTURBATIONS: tuple[str, ...] = tuple(_RULES)


def perturb_words(
    words: list[str], tags: Sequence[str], random_of: Callable[[str], random.Random]
) -> dict[str, list[str]]:
    """Make the nine perturbations of a report that is tagged already; needs no tagger.

    Args:
        words: of a normalised report.
        tags: the Penn tag of each word.
        random_of: from a perturbation's name to the random numbers of that perturbation.

    Returns:
        Perturbation's name to the perturbed report's words, in the order of `PERTURBATIONS`.

    Raises:
        ValueError: there is not one tag a word.
    """
    if len(words) != len(tags):
        raise ValueError(f"{len(tags)} tags for the {len(words)} words of {' '.join(words)!r}; give one a word")
    return {name: rule(words, tags, random_of(name)) for name, rule in _RULES.items()}


class ReportPerturber:
    """Makes the nine perturbations of reports.

    Args:
        seed: of the six perturbations that draw.
        spacy_model: the spaCy model whose tagger finds nouns, verbs and adjectives; never replaced by another one.

    Attributes:
        tagger: name, version and SHA-256 of the tagger, for a dataset's card.

    Raises:
        ValueError: the spaCy model is not installed, or has no tagger.
    """

    def __init__(self, seed: int = 0, spacy_model: str = DEFAULT_SPACY_MODEL) -> None:
        self.seed = seed
        self.spacy_model = spacy_model
        self._tagger = PartOfSpeechTagger(spacy_model)
        self.tagger = self._tagger.identity

    def perturb(self, report: str) -> dict[str, str]:
        """Make the nine perturbations of one report.

        Args:
            report: a report, normalised or as written.

        Returns:
            Perturbation's name to perturbed normalised report, in the order of `PERTURBATIONS`. Where no other result
            exists (one word, no adjective with an antonym, ...) it is the normalised report itself.

        Raises:
            ValueError: the report holds no letter and no digit.
        """
        return next(self.perturb_batch([report]))

    def perturb_batch(self, reports: Iterable[str], num_proc: int = 1) -> Iterator[dict[str, str]]:
        """Make the nine perturbations of many reports, as they come.

        Args:
            reports: reports, normalised or as written; read ahead by no more than a few hundred a process.
            num_proc: processes that share the work; the results do not depend on it.

        Yields:
            For each report in order, what `perturb` returns.

        Raises:
            ValueError: a report holds no letter and no digit (its position is named), or `num_proc` is below 1.
        """
        return self._perturb_normalized(_normalized(reports), self.tagging(num_proc))

    def tagging(self, num_proc: int = 1) -> AbstractContextManager[PartOfSpeechTagger | TaggingProcesses]:
        """What tags reports for `perturb_tagged`, for as long as the context lasts.

        Args:
            num_proc: processes that share the work; the tags do not depend on it.

        Raises:
            ValueError: `num_proc` is below 1.
        """
        if num_proc < 1:
            raise ValueError(f"num_proc must be at least 1, got {num_proc}")
        return nullcontext(self._tagger) if num_proc == 1 else TaggingProcesses(self.spacy_model, num_proc)

    def perturb_tagged(self, report: str, tags: Sequence[str]) -> dict[str, str]:
        """Make the nine perturbations of a report whose words are tagged already.

        Args:
            report: a normalised report.
            tags: the Penn tag of each of its words, by this perturber's tagger.

        Returns:
            What `perturb` returns.

        Raises:
            ValueError: there is not one tag a word.
        """
        perturbed = perturb_words(report.split(), tags, lambda name: self._random(name, report))
        return {name: " ".join(words) for name, words in perturbed.items()}

    def _perturb_normalized(
        self, reports: Iterable[str], tagging: AbstractContextManager[PartOfSpeechTagger | TaggingProcesses]
    ) -> Iterator[dict[str, str]]:
        to_tag, to_perturb = tee(reports)
        with tagging as tagger:
            tagged = tagger.tag(report.split() for report in to_tag)
            for tags, report in zip(tagged, to_perturb, strict=True):
                yield self.perturb_tagged(report, tags)

    def _random(self, name: str, report: str) -> random.Random:
        key = "\0".join((self.tagger.name, self.tagger.version, str(self.seed), name, report))
        return random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()))


def _normalized(reports: Iterable[str]) -> Iterator[str]:
    for position, report in enumerate(reports):
        normalized = normalize_report(report)
        if not normalized:
            raise ValueError(f"report {position} holds no letter and no digit, so nothing to perturb: {report!r}")
        yield normalized
