"""Structure and counterfactual with their controls, on planted models, and against loops written here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from matplotlib.figure import Figure
from planted_encoders import PlantedEncoder, constant, dataset, oracle, pair, stranger, text_vector

from datasets_scripts.perturbations import PERTURBATIONS
from evaluate_suite.context import TaskContext, Tree
from evaluate_suite.controls.blind import NgramClassifier, TrigramModel
from evaluate_suite.controls.wrong_image import derangements
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import counterfactual, structure

WORDS = ["heart", "lung", "hilum", "apex", "base", "rib"]
RUNS: dict[str, Callable[[TaskContext], Tree]] = {"structure": structure.run, "counterfactual": counterfactual.run}


def rows(n: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows whose edits put *a mass* for *no mass*, mostly, and swap sides at random; two images a study."""
    rng = np.random.default_rng(first)
    made = []
    for study in range(first, first + n, 2):
        words = " ".join(rng.choice(WORDS, 5))
        frequent, side = rng.random() < 0.7, rng.choice(["left", "right"])
        mass, other = ("no", "a") if frequent else ("a", "no")
        edits = {
            "negation": f"{words} {side} {other} mass",
            "laterality": f"{words} {'right' if side == 'left' else 'left'} {mass} mass",
        }
        report = f"{words} {side} {mass} mass"
        made += [
            pair(
                grey,
                f"s{study}",
                report,
                unchanged=["reverse_sentence"] if study % 3 else [],
                counterfactuals=edits if study % 5 else {"negation": edits["negation"]},
            )
            for grey in (study, study + 1)
        ]
    return made


@pytest.fixture(scope="module")
def test_split() -> Dataset:
    return dataset(rows(80))


@pytest.fixture(scope="module")
def train_split() -> Dataset:
    return dataset([*rows(80, first=100), *rows(8)])  # the last four reports stand in the test split too


def context(encoder: PlantedEncoder, test: Dataset, train: Dataset | None = None) -> TaskContext:
    return TaskContext(Embeddings(encoder), test, train, n_bootstrap=100, seed=3)


def fluent(reports: set[str]) -> PlantedEncoder:
    """Sees no image, and knows a report from anything else."""
    report, other = text_vector("report"), text_vector("other")
    return PlantedEncoder(lambda grey: report, lambda text: report if text in reports else other)


def prefers_no_mass() -> PlantedEncoder:
    """Sees no image, and likes what is written most often."""
    likely, unlikely = text_vector("likely"), text_vector("unlikely")
    return PlantedEncoder(lambda grey: likely, lambda text: likely if "no mass" in text else unlikely)


@pytest.mark.parametrize("task", RUNS)
def test_an_oracle_needs_the_image(task: str, test_split: Dataset, train_split: Dataset) -> None:
    tree = RUNS[task](context(oracle(test_split), test_split, train_split))
    assert tree["accuracy"]["value"] == 1
    assert tree["needs_image"] is True
    assert tree["gain_over_wrong_image"]["interval"][0] > 0.3
    assert "does not need the image" not in tree.get("note", "")


def test_a_blind_model_that_does_as_well_is_noted_on_structure_and_not_where_there_is_a_gain(
    test_split: Dataset, train_split: Dataset
) -> None:
    given = context(oracle(test_split), test_split, train_split)
    tree = structure.run(given)
    assert tree["gain_over_blind"]["value"] == 0
    assert "A model that sees no image does as well" in tree["note"]
    assert "note" not in counterfactual.run(given)


@pytest.mark.parametrize(("task", "group"), [("structure", "by_perturbation"), ("counterfactual", "by_kind")])
def test_gains_are_given_for_every_part(task: str, group: str, test_split: Dataset, train_split: Dataset) -> None:
    tree = RUNS[task](context(stranger(), test_split, train_split))
    for control in ("blind", "wrong_image"):
        gains = tree[f"gain_over_{control}"][group]
        assert set(gains) == set(tree[group])
        for name, gain in gains.items():
            assert gain["value"] == pytest.approx(tree[group][name]["value"] - tree[control][group][name]["value"])
            assert gain["n"] == tree[group][name]["n"]


def test_a_model_that_ignores_the_image_is_perfect_on_structure_and_flagged(
    test_split: Dataset, train_split: Dataset
) -> None:
    tree = structure.run(context(fluent(set(test_split["report"])), test_split, train_split))
    assert tree["accuracy"]["value"] == tree["wrong_image"]["value"] == 1
    assert tree["gain_over_wrong_image"]["value"] == 0
    assert tree["needs_image"] is False
    assert "does not need the image" in tree["note"]


def test_a_model_that_ignores_the_image_is_flagged_on_counterfactuals_and_at_chance_where_they_are_balanced(
    test_split: Dataset, train_split: Dataset
) -> None:
    tree = counterfactual.run(context(prefers_no_mass(), test_split, train_split))
    assert tree["by_kind"]["negation"]["value"] > 0.6
    assert tree["by_kind"]["laterality"]["value"] == 0.5
    assert tree["needs_image"] is False
    assert tree["wrong_image"]["value"] == tree["accuracy"]["value"]
    assert tree["balanced"]["by_kind"]["negation"]["value"] == 0.5
    assert tree["balanced"]["needs_image"] is False


@pytest.mark.parametrize("task", RUNS)
def test_wrong_images_cost_no_encoding(task: str, test_split: Dataset, train_split: Dataset) -> None:
    encoder = stranger()
    RUNS[task](context(encoder, test_split, train_split))
    assert sorted(encoder.images_seen) == list(range(80))
    assert len(encoder.texts_seen) == len(set(encoder.texts_seen))
    assert not set(encoder.texts_seen) & (set(train_split["report"]) - set(test_split["report"]))


def vectors(data: Dataset) -> list[np.ndarray]:
    return [text_vector(f"image {row['image'].getpixel((0, 0))}").astype(np.float64) for row in data]


def test_structures_controls_equal_loops_over_images_and_candidates(test_split: Dataset, train_split: Dataset) -> None:
    tree = structure.run(context(stranger(), test_split, train_split))
    images, tested = vectors(test_split), set(test_split["report"])
    model = TrigramModel([report for report in dict.fromkeys(train_split["report"]) if report not in tested])

    def hit(row: dict[str, Any], score: Callable[[str], float], names: tuple[str, ...] = PERTURBATIONS) -> bool:
        rivals = [row["perturbed"][name] for name in names if row["changed"][name]]
        return all(score(row["report"]) > score(rival) for rival in rivals)

    blind = [hit(row, lambda text: model.scores([text])[0]) for row in test_split]
    assert tree["blind"]["value"] == pytest.approx(np.mean(blind))
    orders = derangements(test_split["study_id"], test_split["report"], seed=3)
    for names, measured in (
        (PERTURBATIONS, tree["wrong_image"]),
        (PERTURBATIONS[:1], tree["wrong_image"]["by_perturbation"][PERTURBATIONS[0]]),
    ):
        wrong = [
            hit(row, lambda text, image=images[order[place]]: image @ text_vector(text).astype(np.float64), names)
            for order in orders
            for place, row in enumerate(test_split)
        ]
        assert measured["value"] == pytest.approx(np.mean(wrong))
    assert tree["gain_over_blind"]["value"] == pytest.approx(tree["accuracy"]["value"] - tree["blind"]["value"])
    assert tree["blind"]["chance"] == tree["wrong_image"]["chance"] == tree["accuracy"]["chance"]
    assert tree["blind"]["n"] == tree["wrong_image"]["n"] == tree["accuracy"]["n"] == 80


def test_counterfactuals_controls_equal_loops_over_images_and_edits(test_split: Dataset, train_split: Dataset) -> None:
    tree = counterfactual.run(context(stranger(), test_split, train_split))
    tested = set(test_split["report"])
    kinds = ("negation", "laterality")

    def win(gap: float) -> float:
        return 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0

    trigram = TrigramModel([report for report in dict.fromkeys(train_split["report"]) if report not in tested])
    wins: dict[str, list[float]] = {"trigram": [], "ngram": [], "wrong": []}
    images = vectors(test_split)
    orders = derangements(test_split["study_id"], test_split["report"], seed=3)
    for kind in kinds:
        learnt = {
            (row["report"], row["counterfactual"][kind]["text"])
            for row in train_split
            if row["counterfactual"][kind] is not None and row["report"] not in tested
        }
        ngram = NgramClassifier(sorted(learnt))
        for place, row in enumerate(test_split):
            if row["counterfactual"][kind] is None:
                continue
            texts = [row["report"], row["counterfactual"][kind]["text"]]
            for name, model in (("trigram", trigram), ("ngram", ngram)):
                own, rival = model.scores(texts)
                wins[name].append(win(own - rival))
            for order in orders:
                own, rival = (images[order[place]] @ text_vector(text).astype(np.float64) for text in texts)
                wins["wrong"].append(win(own - rival))
    for name in ("trigram", "ngram"):
        assert tree["blind"]["models"][name]["value"] == pytest.approx(np.mean(wins[name]))
    assert tree["blind"]["value"] == max(tree["blind"]["models"][name]["value"] for name in ("trigram", "ngram"))
    by_kind = {name: model["by_kind"] for name, model in tree["blind"]["models"].items()}
    for kind, number in tree["blind"]["by_kind"].items():
        assert number["value"] == max(by_kind[name][kind]["value"] for name in ("trigram", "ngram")), kind
    assert tree["wrong_image"]["value"] == pytest.approx(np.mean(wins["wrong"]))
    assert tree["wrong_image"]["n"] == tree["accuracy"]["n"] == tree["blind"]["n"] == len(wins["trigram"])


def test_ties_are_misses_in_structure_and_halves_in_counterfactuals_for_the_controls_too(train_split: Dataset) -> None:
    unheard = [
        pair(grey, f"s{grey}", f"unheard{grey} words", counterfactuals={"finding": f"other{grey} things"})
        for grey in range(6)
    ]
    for row in unheard:
        row["perturbed"] = dict.fromkeys(PERTURBATIONS, "equally unknown")
    for task, tied in (("structure", 0), ("counterfactual", 0.5)):
        tree = RUNS[task](context(constant(), dataset(unheard), train_split))
        assert tree["accuracy"]["value"] == tree["wrong_image"]["value"] == tree["blind"]["value"] == tied


def test_blind_models_are_at_chance_on_the_balanced_subset(test_split: Dataset, train_split: Dataset) -> None:
    tree = counterfactual.run(context(stranger(), test_split, train_split))
    assert tree["blind"]["by_kind"]["negation"]["value"] > 0.6
    balanced = tree["balanced"]
    for model in balanced["blind"]["models"].values():
        assert model["value"] == 0.5
        assert {kind["value"] for kind in model["by_kind"].values()} == {0.5}
    assert balanced["accuracy"]["n"] == sum(kind["n"] for kind in balanced["by_kind"].values()) < tree["accuracy"]["n"]
    assert set(balanced["blind_fitted_on_train"]["models"]) == {"trigram", "ngram"}


def test_the_balanced_subset_is_held_against_blind_models_that_did_not_choose_it(
    test_split: Dataset, train_split: Dataset
) -> None:
    balanced = counterfactual.run(context(oracle(test_split), test_split, train_split))["balanced"]
    blind, gain = balanced["blind_fitted_on_train"], balanced["gain_over_blind_fitted_on_train"]
    assert set(blind["by_kind"]) == set(gain["by_kind"]) == {"negation", "laterality"}
    assert gain["value"] == pytest.approx(balanced["accuracy"]["value"] - blind["value"])
    for kind, number in blind["by_kind"].items():
        expected = balanced["by_kind"][kind]["value"] - number["value"]
        assert gain["by_kind"][kind]["value"] == pytest.approx(expected)
    assert balanced["at_chance"]["blind"] == {"trigram": True, "ngram": True}
    for name, held in balanced["at_chance"]["blind_fitted_on_train"].items():
        model = blind["models"][name]
        near = [abs(kind["value"] - 0.5) <= 0.05 for kind in model["by_kind"].values()]
        assert held == (abs(model["value"] - 0.5) <= 0.02 and all(near))
        said = {"ngram": "n-gram"}.get(name, name)
        assert held != (f"The {said} model fitted on the training split is not at chance" in blind.get("note", ""))


def test_a_balanced_subset_on_which_the_models_fitted_on_train_do_as_well_is_noted(
    test_split: Dataset, train_split: Dataset
) -> None:
    balanced = counterfactual.run(context(constant(), test_split, train_split))["balanced"]
    assert "A model that sees no image does as well" in balanced["blind_fitted_on_train"]["note"]
    without = counterfactual.run(context(constant(), test_split))["balanced"]
    for name in ("blind_fitted_on_train", "gain_over_blind_fitted_on_train"):
        assert name not in without
        assert "no training split" in without["skipped"][name]
    assert set(without["at_chance"]) == {"blind"}


def test_training_texts_that_are_tested_are_counted(test_split: Dataset, train_split: Dataset) -> None:
    left_out = {
        task: run(context(stranger(), test_split, train_split))["blind"]["n_left_out"] for task, run in RUNS.items()
    }
    # Of four studies of the test split, which stand in the training split too, the first has no side to swap.
    assert left_out == {"structure": {"reports": 4}, "counterfactual": {"reports": 4, "edits": 7}}


def test_without_a_training_split_the_blind_models_are_skipped_with_their_reason(test_split: Dataset) -> None:
    for task, run in RUNS.items():
        tree = run(context(stranger(), test_split))
        assert "blind" not in tree, task
        assert "no training split" in tree["skipped"]["blind"]
        assert tree["skipped"]["gain_over_blind"] == tree["skipped"]["blind"]
        assert "wrong_image" in tree


def test_without_enough_other_images_wrong_images_are_skipped_with_their_reason(train_split: Dataset) -> None:
    data = dataset(
        [
            pair(grey, f"s{grey}", "a mass" if grey else "no mass", counterfactuals={"negation": f"{grey} mass"})
            for grey in range(5)
        ]
    )
    for run in RUNS.values():
        tree = run(context(stranger(), data, train_split))
        assert "wrong_image" not in tree
        assert "needs_image" not in tree
        assert "with 4 of the 5 rows" in tree["skipped"]["wrong_image"]
        assert set(tree["skipped"]) >= {"gain_over_wrong_image", "needs_image"}
        assert "blind" in tree


def test_nothing_to_score_is_skipped_as_a_whole() -> None:
    data = dataset([pair(0, "s", "clear", unchanged=PERTURBATIONS)])
    assert set(structure.run(context(stranger(), data))) == {"skipped"}
    assert set(counterfactual.run(context(stranger(), data))) == {"skipped", "n_null"}


@pytest.mark.parametrize("task", RUNS)
def test_the_outcomes_give_the_numbers_again(
    task: str, test_split: Dataset, train_split: Dataset, tmp_path: Path
) -> None:
    given = context(stranger(), test_split, train_split)
    tree = RUNS[task](given)
    given.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    frame = pq.read_table(tmp_path / "outcomes.parquet").to_pandas()
    assert set(frame["task"]) == {task}
    for metric, cases in frame.groupby("metric"):
        node = tree
        for key in metric.split("."):
            node = node[key]
        assert node["value"] == pytest.approx(cases["value"].mean())
        assert node["n"] == len(cases) == cases["case"].nunique()
    assert {"accuracy"} <= set(frame["metric"])


def test_the_figures_are_drawn(test_split: Dataset, train_split: Dataset) -> None:
    given = context(stranger(), test_split, train_split)
    for run in RUNS.values():
        run(given)
    assert [picture.name for picture in given.figures.pictures] == [
        "structure",
        "counterfactual",
        "counterfactual_balanced",
    ]
    for picture in given.figures.pictures:
        figure = Figure()
        picture.draw(figure)
        assert {text.get_text() for text in figure.legends[0].get_texts()} >= {"model", "blind", "wrong image"}
