"""Which cells there are: command lines of the public programs, with the settings that decide what comes of each."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.recipe_files import recipe_keys

from .corpora import CORPORA, STAND_INS, Corpus, stand_in
from .paper import BLIND, CHANCE, HYPOTHESIS, LABELS, MAJORITY, TABLES, Table

ROOT = Path(__file__).resolve().parents[2]
"""Where `train.py`, `finetune.py` and the recipes are."""

DATA, START, RANDOM, PUBLISHED = "data", "start", "random", "published"
PRETRAIN, EVALUATE = "pretrain", "evaluate"
FINETUNINGS: Mapping[str, str] = {"mednli": "nli", "radnli": "nli", "chexpert": "chexpert"}
"""Each fine-tuning, and the file that holds its settings."""

METHOD_KEYS = frozenset(
    {"alpha", "beta", "global_weight", "local_variant", "local_length_normalized", "temperature", "sentence_sampling"}
    | {"perturbations", "perturbation_types", "perturbations_per_image", "output_dir"}
)
"""What recipes may differ in: a method is its losses, and all methods share the rest, their start with it."""

_OTHER_ROWS = (DATA, START, RANDOM, PUBLISHED, MAJORITY, HYPOTHESIS, CHANCE, BLIND)
_LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "-q", "--num_processes", "1")
_TASKS = "structure,counterfactual,grounding"
_NO_PUBLISHED = "the recipes start from random weights: there are no published encoders of their size"


@dataclass(frozen=True)
class Cell:
    """One step of one row, with one seed.

    Attributes:
        row, step, seed: which; a stand-in's building has no seed.
        command: the process to run.
        settings: what decides its result, key to value; a cell is done again, or refused, when they change.
        folder: where the process writes.
        needs: names of the cells whose results it reads.
        missing: why it cannot be run, such as a corpus that was not given.
    """

    row: str
    step: str
    seed: int | None
    command: tuple[str, ...]
    settings: Mapping[str, Any]
    folder: Path
    needs: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def name(self) -> str:
        """Told apart from every other cell's, and of a file."""
        return "-".join([self.row, self.step] + ([] if self.seed is None else [f"seed{self.seed}"]))

    @property
    def chain(self) -> tuple[str, int | None]:
        """The cells of one chain run one after the other; those that share a start are one."""
        if self.row == DATA:
            return (self.name.removesuffix("_source"), None)
        return (START if self.row in (HYPOTHESIS, RANDOM, PUBLISHED) else self.row, self.seed)


@dataclass(frozen=True)
class Row:
    """A row that has cells.

    Attributes:
        name: of its cells and files.
        label: of the tables.
        made: how its models came about, a sentence.
        recipe: what its pre-training's recipe sets; nothing for one without.
    """

    name: str
    label: str
    made: str
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All that is to be done.

    Attributes:
        scale: small or paper.
        seeds: of every row.
        rows: in the order of the tables.
        cells: in the order in which one process would run them.
        corpora: by name; those that are not there, or that no table reads, are left out.
        tables: that are made.
    """

    scale: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    corpora: Mapping[str, Corpus]
    tables: tuple[Table, ...]

    def cell(self, row: str, step: str, seed: int) -> Cell:
        """The cell of a row, a step and a seed."""
        return next(cell for cell in self.cells if (cell.row, cell.step, cell.seed) == (row, step, seed))


def recipe_files(names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Recipe files by the names of their rows.

    Args:
        names: of files in `folder`, without their ending, or paths that end on `.yaml`.

    Raises:
        ValueError: a file is not there, two have one name, or one has that of another row.
    """
    files: dict[str, Path] = {}
    for name in names:
        file = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
        if not file.is_file():
            known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
            raise ValueError(f"recipes: {name!r} is not there: name a .yaml file, or of {folder.name}: {known}")
        if file.stem in files or file.stem in _OTHER_ROWS:
            raise ValueError(f"recipes: {file.stem} stands twice, or is the name of a row of its own")
        files[file.stem] = file
    return files


def check_same_start(recipes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses recipes that differ in more than a method.

    Raises:
        ValueError: two differ in a key that is none of `METHOD_KEYS`; the message names both and the key.
    """
    (first, keys), *others = recipes.items()
    for name, other in others:
        for key in sorted((keys.keys() | other.keys()) - METHOD_KEYS):
            if keys.get(key) != other.get(key):
                raise ValueError(
                    f"recipes: {first} and {name} differ in {key}, {keys.get(key)!r} and {other.get(key)!r}, which is "
                    "no part of a method: rows that start or train differently are not to be compared"
                )


def make_plan(
    files: Mapping[str, Path],
    finetuning: Path,
    corpora: Mapping[str, Corpus],
    seeds: Sequence[int],
    scale: str,
    out: Path,
    tables: Sequence[Table] = TABLES,
) -> Plan:
    """The cells of all rows.

    Args:
        files: recipe files by row, which start alike.
        finetuning: the folder of `nli.yaml` and `chexpert.yaml`.
        corpora: what was given; at small scale stand-ins take the place of what was not.
        seeds: of pre-training and fine-tuning.
        scale: small or paper.
        out: the folder of everything.
        tables: that are made; nothing is run that none of them needs.

    Raises:
        ValueError: as `check_same_start`, or settings are not there.
    """
    recipes = {name: recipe_keys(file) for name, file in files.items()}
    check_same_start(recipes)
    there = dict(corpora)
    if scale == "small":
        there |= {name: stand_in(name, out / "data" / name) for name in CORPORA if name not in corpora}
    builder = _Builder(files, recipes, _finetuning_keys(finetuning), finetuning, there, out)
    cells = [cell for corpus in there.values() if corpus.stand_in for cell in builder.data(corpus)]
    for seed in seeds:
        cells += builder.controls(seed)
        for name in recipes:
            cells += [builder.pretrain(name, seed), *builder.downstream(name, name, seed)]
    cells = _needed(cells, tables)
    read = {"pairs", *(task for cell in cells if cell.step in FINETUNINGS for task in _read_by(cell.step))}
    there = {name: corpus for name, corpus in there.items() if name in read}
    return Plan(scale, tuple(seeds), tuple(_rows(recipes)), tuple(cells), there, tuple(tables))


def _needed(cells: Sequence[Cell], tables: Sequence[Table]) -> list[Cell]:
    # What a table shows, and what that reads.
    steps = {column.step for table in tables for column in table.columns}
    names: set[str] = set()
    for cell in reversed(cells):  # a cell stands after what it reads
        if cell.step in steps or cell.name in names:
            names |= {cell.name, *cell.needs}
    return [cell for cell in cells if cell.name in names]


def _read_by(task: str) -> tuple[str, ...]:
    # The corpora of a fine-tuning, its own first.
    return (task, "mednli") if task == "radnli" else (task,)


def _finetuning_keys(folder: Path) -> dict[str, dict[str, Any]]:
    return {kind: recipe_keys(folder / f"{kind}.yaml") for kind in sorted(set(FINETUNINGS.values()))}


def _from_scratch(recipes: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(keys.get("vision_model") is None for keys in recipes.values())


def _rows(recipes: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    keys = next(iter(recipes.values()))
    encoders = f"{Path(str(keys.get('vision_model'))).name} and {keys.get('text_model')}"
    if _from_scratch(recipes):
        start = "weights drawn at random by the seed, with one seed the same for every row"
        random, published = f"not pre-trained: {start}", _NO_PUBLISHED
    else:
        start = encoders
        random, published = f"not pre-trained: the architecture of {encoders}, drawn anew", f"{encoders}, as published"
    rows = [
        Row(RANDOM, "random initialisation", random),
        Row(PUBLISHED, "published encoders, not pre-trained by us", published),
    ]
    return rows + [
        Row(name, LABELS.get(name, name), f"pre-trained by the recipe {name}; start: {start}", keys)
        for name, keys in recipes.items()
    ]


class _Builder:
    """Writes the command lines.

    Args:
        files, recipes: by row.
        finetuning: settings by kind, and `finetuning_folder`, where their files are.
        corpora: what is there, by name.
        out: the folder of everything.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        recipes: Mapping[str, Mapping[str, Any]],
        finetuning: Mapping[str, Mapping[str, Any]],
        finetuning_folder: Path,
        corpora: Mapping[str, Corpus],
        out: Path,
    ) -> None:
        self.files, self.recipes = files, recipes
        self.finetuning, self.finetuning_folder = finetuning, finetuning_folder
        self.corpora, self.out = corpora, out

    def data(self, corpus: Corpus) -> list[Cell]:
        """The cells that build a stand-in, each reading what the one before wrote."""
        cells: list[Cell] = []
        calls = STAND_INS[corpus.name]
        for place, call in enumerate(calls):
            last = place == len(calls) - 1
            step = _build_step(corpus.name) if last else f"{_build_step(corpus.name)}_source"
            folder = Path(corpus.source) if last else Path(f"{corpus.source}-source")
            command = [sys.executable, "-m", "datasets_scripts", "build", *call, "--out", str(folder), "--overwrite"]
            if cells:
                command += ["--source", str(cells[-1].folder)]
            settings = {"stand_in": corpus.identity}
            needs = tuple(cell.name for cell in cells)
            cells.append(Cell(DATA, step, None, tuple(command), settings, folder, needs))
        return cells

    def controls(self, seed: int) -> list[Cell]:
        """The rows without pre-training: the start itself, as a model folder, and what is fine-tuned from it."""
        cells = [self._start(seed)]
        for task, kind in FINETUNINGS.items():
            if kind == "nli":
                cells.append(self._finetuning(HYPOTHESIS, START, task, seed, {"hypothesis_only": "true"}))
        if _from_scratch(self.recipes):
            cells += self.downstream(RANDOM, START, seed)
            return cells + self.downstream(PUBLISHED, START, seed, _NO_PUBLISHED)
        unmeasured = "train.py starts from the published weights, and has no random start of their architecture"
        for cell in self.downstream(RANDOM, START, seed, flags={"init": "random"}):
            cells.append(cell if cell.step != EVALUATE else _without(cell, unmeasured))
        return cells + self.downstream(PUBLISHED, START, seed)

    def _start(self, seed: int) -> Cell:
        # One step at a learning rate of 0 leaves every weight and every running statistic as it was.
        row = next(iter(self.recipes))
        still = {"alpha": 0.0, "beta": 0.0, "global_weight": 1.0, "sentence_sampling": "false", "freeze": "both"}
        still |= {"learning_rate": 0.0, "max_steps": 1, "max_eval_images": 50, "perturbations": "stored"}
        flags = [part for key, value in still.items() for part in (f"--{key}", str(value))]
        shared = {key: value for key, value in self.recipes[row].items() if key not in METHOD_KEYS}
        return self._train(START, row, seed, flags, shared | still)

    def pretrain(self, row: str, seed: int) -> Cell:
        """The pre-training of a method."""
        return self._train(row, row, seed, [], self.recipes[row])

    def _train(self, row: str, recipe: str, seed: int, flags: Sequence[str], keys: Mapping[str, Any]) -> Cell:
        folder = self._folder(row, PRETRAIN, seed)
        pairs = self.corpora.get("pairs")
        command = (
            *(*_LAUNCH, str(ROOT / "train.py"), "--config", str(self.files[recipe]), *flags),
            *("--data", pairs.source if pairs else "", "--seed", str(seed)),
            *("--output_dir", str(folder), "--resume", "auto"),
        )
        settings = {f"recipe.{key}": value for key, value in keys.items() if key not in ("output_dir", "data")}
        return self._cell(row, PRETRAIN, seed, command, settings, folder, ("pairs",))

    def downstream(
        self, row: str, model: str, seed: int, missing: str | None = None, *, flags: Mapping[str, str] | None = None
    ) -> list[Cell]:
        """The fine-tunings, with `flags`, and the evaluation of a row, from the model of another or its own."""
        cells = [self._finetuning(row, model, task, seed, flags or {}) for task in FINETUNINGS]
        cells.append(self._evaluation(row, model, seed))
        return cells if missing is None else [_without(cell, missing) for cell in cells]

    def _finetuning(self, row: str, model: str, task: str, seed: int, flags: Mapping[str, str]) -> Cell:
        kind, read, folder = FINETUNINGS[task], _read_by(task), self._folder(row, task, seed)
        corpus = self.corpora.get(task)
        command = [*_LAUNCH, str(ROOT / "finetune.py"), "--config", str(self.finetuning_folder / f"{kind}.yaml")]
        command += ["--task", task, "--model", str(self._folder(model, PRETRAIN, seed))]
        command += ["--data", corpus.source if corpus else ""]
        for train in read[1:]:
            if train in self.corpora:
                command += ["--train_data", self.corpora[train].source]
        command += [part for key, value in flags.items() for part in (f"--{key}", value)]
        command += ["--seeds", str(seed), "--output_dir", str(folder)]
        settings = {f"finetune.{key}": value for key, value in {**self.finetuning[kind], **flags}.items()}
        start = self._start_of(model, seed)
        return self._cell(row, task, seed, command, settings, folder, read, start)

    def _evaluation(self, row: str, model: str, seed: int) -> Cell:
        source, folder = self._folder(model, PRETRAIN, seed), self._folder(row, EVALUATE, seed)
        command = [sys.executable, "-m", "evaluate_suite", "run", "--model", str(source), "--tasks", _TASKS]
        pairs = self.corpora.get("pairs")
        command += ["--data", pairs.source if pairs else "", "--out", str(folder), "--overwrite"]
        start = self._start_of(model, seed)
        return self._cell(row, EVALUATE, seed, command, {"tasks": _TASKS}, folder, ("pairs",), start)

    def _start_of(self, model: str, seed: int) -> str:
        return Cell(model, PRETRAIN, seed, (), {}, self._folder(model, PRETRAIN, seed)).name

    def _cell(
        self,
        row: str,
        step: str,
        seed: int,
        command: Sequence[str],
        settings: Mapping[str, Any],
        folder: Path,
        corpora: Sequence[str],
        start: str | None = None,
    ) -> Cell:
        not_given = [name for name in (*corpora, *(("pairs",) if start else ())) if name not in self.corpora]
        missing = f"no corpus: --data {not_given[0]}=DIR_OR_ID was not given" if not_given else None
        known = {name: self.corpora[name] for name in corpora if name in self.corpora}
        settings = {**settings, "seed": seed} | {f"data.{name}": corpus.identity for name, corpus in known.items()}
        needs = [
            Cell(DATA, _build_step(name), None, (), {}, folder).name
            for name, corpus in known.items()
            if corpus.stand_in
        ]
        if start is not None:
            needs.append(start)
        return Cell(row, step, seed, tuple(command), settings, folder, tuple(needs), missing)

    def _folder(self, row: str, step: str, seed: int) -> Path:
        return self.out / "runs" / row / f"seed-{seed}" / step


def _build_step(corpus: str) -> str:
    # Not the corpus's name alone, which is that of the fine-tuning.
    return f"build_{corpus}"


def _without(cell: Cell, missing: str) -> Cell:
    return Cell(cell.row, cell.step, cell.seed, cell.command, cell.settings, cell.folder, cell.needs, missing)


def settings_with_needs(cell: Cell, by_name: Mapping[str, Cell]) -> dict[str, Any]:
    """A cell's settings, and a hash of those of each cell that it reads: what its result depends on."""
    inherited = {f"from {name}": settings_hash(settings_with_needs(by_name[name], by_name)) for name in cell.needs}
    return {**cell.settings, **inherited}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """A hash of settings, whatever their order."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()
