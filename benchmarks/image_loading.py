"""Images a second into the model, from a dataset and from full-size files: `python -m benchmarks.image_loading`.

Draws radiograph-like PNG files (or takes your own), builds a dataset of them with `build table`, and times in one
process, in turn, what an epoch does with each: rows of the dataset, memory-mapped and decoded as training does it,
through `PRDProcessor`; and the files, opened by Pillow, through the same processor.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, load_dataset
from datasets import Image as ImageFeature
from PIL import Image

from datasets_scripts.__main__ import main as datasets_scripts_main
from datasets_scripts.phantom import study_image
from modeling_prd import PRDProcessor
from training.arguments import DataArguments
from training.data import decode_image
from training.models import build_processor, build_tokenizer

_DRAWN_SIDE = 512
_NOISE = 2.0  # grey levels: what a detector adds, and what makes a PNG of a radiograph large
_REPORT = "the lungs are clear"


def draw_radiographs(folder: Path, count: int, side: int, seed: int = 0) -> list[Path]:
    """Write PNG files of `side` x `side` pixels: PhantomCXR's drawings enlarged, with noise of their own."""
    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        image, _ = study_image(seed, "test", index, "default", _DRAWN_SIDE)
        pixels = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32)
        noise = np.random.default_rng((seed, index)).normal(0, _NOISE, pixels.shape)
        paths.append(folder / f"{index:04d}.png")
        Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def build_cache(paths: Sequence[Path], work: Path, image_size: int) -> Dataset:
    """Build a dataset of these files with `build table`, and open it as training does."""
    table = work / "table.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "report"), *((path.name, _REPORT) for path in paths)])
    flags = {"table": table, "image_root": paths[0].parent, "out": work / "cache", "image_size": image_size}
    arguments = [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]
    columns = ["--image_column", "image", "--report_column", "report", "--validation", "0"]
    if datasets_scripts_main(["build", "table", *arguments, *columns, "--synthetic"]) != 0:
        raise RuntimeError("the dataset was not built; the line above says why")
    dataset = load_dataset(str(work / "cache"), split="train", cache_dir=str(work / "datasets"))
    return dataset.cast_column("image", ImageFeature(decode=False))


def measure(
    paths: Sequence[Path], dataset: Dataset, processor: PRDProcessor, batch_size: int, repeats: int, passes: int
) -> dict[str, Any]:
    """Time both ways in turn.

    Args:
        paths: the files, in the dataset's order.
        dataset: the rows made of them.
        processor: makes `pixel_values`.
        batch_size: images a call of the processor.
        repeats: timings of each way, of which the median is taken.
        passes: how often a timing of the dataset goes over its rows, for they take little time.

    Returns:
        `cache` and `files`: median images a second, and each timing; `ratio` of the medians; and
        `largest_difference` between the two ways' `pixel_values`.
    """

    def from_cache(start: int) -> list[Image.Image]:
        rows = (dataset[index] for index in range(start, min(start + batch_size, len(paths))))
        return [decode_image(row) for row in rows]

    def from_files(start: int) -> list[Image.Image]:
        return [Image.open(path) for path in paths[start : start + batch_size]]

    def run(read: Callable[[int], list[Image.Image]]) -> torch.Tensor:
        starts = range(0, len(paths), batch_size)
        return torch.cat([processor(images=read(start), return_tensors="pt")["pixel_values"] for start in starts])

    def rate(read: Callable[[int], list[Image.Image]], times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            run(read)
        return times * len(paths) / (time.perf_counter() - began)

    difference = (run(from_cache) - run(from_files)).abs().max().item()  # also warms both up
    rates: dict[str, list[float]] = {"cache": [], "files": []}
    for _ in range(repeats):
        rates["cache"].append(rate(from_cache, passes))
        rates["files"].append(rate(from_files, 1))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        **{name: {"images_per_second": medians[name], "timings": rates[name]} for name in rates},
        "ratio": medians["cache"] / medians["files"],
        "largest_difference": difference,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, build, measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_loading", description=__doc__)
    parser.add_argument("--source", type=Path, help="a folder of PNG files to use instead of drawn ones")
    parser.add_argument("--images", type=int, default=32, help="how many images")
    parser.add_argument("--side", type=int, default=2048, help="pixels of a drawn image's sides")
    parser.add_argument("--cache_size", type=int, default=256, help="pixels of a stored image's shorter side")
    parser.add_argument("--image_size", type=int, default=224, help="pixels of the model's input")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="of the model's input")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="timings, of which the median counts")
    parser.add_argument("--passes", type=int, default=10, help="passes over the dataset in one timing")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    data = DataArguments(image_size=args.image_size, image_resize=max(args.image_size, args.cache_size))
    processor = build_processor(data, build_tokenizer([_REPORT], 100, data.max_length), args.channels)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if args.source:
            paths = sorted(args.source.glob("*.png"))[: args.images]
            if not paths:
                parser.error(f"--source {args.source} holds no PNG file")
        else:
            paths = draw_radiographs(work / "files", args.images, args.side)
        megabytes = statistics.mean(path.stat().st_size for path in paths) / 1e6
        dataset = build_cache(paths, work, args.cache_size)
        results = measure(paths, dataset, processor, args.batch_size, args.repeats, args.passes)
    print(f"\n{len(paths)} files of {megabytes:.1f} MB; model input {args.channels} x {args.image_size} pixels")
    for name, what in (("cache", f"dataset at {args.cache_size} px"), ("files", "full-size files")):
        print(f"{what:24}{results[name]['images_per_second']:10.1f} images/s")
    print(f"{'ratio':24}{results['ratio']:10.1f}")
    print(f"{'largest difference':24}{results['largest_difference']:10.4f} of pixel values in [0, 1]")
    if args.json:
        args.json.write_text(json.dumps({"megabytes": megabytes, "images": len(paths), **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
