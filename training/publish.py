"""From a trained model to a folder that is a ready Hub repository, and to the Hub."""

import json
import os
import shutil
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError

from modeling_prd import PRDConfig, PRDModel, PRDProcessor

from .arguments import Recipe
from .card import ModelCardContents, render_model_card
from .errors import InputError
from .evaluation import Tree
from .report import draw_curves

# The recipe holds paths of the machine; the card has it without them.
_STAYS_LOCAL = ("checkpoints/*", "logs/*", "recipe.yaml", "partial-*")


def write_model_folder(
    model: PRDModel,
    processor: PRDProcessor,
    recipe: Recipe,
    metrics: Tree,
    history: list[Tree],
    contents: ModelCardContents,
) -> Path:
    """Makes `output_dir` a model repository: weights, configuration, remote code, processor, numbers, curves, card.

    Each file is written under another folder first and moved when all are there.

    Returns:
        `output_dir`.
    """
    folder = Path(recipe.run.output_dir)
    partial = folder / "partial-model"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    PRDConfig.register_for_auto_class()
    PRDModel.register_for_auto_class("AutoModel")
    PRDProcessor.register_for_auto_class("AutoProcessor")
    for encoder in (model.config.vision_config, model.config.text_config):
        encoder.name_or_path = ""  # where it was loaded from is no part of the model
    model.save_pretrained(partial)
    processor.save_pretrained(partial)
    (partial / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    draw_curves(history, partial / "curves.png")
    (partial / "README.md").write_text(render_model_card(recipe, metrics, contents), encoding="utf-8")
    for file in partial.iterdir():
        os.replace(file, folder / file.name)
    partial.rmdir()
    return folder


def claim_repository(repo_id: str, *, public: bool) -> str:
    """Makes the repository on the Hub, private unless `public`, so that a run that may not push ends before it trains.

    Returns:
        the repository's address.

    Raises:
        InputError: the repository is there and public, and that was not asked for; or the Hub refuses it, or is not
            reached.
    """
    api = HfApi()
    try:
        address = api.create_repo(repo_id, private=not public, exist_ok=True)
        private = api.model_info(repo_id).private
    except (OSError, ValueError, HTTPError) as error:
        raise InputError(f"push_to_hub: {repo_id!r} cannot be made: {error}") from error
    if private is False and not public:
        raise InputError(f"push_to_hub: {repo_id!r} is there and public: say --hub_public true, or name another")
    return str(address)


def push_model_folder(folder: Path, repo_id: str, *, public: bool) -> str:
    """Uploads a model folder without its checkpoints, to a private repository unless `public`.

    Returns:
        the repository's address.

    Raises:
        InputError: as `claim_repository`, or the upload failed; the folder stays.
    """
    address = claim_repository(repo_id, public=public)
    try:
        HfApi().upload_folder(repo_id=repo_id, folder_path=folder, ignore_patterns=list(_STAYS_LOCAL))
    except (OSError, HTTPError) as error:
        raise InputError(f"push_to_hub: {error}; the model is whole in {str(folder)!r}, push it from there") from error
    return address
