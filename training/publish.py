"""From a trained model to a folder that is a ready Hub repository, and to the Hub."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import modeling_prd
from datasets_scripts.hub import claim_repository, upload_folder
from modeling_prd import PRDConfig, PRDModel, PRDProcessor

from .arguments import Recipe
from .card import ModelCardContents, render_model_card
from .errors import InputError
from .evaluation import Tree
from .report import draw_curves

# The recipe holds paths of the machine; the card has it without them.
STAYS_LOCAL = ("checkpoints/*", "logs/*", "recipe.yaml", "partial-*")

_CLASSIFIERS = {
    "AutoModelForSequenceClassification": "classification_prd.PRDForSequenceClassification",
    "AutoModelForImageClassification": "classification_prd.PRDForImageClassification",
}
"""The classifiers that load from a pre-trained model's folder, their `classifier` new."""


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
    model.config.auto_map = dict(_CLASSIFIERS)  # save_pretrained adds the model's own class and its files
    model.save_pretrained(partial)
    for file in Path(modeling_prd.__file__).parent.glob("classification*_prd.py"):
        shutil.copyfile(file, partial / file.name)
    processor.save_pretrained(partial)
    (partial / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    draw_curves(history, partial / "curves.png")
    (partial / "README.md").write_text(render_model_card(recipe, metrics, contents), encoding="utf-8")
    for file in partial.iterdir():
        os.replace(file, folder / file.name)
    partial.rmdir()
    return folder


def claim_model_repository(repo_id: str, *, public: bool) -> str:
    """Makes the repository on the Hub, private unless `public`, so that a run that may not push ends before it trains.

    Returns:
        the repository's address.

    Raises:
        InputError: as `hub.claim_repository`.
    """
    try:
        return claim_repository(repo_id, public=public, public_flag="--hub_public true")
    except ValueError as error:
        raise InputError(f"push_to_hub: {error}") from error


def push_model_folder(folder: Path, repo_id: str, *, public: bool, stays_local: Sequence[str] = STAYS_LOCAL) -> str:
    """Uploads a model folder without what matches `stays_local`, to a private repository unless `public`.

    Returns:
        the repository's address.

    Raises:
        InputError: as `claim_model_repository`, or the upload failed; the folder stays.
    """
    address = claim_model_repository(repo_id, public=public)
    try:
        upload_folder(folder, repo_id, without=stays_local)
    except ValueError as error:
        raise InputError(f"push_to_hub: {error}") from error
    return address
