import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dataset_helpers import INFO, file_hashes, grey_image, image_ids, load, record
from datasets import Features
from datasets.arrow_writer import ParquetWriter
from PIL import Image

from datasets_scripts.perturbations import PERTURBATIONS, ReportPerturber
from datasets_scripts.schema import Box, Counterfactual, features
from datasets_scripts.tagging import PartOfSpeechTagger
from datasets_scripts.writer import UNREADABLE, write_dataset

EDIT = Counterfactual("a small effusion on the left", start=2, end=7, replacement="small")
BOX = Box("Pleural Effusion", "large effusion", (1.0, 2.0, 3.0, 4.0))
RICH = record(
    "rich",
    "a large effusion on the left",
    impression="Effusion.",
    image=grey_image(200),
    synthetic=True,
    counterfactuals={"severity": EDIT},
    labels={"Pleural Effusion": 1.0, "Pneumonia": -1.0, "No Finding": 0.0},
    boxes=(BOX,),
)
PLAIN = record("plain", "the heart is enlarged")
SPLITS = {
    "train": [RICH, PLAIN, record("seen", "clear lungs")],
    "validation": [record("val", "clear lungs")],
    "test": [record("test", "no pneumothorax is seen")],
}


def unreadable() -> Image.Image:
    raise OSError("broken.png is truncated or no image (no bytes)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, perturber: ReportPerturber) -> Path:
    out = tmp_path_factory.mktemp("written") / "pairs"
    write_dataset(out, SPLITS, INFO, perturber, rows_per_shard=1, progress=False)
    return out


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", [None, "default", "strict"])
def test_every_config_loads_with_the_features_of_the_schema(folder: Path, config: str | None, streaming: bool) -> None:
    dataset = load(folder, config, streaming)

    assert list(dataset) == ["train", "validation", "test"]
    assert all(split.features == features() for split in dataset.values())


@pytest.mark.parametrize("streaming", [False, True])
def test_without_a_name_the_default_config_is_loaded(folder: Path, streaming: bool) -> None:
    assert image_ids(load(folder, None, streaming)) == {
        "train": ["plain", "rich", "seen"],
        "validation": ["val"],
        "test": ["test"],
    }


@pytest.mark.parametrize("streaming", [False, True])
def test_strict_lacks_training_rows_whose_report_stands_in_another_split(folder: Path, streaming: bool) -> None:
    assert image_ids(load(folder, "strict", streaming)) == {
        "train": ["plain", "rich"],
        "validation": ["val"],
        "test": ["test"],
    }


def test_both_configs_read_the_same_shards(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "data").iterdir()) == [
        "test-00000.parquet",
        "train-00000.parquet",
        "train-00001.parquet",
        "train-overlap-00000.parquet",
        "validation-00000.parquet",
    ]


def test_the_card_has_the_features_of_each_config_in_full(folder: Path) -> None:
    front_matter = (folder / "README.md").read_text().split("---\n")[1]

    infos = yaml.safe_load(front_matter)["dataset_info"]

    assert [Features._from_yaml_list(info["features"]) for info in infos] == [features(), features()]
    assert "&id" not in front_matter, "aliases, which not every reader of cards knows"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_comes_back_as_it_was_given(folder: Path, streaming: bool) -> None:
    row = next(row for row in load(folder, None, streaming)["train"] if row["image_id"] == "rich")

    assert row["study_id"] == "study of rich"
    assert row["synthetic"] is True
    assert (row["report"], row["findings"], row["impression"]) == (RICH.report, RICH.findings, "Effusion.")
    assert row["counterfactual"]["severity"] == vars(EDIT)
    assert row["boxes"] == [{"label": "Pleural Effusion", "phrase": "large effusion", "box": [1, 2, 3, 4]}]


def test_what_is_unknown_comes_back_as_null(folder: Path) -> None:
    rows = {row["image_id"]: row for row in load(folder)["train"]}

    assert [kind for kind, edit in rows["rich"]["counterfactual"].items() if edit is not None] == ["severity"]
    assert {name: value for name, value in rows["rich"]["labels"].items() if value is not None} == RICH.labels
    assert set(rows["plain"]["counterfactual"].values()) == set(rows["plain"]["labels"].values()) == {None}
    assert rows["plain"]["boxes"] == []


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [("L", np.arange(24, dtype=np.uint8).reshape(4, 6)), ("RGB", np.arange(72, dtype=np.uint8).reshape(4, 6, 3))],
)
def test_images_are_stored_without_loss_in_their_own_mode(
    tmp_path: Path, perturber: ReportPerturber, mode: str, pixels: np.ndarray[Any, Any]
) -> None:
    splits = {"train": [record("a", "clear", image=lambda: Image.fromarray(pixels))]}

    write_dataset(tmp_path / "out", splits, INFO, perturber, progress=False)

    image = load(tmp_path / "out")["train"][0]["image"]
    assert (image.format, image.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_an_image_of_another_mode_is_refused(tmp_path: Path, perturber: ReportPerturber) -> None:
    splits = {"train": [record("a", "clear", image=lambda: Image.new("I;16", (4, 4)))]}

    with pytest.raises(ValueError, match="image a has mode I;16; convert it"):
        write_dataset(tmp_path / "out", splits, INFO, perturber, progress=False)


def test_perturbed_reports_are_the_perturber_s_and_changed_compares_them(
    folder: Path, perturber: ReportPerturber
) -> None:
    rows = load(folder)["train"]

    for row in rows:
        assert row["perturbed"] == perturber.perturb(row["report"])
        assert row["changed"] == {name: row["perturbed"][name] != row["report"] for name in PERTURBATIONS}
    assert {value for row in rows for value in row["changed"].values()} == {True, False}


def test_tags_are_those_of_the_report_s_words_one_a_word(folder: Path, perturber: ReportPerturber) -> None:
    rows = load(folder)["train"]

    with perturber.tagging() as tagger:
        expected = list(tagger.tag(report.split() for report in rows["report"]))
    assert [row.split(" ") for row in rows["tags"]] == expected


@pytest.mark.parametrize("rows_per_shard", [1, 1000], ids=["in blocks", "in one block"])
def test_each_distinct_report_is_tagged_once(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch, rows_per_shard: int
) -> None:
    given: list[str] = []
    tag = PartOfSpeechTagger.tag

    def counting(self: PartOfSpeechTagger, reports: Iterable[list[str]]) -> Iterator[list[str]]:
        words = list(reports)
        given.extend(map(" ".join, words))
        return tag(self, words)

    monkeypatch.setattr(PartOfSpeechTagger, "tag", counting)
    write_dataset(tmp_path / "out", SPLITS, INFO, perturber, rows_per_shard=rows_per_shard, progress=False)

    assert sorted(given) == sorted({record.report for records in SPLITS.values() for record in records})


def test_two_builds_are_byte_identical_whatever_the_folder(
    folder: Path, tmp_path: Path, perturber: ReportPerturber
) -> None:
    write_dataset(tmp_path / "elsewhere", SPLITS, INFO, perturber, rows_per_shard=1, progress=False)

    assert file_hashes(tmp_path / "elsewhere") == file_hashes(folder)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(folder: Path, tmp_path: Path, perturber: ReportPerturber) -> None:
    write_dataset(tmp_path / "two", SPLITS, INFO, perturber, num_proc=2, rows_per_shard=1, progress=False)

    assert file_hashes(tmp_path / "two") == file_hashes(folder)


def test_an_unreadable_image_before_the_first_shard_leaves_nothing(tmp_path: Path, perturber: ReportPerturber) -> None:
    splits = {"train": [PLAIN, record("b", "clear", image=unreadable)]}

    with pytest.raises(OSError, match=r"broken\.png is truncated"):
        write_dataset(tmp_path / "out", splits, INFO, perturber, progress=False)

    assert list(tmp_path.iterdir()) == []


def test_skipped_images_are_logged_and_counted_in_the_card(
    tmp_path: Path, perturber: ReportPerturber, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"train": [PLAIN, record("b", "clear", image=unreadable)]}

    with caplog.at_level(logging.WARNING):
        write_dataset(tmp_path / "out", splits, INFO, perturber, on_unreadable="skip", progress=False)

    assert image_ids(load(tmp_path / "out")) == {"train": ["plain"]}
    assert "broken.png" in caplog.text
    assert f"| {UNREADABLE} | 1 |" in (tmp_path / "out" / "README.md").read_text()


def test_strict_counts_only_reports_that_were_written_elsewhere(tmp_path: Path, perturber: ReportPerturber) -> None:
    validation = [record("b", "clear lungs", image=unreadable), record("c", "a nodule")]

    write_dataset(
        tmp_path / "out",
        {"train": [record("a", "clear lungs")], "validation": validation},
        INFO,
        perturber,
        on_unreadable="skip",
        progress=False,
    )

    assert image_ids(load(tmp_path / "out", "strict")) == {"train": ["a"], "validation": ["c"]}


def test_a_split_without_rows_is_not_listed_and_the_card_says_so(tmp_path: Path, perturber: ReportPerturber) -> None:
    write_dataset(tmp_path / "out", {"train": [PLAIN], "validation": []}, INFO, perturber, progress=False)

    assert image_ids(load(tmp_path / "out")) == {"train": ["plain"]}
    assert "Split `validation` has no pair: it is not listed." in (tmp_path / "out" / "README.md").read_text()


def test_strict_may_have_no_training_split(tmp_path: Path, perturber: ReportPerturber) -> None:
    splits = {"train": [record("a", "clear lungs")], "validation": [record("b", "clear lungs")]}

    write_dataset(tmp_path / "out", splits, INFO, perturber, progress=False)

    assert image_ids(load(tmp_path / "out")) == {"train": ["a"], "validation": ["b"]}
    assert image_ids(load(tmp_path / "out", "strict")) == {"validation": ["b"]}
    assert "Split `train` has no pair in `strict`: it is not listed." in (tmp_path / "out" / "README.md").read_text()


def test_nothing_to_write_is_an_error_with_the_reasons(tmp_path: Path, perturber: ReportPerturber) -> None:
    info = replace(INFO, left_out={"image not found": 12})

    with pytest.raises(ValueError, match=r"no pair to write .*; left out: 12 \(image not found\)"):
        write_dataset(tmp_path / "out", {"train": []}, info, perturber, progress=False)

    assert list(tmp_path.iterdir()) == []


def test_a_study_in_two_splits_is_refused(tmp_path: Path, perturber: ReportPerturber) -> None:
    splits = {"train": [record("a", "clear", study_id="S1")], "test": [record("b", "clear", study_id="S1")]}

    with pytest.raises(ValueError, match="study S1 is in the splits test and train"):
        write_dataset(tmp_path / "out", splits, INFO, perturber, progress=False)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, perturber: ReportPerturber) -> None:
    (tmp_path / "README.md").write_text("my thesis")

    with pytest.raises(FileExistsError, match="is not empty and no dataset written by datasets_scripts"):
        write_dataset(tmp_path, {"train": [PLAIN]}, INFO, perturber, overwrite=True, progress=False)

    assert (tmp_path / "README.md").read_text() == "my thesis"


def test_a_dataset_is_replaced_only_when_told(tmp_path: Path, perturber: ReportPerturber) -> None:
    out = tmp_path / "out"
    write_dataset(out, {"train": [PLAIN]}, INFO, perturber, progress=False)
    before = file_hashes(out)

    with pytest.raises(FileExistsError, match="pass --overwrite to replace it"):
        write_dataset(out, {"train": [RICH]}, INFO, perturber, progress=False)
    assert file_hashes(out) == before

    write_dataset(out, {"train": [RICH]}, INFO, perturber, overwrite=True, progress=False)
    assert image_ids(load(out)) == {"train": ["rich"]}
    assert {path.name for path in tmp_path.iterdir()} == {"out", "cache"}


def test_a_failed_replacement_leaves_the_old_dataset(tmp_path: Path, perturber: ReportPerturber) -> None:
    out = tmp_path / "out"
    write_dataset(out, {"train": [PLAIN]}, INFO, perturber, progress=False)
    before = file_hashes(out)

    with pytest.raises(OSError, match="broken"):
        write_dataset(
            out, {"train": [replace(RICH, image=unreadable)]}, INFO, perturber, overwrite=True, progress=False
        )

    assert file_hashes(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_the_old_dataset_comes_back_when_the_new_one_cannot_be_moved_into_place(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_dataset(out, {"train": [PLAIN]}, INFO, perturber, progress=False)
    before = file_hashes(out)
    move = os.replace

    def refuse_the_new_one(source: Path, target: Path) -> None:
        if source.name == "whole":
            raise PermissionError(f"cannot move to {target}")
        move(source, target)

    monkeypatch.setattr("datasets_scripts.partial_build.os.replace", refuse_the_new_one)
    with pytest.raises(PermissionError, match="cannot move to"):
        write_dataset(out, {"train": [RICH]}, INFO, perturber, overwrite=True, progress=False)

    assert file_hashes(out) == before


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path, perturber: ReportPerturber) -> None:
    (tmp_path / "out").write_text("notes")

    with pytest.raises(FileExistsError, match="out is a file; name a folder"):
        write_dataset(tmp_path / "out", {"train": [PLAIN]}, INFO, perturber, overwrite=True, progress=False)

    assert (tmp_path / "out").read_text() == "notes"


@pytest.mark.parametrize("counts", [{"rows_per_shard": 0}, {"num_proc": 0}])
def test_counts_below_one_are_refused(tmp_path: Path, perturber: ReportPerturber, counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rows_per_shard and num_proc must be at least 1"):
        write_dataset(tmp_path / "out", {"train": [PLAIN]}, INFO, perturber, progress=False, **counts)


@pytest.mark.parametrize("prepare", [Path.mkdir, lambda out: None], ids=["empty", "absent"])
def test_an_empty_or_absent_folder_is_written_to(
    tmp_path: Path, perturber: ReportPerturber, prepare: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    prepare(out)

    write_dataset(out, {"train": [PLAIN]}, INFO, perturber, progress=False)

    assert image_ids(load(out)) == {"train": ["plain"]}


def test_no_more_than_a_hundred_images_are_made_ahead_of_the_rows(
    tmp_path: Path, perturber: ReportPerturber, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_far_ahead = threading.Event()
    ahead_at_first_row: list[bool] = []

    class WaitingWriter(ParquetWriter):
        def write(self, example: Any, writer_batch_size: int | None = None) -> None:
            if not ahead_at_first_row:
                ahead_at_first_row.append(made_far_ahead.wait(timeout=0.2))
            super().write(example, writer_batch_size)

    def far() -> Image.Image:
        made_far_ahead.set()
        return grey_image(0)()

    monkeypatch.setattr("datasets_scripts.shards.ParquetWriter", WaitingWriter)
    records = [record(f"{index}", "clear", image=far if index >= 100 else grey_image(0)) for index in range(250)]
    write_dataset(tmp_path / "out", {"train": records}, INFO, perturber, rows_per_shard=1000, progress=False)

    assert ahead_at_first_row == [False]
    assert made_far_ahead.is_set()


def test_the_card_names_licence_tagger_inputs_and_command(tmp_path: Path, perturber: ReportPerturber) -> None:
    info = replace(INFO, inputs={"reports.tgz": "ab12"}, synthetic_images=True)

    write_dataset(tmp_path / "out", {"train": [PLAIN]}, info, perturber, progress=False)

    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert f"`{perturber.tagger.name}` {perturber.tagger.version}, SHA-256 `{perturber.tagger.sha256}`" in card
    assert "input `reports.tgz`: SHA-256 `ab12`" in card
    assert "python -m test" in card
    assert card.index("# Test pairs") < card.index("The images are synthetic") < card.index("A few pairs.")
    assert str(tmp_path) not in card


def test_the_summary_tells_rows_per_split_and_config_and_what_was_left_out(
    tmp_path: Path, perturber: ReportPerturber, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "out", SPLITS, replace(INFO, left_out={"image not found": 12}), perturber)

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["split", "default", "strict"],
        ["train", "3", "2"],
        ["validation", "1", "1"],
        ["test", "1", "1"],
        ["left", "out:", "12", "(image", "not", "found)"],
    ]
