"""The robustness task: the other tasks' scores, on images encoded again under every corruption."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from datasets import Dataset
from matplotlib.figure import Figure
from PIL import Image
from planted_encoders import PlantedEncoder, dataset, pair, stranger, text_vector

from evaluate_suite import embeddings as embeddings_module
from evaluate_suite.context import TaskContext
from evaluate_suite.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import counterfactual, retrieval, robustness, structure

METRICS = {
    "structure_accuracy",
    "counterfactual_accuracy",
    "image_to_text_recall_at_1",
    "text_to_image_recall_at_1",
}


class PixelEncoder(PlantedEncoder):
    """An image's vector hangs on all of its pixels, so that every corruption changes it."""

    def __init__(self) -> None:
        super().__init__(text_vector)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([text_vector(image.tobytes().hex()) for image in images])


class FragileEncoder(PlantedEncoder):
    """Knows each image's report from its pixels, and gives any other image one vector that is no report's."""

    def __init__(self, data: Dataset) -> None:
        super().__init__(text_vector)
        self.reports = {row["image"].tobytes(): row["report"] for row in data}

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([text_vector(self.reports.get(image.tobytes(), "lost")) for image in images])


@pytest.fixture(scope="module")
def textured() -> Dataset:
    """Twelve images of six studies with noise for a picture, each with its own report and an edit of it."""
    rows = []
    for number in range(12):
        row = pair(number, f"s{number // 2}", f"report {number}", counterfactuals={"negation": f"no report {number}"})
        noise = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
        rows.append({**row, "image": Image.fromarray(noise)})
    return dataset(rows)


def test_every_score_stands_under_every_corruption_and_severity(textured: Dataset) -> None:
    tree = robustness.run(TaskContext(Embeddings(PixelEncoder()), textured, n_bootstrap=20))
    assert set(tree) == {"clean", *CORRUPTIONS}
    for corruption in CORRUPTIONS:
        assert list(tree[corruption]) == ["1", "2", "3"]
        for scores in tree[corruption].values():
            assert set(scores) == METRICS
            assert all(set(number) == {"value", "interval", "chance", "n"} for number in scores.values())


@pytest.mark.parametrize("encoder", [FragileEncoder, lambda data: stranger()])
def test_the_clean_scores_are_those_of_the_other_tasks(pairs: Dataset, encoder) -> None:
    embeddings = Embeddings(encoder(pairs))
    clean = robustness.run(TaskContext(embeddings, pairs, n_bootstrap=50, seed=3))["clean"]
    found = retrieval.evaluate(embeddings, pairs, n_bootstrap=50, seed=3)
    assert clean == {
        "structure_accuracy": structure.evaluate(embeddings, pairs, n_bootstrap=50, seed=3)["accuracy"],
        "counterfactual_accuracy": counterfactual.evaluate(embeddings, pairs, n_bootstrap=50, seed=3)["accuracy"],
        "image_to_text_recall_at_1": found["image_to_text"]["recall_at_1"],
        "text_to_image_recall_at_1": found["text_to_image"]["recall_at_1"],
    }


def test_a_metric_is_resampled_alike_under_every_condition(textured: Dataset) -> None:
    # Right about every third image, whatever happens to it: equal outcomes must have equal intervals.
    class Steady(PlantedEncoder):
        def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
            return np.stack([text_vector("lost" if place % 3 else f"report {place}") for place in range(len(images))])

    tree = robustness.run(TaskContext(Embeddings(Steady(text_vector)), textured, n_bootstrap=50))
    for name, number in tree["clean"].items():
        assert number["interval"][0] < number["interval"][1]
        for corruption in CORRUPTIONS:
            assert all(tree[corruption][str(severity)][name] == number for severity in SEVERITIES)


def test_a_score_under_a_corruption_is_that_of_the_task_on_corrupted_images(textured: Dataset) -> None:
    tree = robustness.run(TaskContext(Embeddings(PixelEncoder()), textured, n_bootstrap=20, seed=5))
    spoilt = textured.map(
        lambda row: {"image": corrupt(row["image"], "noise", 2, image_id=row["image_id"], seed=5)},
        features=textured.features,
    )
    embeddings = Embeddings(PixelEncoder())
    found = retrieval.evaluate(embeddings, spoilt, n_bootstrap=20, seed=5)
    assert tree["noise"]["2"] == {
        "structure_accuracy": structure.evaluate(embeddings, spoilt, n_bootstrap=20, seed=5)["accuracy"],
        "counterfactual_accuracy": counterfactual.evaluate(embeddings, spoilt, n_bootstrap=20, seed=5)["accuracy"],
        "image_to_text_recall_at_1": found["image_to_text"]["recall_at_1"],
        "text_to_image_recall_at_1": found["text_to_image"]["recall_at_1"],
    }


def test_a_model_that_knows_the_exact_pixels_alone_is_found_out(textured: Dataset) -> None:
    tree = robustness.run(TaskContext(Embeddings(FragileEncoder(textured)), textured, n_bootstrap=20))
    assert {number["value"] for number in tree["clean"].values()} == {1.0}
    for corruption in CORRUPTIONS:
        for severity in SEVERITIES:
            assert tree[corruption][str(severity)]["text_to_image_recall_at_1"]["value"] == 0


def test_texts_are_encoded_once_and_images_once_a_condition(
    textured: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings_module, "_IMAGES_AT_ONCE", 5)
    encoder, calls = stranger(), []
    monkeypatch.setattr(
        encoder,
        "encode_images",
        lambda images: calls.append(len(images)) or np.stack([text_vector("x")] * len(images)),
    )
    embeddings = Embeddings(encoder)
    embeddings.images(textured)  # as another task does, which spares the clean ones
    robustness.run(TaskContext(embeddings, textured, n_bootstrap=20))
    assert calls == [5, 5, 2] * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    assert len(encoder.texts_seen) == len(set(encoder.texts_seen))


def test_the_order_of_the_rows_does_not_matter(textured: Dataset) -> None:
    order = np.random.default_rng(0).permutation(len(textured))
    trees = [
        robustness.run(TaskContext(Embeddings(PixelEncoder()), data, n_bootstrap=20))
        for data in (textured, textured.select(order))
    ]
    assert trees[0] == trees[1]


def test_outcomes_are_kept_case_by_case_under_the_number_s_place(pairs: Dataset, tmp_path) -> None:
    context = TaskContext(Embeddings(FragileEncoder(pairs)), pairs, n_bootstrap=20)
    tree = robustness.run(context)
    context.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    table = Dataset.from_parquet(str(tmp_path / "outcomes.parquet"), cache_dir=str(tmp_path)).to_pandas()
    assert set(table["task"]) == {"robustness"}
    means = table.groupby("metric")["value"].mean()
    assert len(means) == len(METRICS) * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    assert means["clean.counterfactual_accuracy"] == tree["clean"]["counterfactual_accuracy"]["value"]
    assert means["jpeg.3.structure_accuracy"] == tree["jpeg"]["3"]["structure_accuracy"]["value"]
    edits = table[table["metric"] == "clean.counterfactual_accuracy"]
    assert list(edits["case"])[2:4] == ["image-2/negation", "image-2/laterality"]
    assert list(edits["study"])[2:4] == ["s1", "s1"]


def test_what_the_data_has_no_case_for_is_skipped_with_its_reason() -> None:
    data = dataset(
        [pair(0, "a", "clear", unchanged=structure_names()), pair(1, "b", "big", unchanged=structure_names())]
    )
    tree = robustness.run(TaskContext(Embeddings(stranger()), data, n_bootstrap=20))
    assert tree["skipped"] == {
        "structure_accuracy": "none of the 2 reports has a perturbation that changes it",
        "counterfactual_accuracy": "none of the 2 rows has an edit",
    }
    assert set(tree["clean"]) == {"image_to_text_recall_at_1", "text_to_image_recall_at_1"}


def structure_names() -> list[str]:
    return list(dataset([pair(0, "a", "clear")]).features["perturbed"])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_figures_can_be_drawn(textured: Dataset, mode: str) -> None:
    data = textured.map(lambda row: {"image": row["image"].convert(mode)}, features=textured.features)
    context = TaskContext(Embeddings(PixelEncoder()), data, n_bootstrap=20)
    tree = robustness.run(context)
    pictures = {picture.name: picture for picture in context.figures.pictures}
    assert list(pictures) == ["robustness_images", "robustness_scores"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in pictures.values():
            figure = Figure()
            picture.draw(figure)
            figure.canvas.draw()
        sheet = Figure()
        pictures["robustness_images"].draw(sheet)
        scores = Figure()
        pictures["robustness_scores"].draw(scores)
    assert {axis.get_ylabel() for axis in scores.axes} == {"%"}
    assert all(axis.get_ylim() == (-3, 103) for axis in scores.axes)
    for axis, number in zip(scores.axes, tree["clean"].values(), strict=True):
        *lines, chance = axis.get_lines()
        assert chance.get_ydata()[0] == 100 * number["chance"]
        assert lines[0].get_ydata()[0] == pytest.approx(100 * number["value"])
    assert "JPEG" in [text.get_text() for text in scores.legends[0].get_texts()]
    shown = [axis.get_images()[0].get_array() for axis in sheet.axes]
    assert len(shown) == len(CORRUPTIONS) * (1 + len(SEVERITIES))
    np.testing.assert_array_equal(shown[0], np.asarray(data[0]["image"]))
