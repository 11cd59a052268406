"""The task `grounding` recomputed: every pixel of every map by itself."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from recomputed import GAIN, SHARE, TIE, Plan, Tree, mean, measured, told

MEASURES = ("pointing_game", "mean_iou", "cnr", "signed_cnr")
SHARES = ("pointing_game", "mean_iou")
FIXED = (0.1, 0.2, 0.3, 0.4, 0.5)
CANDIDATES = tuple(step / 20 for step in range(1, 20))
_FLAT = 1e-9

Pixels = list[list[float]]
Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """A phrase of one image; `inside` says of each pixel whether its centre lies in one of the phrase's boxes."""

    study: str
    label: str
    phrase: str
    grid: Pixels
    inside: list[list[bool]]


def cases_of(encoder: Any, data: Dataset) -> list[Case]:
    cases = []
    for row in data:
        for label, phrase in dict.fromkeys((box["label"], box["phrase"]) for box in row["boxes"]):
            boxes = [box["box"] for box in row["boxes"] if (box["label"], box["phrase"]) == (label, phrase)]
            inside = [
                [
                    any(x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1 for x0, y0, x1, y1 in boxes)
                    for x in range(row["image"].width)
                ]
                for y in range(row["image"].height)
            ]
            (grid,) = encoder.phrase_maps([row["image"]], [phrase])
            cases.append(Case(row["study_id"], label, phrase, np.asarray(grid, dtype=np.float64).tolist(), inside))
    return cases


def to_pixels(grid: Pixels, height: int, width: int) -> Pixels:
    """The grid at the pixels' centres, bilinear, its cells' centres at the middles of equal parts, from 0 to 1."""

    def neighbours(pixel: int, pixels: int, cells: int) -> tuple[int, int, float]:
        place = min(max((pixel + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
        below = math.floor(place)
        return below, min(below + 1, cells - 1), place - below

    heat = []
    for y in range(height):
        top, bottom, down = neighbours(y, height, len(grid))
        line = []
        for x in range(width):
            left, right, across = neighbours(x, width, len(grid[0]))
            upper = (1 - across) * grid[top][left] + across * grid[top][right]
            lower = (1 - across) * grid[bottom][left] + across * grid[bottom][right]
            line.append((1 - down) * upper + down * lower)
        heat.append(line)
    low, high = min(map(min, heat)), max(map(max, heat))
    if high - low <= _FLAT * max(abs(low), abs(high)):
        return [[0.0] * width for _ in range(height)]
    return [[(value - low) / (high - low) for value in line] for line in heat]


def scores(case: Case, grid: Pixels, thresholds: Sequence[float]) -> dict[str, Any]:
    """Of one map on one case: by measure, the IoU at each threshold, `signed_cnr` None where undefined."""
    height, width = len(case.inside), len(case.inside[0])
    heat = to_pixels(grid, height, width)
    pixels = [(heat[y][x], case.inside[y][x]) for y in range(height) for x in range(width)]
    highest = max(value for value, _ in pixels)
    ious = []
    for threshold in thresholds:
        both = sum(value >= threshold and hit for value, hit in pixels)
        ious.append(both / sum(value >= threshold or hit for value, hit in pixels))
    return {
        "pointing_game": mean(float(hit) for value, hit in pixels if value >= highest - _FLAT),
        "ious": ious,
        "signed_cnr": _contrast_to_noise(
            [value for value, hit in pixels if hit], [value for value, hit in pixels if not hit]
        ),
    }


def _contrast_to_noise(inside: Sequence[float], outside: Sequence[float]) -> float | None:
    if not inside or not outside:
        return None
    contrast = mean(inside) - mean(outside)
    noise = math.sqrt(_variance(inside) + _variance(outside))
    if noise > 0:
        return contrast / noise
    return None if contrast else 0.0


def _variance(values: Sequence[float]) -> float:
    centre = mean(values)
    return mean((value - centre) ** 2 for value in values)


def grounding(encoder: Any, test: Dataset, validation: Dataset | None, plan: Plan) -> Tree:
    cases = cases_of(encoder, test)
    on_validation = cases_of(encoder, validation) if validation is not None else []
    by_label, of_others = _thresholds(on_validation) if on_validation else ({}, list(FIXED))
    levels = [[by_label[case.label]] if case.label in by_label else of_others for case in cases]
    own = [_numbers([scores(case, case.grid, bars)]) for case, bars in zip(cases, levels, strict=True)]
    others = _wrong_maps(cases, plan.seed)
    wrong = [
        _numbers([scores(case, cases[other].grid, bars) for other in of_case])
        for case, bars, of_case in zip(cases, levels, others, strict=True)
    ]
    area = [mean(float(hit) for line in case.inside for hit in line) for case in cases]

    chances = {"pointing_game": area} | {name: [found[name] for found in wrong] for name in MEASURES[1:]}

    def of_cases(places: Sequence[int]) -> Tree:
        return {
            name: _measure(cases, [found[name] for found in own], chances[name], places, plan, _bounds(name, SHARE))
            for name in MEASURES
            if any(own[place][name] is not None and chances[name][place] is not None for place in places)
        }

    everything = range(len(cases))
    gains = {
        name: _measure(
            cases, _differences(own, wrong, name), [0.0] * len(cases), everything, plan, _bounds(name, GAIN)
        )
        for name in MEASURES
    }
    tree = of_cases(everything)
    vain = [
        told(*(_told_unit(name) * number for number in (tree[name]["value"], gain["value"], *gain["interval"])))
        for name, gain in gains.items()
        if gain["interval"][0] <= TIE
    ]
    wrong_pointing = [found["pointing_game"] for found in wrong]
    tree |= {"note": " ".join(vain)} if vain else {}
    return tree | {
        "wrong_map": _measure(cases, wrong_pointing, area, everything, plan, SHARE),
        "gain_over_wrong_map": gains,
        "needs_image": gains["pointing_game"]["interval"][0] > TIE,
        "by_label": {
            label: of_cases([place for place, case in enumerate(cases) if case.label == label])
            for label in sorted({case.label for case in cases})
        },
        "n_undefined_cnr": sum(found["signed_cnr"] is None for found in own),
        "thresholds": {
            "by_label": by_label,
            "others": of_others,
            "source": told(len(on_validation), 0, 1) if on_validation else told(0, 1),
        },
    }


def _told_unit(name: str) -> float:
    return 100 if name == "pointing_game" else 1  # per cent and points, or as it is


def _bounds(name: str, bounds: tuple[float, float]) -> tuple[float, float] | None:
    return bounds if name in SHARES else None


def _differences(own: Sequence[Numbers], wrong: Sequence[Numbers], name: str) -> list[float | None]:
    pairs = [(found[name], other[name]) for found, other in zip(own, wrong, strict=True)]
    return [None if right is None or other is None else right - other for right, other in pairs]


def _measure(
    cases: Sequence[Case],
    values: Sequence[float | None],
    chances: Sequence[float | None],
    places: Sequence[int],
    plan: Plan,
    bounds: tuple[float, float] | None,
) -> Tree:
    # Over the cases at `places` where the value is defined; the chance over those where the chance is too.
    defined = [(place, value) for place in places if (value := values[place]) is not None]
    chance = mean(known for place, _ in defined if (known := chances[place]) is not None)
    studies = [cases[place].study for place, _ in defined]
    return measured([value for _, value in defined], studies, chance, plan, bounds=bounds)


def _numbers(found: Sequence[dict[str, Any]]) -> Numbers:
    # The means over several maps of one case; of the ratios that are defined.
    ratios = [each["signed_cnr"] for each in found if each["signed_cnr"] is not None]
    return {
        "pointing_game": mean(each["pointing_game"] for each in found),
        "mean_iou": mean(mean(each["ious"]) for each in found),
        "cnr": mean(map(abs, ratios)) if ratios else None,
        "signed_cnr": mean(ratios) if ratios else None,
    }


def _thresholds(cases: Sequence[Case]) -> tuple[dict[str, float], list[float]]:
    # The candidate of the highest mean IoU, the lowest of equals: by label, and over all.
    ious = [scores(case, case.grid, CANDIDATES)["ious"] for case in cases]

    def best(chosen: Iterable[int]) -> float:
        means = [mean(values) for values in zip(*(ious[place] for place in chosen), strict=True)]
        return next(bar for bar, value in zip(CANDIDATES, means, strict=True) if value >= max(means) - TIE)

    labels = {case.label for case in cases}
    by_label = {label: best(place for place, case in enumerate(cases) if case.label == label) for label in labels}
    return by_label, [best(range(len(cases)))]


def _wrong_maps(cases: Sequence[Case], seed: int) -> list[list[int]]:
    # For each case in turn, places in the list of the others of another study and phrase: 1 to 20, some 2000 in all.
    repeats = min(max(2000 // len(cases), 1), 20)
    generator = np.random.default_rng(seed)
    chosen = []
    for case in cases:
        others = [
            place for place, other in enumerate(cases) if other.study != case.study and other.phrase != case.phrase
        ]
        chosen.append([others[place] for place in generator.integers(len(others), size=repeats).tolist()])
    return chosen
