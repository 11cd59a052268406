"""The model card, written from the run."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from .arguments import Recipe
from .evaluation import Tree
from .report import results_table


@dataclass(frozen=True)
class ModelCardContents:
    """What the card says beside the recipe and the numbers.

    Attributes:
        data_name: the dataset's name or id.
        synthetic_images: how many of the training images were drawn, not taken.
        train_images: training images.
        train_reports: distinct reports among them.
        validation_images: images that the numbers were measured on.
        parameters: weights of the model.
        steps: optimizer steps.
        seconds: training time.
        device: what it ran on, in words.
        versions: of the libraries.
    """

    data_name: str
    synthetic_images: int
    train_images: int
    train_reports: int
    validation_images: int
    parameters: int
    steps: int
    seconds: float
    device: str
    versions: dict[str, str]


def render_model_card(recipe: Recipe, metrics: Tree, contents: ModelCardContents) -> str:
    """The README.md of a trained model's folder."""
    front_matter = {
        "license": "apache-2.0",
        "library_name": "transformers",
        "language": "en",
        "tags": ["radiology", "chest-x-ray", "vision-language", "contrastive-learning"],
    }
    loss = "L_global" if recipe.model.global_weight == 1 else f"{recipe.model.global_weight:g} L_global"
    loss += f" + {recipe.model.alpha:g} L_local + {recipe.model.beta:g} L_pert"
    return _CARD.format(
        front_matter=yaml.safe_dump(front_matter, sort_keys=False),
        notice=_notice(contents),
        loss=loss,
        parameters=f"{contents.parameters / 1e6:.1f} M",
        images=f"{contents.train_images:,}",
        reports=f"{contents.train_reports:,}",
        validation=f"{contents.validation_images:,}",
        data=contents.data_name,
        steps=f"{contents.steps:,}",
        minutes=f"{contents.seconds / 60:.1f}",
        device=contents.device,
        versions=", ".join(f"{name} {version}" for name, version in contents.versions.items()),
        results=results_table(metrics),
        recipe=_portable_recipe(recipe, contents.data_name),
    )


def _notice(contents: ModelCardContents) -> str:
    if contents.synthetic_images == 0:
        return ""
    share = "All" if contents.synthetic_images == contents.train_images else f"{contents.synthetic_images:,}"
    return (
        f"> **{share} of the training images are synthetic**: they were drawn by a program, not taken from patients. "
        "The numbers below say nothing about real radiographs.\n\n"
    )


def _portable_recipe(recipe: Recipe, data_name: str) -> str:
    """The keys that make the model; where the run stood and what it logged is left out."""
    run = {
        "output_dir",
        "device",
        "cpu_threads",
        "resume",
        "overwrite",
        "report_to",
        "push_to_hub",
        "hub_public",
    }
    keys = {key: value for key, value in recipe.to_flat_dict().items() if key not in run and value is not None}
    if recipe.data.data is not None:
        keys = {key: value for key, value in keys.items() if not key.startswith("phantom_")} | {"data": data_name}
    for key in ("vision_model", "text_model"):
        if key in keys and Path(keys[key]).exists():
            keys[key] = Path(keys[key]).name
    return yaml.safe_dump(keys, sort_keys=False).strip()


_CARD = """---
{front_matter}---

# PRD: Perturbed Report Discrimination

{notice}An image encoder and a report encoder pre-trained jointly on radiographs and their reports, with the loss
{loss}: image-report matching, local attention between words and image regions, and the choice of
an image's report among copies whose word order or meaning is broken
([Zhong, Batmanghelich and Sun](https://arxiv.org/abs/2506.01902)).

## Use

```python
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True)
inputs = processor(images=image, text=["the lungs are clear", "small left pleural effusion"], return_tensors="pt")
image_embeds = model.get_image_features(inputs["pixel_values"]).pooler_output  # [1, D], projected, not normalised
text_embeds = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output  # [2, D]
```

## Training

| | |
| --- | --- |
| data | {data}: {images} images, {reports} distinct reports |
| weights | {parameters} |
| steps | {steps}, in {minutes} minutes on {device} |
| versions | {versions} |

```yaml
{recipe}
```

## Results

Measured on {validation} validation images. Structure accuracy: the share of images whose own report has the highest
cosine similarity among it and its perturbed copies; a model that never sees the image can score high on it, so read it
beside the counterfactual accuracy, where such a model is at chance. Retrieval is over distinct reports.

{results}

![Training curves](curves.png)

## Limits

For research. Not a medical device, and not evaluated for any clinical use. The model knows the findings, the views and
the reporting style of its training data and no others.

## Citation

```bibtex
@misc{{zhong2025enhancing,
  title         = {{Enhancing Biomedical Multi-modal Representation Learning with Multi-scale Pre-training and
                   Perturbed Report Discrimination}},
  author        = {{Zhong, Xinliu and Batmanghelich, Kayhan and Sun, Li}},
  year          = {{2025}},
  eprint        = {{2506.01902}},
  archivePrefix = {{arXiv}}
}}
```
"""
