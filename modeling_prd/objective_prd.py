"""From the vectors of images and reports to logits and losses, over the pairs of this process or of all."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .configuration_prd import PRDConfig
from .distributed_prd import gather_batches
from .losses_prd import (
    full_precision,
    local_similarity,
    perturbation_cross_entropy,
    perturbation_logits,
    symmetric_cross_entropy,
)


class ImageVectors(NamedTuple):
    """Images: `embeds` [B, D] L2-normalised, `regions` [B, M, D] not normalised."""

    embeds: Tensor
    regions: Tensor


class ReportVectors(NamedTuple):
    """Reports: `embeds` [T, D] and `perturbed` [T, P, D] L2-normalised; `words` [T, W, D] with their mask [T, W]."""

    embeds: Tensor
    perturbed: Tensor | None
    words: tuple[Tensor, Tensor] | None


def similarity_of_words(config: PRDConfig, image_regions: Tensor, word_embeds: Tensor, word_mask: Tensor) -> Tensor:
    """Return S [B, T] of images [B, M, D] and reports [T, W, D] by the configuration's local variant, unscaled."""
    return local_similarity(
        image_regions,
        word_embeds,
        word_mask,
        variant=config.local_variant,
        length_normalized=config.local_length_normalized,
        attention_temperature=config.attention_temperature,
        similarity_temperature=config.similarity_temperature,
        memory_mb=config.local_loss_memory_mb,
    )


class Objective(nn.Module):
    """Logits and losses of vectors. It has no weights; it is a module to be compiled like the encoders."""

    def __init__(self, config: PRDConfig):
        super().__init__()
        self.config = config

    def forward(
        self,
        images: ImageVectors,
        reports: ReportVectors,
        temperature: float | Tensor,
        perturbation_mask: Tensor | None,
        report_ids: Tensor | None,
        with_losses: bool,
        logits: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """As [`compare`], of the vectors given alone, to which `logits` of the perturbations are added."""
        config = self.config
        results = logits | _of_perturbations(images, reports, temperature, perturbation_mask)
        with full_precision(images.embeds):
            results["logits_per_image"] = images.embeds @ reports.embeds.T / temperature
            results["logits_per_text"] = results["logits_per_image"].T
            if reports.words is not None:
                scale = 1 / temperature if config.local_variant == "paper" else config.local_logit_scale
                results["local_logits_per_image"] = scale * similarity_of_words(config, images.regions, *reports.words)
            return results | _losses(config, results, report_ids) if with_losses else results


def compare(
    objective: Objective,
    images: ImageVectors,
    reports: ReportVectors,
    temperature: float | Tensor,
    perturbation_mask: Tensor | None,
    report_ids: Tensor | None,
    with_losses: bool,
    gather: bool,
) -> dict[str, Tensor]:
    """Compute the logits that the vectors allow and, for pairs, the losses.

    Args:
        objective: computes them, by the losses' settings and weights.
        images, reports: the vectors of this process.
        temperature: tau.
        perturbation_mask: [B, P] bool, False where a perturbation is left out.
        report_ids: [B], equal where reports are the same.
        with_losses: whether image i and report i are a pair.
        gather: whether to join the pairs of all processes first; all must give the same kinds of inputs.

    Returns:
        Fields of [`PRDOutput`] by name.
    """
    logits: dict[str, Tensor] = {}
    if gather:
        own = _of_perturbations(images, reports, temperature, perturbation_mask)
        images, reports, report_ids, logits = _join_processes(images, reports, report_ids, own)
    return objective(images, reports, temperature, perturbation_mask, report_ids, with_losses, logits)


def _of_perturbations(
    images: ImageVectors, reports: ReportVectors, temperature: float | Tensor, perturbation_mask: Tensor | None
) -> dict[str, Tensor]:
    if reports.perturbed is None or len(images.embeds) != len(reports.embeds):
        return {}
    logits = perturbation_logits(images.embeds, reports.embeds, reports.perturbed, perturbation_mask, temperature)
    return {"perturbation_logits": logits}


def _join_processes(
    images: ImageVectors, reports: ReportVectors, report_ids: Tensor | None, logits: dict[str, Tensor]
) -> tuple[ImageVectors, ReportVectors, Tensor | None, dict[str, Tensor]]:
    """Return what is given, of all processes' pairs; of the perturbations the logits, not the vectors."""
    word_embeds, word_mask = reports.words or (None, None)
    own = {
        "image_embeds": images.embeds,
        "image_regions": images.regions,
        "text_embeds": reports.embeds,
        "word_embeds": word_embeds,
        "word_mask": word_mask,
        "report_ids": report_ids,
        **logits,
    }
    there = {name: tensor for name, tensor in own.items() if tensor is not None}
    joined = gather_batches(there, padding={"perturbation_logits": -torch.inf})
    words = None if reports.words is None else (joined["word_embeds"], joined["word_mask"])
    return (
        ImageVectors(joined["image_embeds"], joined["image_regions"]),
        ReportVectors(joined["text_embeds"], None, words),
        joined.get("report_ids"),
        {name: joined[name] for name in logits},
    )


def _losses(config: PRDConfig, logits: dict[str, Tensor], report_ids: Tensor | None) -> dict[str, Tensor]:
    negative_mask = None
    if report_ids is not None and config.duplicate_reports == "mask":
        negative_mask = report_ids[:, None] != report_ids[None, :]  # [B, B]
    losses = {"loss_global": symmetric_cross_entropy(logits["logits_per_image"], negative_mask)}
    loss = config.global_weight * losses["loss_global"]
    if "local_logits_per_image" in logits:
        losses["loss_local"] = symmetric_cross_entropy(logits["local_logits_per_image"], negative_mask)
        loss = loss + config.alpha * losses["loss_local"]
    if "perturbation_logits" in logits:
        losses["loss_perturbation"] = perturbation_cross_entropy(logits["perturbation_logits"])
        loss = loss + config.beta * losses["loss_perturbation"]
    return losses | {"loss": loss}
