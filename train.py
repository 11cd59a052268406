"""Pre-train PRD: `accelerate launch train.py [--config recipes/NAME.yaml] [--flag value ...]`."""

from importlib.metadata import version
from pathlib import Path

from accelerate.utils import set_seed
from huggingface_hub.utils import validate_repo_id
from peft import PeftModel

from evaluate_suite.data import display_name
from modeling_prd import PRDModel, PRDProcessor
from training.arguments import Recipe, parse_recipe
from training.batch_norm import prepare_batch_norm
from training.card import ModelCardContents
from training.checkpoint import check_output_dir, claim_output_dir
from training.data import Pairs, load_pairs, training_texts
from training.devices import build_accelerator, device_name
from training.errors import InputError, one_line_errors
from training.loop import PreTrainer
from training.lora import ADAPTER_FOLDER, attach_lora, merge_adapter, save_adapter, trainable_share
from training.models import build_model, build_processor, build_tokenizer, check_fit, frozen_encoders, load_tokenizer
from training.publish import claim_model_repository, push_model_folder, write_model_folder
from training.report import results_table


def main(arguments: list[str] | None = None) -> None:
    """Reads the recipe and runs it; a bad input ends it with status 2 and one line."""
    with one_line_errors(InputError, FloatingPointError):
        with one_line_errors(ValueError, OSError, ImportError):
            prepared = prepare(parse_recipe(arguments))
        pretrain(*prepared)


def prepare(recipe: Recipe) -> tuple[PreTrainer, PRDModel, PRDProcessor, Pairs, PeftModel | None]:
    """Everything that can fail on a bad input: folders, devices, data, encoders, adapters."""
    check_output_dir(recipe)
    if recipe.run.push_to_hub:
        validate_repo_id(recipe.run.push_to_hub)
    accelerator = build_accelerator(
        recipe.run, recipe.optimization, recipe.run.seed, recipe.run.report_to, shards=True
    )
    if recipe.run.push_to_hub and accelerator.is_main_process:
        claim_model_repository(recipe.run.push_to_hub, public=recipe.run.hub_public)
    with accelerator.main_process_first():
        pairs = load_pairs(recipe.data)
    set_seed(recipe.run.seed)
    if recipe.model.text_model is not None:
        tokenizer = load_tokenizer(recipe.model.text_model)
    else:
        texts = training_texts(pairs.train_texts, recipe.data.perturbation_types)
        tokenizer = build_tokenizer(texts, recipe.data.vocab_size, recipe.data.max_length)
    model = build_model(recipe.model, recipe.data.image_size, tokenizer)
    prepare_batch_norm(
        model,
        recipe.model.batch_norm,
        frozen=frozen_encoders(recipe.model.freeze),
        num_processes=accelerator.num_processes,
        device=accelerator.device.type,
        micro_batch_size=recipe.optimization.micro_batch_size,
    )
    processor = build_processor(recipe.data, tokenizer, channels=model.config.vision_config.num_channels)
    check_fit(model, processor, pairs.train, recipe.data.max_length)
    adapted = adapt_encoders(recipe, model)
    accelerator.print(f"trains {trainable_share(model, adapted)}")
    return PreTrainer(recipe, accelerator, model, processor, pairs), model, processor, pairs, adapted


def adapt_encoders(recipe: Recipe, model: PRDModel) -> PeftModel | None:
    """Puts LoRA's adapters into the encoders that are not frozen, where the recipe asks for them.

    Raises:
        ValueError: none is left to adapt, or as `attach_lora`.
    """
    encoders = [name for name in ("vision_model", "text_model") if name not in frozen_encoders(recipe.model.freeze)]
    if recipe.lora.lora_r is not None and not encoders:
        raise ValueError("lora_r: with freeze both there is no encoder to adapt")
    sources = " and ".join(display_name(str(name)) for name in (recipe.model.vision_model, recipe.model.text_model))
    return attach_lora(model, recipe.lora, encoders, ("image_head", "text_head"), base_name=sources)


def pretrain(
    trainer: PreTrainer, model: PRDModel, processor: PRDProcessor, pairs: Pairs, adapted: PeftModel | None
) -> None:
    """Trains, evaluates, writes the model folder, adapters merged, and prints its numbers."""
    recipe, accelerator = trainer.recipe, trainer.accelerator
    if accelerator.is_main_process:
        claim_output_dir(recipe)
    accelerator.wait_for_everyone()
    accelerator.init_trackers("prd", config={key: str(value) for key, value in recipe.to_flat_dict().items()})
    metrics = trainer.train()
    with trainer.whole_model() as whole:
        if whole is not None:
            if adapted is not None:
                save_adapter(adapted, Path(recipe.run.output_dir) / ADAPTER_FOLDER)
                merge_adapter(adapted)
            contents = describe(trainer, whole, pairs)
            folder = write_model_folder(whole, processor, recipe, metrics, trainer.progress.history, contents)
            print(f"\n{results_table(metrics)}\n\nmodel, numbers, curves and card: {folder}")
            if recipe.run.push_to_hub:
                print(push_model_folder(folder, recipe.run.push_to_hub, public=recipe.run.hub_public))
    accelerator.wait_for_everyone()
    accelerator.end_training()  # also ends the process group


def describe(trainer: PreTrainer, model: PRDModel, pairs: Pairs) -> ModelCardContents:
    """What the model card says of the run."""
    train, data = pairs.train_texts, trainer.recipe.data.data
    return ModelCardContents(
        data_name="PhantomCXR" if data is None else Path(data).name if Path(data).exists() else data,
        synthetic_images=sum(train["synthetic"]),
        train_images=len(train),
        train_reports=len(trainer.known_reports),
        validation_images=len(pairs.validation),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=trainer.progress.step,
        seconds=trainer.progress.seconds,
        device=device_name(trainer.accelerator),
        versions={library: version(library) for library in ("torch", "transformers", "datasets", "accelerate")},
    )


if __name__ == "__main__":
    main()
