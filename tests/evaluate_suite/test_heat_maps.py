"""Where a map's cells lie in an image, and how a map is scored against boxes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil

from evaluate_suite.heat_maps import boxes_mask, score_map, seen_box, to_pixels

sides = st.integers(1, 12)


def encoder_with(image_processor) -> SimpleNamespace:
    return SimpleNamespace(processor=SimpleNamespace(image_processor=image_processor))


@given(sides, sides, st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_a_map_is_brought_to_the_image_as_torch_interpolates(rows, columns, height, width, seed):
    grid = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None].double(), size=(height, width), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    low, high = expected.min(), expected.max()
    scaled = (expected - low) / (high - low) if high - low > 1e-9 * np.abs(expected).max() else 0 * expected
    np.testing.assert_allclose(to_pixels(grid, width, height), scaled, atol=1e-6 if high - low > 1e-3 else 1)


def test_a_map_that_is_flat_but_for_rounding_points_nowhere():
    grid = np.full((3, 3), 0.7)
    grid[1, 1] += 1e-12
    assert not to_pixels(grid, 10, 10).any()


def test_pixels_outside_the_part_that_the_model_sees_get_the_lowest_value():
    pixels = to_pixels(np.array([[1.0, 2.0]]), 8, 4, seen=(2.0, 0.0, 6.0, 4.0))
    assert not pixels[:, :2].any()
    assert not pixels[:, 6:].any()
    np.testing.assert_allclose(pixels[:, 2:6], [[0.0, 1 / 3, 2 / 3, 1.0]] * 4, atol=0.2)


@pytest.mark.parametrize(("width", "height"), [(120, 80), (80, 120), (100, 100), (301, 97)])
@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size=48, do_normalize=False),
        CLIPImageProcessorPil(size={"height": 64, "width": 56}, crop_size=48, do_normalize=False),
        ViTImageProcessorPil(size={"height": 48, "width": 48}, do_normalize=False),
    ],
    ids=["shortest edge and centre crop", "both sides and centre crop", "whole image"],
)
def test_a_spot_is_found_where_it_stands_in_the_stored_image(processor, width, height):
    # The spot goes through the real image processor; the model's map is the mean brightness of each of its patches.
    x, y = width // 2 + 9, height // 2 - 11
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    seen_by_model = processor(images=Image.fromarray(image), return_tensors="np")["pixel_values"][0, 0]  # [48, 48]
    grid = seen_by_model.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    seen = seen_box(encoder_with(processor), width, height)
    pixels = to_pixels(grid, width, height, seen)
    weights = pixels / pixels.sum()
    centre = (weights.sum(axis=0) @ (np.arange(width) + 0.5), weights.sum(axis=1) @ (np.arange(height) + 0.5))
    cell_width, cell_height = (seen[2] - seen[0]) / 24, (seen[3] - seen[1]) / 24
    assert centre[0] == pytest.approx(x + 0.5, abs=max(0.5, 0.15 * cell_width))
    assert centre[1] == pytest.approx(y + 0.5, abs=max(0.5, 0.15 * cell_height))


def test_an_encoder_that_tells_of_no_image_processor_sees_the_whole_image():
    assert seen_box(SimpleNamespace(), 30, 20) == (0, 0, 30, 20)


def test_a_box_has_the_pixels_whose_centres_lie_in_it():
    mask = boxes_mask([(1.5, 0.0, 3.51, 1.5)], width=5, height=3)
    assert mask.tolist() == [[False, True, True, True, False], [False] * 5, [False] * 5]


def test_boxes_that_overlap_count_each_pixel_once():
    assert boxes_mask([(0, 0, 2, 2), (1, 1, 3, 3)], width=4, height=4).sum() == 7


def test_a_box_thinner_than_a_pixel_has_the_pixel_of_its_middle():
    mask = boxes_mask([(2.6, 0.0, 2.9, 3.0)], width=5, height=3)
    assert mask[:, 2].all()
    assert mask.sum() == 3


def test_a_box_is_cut_at_the_edge_of_its_image():
    assert boxes_mask([(3, 3, 9, 9)], width=5, height=5).sum() == 4


@pytest.mark.parametrize("box", [(2, 2, 2, 4), (5, 0, 7, 2), (-4, 0, 0, 2), (float("nan"), 0, 1, 1)])
def test_a_box_that_is_empty_or_outside_its_image_is_refused(box):
    with pytest.raises(ValueError, match="empty or outside the image of 5 x 5"):
        boxes_mask([box], width=5, height=5)


@given(st.integers(0, 2**31))
def test_scores_are_those_of_a_loop_over_the_pixels(seed):
    generator = np.random.default_rng(seed)
    pixels = np.round(generator.random((6, 7)), 1)
    mask = generator.random((6, 7)) < 0.4
    mask[0, 0], mask[5, 6] = True, False
    scores = score_map(pixels, mask, [0.3, 0.6])
    places = [(row, column) for row in range(6) for column in range(7)]
    inside = [pixels[place] for place in places if mask[place]]
    outside = [pixels[place] for place in places if not mask[place]]
    top = [place for place in places if pixels[place] == max(inside + outside)]
    assert scores.pointing == pytest.approx(sum(mask[place] for place in top) / len(top))
    for threshold, iou in zip([0.3, 0.6], scores.ious, strict=True):
        both = sum(bool(pixels[place] >= threshold and mask[place]) for place in places)
        either = sum(bool(pixels[place] >= threshold or mask[place]) for place in places)
        assert iou == pytest.approx(both / either)
    means = [sum(values) / len(values) for values in (inside, outside)]
    variances = [
        sum((value - mean) ** 2 for value in values) / len(values)
        for values, mean in zip((inside, outside), means, strict=True)
    ]
    assert scores.signed_cnr == pytest.approx((means[0] - means[1]) / sum(variances) ** 0.5)
    assert scores.cnr == abs(scores.signed_cnr)
    assert scores.area == len(inside) / 42


def test_maxima_that_tie_share_the_point():
    pixels = np.array([[1.0, 1.0, 0.0, 1.0]])
    assert score_map(pixels, np.array([[True, False, True, False]]), [0.5]).pointing == pytest.approx(1 / 3)


def test_a_flat_map_points_by_chance_and_has_no_contrast():
    mask = np.array([[True, False, False, False]])
    scores = score_map(np.zeros((1, 4)), mask, [0.5])
    assert scores.pointing == scores.area == 0.25
    assert scores.ious.tolist() == [0.0]
    assert scores.cnr == scores.signed_cnr == 0.0


def test_a_map_that_shuns_the_boxes_has_a_negative_signed_ratio_of_the_same_size():
    pixels, mask = np.array([[1.0, 0.8, 0.1, 0.0]]), np.array([[True, True, False, False]])
    seeking, shunning = score_map(pixels, mask, [0.5]), score_map(1 - pixels, mask, [0.5])
    assert seeking.signed_cnr > 0 > shunning.signed_cnr
    assert seeking.cnr == pytest.approx(shunning.cnr)


@pytest.mark.parametrize("mask", [[[True, True]], [[True, False]]], ids=["nothing outside", "nothing varies"])
def test_a_contrast_to_noise_ratio_without_noise_or_without_an_outside_is_undefined(mask):
    assert np.isnan(score_map(np.array([[1.0, 0.0]]), np.array(mask), [0.5]).cnr)
