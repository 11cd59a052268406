"""Run tasks on a model and write the report: the one way in from the command line, from Python and from `evaluate`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tqdm.auto import tqdm

from . import ms_cxr
from .context import Figures, Picture, TaskContext, Tree
from .data import GIVEN, EvaluatedData, display_name, load_evaluated, missing_columns, public_source
from .embeddings import Embeddings
from .encoders import Described, DualEncoder, TextWindow
from .loading import load_encoder
from .output import FIGURES, check_folder, write_report
from .tasks import TASKS

_TASK_COLUMNS: dict[str, tuple[str, ...]] = {
    "structure": ("perturbed", "changed"),
    "counterfactual": ("counterfactual",),
    "retrieval": (),
    "zero_shot": ("labels",),
    "grounding": ("boxes",),
    "robustness": ("perturbed", "changed", "counterfactual"),
}
_VERSIONS = ("torch", "transformers", "datasets", "numpy")


def run(
    model: str | DualEncoder,
    data: str | Mapping[str, Dataset],
    tasks: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    image_root: str | Path | None = None,
    split: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
    n_bootstrap: int = 1000,
    device: str | None = None,
    processor: str | None = None,
    overwrite: bool = False,
) -> Tree:
    """Evaluate a model on a perturbed-pairs dataset; every distinct image and text is encoded once.

    Args:
        model: a folder or Hub id that `load_encoder` knows, or any object with `encode_images` and `encode_texts`.
        data: a folder that `datasets_scripts` built, a Hub id, splits by name, or MS-CXR's annotation file, whose
            phrases and boxes suit `grounding`.
        tasks: names of `TASKS`, as a list or with commas between them; None for all that the data has columns for.
        out: the report's folder: `report.json`, `report.md`, `figures/`, `outcomes.parquet`; None writes nothing.
        image_root: the folder of the images that MS-CXR's annotation file names, and only with one.
        split: the split to evaluate; None for `test`, or `validation` where there is no test.
        batch_size: images or texts that go through a loaded model at once.
        seed, n_bootstrap: of the intervals, and the seed of all else that is drawn.
        device: where a loaded model computes; None for the CPU.
        processor: folder or Hub id of the processor, for a model that brings none.
        overwrite: replace the report that stands in `out`.

    Returns:
        The report as `report.json` has it.

    Raises:
        ValueError: an argument, the model, the dataset or a column is bad; the message names it.
        OSError: a file cannot be read or written.
        ImportError: the model needs a package that is not installed.
    """
    names = _checked_tasks(tasks)
    if n_bootstrap < 1 or seed < 0:
        raise ValueError(f"n_bootstrap is {n_bootstrap} and seed {seed}: at least 1 resample, and a seed of 0 or more")
    if out is not None:
        check_folder(Path(out), overwrite=overwrite)
    evaluated = _evaluated_data(data, image_root, split)
    skipped = _lacking_columns(names, evaluated, named=tasks is not None)
    encoder = _encoder(model, batch_size=batch_size, device=device, processor=processor)
    context = TaskContext(
        embeddings=Embeddings(encoder, progress=True),
        test=evaluated.test,
        train=evaluated.train,
        validation=evaluated.validation,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    trees, pictures = _run_tasks(context, [name for name in names if name not in skipped])
    report = {
        "model": display_name(model) if isinstance(model, str) else type(model).__name__,
        "sources": {
            "model": public_source(model) if isinstance(model, str) else GIVEN,
            "data": public_source(evaluated.source),
        },
        **_facts(evaluated, context),
        "tasks": trees,
        "figures": {task: [_figure_entry(each) for each in drawn] for task, drawn in pictures.items()},
        "skipped": skipped,
    }
    if out is not None:
        write_report(Path(out), report, context.outcomes, [each for drawn in pictures.values() for each in drawn])
    return report


def _checked_tasks(tasks: str | Sequence[str] | None) -> list[str]:
    if tasks is None:
        return list(TASKS)
    asked = [name.strip() for name in tasks.split(",")] if isinstance(tasks, str) else tasks
    if not asked:
        raise ValueError(f"tasks is empty: name some of {', '.join(TASKS)}, or leave it out for all")
    unknown = [name for name in asked if name not in TASKS]
    if unknown:
        raise ValueError(f"there is no task {unknown[0]!r}: there are {', '.join(TASKS)}")
    return [name for name in TASKS if name in asked]


def _evaluated_data(
    data: str | Mapping[str, Dataset], image_root: str | Path | None, split: str | None
) -> EvaluatedData:
    annotations = Path(data) if isinstance(data, str) and Path(data).suffix in ms_cxr.SUFFIXES else None
    if annotations is None and image_root is None:
        return load_evaluated(data, split)
    if annotations is None:
        raise ValueError(f"image_root is {str(image_root)!r}, but data is no annotation file of MS-CXR: leave it out")
    if not annotations.is_file():
        raise ValueError(f"there is no annotation file {data}")
    if image_root is None:
        raise ValueError(f"{data} is an annotation file of MS-CXR: name the folder of its images as image_root")
    splits = ms_cxr.read(annotations, Path(image_root))
    return replace(load_evaluated(splits, split), name=annotations.name, source=str(annotations))


def _lacking_columns(names: Sequence[str], evaluated: EvaluatedData, *, named: bool) -> dict[str, str]:
    # A task that was asked for by name must be able to run; of all tasks, those that cannot are left out.
    lacking = {name: missing_columns(evaluated.test, _TASK_COLUMNS[name]) for name in names}
    reasons = {
        name: f"the data has no column {' and no column '.join(map(repr, missing))}"
        for name, missing in lacking.items()
        if missing
    }
    if named and reasons:
        name, reason = next(iter(reasons.items()))
        raise ValueError(
            f"task {name!r} cannot run on {evaluated.name!r}: {reason}, only {', '.join(evaluated.test.column_names)}"
        )
    return reasons


def _run_tasks(context: TaskContext, names: Sequence[str]) -> tuple[dict[str, Tree], dict[str, list[Picture]]]:
    trees: dict[str, Tree] = {}
    pictures: dict[str, list[Picture]] = {}
    with tqdm(names, "tasks", unit="task", disable=None) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            figures = Figures()
            trees[name] = TASKS[name](replace(context, figures=figures))
            pictures[name] = figures.pictures
    return trees, pictures


def _encoder(model: str | DualEncoder, **options: Any) -> DualEncoder:
    if isinstance(model, str):
        _check_device(options["device"])
        return load_encoder(model, **options)
    lacking = [method for method in ("encode_images", "encode_texts") if not callable(getattr(model, method, None))]
    if lacking:
        raise ValueError(
            f"{type(model).__name__} has no {' and no '.join(lacking)}: give a folder, a Hub id, or an encoder, "
            "such as PRDEncoder(model, processor)"
        )
    return model


def _check_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts that it has it
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used here ({reason}): name another, or none") from error


def _facts(evaluated: EvaluatedData, context: TaskContext) -> dict[str, Any]:
    test = evaluated.test
    return {
        "data": evaluated.name,
        "split": evaluated.split,
        "fingerprint": evaluated.fingerprint(),
        "n_images": len(test),
        "n_studies": len(set(test["study_id"])),
        "n_reports": len(set(test["report"])),
        "n_synthetic": sum(map(bool, test["synthetic"])) if "synthetic" in test.column_names else 0,
        "encoder": _encoder_facts(context.embeddings.encoder),
        "texts": _texts(context.embeddings),
        "seed": context.seed,
        "n_bootstrap": context.n_bootstrap,
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _encoder_facts(encoder: DualEncoder) -> dict[str, Any]:
    return dict(encoder.facts()) if isinstance(encoder, Described) else {"class": type(encoder).__name__}


def _texts(embeddings: Embeddings) -> dict[str, int | None]:
    # How many distinct texts the tasks asked for, and how many of them are longer than the model reads.
    texts, encoder = embeddings.known_texts, embeddings.encoder
    return {"distinct": len(texts), "truncated": encoder.truncated(texts) if isinstance(encoder, TextWindow) else None}


def _figure_entry(picture: Picture) -> dict[str, str]:
    return {"file": f"{FIGURES}/{picture.name}.png", "caption": picture.caption}
