"""The painters of devices and hardware: metal, so their contrast is the same at every difficulty."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from .phantom_anatomy import SIDE_SIGN, Array, Chest, ramp, uniform
from .phantom_state import Finding


def _stroke(chest: Chest, points: list[tuple[float, float]], half_width: float) -> Array:
    """The mask of a polyline. [S, S]"""
    nearest = np.full_like(chest.x, 4.0)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((chest.x - x0) * dx + (chest.y - y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        nearest = np.minimum(nearest, (chest.x - x0 - along * dx) ** 2 + (chest.y - y0 - along * dy) ** 2)
    return ramp(half_width - np.sqrt(nearest), 2.5 / chest.size)


def _paint_central_line(chest: Chest, finding: Finding) -> Array:
    sign = SIDE_SIGN[str(finding.side)]
    tip = -0.16 if finding.zone == "vena cava" else 0.20
    entry = uniform(chest.rng, 0.66, 0.76)
    points = [(sign * 0.80, -0.30), (sign * entry, -0.52), (sign * 0.30, -0.62), (-0.09, -0.44)]
    mask = _stroke(chest, [*points, (-0.11, tip + uniform(chest.rng, -0.04, 0.04))], 0.016)
    chest.density += 0.42 * mask
    return mask


def _paint_endotracheal_tube(chest: Chest, finding: Finding) -> Array:
    jitter = uniform(chest.rng, -0.03, 0.03)
    points = [(0.01, -1.1), (0.0, -0.45 + jitter)]
    if finding.zone == "bronchus":
        points = [(0.01, -1.1), (0.0, -0.24), (-0.14, -0.08 + jitter)]
    mask = _stroke(chest, points, 0.030)
    chest.density += 0.36 * mask - 0.22 * _stroke(chest, points, 0.008)
    return mask


def _paint_enteric_tube(chest: Chest, finding: Finding) -> Array:
    bend = uniform(chest.rng, 0.02, 0.05)
    points = [(-0.02, -1.1), (bend, -0.3), (bend, 0.45), (0.20, 0.68), (uniform(chest.rng, 0.36, 0.46), 0.80)]
    mask = _stroke(chest, points, 0.014)
    chest.density += 0.40 * mask
    return mask


def _paint_pacemaker(chest: Chest, finding: Finding) -> Array:
    sign = SIDE_SIGN[str(finding.side)]
    centre_x, centre_y = sign * uniform(chest.rng, 0.54, 0.62), uniform(chest.rng, -0.52, -0.44)
    across, along = np.abs(chest.x - centre_x) / 0.13, np.abs(chest.y - centre_y) / 0.105
    case = ramp(1.0 - across * across * across - along * along * along, 0.2)
    points = [(centre_x, centre_y), (sign * 0.30, -0.60), (-0.08, -0.40), (-0.10, 0.10), (0.22, 0.34)]
    lead = _stroke(chest, points, 0.012)
    chest.density += 0.62 * case + 0.38 * lead * (1.0 - case)
    return np.maximum(case, lead)


def _paint_sternal_wires(chest: Chest, finding: Finding) -> Array:
    x = chest.x - chest.turn
    mask = np.zeros_like(x)
    for row in range(5):
        y = chest.y + 0.40 - 0.17 * row + uniform(chest.rng, -0.01, 0.01)
        ring = np.sqrt((x / 0.050) ** 2 + (y / 0.034) ** 2)
        mask = np.maximum(mask, ramp(0.40 - np.abs(ring - 1.0), 0.5))
    chest.density += 0.40 * mask
    return mask


def _paint_monitoring_leads(chest: Chest, finding: Finding) -> Array:
    mask = np.zeros_like(chest.x)
    for x, y in ((-0.72, -0.78), (0.72, -0.78), (0.84, 0.50)):
        x, y = x + uniform(chest.rng, -0.05, 0.05), y + uniform(chest.rng, -0.05, 0.05)
        disc = ramp(0.050 - np.sqrt((chest.x - x) ** 2 + (chest.y - y) ** 2), 0.02)
        wire = _stroke(chest, [(x, y), (0.6 * x, 0.5 * y + 0.3), (0.1, 1.1)], 0.008)
        mask = np.maximum(mask, np.maximum(disc, 0.6 * wire))
    chest.density += 0.40 * mask
    return mask


def _paint_surgical_clips(chest: Chest, finding: Finding) -> Array:
    mask = np.zeros_like(chest.x)
    for _ in range(4):
        x, y = uniform(chest.rng, -0.40, -0.20), uniform(chest.rng, 0.66, 0.80)
        mask = np.maximum(mask, _stroke(chest, [(x, y), (x + 0.03, y + uniform(chest.rng, -0.03, 0.03))], 0.012))
    chest.density += 0.45 * mask
    return mask


def _paint_spinal_hardware(chest: Chest, finding: Finding) -> Array:
    top = uniform(chest.rng, 0.20, 0.30)
    mask = np.zeros_like(chest.x)
    for x in (-0.05, 0.05):
        mask = np.maximum(mask, _stroke(chest, [(x, top), (x, 1.0)], 0.014))
        for row in range(4):
            y = top + 0.03 + 0.18 * row
            mask = np.maximum(mask, _stroke(chest, [(x, y), (1.9 * x, y)], 0.016))
    chest.density += 0.42 * mask
    return mask


def _paint_shoulder_prosthesis(chest: Chest, finding: Finding) -> Array:
    sign = SIDE_SIGN[str(finding.side)]
    x, y = sign * uniform(chest.rng, 0.84, 0.90), uniform(chest.rng, -0.74, -0.68)
    ball = ramp(0.085 - np.sqrt((chest.x - x) ** 2 + (chest.y - y) ** 2), 0.02)
    mask = np.maximum(ball, _stroke(chest, [(x, y), (x + 0.05 * sign, y + 0.40)], 0.026))
    chest.density += 0.55 * mask
    return mask


DEVICE_PAINTERS: Mapping[str, Callable[[Chest, Finding], Array]] = MappingProxyType(
    {
        "central_line": _paint_central_line,
        "endotracheal_tube": _paint_endotracheal_tube,
        "enteric_tube": _paint_enteric_tube,
        "pacemaker": _paint_pacemaker,
        "sternal_wires": _paint_sternal_wires,
        "monitoring_leads": _paint_monitoring_leads,
        "surgical_clips": _paint_surgical_clips,
        "spinal_hardware": _paint_spinal_hardware,
        "shoulder_prosthesis": _paint_shoulder_prosthesis,
    }
)
