"""The builder of PhantomCXR."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from datasets_scripts import phantom
from datasets_scripts.phantom_state import DIFFICULTIES, GENERATOR_VERSION
from datasets_scripts.schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "dataset"
    phantom.build(out, train=12, image_size=40, seed=3, validation=4, test=5, progress=False)
    return out


def test_build_writes_the_three_splits(folder: Path, tmp_path: Path):
    data = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in data.items()} == {"train": 12, "validation": 4, "test": 5}
    row = data["train"][0]
    assert row["image"].size == (40, 40)
    assert row["image"].mode == "L"
    assert all(data["test"]["synthetic"])
    assert len({*data["train"]["study_id"], *data["validation"]["study_id"], *data["test"]["study_id"]}) == 21


def test_the_card_says_synthetic_the_version_and_how_many_edits_are_null(folder: Path):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in card
    assert f"Generator version {GENERATOR_VERSION}, difficulty `default`" in card
    assert "--seed 3 --difficulty default" in card
    assert all(f"| {kind} |" in card for kind in COUNTERFACTUAL_KINDS)


def test_a_study_depends_on_seed_split_index_and_difficulty_alone():
    record = phantom.study_record(0, "train", 5, "default", 40)
    again = phantom.study_record(0, "train", 5, "default", 40)
    assert (record.report, record.counterfactuals, record.boxes()) == (
        again.report,
        again.counterfactuals,
        again.boxes(),
    )
    assert np.array_equal(np.asarray(record.image()), np.asarray(again.image()))
    others = [(1, "train", 5), (0, "test", 5), (0, "train", 6)]
    assert all(phantom.study_record(*other, "default", 40).report != record.report for other in others)


def test_the_text_does_not_depend_on_the_image_size():
    small, large = (phantom.study_record(0, "train", 9, "default", size) for size in (40, 64))
    assert (small.findings, small.counterfactuals, small.labels) == (
        large.findings,
        large.counterfactuals,
        large.labels,
    )


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_boxes_have_labels_that_hold_and_phrases_that_stand_in_the_report(difficulty: str):
    seen = set()
    for index in range(60):
        record = phantom.study_record(0, "train", index, difficulty, 40)
        assert set(record.labels) <= set(CHEXPERT_LABELS)
        assert set(record.counterfactuals) <= set(COUNTERFACTUAL_KINDS)
        for box in record.boxes():
            seen.add(box.label)
            assert record.labels[box.label] == 1.0
            assert box.phrase in record.report
    assert len(seen) > 4


def test_a_study_without_finding_or_device_has_no_boxes():
    records = [phantom.study_record(0, "train", index, "default", 40) for index in range(60)]
    normal = [record for record in records if record.labels["No Finding"] and not record.labels["Support Devices"]]
    assert normal
    assert all(record.boxes() == () for record in normal)


@pytest.mark.parametrize("bad", [{"train": -1}, {"seed": -2}, {"difficulty": "extreme"}, {"image_size": 8}])
def test_bad_arguments_leave_nothing_behind(tmp_path: Path, bad: dict[str, object]):
    arguments = {"train": 3, "validation": 0, "test": 0, "image_size": 40, "progress": False} | bad
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        phantom.build(tmp_path / "dataset", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_takes_what_build_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    taken = {}
    monkeypatch.setattr(phantom, "build", lambda out, *args, **kwargs: taken.update(out=out, args=args, **kwargs))
    parser = argparse.ArgumentParser()
    phantom.add_arguments(parser)
    phantom.run(parser.parse_args(["--out", str(tmp_path), "--train", "7", "--difficulty", "hard", "--seed", "2"]))
    assert taken["out"] == tmp_path
    assert taken["args"] == (7, phantom.DEFAULT_IMAGE_SIZE, 2, "hard")
