"""The data of an evaluation: a perturbed-pairs dataset, and the part of it that is evaluated."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, IterableDataset, load_dataset
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
from huggingface_hub import DatasetCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

EVALUATED: tuple[str, ...] = ("test", "validation")
"""The splits that are evaluated when none is named: the first that the dataset has rows in."""

GIVEN = "given from Python"
"""The source of what has no folder and no id."""

COLUMNS: tuple[str, ...] = ("image", "image_id", "study_id", "report")
"""What every task reads."""

FINGERPRINTED: tuple[str, ...] = (
    "image_id",
    "study_id",
    "report",
    "perturbed",
    "changed",
    "counterfactual",
    "labels",
    "boxes",
)
"""Besides the images, what the tasks read."""


@dataclass(frozen=True)
class EvaluatedData:
    """One split to be evaluated, and those that help.

    Attributes:
        name: of the dataset, for the report: its Hub id, or a folder's name, by its card where it has one.
        source: the folder or Hub id as it was given, or that the splits were.
        split: the evaluated split's name.
        test: its rows, images decoded when they are read.
        train: the training split; None where the dataset has none, or where it is the evaluated one.
        validation: the same for the validation split.
    """

    name: str
    source: str
    split: str
    test: Dataset
    train: Dataset | None
    validation: Dataset | None

    def fingerprint(self) -> str:
        """A hash of all that tasks read of the evaluated rows, in their order, by which equal data are known.

        Images count as they are stored, encoded; a null struct and a struct of nulls are the same.
        """
        digest = hashlib.blake2b(digest_size=16)
        told = [column for column in FINGERPRINTED if column in self.test.column_names]
        rows = self.test.select_columns(["image", *told]).cast_column("image", Image(decode=False))
        for row in rows:
            digest.update(hashlib.blake2b(_stored_bytes(row["image"])).digest())
            digest.update(json.dumps([_without_nulls(row[column]) for column in told], sort_keys=True).encode())
        return digest.hexdigest()


def _stored_bytes(image: Mapping[str, Any]) -> bytes:
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def _without_nulls(value: Any) -> Any:
    # A null struct reads as None or as a struct of nulls, depending on where the rows come from.
    if isinstance(value, Mapping):
        return {name: plain for name, each in value.items() if (plain := _without_nulls(each)) is not None} or None
    return value


def load_evaluated(data: str | Mapping[str, Dataset], split: str | None = None) -> EvaluatedData:
    """Load a dataset and choose the split to evaluate.

    Args:
        data: a folder that `datasets_scripts` built, a Hub id, or splits by name.
        split: the split to evaluate; None for the first of `EVALUATED` that has rows.

    Raises:
        ValueError: there is no such dataset, split or column; a report is empty; the message names it.
    """
    name, source = ("data", GIVEN) if isinstance(data, Mapping) else (dataset_name(data), data)
    splits = data if isinstance(data, Mapping) else _load(data)
    chosen = split or next((each for each in EVALUATED if len(splits.get(each, ()))), None)
    if chosen is None or chosen not in splits:
        wanted = f"no split {split!r}" if split else f"neither a {' nor a '.join(EVALUATED)} split with rows"
        raise ValueError(f"data {name!r} has {wanted}: it has {', '.join(map(str, splits))}")
    test = splits[chosen]
    _check(test, f"split {chosen!r} of {name!r}")
    helping = {each: splits[each] for each in ("train", "validation") if each != chosen and len(splits.get(each, ()))}
    return EvaluatedData(
        name=name,
        source=source,
        split=chosen,
        test=test.cast_column("image", Image()),
        train=helping.get("train"),
        validation=helping.get("validation"),
    )


def display_name(source: str) -> str:
    """A model's or dataset's name without the machine's folders: the last part of a folder that exists, or the id."""
    return Path(source).resolve().name if Path(source).exists() else _without_folders(source)


def public_source(source: str) -> str:
    """Where a model or dataset came from, as a report says it: as given, without the folders of an absolute path."""
    return display_name(source) if Path(source).is_absolute() else _without_folders(source)


def _without_folders(source: str) -> str:
    # `open_clip:NAME:/FOLDERS/FILE` becomes `open_clip:NAME:FILE`; an address (`hf://...`) stays.
    head, separator, path = source.partition(":/")
    return f"{head}:{Path(path).name}" if separator and not path.startswith("/") else source


def dataset_name(data: str) -> str:
    """A dataset's name: that in the card of its folder, such as "PhantomCXR (default)", or `display_name`."""
    card = Path(data) / "README.md"
    written = DatasetCard.load(card).data.pretty_name if card.is_file() else None
    return written or display_name(data)


def no_such_folder(name: str) -> str:
    """What is not there, in words, where a name is no folder and the Hub did not give it."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "no such folder"
    return "no such folder, and the Hub cannot be reached or has nothing of that name"


@contextmanager
def reading(data: str) -> Iterator[None]:
    """Say in words why `datasets` cannot read a dataset.

    Raises:
        ValueError: there is a file where a folder was to be; or within, `datasets` found no such dataset, or could not
            read it; the message names it.
    """
    if Path(data).is_file():
        raise ValueError(f"no dataset at {data!r}, which is a file: give a folder that datasets_scripts built")
    try:
        yield
    except ConnectionError as error:
        raise ValueError(f"no dataset at {data!r}: there is {no_such_folder(data)}") from error
    except (DatasetNotFoundError, EmptyDatasetError, FileNotFoundError) as error:
        raise ValueError(f"no dataset at {data!r}: give a folder that datasets_scripts built or a Hub id") from error
    except DatasetGenerationError as error:
        raise ValueError(f"the dataset at {data!r} cannot be read ({error.__cause__}): build it again") from error


def _load(data: str) -> Mapping[str, Dataset]:
    with reading(data):
        return load_dataset(data)


def _check(test: Dataset, place: str) -> None:
    check_columns(test, COLUMNS, place)
    if not len(test):
        raise ValueError(f"{place} has no rows")
    for image_id, report in zip(test["image_id"], test["report"], strict=True):
        if not (report or "").strip():
            raise ValueError(f"the report of image {image_id!r} in {place} is empty: leave it out")


def check_columns(data: Dataset | IterableDataset, columns: Sequence[str], place: str) -> None:
    """Refuse data that lack columns.

    Raises:
        ValueError: it lacks some; the message names the place and them.
    """
    if missing := missing_columns(data, columns):
        raise ValueError(
            f"{place} has no column {' and no column '.join(map(repr, missing))}; "
            f"it has {', '.join(data.column_names or ())}"
        )


def missing_columns(data: Dataset | IterableDataset, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that the data lacks."""
    return [column for column in columns if column not in (data.column_names or ())]
