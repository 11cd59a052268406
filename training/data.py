"""From a recipe to batches: the dataset (PhantomCXR when none is named), its checks, and the collator."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import Dataset, Image, IterableDataset, config, get_dataset_split_names, load_dataset
from PIL import Image as PILImage

from datasets_scripts import phantom
from datasets_scripts.perturbations import PERTURBATIONS, normalize_report
from datasets_scripts.radiographs import UNREADABLE_IMAGE
from datasets_scripts.report_sentences import has_letter
from datasets_scripts.schema import COUNTERFACTUAL_KINDS, features
from evaluate_suite.data import check_columns, reading
from modeling_prd import PRDProcessor

from .arguments import DataArguments
from .errors import InputError
from .streaming import PairStream, gather

_ANTONYMS = "replace_adjectives_with_antonyms"
_TEXT_COLUMNS = ["image_id", "synthetic", "report", "perturbed"]

Split = TypeVar("Split", Dataset, IterableDataset)


@dataclass(frozen=True)
class Pairs:
    """The pairs of a run.

    Attributes:
        train: the training split, a `PairStream` where it is streamed.
        train_texts: its rows in the order in which they are stored, at least with the columns that need no image:
            `image_id`, `synthetic`, `report`, `perturbed`.
        validation: the evaluation split.
    """

    train: Dataset | PairStream
    train_texts: Dataset
    validation: Dataset


def phantom_folder(arguments: DataArguments) -> Path:
    """The folder of the PhantomCXR that these arguments describe, built on the first call and reused after it.

    It lies in the datasets cache under a hash of the arguments, the generator's version and the columns.
    """
    train, image_size = arguments.phantom_train, arguments.phantom_image_size
    seed, difficulty = arguments.phantom_seed, arguments.phantom_difficulty
    identity = json.dumps([phantom.GENERATOR_VERSION, sorted(features()), train, image_size, seed, difficulty])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = Path(config.HF_DATASETS_CACHE) / "phantom_cxr" / key
    if not folder.exists():
        phantom.build(folder, train=train, image_size=image_size, seed=seed, difficulty=difficulty)
    return folder


def load_split(data: str, config_name: str, split: str) -> Dataset:
    """Loads one split of a perturbed-pairs dataset; images stay encoded until a batch needs them.

    Args:
        data: a folder that `datasets_scripts` built, or a Hub id.
        config_name: `default` or `strict`.
        split: the split's name.

    Raises:
        ValueError: the dataset, the split or a column is not there; the message names what is.
    """
    _check_split(data, config_name, split)
    with reading(data):
        dataset = load_dataset(data, config_name, split=split)
    return _encoded_images(dataset, data)


def stream_split(data: str, config_name: str, split: str) -> IterableDataset:
    """As `load_split`, but the rows are read as they come, and only what is read is fetched."""
    _check_split(data, config_name, split)
    return _encoded_images(load_dataset(data, config_name, split=split, streaming=True), data)


def _check_split(data: str, config_name: str, split: str) -> None:
    with reading(data):
        splits = get_dataset_split_names(data, config_name)
    if split not in splits:
        raise ValueError(f"split {split!r} is not in {data!r}, which has {', '.join(map(str, splits))}")


def _encoded_images(dataset: Split, data: str) -> Split:
    check_columns(dataset, tuple(features()), repr(data))
    return dataset.cast_column("image", Image(decode=False))


def load_pairs(arguments: DataArguments) -> Pairs:
    """The training and the evaluation split of a recipe.

    A streamed training split is read once for its texts alone, of which checks, vocabulary and the epoch's length
    come; a streamed evaluation split is gathered in memory.

    Raises:
        ValueError: as `load_split`; a report is empty; an `image_id` stands twice; a report to be perturbed afresh is
            not normalised or has no tag for each word; a report to sample a sentence from has no findings as written;
            no report has a counterfactual of a kind that the recipe names; an image of the evaluation split does not
            decode; those of the training split are decoded when their batch comes.
    """
    data, name = arguments.data or str(phantom_folder(arguments)), arguments.data_config
    most_train, most_eval = arguments.max_train_images, arguments.max_eval_images
    fresh = arguments.perturbations == "fresh"
    kinds = counterfactual_kinds(arguments.perturbation_types)
    if arguments.streaming:
        stream = _first(stream_split(data, name, arguments.train_split), most_train)
        # Without the images' column, about half the bytes are fetched: the read-ahead takes some of the images along.
        needed = {"tags": fresh, "counterfactual": bool(kinds), "findings": arguments.sentence_sampling}
        columns = [*_TEXT_COLUMNS, *(column for column, wanted in needed.items() if wanted)]
        texts = load_dataset(data, name, split=arguments.train_split, streaming=True, columns=columns)
        train_texts = gather(_first(texts, most_train).map(_keep_antonyms))
        validation = gather(_first(stream_split(data, name, arguments.eval_split), most_eval))
        pairs = Pairs(PairStream(stream, len(train_texts)), train_texts, validation)
    else:
        train = _first(load_split(data, name, arguments.train_split), most_train)
        pairs = Pairs(train, train, _first(load_split(data, name, arguments.eval_split), most_eval))
    _check_reports(pairs.train_texts, arguments.train_split)
    _check_reports(pairs.validation, arguments.eval_split)
    if fresh:
        _check_tags(pairs.train_texts, arguments.train_split)
    if arguments.sentence_sampling:
        _check_findings(pairs.train_texts, arguments.train_split)
    for kind in kinds:
        if not any(contrast(row, kind) for row in pairs.train_texts.select_columns("counterfactual")):
            raise ValueError(f"perturbation_types: no report of split {arguments.train_split!r} has an edit {kind!r}")
    for row in pairs.validation.select_columns(["image", "image_id"]):
        decode_image(row)
    return pairs


def _first(rows: Split, most: int | None) -> Split:
    if most is None:
        return rows
    return rows.take(min(most, len(rows)) if isinstance(rows, Dataset) else most)


def _keep_antonyms(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the one perturbed report that can have words of its own: they are held in memory."""
    return {"perturbed": {_ANTONYMS: row["perturbed"][_ANTONYMS]}}


def _check_reports(texts: Dataset, split: str) -> None:
    seen: set[str] = set()
    for image_id, report in zip(texts["image_id"], texts["report"], strict=True):
        if not report.strip():
            raise ValueError(f"the report of image {image_id!r} in split {split!r} is empty: leave it out")
        if image_id in seen:
            raise ValueError(f"image_id {image_id!r} stands in two rows of split {split!r}: make it unique")
        seen.add(image_id)


def _check_tags(texts: Dataset, split: str) -> None:
    for image_id, report, tags in zip(texts["image_id"], texts["report"], texts["tags"], strict=True):
        words, found = report.split(), (tags or "").split()
        if report != normalize_report(report):
            raise ValueError(
                f"the report of image {image_id!r} in split {split!r} is not normalised, as fresh perturbations need "
                "it: build the dataset with datasets_scripts"
            )
        if len(words) != len(found):
            raise ValueError(
                f"image {image_id!r} in split {split!r} has {len(found)} tags for the {len(words)} words of its "
                "report, and fresh perturbations need one a word: build the dataset with datasets_scripts"
            )


def _check_findings(texts: Dataset, split: str) -> None:
    for image_id, findings in zip(texts["image_id"], texts["findings"], strict=True):
        if not has_letter(findings):
            raise ValueError(
                f"image {image_id!r} in split {split!r} has no findings as written, and sentence_sampling takes a "
                "sentence of them: leave it out, or set sentence_sampling to false"
            )


def training_texts(train: Dataset, perturbation_types: Sequence[str] = PERTURBATIONS) -> Iterator[str]:
    """The distinct texts of a run that may have words of their own, for a vocabulary that has all of them.

    They are the reports of the training split, their antonym versions, and their counterfactuals of the kinds that
    `perturbation_types` names.
    """
    yield from dict.fromkeys(train["report"])
    yield from dict.fromkeys(row[_ANTONYMS] for row in train["perturbed"])
    yield from edited_texts(train, perturbation_types)


def edited_texts(train: Dataset, perturbation_types: Sequence[str]) -> Iterator[str]:
    """The distinct counterfactuals of the kinds that are named."""
    if kinds := counterfactual_kinds(perturbation_types):
        edits = (contrast(row, kind) for row in train.select_columns("counterfactual") for kind in kinds)
        yield from dict.fromkeys(text for text in edits if text is not None)


def counterfactual_kinds(perturbation_types: Sequence[str]) -> list[str]:
    """Those of the names that are kinds of counterfactuals."""
    return [name for name in perturbation_types if name in COUNTERFACTUAL_KINDS]


def decode_image(row: dict[str, Any]) -> PILImage.Image:
    """Decodes a row's image.

    Raises:
        InputError: it does not decode; the message names the row's `image_id`.
    """
    encoded = row["image"]
    try:
        image = PILImage.open(encoded["path"] if encoded["bytes"] is None else BytesIO(encoded["bytes"]))
        image.load()
    except UNREADABLE_IMAGE as error:
        raise InputError(
            f"image {row['image_id']!r} does not decode: {error}; rebuild the dataset without it"
        ) from error
    return image


def report_id(report: str) -> int:
    """An int64 that equal reports share, on every machine."""
    return int.from_bytes(hashlib.blake2b(report.encode(), digest_size=8).digest(), "little", signed=True)


def split_digest(pairs: Dataset) -> str:
    """A hash of the image ids and reports in their order, by which a resumed run knows its data again."""
    digest = hashlib.blake2b(digest_size=16)
    for column in ("image_id", "report"):
        digest.update(json.dumps(list(pairs[column])).encode())
    return digest.hexdigest()


def contrast(row: dict[str, Any], name: str) -> str | None:
    """A row's perturbed report of that name, or its counterfactual of that kind; None where it has none."""
    if name in PERTURBATIONS:
        return row["perturbed"][name]
    edits = row["counterfactual"]
    return None if edits is None or edits[name] is None else edits[name]["text"]  # null structs read in two ways


class PairCollator:
    """Turns rows into the inputs of `PRDModel.forward`: decoding, tokenising and stacking, all in the worker.

    Args:
        processor: prepares images and text.
        max_length: longest report in tokens.
        perturbation_types: the P perturbations and kinds of counterfactuals that a report is told from.
    """

    def __init__(
        self, processor: PRDProcessor, max_length: int, perturbation_types: Sequence[str] = PERTURBATIONS
    ) -> None:
        self.processor = processor
        self.max_length = max_length
        self.perturbation_types = tuple(perturbation_types)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: stored perturbations are the same in every epoch."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The inputs of `PRDModel.forward` for B rows, `report_ids` [B] among them."""
        inputs = self.processor(
            images=[decode_image(row) for row in rows],
            text=[row["report"] for row in rows],
            perturbed_text=[[contrast(row, name) for name in self.perturbation_types] for row in rows],
            max_length=self.max_length,
            return_tensors="pt",
        )
        return {**inputs, "report_ids": torch.tensor([report_id(row["report"]) for row in rows])}


def use_one_thread(worker: int) -> None:
    """Keeps a data loader's worker to one thread; torch sees to its own, tokenizers would start one a core in each."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def draw_perturbations(
    batch: dict[str, torch.Tensor], count: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Keeps `count` of the perturbed reports of each image, drawn without replacement, before those that it lacks.

    Args:
        batch: inputs of `PRDModel.forward`, `perturbed_input_ids` [B, P, L'].
        count: how many stay; P or more keeps all.
        generator: on the CPU.

    Returns:
        the batch with [B, count, L'] perturbed inputs.
    """
    size, available, length = batch["perturbed_input_ids"].shape
    if count >= available:
        return batch
    lacking = ~batch["perturbation_mask"]
    order = torch.rand(size, available, generator=generator).to(lacking.device) + lacking.float()
    chosen = order.argsort(dim=1)[:, :count]  # [B, count]
    tokens = chosen.unsqueeze(-1).expand(-1, -1, length)
    return {
        **batch,
        "perturbed_input_ids": batch["perturbed_input_ids"].gather(1, tokens),
        "perturbed_attention_mask": batch["perturbed_attention_mask"].gather(1, tokens),
        "perturbation_mask": batch["perturbation_mask"].gather(1, chosen),
    }
