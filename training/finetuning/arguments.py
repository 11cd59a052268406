"""What `finetune.py` is told: five dataclasses, read from flags and, by `--config`, from a YAML file."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from datasets_scripts.schema import CHEXPERT_LABELS

from ..arguments import LoraArguments, OptimizationArguments
from ..bounds import BOUNDS_OF_TRAINING, Bounds, check_bounds
from ..parsing import listed, parse_sections

IMAGE_TASKS = ("chexpert",)


@dataclass(frozen=True)
class TaskArguments:
    """What is learned, and of what.

    Attributes:
        task: mednli and radnli classify pairs of sentences, chexpert images.
        data: a dataset that `datasets_scripts` built, a folder or a Hub id; for pairs also a folder with PhysioNet's
            JSONL files. radnli chooses on its validation split and reports its test split. An image dataset without a
            test split reports its validation split, and chooses on patients held out of training (on studies, where
            these do not name their patients).
        train_data: what radnli is trained on, MedNLI, in one of the same forms.
        direct: train radnli on its own validation split instead, less the pairs held out to choose on.
        held_out: share of the training pairs or images that is held out where no split is there to choose on.
        hypothesis_only: show only the hypothesis, a control: what is then above chance does not need the premise.
        labels: those of CheXpert's 14 observations that are learned, in a list or with commas; by default all that the
            training split has both values of.
        label_fraction: share of the training images that is used, whole studies, drawn anew by each seed.
        max_length: longest pair in tokens; by default what the tokenizer says.
        max_train: train on the first so many pairs or images only.
        max_eval: choose and report on the first so many only.
        dataloader_num_workers: processes that decode and tokenise.
    """

    task: Literal["mednli", "radnli", "chexpert"]
    data: str
    train_data: str | None = None
    direct: bool = False
    held_out: float = 0.1
    hypothesis_only: bool = False
    labels: list[str] | str | None = None
    label_fraction: float = 1.0
    max_length: int | None = None
    max_train: int | None = None
    max_eval: int | None = None
    dataloader_num_workers: int = 0


@dataclass(frozen=True)
class ClassifierArguments:
    """Which classifier, and what of it is trained.

    Attributes:
        model: where it starts: a folder or Hub id of PRD or of any transformers checkpoint with a classifier of that
            kind, or a published encoder as `train.py` takes it (CXR-BERT, BioViL's `.pt` file).
        init: `pretrained`, or `random` for the same architecture with weights drawn anew, a control.
        method: `full` trains every weight (or LoRA's, with `lora_r`), `linear_probe` the classifying layer alone
            (and a pooler before it that the checkpoint lacks).
        image_size: side in pixels of a published vision encoder's images; other models have theirs.
    """

    model: str
    init: Literal["pretrained", "random"] = "pretrained"
    method: Literal["full", "linear_probe"] = "full"
    image_size: int = 224


@dataclass(frozen=True)
class FineTuneOptimization(OptimizationArguments):
    """How the weights move; `max_steps` ends the run earlier or later than `num_train_epochs`.

    Attributes:
        batch_size: pairs or images a step on each device.
        learning_rate: its peak.
        class_weights: `balanced` counts each class, or each label's two values, as often as the other.
        early_stopping_patience: end a seed after so many evaluations without a better one; by default none ends early.
        eval_steps: evaluate each so many optimizer steps; by default after each epoch.
    """

    batch_size: int = 32
    learning_rate: float = 5e-5
    num_train_epochs: int = 3
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    warmup_ratio: float = 0.1
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping_patience: int | None = None
    eval_steps: int | None = None


@dataclass(frozen=True)
class FineTuneRun:
    """Where the run lives.

    Attributes:
        output_dir: becomes a Hub-ready model folder, of the seed that does best on the validation split. A call on a
            folder of the same run goes on: seeds that are finished are kept and not run again.
        seeds: of the new layer, order, augmentation, dropout and the label fraction; in a list or with commas.
        device: auto, cpu, cuda or mps.
        cpu_threads: threads of each process on CPUs; by default the cores shared among the processes.
        eval_batch_size: pairs or images at once in evaluation.
        n_bootstrap: resamples of each interval.
        overwrite: delete another run's `output_dir` first.
        push_to_hub: `ORG/NAME` to upload the folder to at the end.
        hub_public: make that repository public.
    """

    output_dir: str = "outputs/finetuned"
    seeds: list[int] | int | str = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    cpu_threads: int | None = None
    eval_batch_size: int = 64
    n_bootstrap: int = 1000
    overwrite: bool = False
    push_to_hub: str | None = None
    hub_public: bool = False


@dataclass(frozen=True)
class FineTuning:
    """One fine-tuning, whole. On the command line and in YAML its keys stand flat, `augmentation` nested."""

    task: TaskArguments
    classifier: ClassifierArguments
    optimization: FineTuneOptimization = field(default_factory=FineTuneOptimization)
    lora: LoraArguments = field(default_factory=LoraArguments)
    run: FineTuneRun = field(default_factory=FineTuneRun)

    def __post_init__(self) -> None:
        check_bounds(self, _BOUNDS)
        self._check_task()
        if self.lora.lora_r is not None and self.classifier.method == "linear_probe":
            raise ValueError("lora_r: a linear probe trains no encoder; give lora_r or --method linear_probe")
        if self.lora.lora_r is not None and self.classifier.init == "random":
            raise ValueError("lora_r: an encoder with random weights has nothing to adapt; train it whole")
        seeds = self.seeds
        if not seeds:
            raise ValueError("seeds: name at least one")
        for place, seed in enumerate(seeds):
            if seed in seeds[:place]:
                raise ValueError(f"seeds: {seed} stands twice")

    def _check_task(self) -> None:
        task = self.task
        if task.task == "radnli" and task.direct == (task.train_data is not None):
            raise ValueError(
                "radnli has no training split: give MedNLI by --train_data, or --direct true to train on its own "
                "validation split"
            )
        for key, given, tasks in (
            ("train_data", task.train_data is not None, ("radnli",)),
            ("direct", task.direct, ("radnli",)),
            ("hypothesis_only", task.hypothesis_only, ("mednli", "radnli")),
            ("labels", task.labels is not None, IMAGE_TASKS),
            ("label_fraction", task.label_fraction != 1, IMAGE_TASKS),
        ):
            if given and task.task not in tasks:
                raise ValueError(f"{key} is for {' and '.join(tasks)}, not for {task.task}")
        if self.labels == []:
            raise ValueError("labels: name at least one, or leave the key out for all")
        for place, label in enumerate(self.labels or ()):
            if label not in CHEXPERT_LABELS:
                raise ValueError(f"labels: {label!r} is none of {', '.join(CHEXPERT_LABELS)}")
            if label in (self.labels or ())[:place]:
                raise ValueError(f"labels: {label!r} stands twice")

    @property
    def seeds(self) -> list[int]:
        """The seeds in their order.

        Raises:
            ValueError: one is no whole number from 0 to 2**32 - 1.
        """
        names = listed([self.run.seeds] if isinstance(self.run.seeds, int) else self.run.seeds)
        for name in names:
            if not name.isdecimal() or int(name) >= 2**32:
                raise ValueError(f"seeds: {name!r} is no whole number below 2**32; give them as 0,1,2")
        return [int(name) for name in names]

    @property
    def labels(self) -> list[str] | None:
        """The observations asked for; None for all."""
        return None if self.task.labels is None else listed(self.task.labels)

    def to_flat_dict(self) -> dict[str, Any]:
        """The keys as they stand in a YAML file."""
        return {key: value for section in asdict(self).values() for key, value in section.items()}


_SECTIONS = {
    "task": TaskArguments,
    "classifier": ClassifierArguments,
    "optimization": FineTuneOptimization,
    "lora": LoraArguments,
    "run": FineTuneRun,
}

_BOUNDS: Bounds = (
    *BOUNDS_OF_TRAINING,
    ("task", "held_out", 1e-6, 0.9),
    ("task", "label_fraction", 1e-6, 1),
    ("task", "max_length", 3, math.inf),
    ("task", "max_train", 1, math.inf),
    ("task", "max_eval", 1, math.inf),
    ("task", "dataloader_num_workers", 0, math.inf),
    ("classifier", "image_size", 1, math.inf),
    ("optimization", "early_stopping_patience", 1, math.inf),
    ("optimization", "eval_steps", 1, math.inf),
    ("run", "n_bootstrap", 1, math.inf),
)


def parse_finetuning(arguments: Sequence[str] | None = None) -> FineTuning:
    """Reads the command line.

    Args:
        arguments: it, without the program's name; `sys.argv` if None.

    Raises:
        SystemExit: with status 2 and one line that names the key, after an unknown, ill-typed or missing key or flag.
        ValueError: two keys contradict each other, a value is out of its range, or a file that is extended is missing.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    return FineTuning(**parse_sections(arguments, _SECTIONS, prog="finetune.py", description="Fine-tune an encoder."))
