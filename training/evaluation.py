"""What training reports of a model: the losses on held-out batches, and the tasks of `evaluate_suite`."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from datasets import Dataset, Image

from evaluate_suite.embeddings import Embeddings
from evaluate_suite.encoders import PRDEncoder
from evaluate_suite.tasks import counterfactual, retrieval, structure
from modeling_prd import PRDModel

Tree = dict[str, Any]
_LOSSES = ("loss_global", "loss_local", "loss_perturbation")
_BLIND = ("blind", "gain_over_blind")
_NO_BLIND = (
    "not measured while training: the blind models read the texts alone, so that no step changes them and they need "
    "not be fitted at each evaluation; `python -m evaluate_suite run` measures them once"
)


@torch.inference_mode()
def held_out_losses(model: PRDModel, batches: Iterable[dict[str, torch.Tensor]], device: torch.device) -> Tree:
    """The three losses, averaged over batches weighted by their images.

    Chance is what equal scores would give: the log of the number of candidates, which is B less the other images with
    the same report for the matching losses (where `duplicate_reports` masks them), 1 + P for the perturbation loss.

    Args:
        model: evaluated as it is; the caller has set it to eval mode.
        batches: inputs of `PRDModel.forward`.
        device: where the model is.
    """
    sums: dict[str, float] = dict.fromkeys(_LOSSES, 0.0)
    chances: dict[str, float] = dict.fromkeys(_LOSSES, 0.0)
    count = 0
    for batch in batches:
        output = model(**{name: tensor.to(device) for name, tensor in batch.items()}, return_loss=True)
        size = len(batch["input_ids"])
        count += size
        matching = _log_candidates(batch["report_ids"], masked=model.config.duplicate_reports == "mask")
        uniform = {
            "loss_global": matching,
            "loss_local": matching,
            "loss_perturbation": batch["perturbation_mask"].sum(1).add(1).log().mean().item(),
        }
        for name in _LOSSES:
            sums[name] += size * float(output[name])
            chances[name] += size * uniform[name]
    return {name: {"value": sums[name] / count, "chance": chances[name] / count, "n": count} for name in _LOSSES}


def evaluate_pairs(encoder: PRDEncoder, data: Dataset, known_reports: frozenset[str], *, local: bool) -> Tree:
    """Runs the tasks on all pairs, on those whose report training has not seen, and on the abnormal ones.

    Args:
        encoder: the model with its processor.
        data: a split of a perturbed-pairs dataset.
        known_reports: the normalised reports of the training split.
        local: also rank by the local score S.

    Returns:
        `validation`, `validation_unseen_reports` and, where the corpus has labels, `validation_abnormal`, each the
        tree of its tasks' numbers. Structure and counterfactuals come with wrong images, which cost no encoding, and
        name the blind models under `skipped`.
    """
    data = data.cast_column("image", Image())
    embeddings = Embeddings(encoder)
    tree: Tree = {
        "validation": {
            "structure": _without_blind(structure.evaluate(embeddings, data)),
            "retrieval": retrieval.evaluate(embeddings, data),
            "counterfactual": _without_blind(counterfactual.evaluate(embeddings, data)),
        }
    }
    if local:
        tree["validation"]["retrieval_local"] = retrieval.evaluate_local(embeddings, data)
    reports = data["report"]
    unseen = [row for row, report in enumerate(reports) if report not in known_reports]
    if 0 < len(unseen) < len(data):
        subset = data.select(unseen)
        tree["validation_unseen_reports"] = {
            "structure": _without_blind(structure.evaluate(embeddings, subset)),
            "retrieval": retrieval.evaluate(embeddings, subset),
        }
    abnormal = [row for row, labels in enumerate(data["labels"]) if _is_abnormal(labels)]
    if 0 < len(abnormal) < len(data):
        tree["validation_abnormal"] = {"retrieval": retrieval.evaluate(embeddings, data.select(abnormal))}
    return tree


def _without_blind(tree: Tree) -> Tree:
    return tree | {"skipped": tree.get("skipped", {}) | dict.fromkeys(_BLIND, _NO_BLIND)}


def _log_candidates(report_ids: torch.Tensor, *, masked: bool) -> float:
    """Mean over a batch of the log of the number of reports that an image is matched with."""
    if not masked:
        return math.log(len(report_ids))
    others = (report_ids[:, None] != report_ids[None, :]).sum(dim=1)  # [B]
    return others.add(1).log().mean().item()


def _is_abnormal(labels: dict[str, float | None] | None) -> bool:
    return labels is not None and labels["No Finding"] != 1 and any(value == 1 for value in labels.values())
