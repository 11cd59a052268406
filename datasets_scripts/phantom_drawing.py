"""Draws the radiograph of a `PhantomState`: each finding's painter, and `draw`, which puts them on a `Chest`.

Identical on every machine, see `phantom_anatomy`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .phantom_anatomy import (
    APEX_Y,
    LEVELS,
    Array,
    Chest,
    bump,
    grain,
    ramp,
    smooth_noise,
    triangle_wave,
    uniform,
)
from .phantom_devices import DEVICE_PAINTERS
from .phantom_state import Finding, PhantomState, get_difficulty

Box = tuple[int, int, int, int]

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 32, 2048
ZONE_DEPTH: Mapping[str, float] = MappingProxyType({"upper": 0.24, "mid": 0.55, "lower": 0.84})
"""The middle of each zone below the apex, as a share of the lung's height."""
EFFUSION_HEIGHT: Mapping[str, float] = MappingProxyType({"small": 0.08, "moderate": 0.33, "large": 0.62})
"""The fluid's height above the dome of the diaphragm, as a share of the lung's height."""
STRENGTH: Mapping[str, float] = MappingProxyType({"small": 0.8, "large": 1.2, "mild": 0.45, "severe": 1.2})
"""Factor on the density of a lung finding by its size: a larger one is thicker along the ray, too."""


def draw(
    state: PhantomState, image_size: int, rng: np.random.Generator, difficulty: str = "default"
) -> tuple[NDArray[np.uint8], dict[str, Box]]:
    """The radiograph of a state and where its findings stand.

    Args:
        state: what to show.
        image_size: side of the square image in pixels, 32 to 2048.
        rng: of pose, exposure, anatomy and noise; two generators give two views of the state.
        difficulty: a key of `DIFFICULTIES`: contrast, noise and clutter.

    Returns:
        (grey image uint8 [S, S], boxes): a box (x0, y0, x1, y1) in pixels, x1 and y1 exclusive, for each finding that
        has a place of its own, by name, and for an enlarged "heart".

    Raises:
        ValueError: image_size out of its range, or an unknown difficulty.
    """
    if not MIN_IMAGE_SIZE <= image_size <= MAX_IMAGE_SIZE:
        raise ValueError(f"image_size must be {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE} pixels, got {image_size}")
    level = get_difficulty(difficulty)
    chest = Chest(state, image_size, rng, level)
    masks: dict[str, Array] = {} if state.heart == "normal" else {"heart": chest.heart}
    for finding in state.findings:
        painter = _PAINTERS.get(finding.name) or DEVICE_PAINTERS.get(finding.name)
        if painter is not None:
            masks[finding.name] = painter(chest, finding)
    # A little less than the density is shown where it is high, so that overlaid findings do not all end in white.
    value = np.clip(chest.density + chest.acquisition.exposure, 0.0, 1.6)
    value = value + chest.acquisition.gamma * value * (0.8 - value) * 0.5
    value = value * (1.25 - 0.25 * value)
    pixels = value * 200.0 + level.noise * grain(rng, image_size)
    image = np.clip(np.rint(pixels), 0.0, LEVELS).astype(np.uint8)
    return image, {name: _bounding_box(mask) for name, mask in masks.items()}


def _bounding_box(mask: Array) -> Box:
    visible = mask > 0.3 * float(mask.max())
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _zone_centre(chest: Chest, finding: Finding, out_low: float, out_high: float) -> tuple[Array, Array]:
    """Offsets of each pixel from a random point in the finding's zone and side. [S, S] each"""
    centre_out = uniform(chest.rng, out_low, out_high)
    depth = ZONE_DEPTH[str(finding.zone)] + uniform(chest.rng, -0.04, 0.04)
    centre_y = APEX_Y + depth * chest.lung_height[str(finding.side)]
    return chest.lateral(str(finding.side)) - centre_out, chest.y - centre_y


def _paint_effusion(chest: Chest, finding: Finding) -> Array:
    side = str(finding.side)
    out = chest.lateral(side)
    height = EFFUSION_HEIGHT[str(finding.size)] + uniform(chest.rng, -0.025, 0.025)
    level = APEX_Y + (1.0 - height) * chest.lung_height[side]
    meniscus = level + 0.05 - 0.30 * np.maximum(out - 0.25, 0.0)  # at out = 0.43, the level
    fluid = ramp(chest.y - meniscus, 0.10) * chest.lungs[side]
    chest.density += 0.36 * chest.difficulty.contrast * fluid
    return fluid


def _paint_pneumothorax(chest: Chest, finding: Finding) -> Array:
    side = str(finding.side)
    out, lung = chest.lateral(side), chest.lungs[side]
    depth = (0.10 if finding.size == "small" else 0.34) + uniform(chest.rng, -0.015, 0.015)
    # The collapsed lung is the lung moved inwards and down by `depth`, most at the apex.
    across = (out - 0.43 - 0.02 * chest.y + 0.75 * depth) / (0.33 + 0.05 * chest.y - 0.35 * depth)
    along = (chest.y + 0.02 - 1.0 * depth) / (0.80 - 0.2 * depth)
    inside = 1.0 - across * across - along * along * np.abs(along)
    air = lung * ramp(-inside, 0.06) * ramp(out - 0.10, 0.05)
    pleura = bump((inside / 0.10) ** 2) * lung * ramp(out - 0.12, 0.05)
    contrast = chest.difficulty.contrast
    chest.density += contrast * (0.13 * pleura - 0.11 * air + 0.05 * lung * ramp(inside, 0.06))
    return air


def _paint_consolidation(chest: Chest, finding: Finding) -> Array:
    dx, dy = _zone_centre(chest, finding, 0.38, 0.48)
    radius = 0.16 if finding.size == "small" else 0.36
    ragged = 1.0 + 0.35 * smooth_noise(chest.rng, chest.size, 9)
    across = dx / (radius if finding.size == "small" else 0.30)
    blob = bump((across**2 + (dy / (0.9 * radius)) ** 2) * 0.55 * ragged * ragged) * chest.lungs[str(finding.side)]
    patchy = 1.0 + 0.25 * smooth_noise(chest.rng, chest.size, 20)
    chest.density += 0.48 * STRENGTH[str(finding.size)] * chest.difficulty.contrast * blob * patchy
    return blob


def _paint_nodule(chest: Chest, finding: Finding) -> Array:
    dx, dy = _zone_centre(chest, finding, 0.34, 0.52)
    radius = 0.072 if finding.size == "small" else 0.160
    disc = ramp(1.0 - (dx * dx + dy * dy) / (radius * radius), 0.7) * ramp(chest.lungs[str(finding.side)], 0.5)
    chest.density += 0.52 * STRENGTH[str(finding.size)] * chest.difficulty.contrast * disc
    return disc


def _paint_atelectasis(chest: Chest, finding: Finding) -> Array:
    dx, dy = _zone_centre(chest, finding, 0.38, 0.48)
    slope = uniform(chest.rng, -0.25, 0.25)
    half_length, half_height = (0.14, 0.028) if finding.size == "small" else (0.29, 0.085)
    band = ramp(1.0 - np.abs(dy - slope * dx) / half_height, 0.8) * ramp(half_length - np.abs(dx), 0.05)
    band = band * ramp(chest.lungs[str(finding.side)], 0.4)
    chest.density += 0.46 * STRENGTH[str(finding.size)] * chest.difficulty.contrast * band
    return band


def _paint_edema(chest: Chest, finding: Finding) -> Array:
    strength = STRENGTH[str(finding.size)]
    lungs = chest.lungs["left"] + chest.lungs["right"]
    out = np.abs(chest.x)
    wings = bump(((out - 0.26) / 0.36) ** 2 + ((chest.y - 0.02) / 0.58) ** 2) * lungs
    reticular = triangle_wave(chest.y * 9.0 + 2.0 * smooth_noise(chest.rng, chest.size, 14))
    lines = ramp(reticular - 0.7, 0.3) * lungs * ramp(out - 0.25, 0.2)
    chest.density += strength * chest.difficulty.contrast * (0.40 * wings + 0.07 * lines)
    return wings


def _paint_portable_marker(chest: Chest, finding: Finding) -> Array:
    across, down = chest.x + uniform(chest.rng, 0.84, 0.90), chest.y + uniform(chest.rng, 0.80, 0.86)
    plate = ramp(0.09 - np.abs(across), 0.02) * ramp(0.05 - np.abs(down), 0.02)
    chest.density += 0.5 * plate * (0.5 + triangle_wave(across * 16.0))
    return plate


def _paint_rib_fracture(chest: Chest, finding: Finding) -> Array:
    depth = ZONE_DEPTH[str(finding.zone)] + uniform(chest.rng, -0.04, 0.04)
    out = chest.lateral(str(finding.side)) - uniform(chest.rng, 0.70, 0.76)
    dy = chest.y - APEX_Y - depth * (0.40 - APEX_Y)
    callus = bump((out / 0.10) ** 2 + (dy / 0.065) ** 2)
    gap = ramp(0.010 - np.abs(out - 0.4 * dy), 0.012)
    chest.density += 0.60 * callus * (1.0 - 0.8 * gap)
    return callus


def _paint_granuloma(chest: Chest, finding: Finding) -> Array:
    dx, dy = _zone_centre(chest, finding, 0.34, 0.52)
    radius = max(0.030, 1.8 / chest.size)  # a pixel at least
    dot = ramp(1.0 - (dx * dx + dy * dy) / radius**2, 0.6)
    chest.density += 0.75 * dot
    return dot


_PAINTERS: Mapping[str, Callable[[Chest, Finding], Array]] = MappingProxyType(
    {
        "effusion": _paint_effusion,
        "pneumothorax": _paint_pneumothorax,
        "consolidation": _paint_consolidation,
        "nodule": _paint_nodule,
        "atelectasis": _paint_atelectasis,
        "edema": _paint_edema,
        "portable": _paint_portable_marker,
        "rib_fracture": _paint_rib_fracture,
        "granuloma": _paint_granuloma,
    }
)
"""Of every finding but the devices, which have their own, and those that are part of the `Chest`."""
