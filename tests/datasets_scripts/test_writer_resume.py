"""A build that was killed goes on after its last shard, and ends as one that never was."""

import logging
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_helpers import INFO, file_hashes, grey_image, image_ids, load, record
from PIL import Image
from processes import run

from datasets_scripts import shards
from datasets_scripts.perturbations import ReportPerturber
from datasets_scripts.schema import Record
from datasets_scripts.tagging import PartOfSpeechTagger
from datasets_scripts.writer import UNREADABLE, write_dataset

TRAIN = 9


def corpus(on_image: Callable[[str], None] = lambda image_id: None) -> dict[str, list[Record]]:
    """Nine training pairs, every third with a report of validation, and three of validation; two are unreadable."""

    def pair(image_id: str, report: str) -> Record:
        def image() -> Image.Image:
            on_image(image_id)
            if image_id in ("train-1", "validation-0"):
                raise OSError(f"{image_id}.png is truncated")
            return grey_image(7)()

        return record(image_id, report, image=image)

    numbers = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    train = [f"{numbers[index]} small nodules" if index % 3 else "clear lungs" for index in range(TRAIN)]
    validation = ["no effusion", "clear lungs", "large heart"]
    return {
        "train": [pair(f"train-{index}", report) for index, report in enumerate(train)],
        "validation": [pair(f"validation-{index}", report) for index, report in enumerate(validation)],
    }


def build(out: Path, perturber: ReportPerturber, splits: dict[str, Any] | None = None, **changes: Any) -> None:
    arguments = {"info": INFO, "rows_per_shard": 2, "on_unreadable": "skip", "progress": False, **changes}
    write_dataset(out, corpus() if splits is None else splits, perturber=perturber, **arguments)


def interrupted_at(image_id: str) -> dict[str, list[Record]]:
    def interrupt(reached: str) -> None:
        if reached == image_id:
            raise KeyboardInterrupt

    return corpus(interrupt)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, perturber: ReportPerturber) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    build(out, perturber)
    return file_hashes(out)


@pytest.fixture
def interrupted(tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a build that was interrupted after two of its training shards."""
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", perturber, interrupted_at("train-6"))
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    assert sorted(path.name for path in (tmp_path / ".out.partial" / "whole" / "data").iterdir()) == [
        "train-00000.parquet",
        "train-overlap-00000.parquet",
        "validation-00000.parquet",
    ]
    return tmp_path / "out"


def build_killed_at(image_id: str, out: Path) -> None:
    def kill(reached: str) -> None:
        if reached == image_id:
            os.kill(os.getpid(), signal.SIGKILL)

    shards._IMAGES_AHEAD = 1
    build(out, ReportPerturber(seed=0), corpus(kill))


@pytest.mark.slow
def test_the_third_run_after_two_kills_ends_with_the_bytes_of_one_that_was_never_killed(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    out = tmp_path / "out"

    for image_id in ("validation-2", "train-6"):
        assert run(build_killed_at, image_id, out).statuses == [-signal.SIGKILL]
    assert not out.exists()
    assert run(build_killed_at, "none", out).statuses == [0]
    assert file_hashes(out) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("last", [f"train-{index}" for index in range(TRAIN)] + ["validation-0", "validation-2"])
def test_wherever_it_stopped_the_next_run_ends_with_the_same_bytes(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, str], last: str
) -> None:
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", perturber, interrupted_at(last))

    build(tmp_path / "out", perturber)

    assert file_hashes(tmp_path / "out") == undisturbed


def test_images_and_tags_of_finished_shards_are_not_made_again(
    interrupted: Path,
    perturber: ReportPerturber,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[str] = []
    tagged: list[str] = []
    tag = PartOfSpeechTagger.tag

    def counting(self: PartOfSpeechTagger, reports: Any) -> Iterator[list[str]]:
        words = list(reports)
        tagged.extend(map(" ".join, words))
        return tag(self, words)

    monkeypatch.setattr(PartOfSpeechTagger, "tag", counting)
    with caplog.at_level(logging.WARNING):
        build(interrupted, perturber, corpus(made.append))

    # train-1 is unreadable, so that the first shard holds 2 and 4; 0 and 3 overlap with validation.
    assert sorted(made) == ["train-5", "train-6", "train-7", "train-8"]
    assert tagged == ["nine small nodules"]
    assert "resuming a build after 3 finished shards" in caplog.text


def test_unreadable_images_of_both_runs_are_counted(interrupted: Path, perturber: ReportPerturber) -> None:
    build(interrupted, perturber)

    assert f"| {UNREADABLE} | 2 |" in (interrupted / "README.md").read_text()


def test_a_report_of_a_finished_training_shard_is_none_of_an_evaluated_split(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)
    splits = {"train": [record(image_id, "clear lungs") for image_id in "abc"]}

    build(tmp_path / "out", perturber, splits, rows_per_shard=1)

    assert image_ids(load(tmp_path / "out", "strict")) == {"train": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"info": replace(INFO, command="python -m other")}, "command"),
        ({"info": replace(INFO, inputs={"reports.csv": "ab12"})}, "inputs"),
        ({"rows_per_shard": 3}, "rows_per_shard"),
    ],
)
def test_another_call_starts_anew_and_says_so(
    interrupted: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture, change: dict[str, Any], name: str
) -> None:
    build(interrupted.with_name("fresh"), perturber, **change)

    build(interrupted, perturber, **change)

    assert f"a build with another {name} is not taken up; starting anew" in caplog.text
    assert file_hashes(interrupted) == file_hashes(interrupted.with_name("fresh"))


def test_another_seed_starts_anew(interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(interrupted, ReportPerturber(seed=1))

    assert "a build with another seed is not taken up" in caplog.text


def reworded(train: list[Record]) -> list[Record]:
    return [replace(train[0], findings="Clear lungs, again."), *train[1:]]


@pytest.mark.parametrize(
    "change", [reworded, lambda train: train[1:], lambda train: train[:4]], ids=["changed", "fewer", "cut short"]
)
def test_the_same_call_with_other_records_starts_anew_and_says_so(
    interrupted: Path,
    perturber: ReportPerturber,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[list[Record]], list[Record]],
) -> None:
    splits = {**corpus(), "train": change(corpus()["train"])}
    build(interrupted.with_name("fresh"), perturber, splits)

    build(interrupted, perturber, splits)

    assert "a build of other records or images is not taken up; starting anew" in caplog.text
    assert file_hashes(interrupted) == file_hashes(interrupted.with_name("fresh"))


def test_records_that_follow_a_last_shard_start_the_build_anew(
    tmp_path: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture
) -> None:
    few = {"train": [], "validation": corpus()["validation"][:2]}
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", perturber, {**few, "train": interrupted_at("train-0")["train"]})

    build(tmp_path / "out", perturber, {**corpus(), "train": []})

    assert "a build of other records" in caplog.text
    assert image_ids(load(tmp_path / "out")) == {"validation": ["validation-1", "validation-2"]}


def test_a_damaged_hidden_folder_is_not_taken_up(
    interrupted: Path, perturber: ReportPerturber, undisturbed: dict[str, str]
) -> None:
    (interrupted.parent / ".out.partial" / "whole" / "data" / "train-00000.parquet").write_bytes(b"PAR1")

    build(interrupted, perturber)

    assert file_hashes(interrupted) == undisturbed


def test_a_hidden_folder_that_is_not_ours_is_left_alone(tmp_path: Path, perturber: ReportPerturber) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "thesis.txt").write_text("mine")

    with pytest.raises(FileExistsError, match=r"\.out\.partial is in the way and none of ours"):
        build(tmp_path / "out", perturber)

    assert (tmp_path / ".out.partial" / "thesis.txt").read_text() == "mine"


def test_two_builds_of_one_folder_at_a_time_are_refused(tmp_path: Path, perturber: ReportPerturber) -> None:
    def build_again(image_id: str) -> None:
        build(tmp_path / "out", perturber)

    with pytest.raises(FileExistsError, match=r"another process builds .*out; wait for it"):
        build(tmp_path / "out", perturber, corpus(build_again), on_unreadable="raise")


def test_a_kill_between_the_old_and_the_new_dataset_loses_neither(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, str]
) -> None:
    out = tmp_path / "out"
    build(out, perturber, {"train": [record("old", "clear lungs")]})
    before = file_hashes(out)
    move = os.replace

    def stop_at_the_new_one(source: Path, target: Path) -> None:
        if source.name == "whole":
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("datasets_scripts.partial_build.os.replace", stop_at_the_new_one)
        with pytest.raises(KeyboardInterrupt):
            build(out, perturber, overwrite=True)
    assert not out.exists()

    with pytest.raises(KeyboardInterrupt):
        build(out, perturber, interrupted_at("train-0"), info=replace(INFO, command="python -m other"))
    assert file_hashes(out) == before

    build(out, perturber, overwrite=True)
    assert file_hashes(out) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_split_that_can_be_iterated_only_once_is_refused(tmp_path: Path, perturber: ReportPerturber) -> None:
    with pytest.raises(ValueError, match="split train can be iterated only once; give a list"):
        build(tmp_path / "out", perturber, {"train": iter(corpus()["train"])})


def test_records_are_made_as_they_are_written_and_then_let_go(
    tmp_path: Path, perturber: ReportPerturber, undisturbed: dict[str, str]
) -> None:
    alive: weakref.WeakSet[Record] = weakref.WeakSet()
    most = 0

    class Made:
        def __iter__(self) -> Iterator[Record]:
            nonlocal most
            for index in range(1000):
                made = _Hashable(**vars(record(f"{index}", "clear")))
                alive.add(made)
                most = max(most, len(alive))
                yield made

    class _Hashable(Record):
        __hash__ = object.__hash__

    build(tmp_path / "out", perturber, {"train": Made()}, rows_per_shard=100)

    assert len(load(tmp_path / "out")["train"]) == 1000
    assert most < 400  # a block, and the rows whose images are made ahead


def test_a_study_may_move_to_another_split_before_the_build_goes_on(
    interrupted: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture
) -> None:
    splits = corpus()
    moved = splits["train"].pop(2)
    splits["validation"].append(moved)

    build(interrupted, perturber, splits)

    assert "a build of other records or images is not taken up; starting anew" in caplog.text
    assert "train-2" in image_ids(load(interrupted))["validation"]


def test_a_study_in_two_splits_is_refused_by_a_build_that_goes_on(
    interrupted: Path, perturber: ReportPerturber
) -> None:
    splits = corpus()
    splits["train"][-1] = replace(splits["train"][-1], study_id=splits["validation"][0].study_id)

    with pytest.raises(ValueError, match="is in the splits validation and train"):
        build(interrupted, perturber, splits)


def test_a_report_that_was_added_to_a_full_evaluated_shard_is_not_left_in_strict(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets_scripts.shards._IMAGES_AHEAD", 1)
    full = {**interrupted_at("train-8"), "validation": corpus()["validation"][1:]}
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", perturber, full)

    added = [*full["validation"], record("added", corpus()["train"][2].report)]
    build(tmp_path / "out", perturber, {**corpus(), "validation": added})

    assert "train-2" in image_ids(load(tmp_path / "out"))["train"]
    assert "train-2" not in image_ids(load(tmp_path / "out", "strict"))["train"]
