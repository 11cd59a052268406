"""What [`PRDModel`] gives."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class PRDOutput(ModelOutput):
    """What [`PRDModel`] gives; what its inputs did not allow is None.

    In distributed training with `gather_negatives`, the losses and the logits are those of the joined batch of all
    processes, the embeddings those of this process.

    Attributes:
        loss: the weighted sum of the losses that were computed.
        loss_global, loss_local, loss_perturbation: the three losses, unweighted.
        logits_per_image: cosine / temperature, [B, T].
        logits_per_text: its transpose, [T, B].
        local_logits_per_image: S of every image and report times the local loss's logit scale (1 / temperature for
            the `paper` variant, `local_logit_scale` for `gloria`), [B, T].
        perturbation_logits: cosine / temperature with the own report (first) and its perturbations, [B, 1 + P];
            minus infinity where a perturbation is left out.
        image_embeds, text_embeds: L2-normalised, [B, D] and [T, D].
        perturbed_embeds: L2-normalised, [B, P, D].
        image_regions: not normalised, [B, M, D].
        word_embeds: not normalised, [T, W, D].
        word_mask: [T, W] bool, False where there is no word.
        temperature: tau where it is learned and only vectors were asked for, a scalar.
    """

    loss: Tensor | None = None
    loss_global: Tensor | None = None
    loss_local: Tensor | None = None
    loss_perturbation: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    local_logits_per_image: Tensor | None = None
    perturbation_logits: Tensor | None = None
    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    perturbed_embeds: Tensor | None = None
    image_regions: Tensor | None = None
    word_embeds: Tensor | None = None
    word_mask: Tensor | None = None
    temperature: Tensor | None = None

    def losses(self) -> dict[str, Tensor]:
        """Return the losses that were computed, by name, without their graph."""
        names = ("loss", "loss_global", "loss_local", "loss_perturbation")
        return {name: self[name].detach() for name in names if name in self}
