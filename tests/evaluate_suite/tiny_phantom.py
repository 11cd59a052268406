"""A small PhantomCXR for tests of whole tasks, and the words of its reports."""

from pathlib import Path

from datasets import Dataset, load_dataset

from datasets_scripts import phantom

SPLITS = ("train", "validation", "test")


def load_tiny_phantom(folder: Path) -> dict[str, Dataset]:
    """40 training, 12 validation and 60 test images of 32 pixels."""
    phantom.build(folder / "data", train=40, validation=12, test=60, image_size=32, progress=False)
    return {split: load_dataset(str(folder / "data"), split=split, cache_dir=str(folder)) for split in SPLITS}


def words_of(data: Dataset) -> list[str]:
    """The distinct words of the reports and of their counterfactuals."""
    edits = [edit["text"] for row in data["counterfactual"] for edit in row.values() if edit]
    return sorted({word for text in [*data["report"], *edits] for word in text.split()})
