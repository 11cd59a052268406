"""Whether PhantomCXR's facts can be seen: a supervised classifier of its images."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, gelu
from tqdm import tqdm
from transformers import ResNetConfig, ResNetModel

from datasets_scripts.phantom_drawing import draw
from datasets_scripts.phantom_state import FINDINGS, HEART_SIZES, PhantomState, sample_finding, sample_state

HEART = "heart"
NAMES: tuple[str, ...] = (HEART, *FINDINGS)
ATTRIBUTES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (HEART, "size", tuple(size for size in HEART_SIZES if size != "normal")),
    *(
        (name, attribute, tuple(values))
        for name in NAMES
        if name != HEART
        for attribute, values in FINDINGS[name].attributes.items()
        if values
    ),
)
FORCED: tuple[str, ...] = tuple(name for name in NAMES if name == HEART or FINDINGS[name].zone or FINDINGS[name].size)
"""What is put into the studies: all that has a zone or a size to tell; the rest is plain to see."""
UNKNOWN = -1

BATCH_SIZE = 64
LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Examples:
    """Radiographs with what they show.

    Attributes:
        images: [N, 1, S, S] uint8.
        present: [N, F] float, whether each of `NAMES` is there.
        values: [N, A] int64, index of each of `ATTRIBUTES`'s value, `UNKNOWN` where its finding is absent.
    """

    images: Tensor
    present: Tensor
    values: Tensor


def make_examples(count: int, forced: int, image_size: int, difficulty: str, seed: int) -> Examples:
    """Studies drawn from the prior, into each of which `forced` of `FORCED` are put, drawn at random.

    The prior alone has too few of the rare findings to learn and to test them by. Every other finding is as rare, and
    overlaps them as often, as in the dataset.
    """
    images = np.empty((count, 1, image_size, image_size), dtype=np.uint8)
    present = np.zeros((count, len(NAMES)), dtype=np.float32)
    values = np.full((count, len(ATTRIBUTES)), UNKNOWN, dtype=np.int64)
    for index in tqdm(range(count), "draw", disable=None):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
        state = sample_state(rng, difficulty)
        for place in rng.permutation(len(FORCED))[:forced]:
            state = _with_finding(state, FORCED[place], rng)
        images[index, 0], _ = draw(state, image_size, rng, difficulty)
        present[index] = [_is_present(state, name) for name in NAMES]
        values[index] = [_value_index(state, *attribute) for attribute in ATTRIBUTES]
    return Examples(torch.from_numpy(images), torch.from_numpy(present), torch.from_numpy(values))


def _with_finding(state: PhantomState, name: str, rng: np.random.Generator) -> PhantomState:
    if name != HEART:
        return state.including(sample_finding(name, rng))
    sizes = ATTRIBUTES[0][2]
    return PhantomState(sizes[int(rng.random() * len(sizes))], state.lung_volume, state.findings)


def _is_present(state: PhantomState, name: str) -> bool:
    return state.heart != "normal" if name == HEART else state.get(name) is not None


def _value_index(state: PhantomState, name: str, attribute: str, values: tuple[str, ...]) -> int:
    if not _is_present(state, name):
        return UNKNOWN
    return values.index(state.heart if name == HEART else getattr(state.get(name), attribute))


class Classifier(nn.Module):
    """A small ResNet whose flattened regions tell each finding and its side, zone and size."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        config = ResNetConfig(
            num_channels=1, embedding_size=32, hidden_sizes=[32, 64, 128], depths=[1, 1, 1], layer_type="basic"
        )
        self.trunk = ResNetModel(config)
        side = math.ceil(image_size / 16)
        self.reduce = nn.Conv2d(128, 32, kernel_size=1)
        self.hidden = nn.Linear(32 * side * side, 256)
        self.sizes = [len(NAMES), *(len(values) for _, _, values in ATTRIBUTES)]
        self.out = nn.Linear(256, sum(self.sizes))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits of the findings [B, F], then of each attribute [B, V], of images [B, 1, S, S] uint8."""
        states = self.trunk(pixel_values=images.float() / 127.5 - 1.0).last_hidden_state
        hidden = gelu(self.hidden(self.reduce(states).flatten(1)))
        return self.out(hidden).split(self.sizes, dim=1)


def train_classifier(examples: Examples, epochs: int, seed: int) -> Classifier:
    """Train with AdamW over one cycle, on images shifted by up to 4 % of their side."""
    torch.manual_seed(seed)
    image_size = examples.images.shape[-1]
    model = Classifier(image_size)
    steps = len(examples.images) // BATCH_SIZE * epochs
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.15)
    with tqdm(total=steps, desc="classifier", disable=None) as bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(examples.images)).split(BATCH_SIZE):
                if len(rows) < BATCH_SIZE:
                    continue
                most = image_size // 25
                shift = torch.randint(-most, most + 1, (2,)).tolist()
                images = examples.images[rows].roll(shift, dims=(2, 3))
                loss = _loss(model(images), examples.present[rows], examples.values[rows])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bar.update()
    return model.eval()


def _loss(logits: tuple[Tensor, ...], present: Tensor, values: Tensor) -> Tensor:
    loss = 4.0 * binary_cross_entropy_with_logits(logits[0], present)
    for attribute_logits, target in zip(logits[1:], values.T, strict=True):
        summed = cross_entropy(attribute_logits, target, ignore_index=UNKNOWN, reduction="sum")
        loss = loss + 1.5 * summed / len(target)
    return loss


@torch.inference_mode()
def measure_classifier(model: Classifier, examples: Examples) -> dict[str, dict[str, float]]:
    """AUROC of each finding, and accuracy of its side, zone and size where it is present."""
    parts = [model(images) for images in examples.images.split(256)]
    present, *attributes = (torch.cat(logits) for logits in zip(*parts, strict=True))
    results = {
        name: {"auroc": float(roc_auc_score(examples.present[:, place], present[:, place]))}
        for place, name in enumerate(NAMES)
    }
    for (name, attribute, _), logits, target in zip(ATTRIBUTES, attributes, examples.values.T, strict=True):
        known = target != UNKNOWN
        results[name][attribute] = float((logits[known].argmax(1) == target[known]).float().mean())
        results[name]["n"] = int(known.sum())
    return results


def classifier_table(
    difficulty: str, image_size: int, train: int, test: int, epochs: int, seed: int
) -> dict[str, dict[str, float]]:
    """Train on studies with two forced findings, test on studies with one; see `make_examples`."""
    model = train_classifier(make_examples(train, 2, image_size, difficulty, seed), epochs, seed)
    return measure_classifier(model, make_examples(test, 1, image_size, difficulty, seed + 1))
