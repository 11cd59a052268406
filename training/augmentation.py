"""Random changes of a batch of radiographs, on the device that trains."""

from collections.abc import Sequence

import kornia.augmentation
import torch
from torch import nn

from .arguments import AugmentationArguments


class ImageAugmentation(nn.Module):
    """Small affine and intensity changes, each image its own; no horizontal flip, since reports name sides.

    Args:
        arguments: how large the changes are; a change of size 0 is left out.
        mean, std: what the image processor normalised with, one value a channel or a single one; the changes are made
            on pixels in [0, 1] and the result is normalised again. None: pixels are in [0, 1] already.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, arguments: AugmentationArguments, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std or [1.0]).view(-1, 1, 1), persistent=False)
        changes: list[nn.Module] = []
        if any((arguments.rotation, arguments.translation, arguments.scale, arguments.shear)):
            changes.append(
                kornia.augmentation.RandomAffine(
                    degrees=arguments.rotation,
                    translate=(arguments.translation, arguments.translation),
                    scale=(1 - arguments.scale, 1 + arguments.scale),
                    shear=arguments.shear,
                    p=1.0,
                )
            )
        if arguments.brightness:
            low, high = 1 - arguments.brightness, 1 + arguments.brightness
            changes.append(kornia.augmentation.RandomBrightness(brightness=(low, high), p=1.0))
        if arguments.contrast:
            low, high = 1 - arguments.contrast, 1 + arguments.contrast
            changes.append(kornia.augmentation.RandomContrast(contrast=(low, high), p=1.0))
        self.changes = nn.ModuleList(changes)

    @torch.no_grad()
    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Changes a batch of normalised images [B, C, H, W]; draws from torch's global generator."""
        if not self.changes:
            return pixel_values
        pixels = pixel_values * self.std + self.mean
        for change in self.changes:
            pixels = change(pixels)
        return (pixels.clamp(0, 1) - self.mean) / self.std
