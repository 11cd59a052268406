"""Zero-shot labels: planted encoders whose scores are known, and an independent recomputation."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from matplotlib.figure import Figure
from planted_encoders import PlantedEncoder, constant, dataset, pair, stranger

from datasets_scripts.schema import CHEXPERT_LABELS
from evaluate_suite.context import TaskContext
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.prompts import PROMPTS
from evaluate_suite.tasks import zero_shot

Labels = Mapping[str, float | None]


def labelled(rows: Sequence[Labels], studies: Sequence[str] | None = None, first: int = 0) -> Dataset:
    """Images of the grey levels from `first`, with these labels; the others are null."""
    pairs = []
    for place, labels in enumerate(rows):
        study = studies[place] if studies else f"s{place}"
        row = pair(first + place, study, "chest")
        pairs.append({**row, "labels": {**dict.fromkeys(CHEXPERT_LABELS), **labels}})
    return dataset(pairs)


def reader(data: Dataset) -> PlantedEncoder:
    """Reads the labels: an image lies along the prompts that are true of it."""
    sides = {
        text: (2 * place + (ensemble == prompts.negative))
        for place, prompts in enumerate(PROMPTS.values())
        for ensemble in (prompts.positive, prompts.negative)
        for text in ensemble
        if text not in PROMPTS["No Finding"].negative + PROMPTS["No Finding"].positive
    }
    truths = {row: list(labels.values()) for row, labels in enumerate(data["labels"])}

    def image_vector(grey: int) -> np.ndarray:
        vector = np.full(28, 1e-3)
        for place, value in enumerate(truths[grey]):
            if value is not None:
                vector[2 * place + (value != 1)] = 1.0
        return vector / np.linalg.norm(vector)

    return PlantedEncoder(image_vector, lambda text: np.eye(28)[sides.get(text, 27)])


def scored_by(encoder: PlantedEncoder, data: Dataset, validation: Dataset | None = None, **options):
    return zero_shot.evaluate(Embeddings(encoder), data, validation, n_bootstrap=100, **options)


EDEMA = [{"Edema": float(place % 3 == 0), "Fracture": float(place % 2)} for place in range(12)]


def test_scores_that_differ_by_the_order_of_a_sum_alone_tie():
    # Images that have the same numbers in other places, against prompts that have one number in all places.
    prompts = np.full(10, 10**-0.5, dtype=np.float32)
    images = np.stack([np.roll(np.repeat([1.0, -1.0], [7, 3]), shift) for shift in range(10)]) * prompts
    encoder = PlantedEncoder(
        lambda grey: prompts, lambda text: prompts if text in PROMPTS["Edema"].positive else -prompts
    )
    scores = zero_shot.label_scores(Embeddings(encoder), images.astype(np.float32), ["Edema"])
    assert len(np.unique(scores)) == 1


def test_labels_that_are_all_told_rightly_have_the_exact_interval_over_studies():
    data = labelled(EDEMA, studies=[f"s{place // 2}" for place in range(12)])
    accuracy = scored_by(reader(data), data)["accuracy"]
    for name in ("Edema", "Fracture", "mean"):
        assert accuracy[name]["value"] == 1.0
        assert accuracy[name]["interval"] == pytest.approx([0.025 ** (1 / 6), 1.0])


def test_areas_that_are_perfect_have_the_interval_that_unseen_studies_leave():
    data = labelled(EDEMA, studies=[f"s{place // 2}" for place in range(12)])
    tree = scored_by(reader(data), data)
    ends = {"Edema": 0.025 ** (1 / 4), "Fracture": 0.025 ** (1 / 6)}  # studies of the rarer value
    for name, low in ends.items():
        assert tree["auroc"][name]["interval"] == pytest.approx([low, 1.0])
        assert 0 < tree["average_precision"][name]["interval"][0] < low
        assert tree["average_precision"][name]["interval"][1] == 1.0
    assert tree["auroc"]["mean"]["interval"] == pytest.approx([sum(ends.values()) / 2, 1.0])


def test_a_model_that_reads_the_labels_is_right_about_all_of_them():
    data = labelled(EDEMA)
    tree = scored_by(reader(data), data)
    for measure in zero_shot.MEASURES:
        assert set(tree[measure]) == {"mean", "Edema", "Fracture"}
        assert all(number["value"] == 1.0 and number["n"] == 12 for number in tree[measure].values())


def test_chance_is_a_half_that_of_a_random_order_and_the_share_of_the_majority():
    data = labelled(EDEMA)
    tree = scored_by(stranger(), data)
    harmonic = sum(1 / rank for rank in range(1, 13))
    edema, fracture = ((harmonic + (positive - 1) / 11 * (12 - harmonic)) / 12 for positive in (4, 6))
    assert [tree[measure]["Edema"]["chance"] for measure in zero_shot.MEASURES] == pytest.approx([1 / 2, edema, 2 / 3])
    assert [tree[measure]["mean"]["chance"] for measure in zero_shot.MEASURES] == pytest.approx(
        [1 / 2, (edema + fracture) / 2, 7 / 12]
    )


def test_a_model_that_tells_no_image_from_another_has_an_auroc_of_a_half_and_the_prevalence_as_precision():
    tree = scored_by(PlantedEncoder(lambda grey: np.full(7, 7**-0.5), stranger_text), labelled(EDEMA))
    for name, prevalence in (("Edema", 1 / 3), ("Fracture", 1 / 2), ("mean", 5 / 12)):
        assert tree["auroc"][name]["value"] == 0.5
        assert tree["average_precision"][name]["value"] == pytest.approx(prevalence)


def stranger_text(text: str) -> np.ndarray:
    vector = np.random.default_rng(len(text)).standard_normal(7).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_a_model_that_tells_no_text_from_another_calls_everything_positive():
    tree = scored_by(constant(), labelled(EDEMA))
    assert tree["accuracy"]["Edema"]["value"] == pytest.approx(1 / 3)


def test_uncertain_and_unknown_labels_are_left_out_and_counted():
    data = labelled([{"Edema": 1.0}, {"Edema": 0.0}, {"Edema": -1.0}, {"Edema": None}, {"Edema": 0.0}])
    tree = scored_by(stranger(), data)
    assert tree["auroc"]["Edema"]["n"] == tree["auroc"]["mean"]["n"] == 3
    assert tree["counts"]["Edema"] == {"positive": 1, "negative": 2, "uncertain": 1, "unknown": 1}


def test_a_label_without_both_values_is_named_with_the_reason():
    tree = scored_by(stranger(), labelled([{"Edema": 1.0, "Fracture": 1.0}, {"Edema": 0.0, "Fracture": 1.0}]))
    assert "Fracture" not in tree["auroc"]
    assert tree["skipped"]["auroc.Fracture"] == "the split does not have both 1 and 0"
    assert len(tree["skipped"]) == 3 * 13


def test_data_without_labels_is_skipped_and_nothing_is_encoded():
    encoder = stranger()
    tree = scored_by(encoder, labelled([{}, {}]).remove_columns("labels"))
    assert tree["skipped"] == {"zero_shot": "the data has no labels"}
    assert not encoder.images_seen


def test_data_with_one_value_only_is_skipped():
    tree = scored_by(stranger(), labelled([{"Edema": 1.0}, {"Edema": -1.0}]))
    assert tree["skipped"] == {"zero_shot": "no label is 1 for one image and 0 for another"}


def test_a_label_that_is_none_of_the_known_values_is_refused():
    with pytest.raises(ValueError, match=r"image 'image-1': label 'Edema' is 0\.5"):
        scored_by(stranger(), labelled([{"Edema": 1.0}, {"Edema": 0.5}]))


def test_the_threshold_is_chosen_on_validation_where_it_has_the_label():
    # The score of grey level g is close to g / 100: the sums of the true labels' are split at 3.5 on validation.
    def image_vector(grey: int) -> np.ndarray:
        return np.array([np.sin(grey / 100), np.cos(grey / 100)])

    def text_vector(text: str) -> np.ndarray:
        return np.array([1.0, 0.0]) if text in PROMPTS["Edema"].positive else np.array([0.0, -1.0])

    encoder = PlantedEncoder(image_vector, text_vector)
    validation = labelled([{"Edema": float(grey >= 14)} for grey in range(10, 18)], first=10)
    test = labelled([{"Edema": float(grey >= 15), "Fracture": float(grey % 2)} for grey in range(12, 18)], first=12)
    tree = scored_by(encoder, test, validation)
    below, above = (np.sin(grey / 100) + np.cos(grey / 100) for grey in (13, 14))
    assert tree["thresholds"] == {"Edema": pytest.approx((below + above) / 2), "Fracture": 0.0}
    assert tree["accuracy"]["Edema"]["value"] == pytest.approx(5 / 6)  # grey level 14 is taken for positive
    assert tree["note"].endswith("at 0 for Fracture")


@pytest.mark.parametrize(
    ("scores", "positive", "threshold"),
    [
        ([1.0, 2.0, 4.0], [False, False, True], 3.0),
        ([1.0, 2.0, 4.0], [True, True, True], 1.0),
        ([1.0, 2.0, 4.0], [False, False, False], 4.000001),
        ([-3.0, -1.0, 2.0, 4.0], [False, True, False, True], -2.0),  # as good as 3, and nearer to 0
        ([-4.0, -2.0, 1.0, 3.0], [False, True, False, True], 2.0),  # as good as -3
        ([1.0, 1.0, 1.0], [True, True, False], 1.0),
    ],
)
def test_the_best_threshold_is_right_most_often(scores, positive, threshold):
    assert zero_shot.best_threshold(np.array(scores), np.array(positive)) == pytest.approx(threshold, abs=1e-9)


def test_without_validation_the_threshold_is_0_and_the_note_says_so():
    tree = scored_by(stranger(), labelled(EDEMA))
    assert tree["thresholds"] == {"Edema": 0.0, "Fracture": 0.0}
    assert "threshold 0, for want of a validation split" in tree["note"]


def test_every_number_is_that_of_an_independent_computation():
    generator = np.random.default_rng(5)
    rows = [
        {"Edema": float(generator.choice([1, 0, -1])), "Pneumonia": generator.choice([1.0, 0.0, None])}
        for _ in range(30)
    ]
    data = labelled(rows, studies=[f"s{place // 3}" for place in range(30)])
    encoder = stranger()
    tree = scored_by(encoder, data)
    aurocs = []
    for label in ("Edema", "Pneumonia"):
        sides = []
        for prompts in (PROMPTS[label].positive, PROMPTS[label].negative):
            total = sum(np.float64(encoder.text_vector(text)) for text in prompts)
            sides.append(total / np.sqrt((total**2).sum()))
        scores, truth = [], []
        for grey, row in enumerate(rows):
            if row[label] in (0.0, 1.0):
                vector = np.float64(encoder.image_vector(grey))
                scores.append(sum(vector * sides[0]) - sum(vector * sides[1]))
                truth.append(row[label] == 1.0)
        won = [
            (high > low) + 0.5 * (high == low)
            for high, is_positive in zip(scores, truth, strict=True)
            for low, other in zip(scores, truth, strict=True)
            if is_positive and not other
        ]
        aurocs.append(sum(won) / len(won))
        ranked = sorted(zip(scores, truth, strict=True), reverse=True)
        precisions = [
            sum(hit for _, hit in ranked[: place + 1]) / (place + 1)
            for place, (_, is_positive) in enumerate(ranked)
            if is_positive
        ]
        right = [(score >= 0) == is_positive for score, is_positive in zip(scores, truth, strict=True)]
        assert tree["auroc"][label]["value"] == pytest.approx(aurocs[-1], abs=1e-12)
        assert tree["average_precision"][label]["value"] == pytest.approx(sum(precisions) / len(precisions), abs=1e-12)
        assert tree["accuracy"][label]["value"] == pytest.approx(sum(right) / len(right), abs=1e-12)
    assert tree["auroc"]["mean"]["value"] == pytest.approx(sum(aurocs) / 2, abs=1e-12)
    low, high = tree["auroc"]["Edema"]["interval"]
    assert low < tree["auroc"]["Edema"]["value"] < high


def test_the_task_leaves_outcomes_that_average_to_its_accuracies_and_a_figure(tmp_path):
    data = labelled(EDEMA)
    context = TaskContext(Embeddings(stranger()), data, n_bootstrap=50)
    tree = zero_shot.run(context)
    context.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    outcomes = pq.read_table(tmp_path / "outcomes.parquet").to_pylist()
    for label in ("Edema", "Fracture"):
        values = {row["case"]: row["value"] for row in outcomes if row["metric"] == f"accuracy.{label}"}
        assert list(values) == list(data["image_id"])
        assert np.mean(list(values.values())) == pytest.approx(tree["accuracy"][label]["value"])
    (picture,) = context.figures.pictures
    figure = Figure(layout="constrained")
    picture.draw(figure)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["chance", "AUROC", "average precision", "accuracy"]
