"""Grounding: planted encoders whose maps are known, and an independent recomputation."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from matplotlib.figure import Figure
from PIL import Image
from planted_encoders import PlantedEncoder, dataset, grey_of, pair, stranger, text_vector

from evaluate_suite.context import TaskContext
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.errors import NotSupportedError
from evaluate_suite.grounding_cases import grounding_cases
from evaluate_suite.tasks import grounding

Box = tuple[float, float, float, float]

WIDTH, HEIGHT = 16, 8


class MapEncoder(PlantedEncoder):
    """An encoder whose map of a phrase on an image of a grey level is given."""

    def __init__(self, map_of: Callable[[int, str], np.ndarray]):
        super().__init__(lambda grey: text_vector(f"image {grey}"))
        self.map_of = map_of

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[np.ndarray]:
        return [self.map_of(grey_of(image), phrase) for image, phrase in zip(images, phrases, strict=True)]


def row(grey: int, *boxes: tuple[str, str, Box], study: str | None = None) -> dict:
    """An image of 16 x 8 pixels of one grey level with boxes of (label, phrase, box)."""
    found = [{"label": label, "phrase": phrase, "box": list(box)} for label, phrase, box in boxes]
    return {
        **pair(grey, study or f"s{grey}", "chest"),
        "image": Image.new("L", (WIDTH, HEIGHT), grey),
        "boxes": found,
    }


@pytest.fixture
def boxes() -> Dataset:
    """Five phrases on four images: two on image 1, two boxes of one phrase on image 2, and an image without a box."""
    return dataset(
        [
            row(0, ("Edema", "edema", (0, 0, 8, 8))),
            row(1, ("Nodule", "nodule left", (12, 4, 16, 8)), ("Edema", "mild edema", (0, 0, 4, 8))),
            row(2, ("Nodule", "two nodules", (0, 0, 4, 4)), ("Nodule", "two nodules", (8, 4, 12, 8))),
            row(3),
            row(4, ("Nodule", "nodule right", (4, 0, 8, 4))),
        ]
    )


def oracle(data: Dataset) -> MapEncoder:
    """Knows the boxes: 1 where a cell of 4 x 4 pixels lies in one."""
    inside = {}
    for case in grounding_cases(data):
        grid = np.zeros((2, 4), dtype=np.float32)
        for x0, y0, x1, y1 in case.boxes:
            grid[int(y0) // 4 : int(y1) // 4, int(x0) // 4 : int(x1) // 4] = 1
        inside[grey_of(data[case.row]["image"]), case.phrase] = grid
    return MapEncoder(lambda grey, phrase: inside[grey, phrase])


def ground(encoder: PlantedEncoder, data: Dataset, validation: Dataset | None = None, **options) -> dict:
    return grounding.evaluate(Embeddings(encoder), data, validation, n_bootstrap=50, **options)


def test_boxes_of_one_label_and_phrase_are_one_case(boxes):
    cases = grounding_cases(boxes)
    assert [(case.row, case.phrase, len(case.boxes)) for case in cases] == [
        (0, "edema", 1),
        (1, "nodule left", 1),
        (1, "mild edema", 1),
        (2, "two nodules", 2),
        (4, "nodule right", 1),
    ]


def test_a_model_that_knows_the_boxes_points_into_all_of_them(boxes):
    tree = ground(oracle(boxes), boxes)
    assert tree["pointing_game"]["value"] == 1.0
    assert tree["pointing_game"]["n"] == 5
    assert tree["mean_iou"]["value"] > 0.6 > tree["mean_iou"]["chance"]
    assert tree["cnr"]["value"] > 2 > tree["cnr"]["chance"]


def test_phrases_that_are_all_hit_or_all_missed_claim_no_certainty(boxes):
    knowing = oracle(boxes)
    low, high = ground(knowing, boxes)["pointing_game"]["interval"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 4)), 1.0)  # four studies
    missing = ground(MapEncoder(lambda grey, phrase: -knowing.map_of(grey, phrase)), boxes)
    assert missing["pointing_game"]["interval"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 4)])


def test_a_model_that_points_away_from_the_boxes_never_hits_one(boxes):
    knowing = oracle(boxes)
    tree = ground(MapEncoder(lambda grey, phrase: -knowing.map_of(grey, phrase)), boxes)
    assert tree["pointing_game"]["value"] == 0.0
    assert tree["signed_cnr"]["value"] == pytest.approx(-tree["cnr"]["value"])


def test_chance_of_the_pointing_game_is_the_boxes_share_of_the_image(boxes):
    tree = ground(stranger_maps(), boxes)
    assert tree["pointing_game"]["chance"] == pytest.approx((64 + 16 + 32 + 32 + 16) / 5 / 128)
    assert tree["by_label"]["Edema"]["pointing_game"]["chance"] == pytest.approx((64 + 32) / 2 / 128)


def stranger_maps() -> MapEncoder:
    def map_of(grey: int, phrase: str) -> np.ndarray:
        return np.random.default_rng([grey, len(phrase)]).random((2, 4)).astype(np.float32)

    return MapEncoder(map_of)


def test_a_map_that_is_flat_points_by_chance(boxes):
    tree = ground(MapEncoder(lambda grey, phrase: np.full((2, 4), 0.3, dtype=np.float32)), boxes)
    assert tree["pointing_game"]["value"] == pytest.approx(tree["pointing_game"]["chance"])
    assert tree["mean_iou"]["value"] == tree["cnr"]["value"] == 0.0


def test_a_model_with_one_map_for_all_scores_as_its_wrong_maps_do(boxes):
    grid = np.arange(8, dtype=np.float32).reshape(2, 4)
    tree = ground(MapEncoder(lambda grey, phrase: grid), boxes)
    assert tree["wrong_map"]["value"] == pytest.approx(tree["pointing_game"]["value"])
    for measure in ("mean_iou", "cnr", "signed_cnr"):
        assert tree[measure]["chance"] == pytest.approx(tree[measure]["value"])
    for measure, gain in tree["gain_over_wrong_map"].items():
        reach = (
            0 if "cnr" in measure else 1 - 0.025 ** (1 / 4)
        )  # what none of four studies showed; ratios have no bounds
        assert gain["value"] == pytest.approx(0)
        assert gain["interval"] == pytest.approx([-reach, reach])


def test_a_model_with_one_map_for_all_is_flagged_in_words(boxes):
    grid = np.zeros((2, 4), dtype=np.float32)
    grid[0, 3] = 1
    tree = ground(MapEncoder(lambda grey, phrase: grid), boxes)
    assert tree["needs_image"] is False
    assert "no better than its maps of other phrases on other images" in tree["note"]
    assert "pointing game 0.0 %, a gain of +0.0 points [-" in tree["note"]


@pytest.mark.parametrize("seed", range(5))
def test_a_gain_that_is_rounding_alone_is_none(seed):
    # All phrases have one map and one box: the mean of the wrong maps' values is the value but for its last bit.
    data = dataset([row(grey, ("Nodule", f"nodule {grey}", (0, 0, 8, 4))) for grey in range(12)])
    grid = np.random.default_rng(seed).random((2, 4)).astype(np.float32)
    note = ground(MapEncoder(lambda grey, phrase: grid), data)["note"]
    for measure in ("pointing game", "mean IoU", "CNR", "signed CNR"):
        assert f" {measure} " in note


def test_gains_over_wrong_maps_are_paired_and_a_model_that_knows_the_boxes_has_them_all():
    rows = [row(grey, ("Nodule", f"nodule {grey}", (4 * (grey % 4), 0, 4 * (grey % 4) + 4, 4))) for grey in range(12)]
    data = dataset(rows)
    tree = ground(oracle(data), data, seed=2)
    assert (tree["needs_image"], "note" in tree) == (True, False)
    assert set(tree["gain_over_wrong_map"]) == set(grounding.MEASURES)
    for measure, gain in tree["gain_over_wrong_map"].items():
        wrong = tree["wrong_map"]["value"] if measure == "pointing_game" else tree[measure]["chance"]
        assert gain["value"] == pytest.approx(tree[measure]["value"] - wrong)
        assert 0 < gain["interval"][0] <= gain["value"] <= gain["interval"][1]
        assert (gain["chance"], gain["n"]) == (0.0, 12)


def test_a_gain_is_over_the_phrases_whose_ratio_is_defined(boxes):
    whole = dataset([row(5, ("Edema", "edema everywhere", (0, 0, 16, 8))), *boxes])
    gains = ground(stranger_maps(), whole)["gain_over_wrong_map"]
    assert [gains[measure]["n"] for measure in grounding.MEASURES] == [6, 6, 5, 5]


def test_wrong_maps_are_of_other_studies_and_other_phrases_and_follow_the_seed():
    data = dataset(
        [row(grey, ("Nodule", f"nodule {grey % 3}", (0, 0, 4, 4)), study=f"s{grey // 2}") for grey in range(12)]
    )
    cases = grounding_cases(data)
    chosen = grounding.wrong_maps(cases, seed=1)
    assert chosen.shape == (12, 20)
    for case, others in zip(cases, chosen, strict=True):
        assert all(cases[other].study_id != case.study_id and cases[other].phrase != case.phrase for other in others)
    assert (grounding.wrong_maps(cases, seed=1) == chosen).all()
    assert (grounding.wrong_maps(cases, seed=2) != chosen).any()


def test_without_another_phrase_of_another_study_there_is_no_chance_level_and_the_reason_is_given():
    data = dataset([row(0, ("Nodule", "nodule", (0, 0, 4, 4))), row(1, ("Nodule", "nodule", (0, 0, 4, 4)))])
    tree = ground(stranger_maps(), data)
    left_out = {"mean_iou", "cnr", "signed_cnr", "wrong_map", "gain_over_wrong_map", "needs_image"}
    assert set(tree["skipped"]) == left_out
    assert "pointing_game" in tree
    assert not left_out & set(tree)


def test_thresholds_are_those_of_the_highest_mean_iou_on_validation(boxes):
    # On validation a box is where the map is above 0.62 and 0.33 by label; the other split has a label more.
    def map_of(grey: int, phrase: str) -> np.ndarray:
        return np.linspace(0, 1, 16, dtype=np.float32)[None].repeat(8, axis=0)

    validation = dataset(
        [row(10, ("Edema", "edema", (10, 0, 16, 8))), row(11, ("Nodule", "nodule", (5, 0, 16, 8))), row(12)]
    )
    test = dataset([row(0, ("Edema", "edema", (10, 0, 16, 8))), row(1, ("Mass", "mass", (0, 0, 16, 4)))])
    tree = ground(MapEncoder(map_of), test, validation)
    assert tree["thresholds"]["by_label"] == {"Edema": 0.65, "Nodule": 0.3}
    assert tree["by_label"]["Edema"]["mean_iou"]["value"] == 1.0
    (overall,) = tree["thresholds"]["others"]
    marked = sum(value >= overall for value in np.linspace(0, 1, 16))
    assert tree["by_label"]["Mass"]["mean_iou"]["value"] == pytest.approx(marked * 4 / (64 + marked * 8 - marked * 4))
    assert "best for the label on the validation split (2 phrases)" in tree["thresholds"]["source"]


def test_without_validation_the_iou_is_averaged_over_the_fixed_thresholds_and_the_note_says_so(boxes):
    tree = ground(stranger_maps(), boxes, boxes.select([3]))
    source = tree["thresholds"].pop("source")
    assert tree["thresholds"] == {"by_label": {}, "others": [0.1, 0.2, 0.3, 0.4, 0.5]}
    assert "without a validation split with boxes" in source


def test_every_number_is_that_of_an_independent_computation(boxes):
    encoder = stranger_maps()
    tree = ground(encoder, boxes)
    found: dict[str, list[float]] = {measure: [] for measure in grounding.MEASURES}
    for image in boxes:
        for phrase in dict.fromkeys(box["phrase"] for box in image["boxes"]):
            grid = torch.from_numpy(encoder.map_of(grey_of(image["image"]), phrase)).double()
            heat = torch.nn.functional.interpolate(
                grid[None, None], size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False
            )[0, 0].tolist()
            flat = [value for line in heat for value in line]
            low, high = min(flat), max(flat)
            inside, outside, tops, counts = [], [], [], [[0, 0] for _ in range(5)]
            for y in range(HEIGHT):
                for x in range(WIDTH):
                    value = (heat[y][x] - low) / (high - low)
                    hit = any(
                        box["phrase"] == phrase
                        and box["box"][0] <= x + 0.5 < box["box"][2]
                        and box["box"][1] <= y + 0.5 < box["box"][3]
                        for box in image["boxes"]
                    )
                    (inside if hit else outside).append(value)
                    if value > 1 - 1e-9:
                        tops.append(hit)
                    for place, threshold in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
                        counts[place][0] += hit and value >= threshold
                        counts[place][1] += hit or value >= threshold
            found["pointing_game"].append(sum(tops) / len(tops))
            found["mean_iou"].append(sum(both / either for both, either in counts) / 5)
            contrast = np.mean(inside) - np.mean(outside)
            found["signed_cnr"].append(contrast / np.sqrt(np.var(inside) + np.var(outside)))
            found["cnr"].append(abs(found["signed_cnr"][-1]))
    for measure, values in found.items():
        assert tree[measure]["value"] == pytest.approx(np.mean(values), abs=1e-12)
        low, high = tree[measure]["interval"]
        assert low <= tree[measure]["value"] <= high


def test_a_contrast_to_noise_ratio_that_is_undefined_is_left_out_and_counted(boxes):
    whole = dataset([row(5, ("Edema", "edema everywhere", (0, 0, 16, 8))), *boxes])
    tree = ground(stranger_maps(), whole)
    assert tree["n_undefined_cnr"] == 1
    assert (tree["cnr"]["n"], tree["mean_iou"]["n"]) == (5, 6)


def test_an_encoder_without_maps_skips_the_task_with_the_reason(boxes):
    assert ground(stranger(), boxes) == {
        "skipped": {
            "grounding": "not supported: PlantedEncoder has no maps of phrases, it lacks the method phrase_maps"
        }
    }


def test_an_encoder_that_says_it_has_no_maps_skips_the_task_with_its_reason(boxes):
    def refuse(grey: int, phrase: str) -> np.ndarray:
        raise NotSupportedError("its regions are in another space than its texts")

    tree = ground(MapEncoder(refuse), boxes)
    assert tree == {"skipped": {"grounding": "not supported: its regions are in another space than its texts"}}


def test_a_type_error_of_another_kind_is_no_reason_to_skip(boxes):
    def fail(grey: int, phrase: str) -> np.ndarray:
        raise TypeError("not supported: an operand")

    with pytest.raises(TypeError, match="not supported: an operand"):
        ground(MapEncoder(fail), boxes)


@pytest.mark.parametrize("emptied", [lambda data: data.remove_columns("boxes"), lambda data: data.select([3])])
def test_data_without_boxes_skips_the_task_with_the_reason(boxes, emptied):
    tree = ground(stranger_maps(), emptied(boxes))
    assert list(tree) == ["skipped"]
    assert "rows has a box" in tree["skipped"]["grounding"]


def test_a_map_that_is_not_finite_is_refused_by_name(boxes):
    with pytest.raises(ValueError, match="map of 'edema' on image 'image-0' has shape"):
        ground(MapEncoder(lambda grey, phrase: np.full((2, 4), np.nan, dtype=np.float32)), boxes)


def test_a_box_outside_its_image_is_refused_by_name():
    data = dataset([row(0, ("Edema", "edema", (16, 0, 20, 8)))])
    with pytest.raises(ValueError, match=r"image 'image-0', 'edema': box .* outside the image of 16 x 8"):
        ground(stranger_maps(), data)


def test_the_task_leaves_outcomes_that_average_to_its_numbers_and_a_figure(boxes, tmp_path):
    context = TaskContext(Embeddings(stranger_maps()), boxes, n_bootstrap=50)
    tree = grounding.run(context)
    context.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    outcomes = pq.read_table(tmp_path / "outcomes.parquet").to_pylist()
    for measure in grounding.MEASURES:
        values = {line["case"]: line["value"] for line in outcomes if line["metric"] == measure}
        assert list(values)[:2] == ["image-0/Edema/edema", "image-1/Nodule/nodule left"]
        assert np.mean(list(values.values())) == pytest.approx(tree[measure]["value"])
    (picture,) = context.figures.pictures
    figure = Figure(layout="constrained")
    picture.draw(figure)
    assert sum(bool(axes.get_images()) for axes in figure.axes) == 4  # the two best, the two worst


def test_no_title_of_the_maps_touches_the_edge_of_the_picture(boxes):
    renamed = {"nodule left": "a small nodule behind the left side of the heart"}  # two lines
    rows = [
        {**each, "boxes": [{**box, "phrase": renamed.get(box["phrase"], box["phrase"])} for box in each["boxes"]]}
        for each in boxes
    ]
    context = TaskContext(
        Embeddings(stranger_maps()), Dataset.from_list(rows, features=boxes.features), n_bootstrap=50
    )
    grounding.run(context)
    (picture,) = context.figures.pictures
    figure = Figure(layout="constrained", dpi=100)
    picture.draw(figure)
    figure.canvas.draw()
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.title.get_text()]
    assert len(titles) == 4
    assert max(title.y1 for title in titles) < figure.bbox.y1 - 8  # pixels of 100 to the inch


def test_a_task_that_is_skipped_leaves_nothing_to_draw(boxes):
    context = TaskContext(Embeddings(stranger()), boxes)
    grounding.run(context)
    assert not context.figures.pictures
