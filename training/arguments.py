"""The recipe: five dataclasses, read from a YAML file and overridden by flags; an unknown key or flag is an error."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from datasets_scripts.perturbations import PERTURBATIONS
from datasets_scripts.schema import COUNTERFACTUAL_KINDS

from .bounds import BOUNDS_OF_TRAINING, Bounds, check_bounds
from .parsing import parse_sections

PERTURBATION_TYPES = (*PERTURBATIONS, *COUNTERFACTUAL_KINDS)
"""What the perturbation loss may tell a report from."""

DEFAULT_RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "phantom.yaml"


@dataclass(frozen=True)
class DataArguments:
    """What is trained on.

    Attributes:
        data: perturbed-pairs dataset, a folder or a Hub id; without one, PhantomCXR is built once and reused.
        streaming: read the training images as they come, in each epoch anew, and never hold them all; the texts are
            read once before, for the vocabulary and the epoch's length. A run resumed within an epoch reads that epoch
            again up to where it was. At most one worker; each process reads the whole stream and keeps its share.
        shuffle_buffer: rows of a stream that are held and mixed.
        data_config: `default`, or `strict`, whose training split lacks the reports of the other splits.
        train_split: split that is trained on.
        eval_split: split that is evaluated on after each epoch.
        max_train_images: train on the first so many images only.
        max_eval_images: evaluate on the first so many images only.
        phantom_train: training images of PhantomCXR, when `data` is not given.
        phantom_image_size: their side in pixels.
        phantom_difficulty: easy, default or hard.
        phantom_seed: seed of the generator.
        image_size: side of the model's input in pixels.
        image_resize: shorter side before the centre crop to `image_size`; by default `image_size`.
        image_mean: mean subtracted from pixels in [0, 1], one value a channel; none leaves them in [0, 1].
        image_std: deviation they are divided by.
        max_length: longest report in tokens, special ones included; what is longer is cut.
        vocab_size: size of the vocabulary made of the training split's words, for a text encoder from scratch.
        perturbations: `stored`, the dataset's own in every epoch, or `fresh`, drawn anew in each from its tags.
        perturbation_types: what the perturbation loss tells a report from: names of the nine perturbations, of the
            kinds of counterfactuals, or of both; by default the nine.
        perturbations_per_image: how many of the perturbed reports take part in a step, drawn anew each time.
        sentence_sampling: match an image with one sentence of its findings, drawn anew in each epoch, as ConVIRT does;
            evaluation reads whole reports. Without the perturbation loss, which needs them too.
        dataloader_num_workers: processes that decode and tokenise while the step before is trained; 0 does it between
            the steps.
    """

    data: str | None = None
    streaming: bool = False
    shuffle_buffer: int = 1000
    data_config: Literal["default", "strict"] = "default"
    train_split: str = "train"
    eval_split: str = "validation"
    max_train_images: int | None = None
    max_eval_images: int | None = None
    phantom_train: int = 4000
    phantom_image_size: int = 128
    phantom_difficulty: Literal["easy", "default", "hard"] = "default"
    phantom_seed: int = 0
    image_size: int = 128
    image_resize: int | None = None
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    max_length: int = 256
    vocab_size: int = 2000
    perturbations: Literal["stored", "fresh"] = "stored"
    perturbation_types: list[str] = field(default_factory=lambda: list(PERTURBATIONS))
    perturbations_per_image: int = 9
    sentence_sampling: bool = False
    dataloader_num_workers: int = 1


@dataclass(frozen=True)
class ModelArguments:
    """Which encoders, heads and losses.

    Attributes:
        vision_model: vision encoder to start from: Hub id, folder, or the published BioViL `.pt` file.
        vision_config: or the configuration of one to train from scratch, with its `model_type`.
        text_model: text encoder to start from: Hub id or folder.
        text_config: or the configuration of one to train from scratch, with its `model_type`.
        projection_dim: width D of the joint space; by default the checkpoint's, or 128.
        vision_pooling: pooler, mean, flatten or projected_mean.
        text_pooling: cls or mean.
        vision_projection: linear or biovil.
        text_projection: linear or cxr_bert.
        region_stage: stage of the vision encoder that gives the regions; by default the last.
        temperature: tau of the global, local (`paper`) and perturbation losses.
        learn_temperature: train tau.
        global_weight: weight of the image-report matching loss.
        alpha: weight of the local loss.
        beta: weight of the perturbation loss.
        local_variant: `paper`, or `gloria` for GLoRIA's own form of the local loss.
        local_length_normalized: subtract log W from the `paper` variant's score.
        duplicate_reports: `mask` leaves equal reports out of the negatives, `negative` keeps them.
        freeze: encoders that are not trained.
        batch_norm: what batch normalisation does in training, in encoders and heads. `train` goes by the statistics of
            each batch, as one process alone can. `frozen` goes by the running statistics as they are and trains scale
            and shift; that suits a published encoder, while from scratch they are 0 and 1, so that nothing is
            normalised. `sync` goes by the statistics of all processes' images, on GPUs; with `micro_batch_size` those
            of a micro-batch each, which is not exactly one pass, and the running statistics move once.
        gradient_checkpointing: trade compute for memory in the encoders that can (transformers' ResNet cannot).
        attn_implementation: of the text encoder, as transformers names them; by default transformers' choice.
        text_micro_batch_size: encode at most so many texts at once; None (null) sets no limit. Not with FSDP, which
            encodes all in one padded call unless they are packed.
        local_loss_memory_mb: what the local loss may keep for its gradient, in MB; the rest is computed twice. Not
            under `compile`, which keeps all.
        compile: compile the encoders and the losses with torch.compile, each as one graph; not with FSDP.
    """

    vision_model: str | None = None
    vision_config: dict[str, Any] | None = None
    text_model: str | None = None
    text_config: dict[str, Any] | None = None
    projection_dim: int | None = None
    vision_pooling: Literal["pooler", "mean", "flatten", "projected_mean"] | None = None
    text_pooling: Literal["cls", "mean"] | None = None
    vision_projection: Literal["linear", "biovil"] | None = None
    text_projection: Literal["linear", "cxr_bert"] | None = None
    region_stage: int | None = None
    temperature: float = 0.07
    learn_temperature: bool = False
    global_weight: float = 1.0
    alpha: float = 0.1
    beta: float = 0.1
    local_variant: Literal["paper", "gloria"] = "paper"
    local_length_normalized: bool = True
    duplicate_reports: Literal["mask", "negative"] = "mask"
    freeze: Literal["none", "vision", "text", "both"] = "none"
    batch_norm: Literal["train", "frozen", "sync"] = "train"
    gradient_checkpointing: bool = False
    attn_implementation: str | None = None
    text_micro_batch_size: int | None = None
    local_loss_memory_mb: int = 1024
    compile: bool = False


@dataclass(frozen=True)
class AugmentationArguments:
    """Random changes of the training images; there is no horizontal flip, since reports name sides.

    Attributes:
        rotation: largest angle in degrees.
        translation: largest shift as a share of the side.
        scale: largest relative change of size.
        shear: largest shear in degrees.
        brightness: largest relative change of brightness.
        contrast: largest relative change of contrast.
    """

    rotation: float = 0.0
    translation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True)
class OptimizationArguments:
    """How the weights move.

    Attributes:
        batch_size: images a step on each device.
        gradient_accumulation_steps: batches an optimizer step; their negatives are not shared.
        num_train_epochs: passes over the training split.
        max_steps: stop after so many optimizer steps instead; the schedule then ends there too.
        optimizer: `adamw`, or `sgd` as in the paper.
        learning_rate: its peak.
        momentum: of SGD.
        adam_beta2: second moment's decay of AdamW.
        weight_decay: applied to matrices; under SGD to all weights.
        lr_scheduler: `cosine` or `constant`, both after the warm-up.
        warmup_ratio: share of the steps over which the learning rate rises from zero.
        max_grad_norm: gradients are clipped to this norm; 0 does not clip.
        mixed_precision: autocast to bf16 or fp16, or none; `auto` is bf16 on a GPU that has it, else none.
        augmentation: random changes of the training images.
    """

    batch_size: int = 64
    gradient_accumulation_steps: int = 1
    num_train_epochs: int = 10
    max_steps: int | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    adam_beta2: float = 0.98
    weight_decay: float = 0.05
    lr_scheduler: Literal["cosine", "constant"] = "cosine"
    warmup_ratio: float = 0.05
    max_grad_norm: float = 1.0
    mixed_precision: Literal["auto", "none", "bf16", "fp16"] = "auto"
    augmentation: AugmentationArguments = field(default_factory=AugmentationArguments)


@dataclass(frozen=True)
class PreTrainOptimization(OptimizationArguments):
    """How the weights move in pre-training.

    Attributes:
        micro_batch_size: images that the encoders see at once, with their texts, while the losses see the whole batch
            (gradient caching: the memory of a small batch, a third more computation, the same gradients); by default
            the whole batch.
    """

    micro_batch_size: int | None = None


@dataclass(frozen=True)
class LoraArguments:
    """Low-rank adapters (Hu et al. 2021) in place of training an encoder's weights.

    Attributes:
        lora_r: their rank; none trains the weights themselves.
        lora_alpha: their products count alpha / r times; by default 2 r.
        lora_dropout: share of an adapter's inputs that is dropped in training.
        lora_targets: what is adapted. `auto`: a transformer's attention projections, and the convolutions and linear
            layers of an encoder without attention; or the ends of module names, in a list or with commas.
    """

    lora_r: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float = 0.0
    lora_targets: list[str] | str = "auto"


@dataclass(frozen=True)
class RunArguments:
    """Where the run lives and what it tells.

    Attributes:
        output_dir: becomes a Hub-ready model folder; checkpoints in its `checkpoints`.
        device: auto, cpu, cuda or mps.
        cpu_threads: threads of each process on CPUs; by default the cores shared among the processes.
        seed: of weights, order, augmentation and dropout.
        eval_batch_size: rows an encoder sees at once in evaluation.
        save_steps: write a checkpoint each so many optimizer steps; by default after each epoch.
        save_total_limit: keep the newest so many.
        resume: `none`, `auto` (the newest checkpoint in `output_dir`, if any) or a checkpoint's folder.
        overwrite: delete another run's `output_dir` first.
        report_to: experiment trackers, as Accelerate names them (tensorboard, wandb, ...).
        logging_steps: a line of losses each so many optimizer steps in the history and to the trackers.
        push_to_hub: `ORG/NAME` to upload the folder to at the end.
        hub_public: make that repository public.
    """

    output_dir: str = "outputs/prd"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    cpu_threads: int | None = None
    seed: int = 0
    eval_batch_size: int = 64
    save_steps: int | None = None
    save_total_limit: int = 2
    resume: str = "none"
    overwrite: bool = False
    report_to: list[str] | str = field(default_factory=list)
    logging_steps: int = 10
    push_to_hub: str | None = None
    hub_public: bool = False


@dataclass(frozen=True)
class Recipe:
    """One pre-training run, whole. In YAML and on the command line its keys stand flat, `augmentation` nested."""

    data: DataArguments = field(default_factory=DataArguments)
    model: ModelArguments = field(default_factory=ModelArguments)
    optimization: PreTrainOptimization = field(default_factory=PreTrainOptimization)
    lora: LoraArguments = field(default_factory=LoraArguments)
    run: RunArguments = field(default_factory=RunArguments)

    def __post_init__(self) -> None:
        published = (self.model.vision_model, self.model.text_model)
        from_scratch = (self.model.vision_config, self.model.text_config)
        if sorted([published.count(None), from_scratch.count(None)]) != [0, 2]:
            raise ValueError("a recipe names vision_model and text_model, or vision_config and text_config")
        if self.data.streaming and self.data.dataloader_num_workers > 1:
            raise ValueError(f"dataloader_num_workers: {self.data.dataloader_num_workers} is more than a stream's one")
        for place, name in enumerate(self.data.perturbation_types):
            if name not in PERTURBATION_TYPES:
                raise ValueError(f"perturbation_types: {name!r} is none of {', '.join(PERTURBATION_TYPES)}")
            if name in self.data.perturbation_types[:place]:
                raise ValueError(f"perturbation_types: {name!r} stands twice")
        if self.data.sentence_sampling and (self.model.beta != 0 or self.data.perturbations == "fresh"):
            contradicting = "perturbations: fresh" if self.model.beta == 0 else f"beta: {self.model.beta:g}"
            raise ValueError(
                f"sentence_sampling: a sentence has no perturbed reports, which {contradicting} asks for; "
                "set beta to 0 and perturbations to stored"
            )
        if not self.data.perturbation_types:
            raise ValueError("perturbation_types: name at least one, or set beta to 0")
        if self.lora.lora_r is not None and self.model.vision_config is not None:
            raise ValueError("lora_r: adapters are for published encoders; these start from scratch, train them whole")
        if self.lora.lora_r is not None and self.model.learn_temperature:
            raise ValueError("lora_r: an adapter does not hold the temperature; leave learn_temperature out")
        check_bounds(self, _BOUNDS)

    def to_flat_dict(self) -> dict[str, Any]:
        """The keys as they stand in a YAML recipe."""
        sections = asdict(self)
        return {key: value for section in sections.values() for key, value in section.items()}

    def to_yaml(self) -> str:
        """A recipe file that gives this run again."""
        return yaml.safe_dump(self.to_flat_dict(), sort_keys=False)


_SECTIONS = {
    "data": DataArguments,
    "model": ModelArguments,
    "optimization": PreTrainOptimization,
    "lora": LoraArguments,
    "run": RunArguments,
}

_BOUNDS: Bounds = (
    *BOUNDS_OF_TRAINING,
    ("optimization", "micro_batch_size", 1, math.inf),
    ("data", "image_size", 1, math.inf),
    ("data", "max_length", 3, math.inf),
    ("data", "max_train_images", 1, math.inf),
    ("data", "max_eval_images", 1, math.inf),
    ("data", "perturbations_per_image", 1, math.inf),
    ("data", "shuffle_buffer", 1, math.inf),
    ("data", "phantom_train", 1, math.inf),
    ("data", "dataloader_num_workers", 0, math.inf),
    ("model", "temperature", 1e-6, math.inf),
    ("model", "local_loss_memory_mb", 1, math.inf),
    ("run", "save_steps", 1, math.inf),
    ("run", "save_total_limit", 1, math.inf),
    ("run", "logging_steps", 1, math.inf),
)


def parse_recipe(arguments: Sequence[str] | None = None) -> Recipe:
    """Reads the command line: `--config FILE` (by default `recipes/phantom.yaml`), then flags over it.

    The file may extend another (`recipe_files.with_bases`).

    Args:
        arguments: the command line without the program's name; `sys.argv` if None.

    Returns:
        the recipe.

    Raises:
        SystemExit: with status 2 and one line that names the key, after an unknown or ill-typed key or flag.
        ValueError: two keys contradict each other, a value is out of its range, or a file that is extended is missing.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not any(argument.split("=")[0] == "--config" for argument in arguments):
        arguments = ["--config", str(DEFAULT_RECIPE), *arguments]
    return Recipe(**parse_sections(arguments, _SECTIONS, prog="train.py", description="Pre-train PRD."))
