"""What image-report matching alone learns of PhantomCXR, and what it learns with the counterfactuals as negatives.

Both train the default recipe's encoders on the default recipe's data, batches and learning rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset, Image
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from datasets_scripts.schema import COUNTERFACTUAL_KINDS
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.encoders import PRDEncoder
from evaluate_suite.tasks import counterfactual, retrieval
from modeling_prd import PRDModel, PRDProcessor
from modeling_prd.losses_prd import global_contrastive_loss, perturbation_loss
from training.arguments import Recipe
from training.augmentation import ImageAugmentation
from training.data import load_split, phantom_folder, training_texts
from training.models import build_model, build_processor, build_tokenizer
from training.optimization import build_optimizer, build_scheduler

EDITS_WEIGHT = 3.0
"""Weight of the loss over counterfactuals; two studies in five have none, and count as loss 0 in its mean."""


@dataclass(frozen=True)
class TrainingSet:
    """The training split, ready for the model.

    Attributes:
        pixel_values: [N, C, H, W] float32.
        reports: the N reports.
        edits: each report's counterfactuals.
    """

    pixel_values: Tensor
    reports: list[str]
    edits: list[list[str]]


def load_training_set(processor: PRDProcessor, data: Dataset) -> TrainingSet:
    """Decode and prepare every image once."""
    images = data.cast_column("image", Image())
    chunks = [
        processor(images=images[start : start + 256]["image"], return_tensors="pt")["pixel_values"]
        for start in tqdm(range(0, len(data), 256), "prepare", disable=None)
    ]
    edits = [[row[kind]["text"] for kind in COUNTERFACTUAL_KINDS if row[kind]] for row in data["counterfactual"]]
    return TrainingSet(torch.cat(chunks), list(data["report"]), edits)


def _embed_texts(model: PRDModel, processor: PRDProcessor, texts: list[str]) -> Tensor:
    inputs = processor(text=texts, return_tensors="pt")
    features = model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
    return normalize(features.pooler_output, dim=-1)  # [T, D]


def batch_loss(
    model: PRDModel,
    processor: PRDProcessor,
    augment: ImageAugmentation,
    train: TrainingSet,
    rows: list[int],
    with_edits: bool,
) -> Tensor:
    """L_global, and with the edits as negatives the perturbation loss over them (`EDITS_WEIGHT`)."""
    pixel_values = augment(train.pixel_values[rows])
    image_embeds = normalize(model.get_image_features(pixel_values).pooler_output, dim=-1)  # [B, D]
    temperature = model.config.temperature
    edits = [(place, text) for place, row in enumerate(rows) for text in train.edits[row]] if with_edits else []
    embeds = _embed_texts(model, processor, [*(train.reports[row] for row in rows), *(text for _, text in edits)])
    text_embeds, edit_embeds = embeds[: len(rows)], embeds[len(rows) :]
    loss = global_contrastive_loss(image_embeds, text_embeds, temperature)
    if not edits:
        return loss
    owner = torch.tensor([place for place, _ in edits])
    column = torch.cat([torch.arange(int(count)) for count in owner.bincount(minlength=len(rows))])
    shape = (len(rows), len(COUNTERFACTUAL_KINDS))
    mask = torch.zeros(shape, dtype=torch.bool).index_put((owner, column), torch.tensor(True))
    negatives = text_embeds.new_zeros(*shape, text_embeds.shape[-1]).index_put((owner, column), edit_embeds)
    return loss + EDITS_WEIGHT * perturbation_loss(image_embeds, text_embeds, negatives, mask, temperature)


def train_matching(recipe: Recipe, epochs: int, with_edits: bool, curve_points: int) -> Iterator[dict[str, Any]]:
    """Train over one cycle of `epochs`, and measure on the test split at evenly spaced points, the end among them.

    Yields:
        `{"epoch", "counterfactual", "permuted", "retrieval", "retrieval_abnormal"}`, trees of `evaluate_suite`.
    """
    folder = str(phantom_folder(recipe.data))
    data = load_split(folder, "default", "train")
    tokenizer = build_tokenizer(training_texts(data), recipe.data.vocab_size, recipe.data.max_length)
    channels = (recipe.model.vision_config or {}).get("num_channels", 3)
    processor = build_processor(recipe.data, tokenizer, channels)
    torch.manual_seed(recipe.run.seed)
    model = build_model(recipe.model, recipe.data.image_size, tokenizer)
    train = load_training_set(processor, data)
    augment = ImageAugmentation(recipe.optimization.augmentation, recipe.data.image_mean, recipe.data.image_std)
    batch_size = recipe.optimization.batch_size
    steps = len(data) // batch_size
    optimizer = build_optimizer(model, recipe.optimization)
    schedule = build_scheduler(optimizer, recipe.optimization, steps * epochs)
    measured = {epochs * point // curve_points for point in range(1, curve_points + 1)}
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in tqdm(_batches(len(data), batch_size), f"epoch {epoch}", total=steps, disable=None, leave=False):
            loss = batch_loss(model, processor, augment, train, rows, with_edits)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimization.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if epoch in measured:
            yield {"epoch": epoch, **measure(PRDEncoder(model, processor, batch_size=256), folder)}


def _batches(count: int, batch_size: int) -> Iterator[list[int]]:
    for rows in torch.randperm(count).split(batch_size):
        if len(rows) == batch_size:
            yield rows.tolist()


def measure(encoder: PRDEncoder, folder: str) -> dict[str, Any]:
    """Counterfactual accuracy on test, also with the images permuted; retrieval on validation, also of abnormal."""
    embeddings = Embeddings(encoder)
    test = load_split(folder, "default", "test").cast_column("image", Image())
    validation = load_split(folder, "default", "validation").cast_column("image", Image())
    abnormal = [row for row, labels in enumerate(validation["labels"]) if not labels["No Finding"]]
    pairs = counterfactual.counterfactual_pairs(test)
    permutation = torch.randperm(len(test), generator=torch.Generator().manual_seed(0)).numpy()
    wins = counterfactual.pair_wins(embeddings, test, pairs, embeddings.images(test)[permutation])
    return {
        "counterfactual": counterfactual.evaluate(embeddings, test),
        "permuted": counterfactual.measure_pairs(wins, pairs, pairs.rows),
        "retrieval": retrieval.evaluate(embeddings, validation),
        "retrieval_abnormal": retrieval.evaluate(embeddings, validation.select(abnormal)),
    }
