"""The difficulty benchmark runs from end to end at tiny size, and its parts see what they should."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tiny_recipe import TINY_RECIPE

import benchmarks.phantom_matching
from benchmarks.phantom_classifier import ATTRIBUTES, FORCED, NAMES, UNKNOWN, make_examples
from benchmarks.phantom_difficulty import main
from datasets_scripts import phantom
from datasets_scripts.schema import COUNTERFACTUAL_KINDS


def test_every_part_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "data"
    phantom.build(data, train=16, validation=40, test=60, image_size=32, difficulty="hard", progress=False)
    monkeypatch.setattr(benchmarks.phantom_matching, "phantom_folder", lambda arguments: data)
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(json.dumps({**TINY_RECIPE, "phantom_image_size": 32, "num_train_epochs": 1}))
    sizes = {"classifier_train": 64, "classifier_test": 200, "classifier_epochs": 1, "ngram_studies": 400}
    flags = [f"--{name}={size}" for name, size in sizes.items()]
    outputs = ["--json", str(tmp_path / "out.json"), "--contact_sheet", str(tmp_path / "sheet.png")]
    main(["--difficulty", "hard", "--config", str(recipe), "--budgets", "1", "3", "--threads", "1", *flags, *outputs])
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["difficulty"] == "hard"
    assert set(results["classifier"]) == set(NAMES)
    assert set(results["ngram"]) == set(COUNTERFACTUAL_KINDS)
    assert all(row["n"] + row["n_null"] == 400 for row in results["ngram"].values())
    for part in ("matching", "edits"):
        assert [point["epoch"] for point in results[part]["1"]] == [1]
        assert [point["epoch"] for point in results[part]["3"]] == [1, 2, 3]
        for point in results[part]["3"]:
            pairs = point["counterfactual"]["accuracy"]["n"]
            assert pairs == sum(kind["n"] for kind in point["counterfactual"]["by_kind"].values())
            assert point["retrieval"]["image_to_text"]["recall_at_1"]["n"] > 30
    assert Image.open(tmp_path / "sheet.png").getextrema() == (0, 255)


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--parts", "classifier,guess"])
    assert "unknown part 'guess'" in capsys.readouterr().err


def test_the_classifiers_studies_hold_what_was_forced_and_its_targets_say_so():
    examples = make_examples(60, 2, 32, "default", seed=3)
    forced = [NAMES.index(name) for name in FORCED]
    assert (examples.present[:, forced].sum(1) >= 2).all()
    for place, (name, _, values) in enumerate(ATTRIBUTES):
        known = examples.values[:, place] != UNKNOWN
        assert (known == examples.present[:, NAMES.index(name)].bool()).all()
        assert (examples.values[:, place] < len(values)).all()
