"""Drawing of PhantomCXR: what is seen where, and that it is the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_scripts.phantom_drawing import draw
from datasets_scripts.phantom_state import (
    DIFFICULTIES,
    FINDING_NAMES,
    FINDINGS,
    HEART_SIZES,
    LUNG_VOLUMES,
    Finding,
    PhantomState,
    sample_finding,
)

ANATOMY = ("habitus", "rotation", "tortuous_aorta", "scoliosis", "raised_diaphragm")
PAINTED = [name for name in FINDING_NAMES if name not in ANATOMY]


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_pixels_are_pinned():
    digest = hashlib.sha256()
    for seed, difficulty in enumerate(DIFFICULTIES):
        everything = PhantomState("moderate", "low", tuple(sample_finding(name, rng(seed)) for name in FINDING_NAMES))
        for state in (PhantomState(), everything):
            digest.update(draw(state, 48, rng(seed), difficulty)[0].tobytes())
    assert digest.hexdigest() == "8696d573bd3d85e4d2f568f0231d7dd708b1e03d8f0a73a3ae3d09bf7209766d"


def test_one_state_has_many_views_and_one_generator_one_view():
    state = PhantomState(findings=(Finding("nodule", "left", "upper", "large"),))
    image, boxes = draw(state, 64, rng(0))
    again, _ = draw(state, 64, rng(0))
    other, _ = draw(state, 64, rng(1))
    assert image.dtype == np.uint8
    assert image.shape == (64, 64)
    assert np.array_equal(image, again)
    assert not np.array_equal(image, other)
    assert set(boxes) == {"nodule"}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    heart=st.sampled_from(sorted(HEART_SIZES)),
    volume=st.sampled_from(sorted(LUNG_VOLUMES)),
    size=st.integers(32, 100),
)
def test_every_finding_has_a_box_in_the_image_whatever_else_is_there(seed: int, heart: str, volume: str, size: int):
    state = PhantomState(heart, volume, tuple(sample_finding(name, rng(seed)) for name in FINDING_NAMES))
    _, boxes = draw(state, size, rng(seed))
    assert set(boxes) == {*PAINTED} | ({"heart"} if heart != "normal" else set())
    for x0, y0, x1, y1 in boxes.values():
        assert 0 <= x0 < x1 <= size
        assert 0 <= y0 < y1 <= size


@pytest.mark.parametrize("name", ["effusion", "pneumothorax", "consolidation", "nodule", "atelectasis"])
def test_the_patients_left_is_on_the_images_right(name: str):
    for seed in range(10):
        for side in ("left", "right"):
            drawn = sample_finding(name, rng(seed))
            finding = Finding(name, side, drawn.zone, drawn.size)
            x0, _, x1, _ = draw(PhantomState(findings=(finding,)), 96, rng(seed))[1][name]
            assert ((x0 + x1) / 2 > 48) == (side == "left")


@pytest.mark.parametrize("name", ["consolidation", "nodule"])
def test_zones_lie_above_each_other(name: str):
    for seed in range(10):
        centres = []
        for zone in ("upper", "mid", "lower"):
            box = draw(PhantomState(findings=(Finding(name, "left", zone, "small"),)), 96, rng(seed))[1][name]
            centres.append((box[1] + box[3]) / 2)
        assert centres[0] + 8 < centres[1] < centres[2] - 8


@pytest.mark.parametrize("name", ["effusion", "consolidation", "nodule", "atelectasis"])
def test_a_larger_finding_has_a_larger_box(name: str):
    first = sample_finding(name, rng(0))
    areas = []
    for size in FINDINGS[name].size:
        boxes = [
            draw(PhantomState(findings=(Finding(name, first.side, first.zone, size),)), 96, rng(seed))[1][name]
            for seed in range(5)
        ]
        areas.append(np.mean([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]))
    assert areas == sorted(areas)
    assert areas[-1] > 1.3 * areas[0]


def test_a_larger_heart_is_wider():
    widths = []
    for heart in ("mild", "moderate", "severe"):
        x0, _, x1, _ = draw(PhantomState(heart), 96, rng(4))[1]["heart"]
        widths.append(x1 - x0)
    assert widths[0] + 4 < widths[1] < widths[2] - 4


@pytest.mark.parametrize("name", FINDING_NAMES)
def test_a_finding_changes_the_image(name: str):
    before, _ = draw(PhantomState(), 64, rng(5), "hard")
    after, _ = draw(PhantomState(findings=(sample_finding(name, rng(6)),)), 64, rng(5), "hard")
    assert np.abs(after.astype(int) - before).max() > 20


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="32 to 2048 pixels, got 31"):
        draw(PhantomState(), 31, rng(0))
    with pytest.raises(ValueError, match="got 2049"):
        draw(PhantomState(), 2049, rng(0))
    with pytest.raises(ValueError, match="unknown difficulty 'extreme'"):
        draw(PhantomState(), 64, rng(0), "extreme")
