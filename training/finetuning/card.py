"""A fine-tuning's numbers as people read them, and the model card written from the run."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from datasets_scripts.card import markdown_table
from evaluate_suite.data import dataset_name, display_name

from ..lora import ADAPTER_FOLDER
from .arguments import IMAGE_TASKS, FineTuning
from .output import portable_arguments
from .task import Tree

_NOT_IN_TABLE = ("confusion",)


def results_table(metrics: Tree) -> str:
    """The reported split's numbers as a Markdown table: those of the folder's model, and over the seeds."""
    header = ["measure", f"seed {metrics['seed']}", "95 % interval", "chance", "n", "mean of seeds", "deviation"]
    rows = []
    for path, leaf in _leaves(metrics["test"]):
        seeds: Any = metrics["over_seeds"]["test"]
        for key in path:
            seeds = seeds[key]
        deviation = "one seed" if seeds["deviation"] is None else f"{seeds['deviation']:.3f}"
        low, high = leaf["interval"]
        rows.append(
            [
                " ".join(path).replace("_", " "),
                f"{leaf['value']:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{leaf['chance']:.3f}",
                f"{leaf['n']:,}",
                f"{seeds['mean']:.3f}",
                deviation,
            ]
        )
    return markdown_table(header, rows)


def confusion_table(tree: Tree) -> str:
    """The confusion matrix of a split as a Markdown table; empty for a task without one."""
    if "confusion" not in tree:
        return ""
    labels = list(next(iter(tree["confusion"].values())))
    rows = [
        [f"is {true}", *(f"{count:,}" for count in counts)]
        for true, counts in zip(labels, tree["confusion_counts"], strict=True)
    ]
    return markdown_table(["pairs", *(f"taken for {label}" for label in labels)], rows)


def render_card(arguments: FineTuning, metrics: Tree, labels: tuple[str, ...], notes: tuple[str, ...]) -> str:
    """The README.md of a fine-tuned model's folder."""
    images = arguments.task.task in IMAGE_TASKS
    base = display_name(arguments.classifier.model)
    front_matter = {
        "license": "apache-2.0",
        "library_name": "transformers",
        "language": "en",
        "pipeline_tag": "image-classification" if images else "text-classification",
        "tags": ["radiology", "chest-x-ray" if images else "natural-language-inference"],
    }
    run = metrics["seeds"][str(metrics["seed"])]
    seeds = ", ".join(metrics["seeds"])
    said = [
        *notes,
        f"Seeds {seeds}; the weights are those of seed {metrics['seed']}, the best on the validation split, after "
        f"{run['best_step']:,} of {run['steps']:,} steps.",
    ]
    if arguments.task.hypothesis_only:
        said.append("**A control**: it never saw the premise, and is no model to use.")
    if arguments.lora.lora_r is not None:
        said.append(f"LoRA's adapters are merged into the weights; alone they stand in `{ADAPTER_FOLDER}/`.")
    confusion = confusion_table(metrics["test"])
    given = portable_arguments(arguments) | {"seeds": [int(seed) for seed in metrics["seeds"]]}
    return _CARD.format(
        front_matter=yaml.safe_dump(front_matter, sort_keys=False),
        task={"mednli": "MedNLI", "radnli": "RadNLI", "chexpert": "CheXpert's observations"}[arguments.task.task],
        base=base,
        labels=", ".join(labels),
        use=_USE_IMAGES if images else _USE_TEXT,
        data=_data_name(arguments.task.data),
        train_rows=f"{run['train_rows']:,}",
        share=run["trained"],
        seconds=f"{run['seconds']:.0f}",
        device=run["device"],
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "datasets")),
        said="\n".join(f"- {sentence}" for sentence in said),
        results=results_table(metrics) + (f"\n\n{confusion}" if confusion else ""),
        arguments=yaml.safe_dump(given, sort_keys=False).strip(),
    )


def _data_name(data: str) -> str:
    return dataset_name(data) if Path(data).exists() else data


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    for key, node in tree.items():
        if isinstance(node, dict) and "value" in node:
            yield (*path, key), node
        elif isinstance(node, dict) and key not in _NOT_IN_TABLE:
            yield from _leaves(node, (*path, key))


_USE_TEXT = """```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

classify = pipeline("text-classification", model=REPO_OR_FOLDER, trust_remote_code=True, truncation=True)
classify({"text": "there is a left pleural effusion", "text_pair": "the left costophrenic angle is blunted"})
```

`evaluate.evaluator` takes the loaded model and its tokenizer, not an id: remote code needs its consent at loading.

```python
import evaluate

model = AutoModelForSequenceClassification.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True)
evaluate.evaluator("text-classification").compute(
    model_or_pipeline=model, tokenizer=AutoTokenizer.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True),
    data=pairs, metric="accuracy", input_column="premise", second_input_column="hypothesis", label_column="label",
    label_mapping=model.config.label2id,
)
```"""

_USE_IMAGES = """```python
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

classify = pipeline("image-classification", model=REPO_OR_FOLDER, trust_remote_code=True)
classify(image)  # a probability for each label
```

`evaluate.evaluator` takes the loaded model and its image processor, not an id: remote code needs its consent at
loading. Its answer is the likeliest label, for images with one label each.

```python
import evaluate

model = AutoModelForImageClassification.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True)
evaluate.evaluator("image-classification").compute(
    model_or_pipeline=model,
    feature_extractor=AutoImageProcessor.from_pretrained(REPO_OR_FOLDER, trust_remote_code=True),
    data=images, metric="accuracy", input_column="image", label_column="label", label_mapping=model.config.label2id,
)
```"""

_CARD = """---
{front_matter}---

# {task}, fine-tuned from {base}

Tells: {labels}.

## Use

{use}

## Training

| | |
| --- | --- |
| data | {data}, {train_rows} training rows |
| trained | {share} |
| time | {seconds} s on {device} |
| versions | {versions} |

{said}

```yaml
{arguments}
```

## Results

On the split that is reported; nothing was chosen by it.

{results}

## Limits

For research. Not a medical device, and not evaluated for any clinical use. The labels are those of its data, made as
these were made; what its data do not show, it does not know.
"""
