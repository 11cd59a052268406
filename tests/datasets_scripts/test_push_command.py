"""`python -m datasets_scripts push`: what goes to the Hub, who may read it, and what loads from there."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_helpers import INFO, load, record
from hub_server import Hub, client_environment, running_hub, uploads_to

from datasets_scripts import __main__ as cli
from datasets_scripts import push_command
from datasets_scripts.perturbations import ReportPerturber
from datasets_scripts.physionet import PHYSIONET_LICENCE, licence_page
from datasets_scripts.push_command import publication_notice
from datasets_scripts.writer import write_dataset

LICENCE = "cc-by-nc-nd-4.0"


def write(out: Path, perturber: ReportPerturber, images: int = 5, **options: Any) -> Path:
    splits = {
        "train": [record(f"t{number}", f"clear lungs {number}") for number in range(images)],
        "validation": [record("v", "the heart is enlarged")],
    }
    info = replace(INFO, licence=LICENCE, source="Findings of a clinic.")
    write_dataset(out, splits, info, perturber, rows_per_shard=2, progress=False, **options)
    return out


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory: pytest.TempPathFactory, perturber: ReportPerturber) -> Path:
    """Five training pairs in three shards, one validation pair, and a file that the card does not name."""
    folder = write(tmp_path_factory.mktemp("pushed") / "pairs", perturber)
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


def push(hub: Hub, *arguments: str) -> int:
    with uploads_to(hub):
        return cli.main(["push", *arguments])


def run_client(hub: Hub, home: Path, code: str) -> Any:
    """What a process without the project prints, as JSON."""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=home, env=client_environment(hub, home), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def test_a_pushed_folder_is_private_and_is_the_card_with_the_files_it_names(
    pairs_dir: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
):
    assert push(hub, str(pairs_dir), "--repo_id", "org/pairs") == 0
    assert capsys.readouterr().out == f"{hub.address}/datasets/org/pairs\n"
    repository = hub.repositories["datasets/org/pairs"]
    assert repository.private
    shards = sorted(path.relative_to(pairs_dir).as_posix() for path in pairs_dir.glob("data/*.parquet"))
    assert sorted(repository.files) == ["README.md", *shards]
    assert all(content == (pairs_dir / path).read_bytes() for path, content in repository.files.items())


def test_a_pushed_dataset_loads_by_its_id_whole_and_streamed_with_no_code_of_ours(
    pairs_dir: Path, hub: Hub, tmp_path: Path
):
    push(hub, str(pairs_dir), "--repo_id", "org/pairs")
    code = """
import json
from datasets import load_dataset
rows = {}
for config in ("default", "strict"):
    for streaming in (False, True):
        splits = load_dataset("org/pairs", config, streaming=streaming)
        for name, split in splits.items():
            assert split.features["image"].dtype == "PIL.Image.Image"
            rows[f"{config} {name} {streaming}"] = [
                [row["image_id"], row["report"], row["perturbed"], row["image"].getpixel((0, 0))] for row in split
            ]
print(json.dumps(rows))
"""
    rows = run_client(hub, tmp_path, code)
    local = load(pairs_dir)
    for name in ("train", "validation"):
        expected = [
            [row["image_id"], row["report"], row["perturbed"], row["image"].getpixel((0, 0))] for row in local[name]
        ]
        for config in ("default", "strict"):
            assert rows[f"{config} {name} False"] == rows[f"{config} {name} True"] == expected
    assert any(path.endswith(".parquet") for path in hub.partial_reads)


def test_a_dataset_with_fewer_shards_leaves_none_of_the_old_ones_behind(
    pairs_dir: Path, hub: Hub, tmp_path: Path, perturber: ReportPerturber
):
    push(hub, str(pairs_dir), "--repo_id", "org/pairs")
    before = set(hub.repositories["datasets/org/pairs"].files)
    smaller = write(tmp_path / "smaller", perturber, images=1)
    assert push(hub, str(smaller), "--repo_id", "org/pairs") == 0
    after = set(hub.repositories["datasets/org/pairs"].files)
    assert after == {path.relative_to(smaller).as_posix() for path in smaller.rglob("*") if path.is_file()}
    assert len(after) == len(before) - 2


@pytest.mark.parametrize(("answer", "published"), [("yes\n", True), ("no\n", False), ("y\n", False), ("", False)])
def test_public_shows_licence_and_source_and_waits_for_yes(
    pairs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, published: bool
):
    claimed: list[Any] = []
    monkeypatch.setattr(
        push_command, "claim_repository", lambda *args, **options: claimed.append((args, options)) or "https://address"
    )
    monkeypatch.setattr(push_command, "upload_folder", lambda *args, **options: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    status = cli.main(["push", str(pairs_dir), "--repo_id", "org/pairs", "--public"])
    out, err = capsys.readouterr()
    assert LICENCE in out
    assert "forbids sharing adaptations" in out
    assert "Findings of a clinic." in out
    if published:
        assert status == 0
        assert claimed == [(("org/pairs", "dataset"), {"public": True})]
        assert out.endswith("https://address\n")
    else:
        assert (status, claimed) == (1, [])
        assert err == "nothing was uploaded\n"


def test_yes_on_the_command_line_answers_and_a_private_push_asks_nothing(
    pairs_dir: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
):
    assert push(hub, str(pairs_dir), "--repo_id", "org/open", "--public", "--yes") == 0
    assert "forbids" in capsys.readouterr().out
    assert not hub.repositories["datasets/org/open"].private
    assert push(hub, str(pairs_dir), "--repo_id", "org/closed") == 0
    assert "licence" not in capsys.readouterr().out


def test_a_licence_is_put_into_words():
    assert "derivatives" in publication_notice("cc-by-nc-nd-4.0")
    assert "permission" in publication_notice("cc-by-nd-4.0")
    assert "permission" not in publication_notice("cc-by-4.0")
    assert "cc-by-4.0" in publication_notice("cc-by-4.0")
    assert "names no licence" in publication_notice(None)
    assert "its terms decide" in publication_notice("other")


def test_a_data_use_agreement_is_named_and_linked_and_said_to_forbid_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], perturber: ReportPerturber
):
    agreement = {"licence_name": PHYSIONET_LICENCE, "licence_link": licence_page("mimic-cxr", "2.1.0")}
    info = replace(INFO, licence="other", **agreement)
    write_dataset(tmp_path / "pairs", {"train": [record("a", "clear")]}, info, perturber, progress=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))

    assert cli.main(["push", str(tmp_path / "pairs"), "--repo_id", "org/pairs", "--public"]) == 1

    out = capsys.readouterr().out
    assert "physionet-credentialed-health-data-license-1.5.0" in out
    assert "https://physionet.org/content/mimic-cxr/view-license/2.1.0/" in out
    assert "forbids handing the data" in out
    assert "stay under it" not in out


@pytest.mark.parametrize(
    ("public_before", "arguments", "word"), [(True, [], "--public"), (False, ["--public", "--yes"], "private")]
)
def test_a_repository_of_the_other_visibility_is_refused_and_left_as_it_is(
    pairs_dir: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
    public_before: bool,
    arguments: list[str],
    word: str,
):
    hub.create({"organization": "org", "name": "pairs", "type": "dataset", "private": not public_before})
    assert push(hub, str(pairs_dir), "--repo_id", "org/pairs", *arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "org/pairs" in err
    assert word in err
    repository = hub.repositories["datasets/org/pairs"]
    assert repository.files == {}
    assert repository.private is not public_before


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (None, ["no README.md"]),
        ("# A folder", ["names no data files"]),
        ("---\nconfigs: [\n---\n", ["names no data files"]),
        ("---\nconfigs:\n- data_files:\n  - {split: train, path: ['data/*.parquet']}\n---\n", ["data/*.parquet"]),
        ("---\nconfigs:\n- data_files:\n  - {split: train, path: data/one.parquet}\n---\n", ["data/one.parquet"]),
    ],
)
def test_a_folder_that_is_no_whole_dataset_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], card: str | None, words: list[str]
):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert cli.main(["push", str(tmp_path), "--repo_id", "org/pairs"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in (str(tmp_path), *words))


@pytest.mark.parametrize(("repo_id", "word"), [("no repo id", "no repo id"), ("org/pairs", "offline")])
def test_what_the_client_refuses_is_one_line(
    pairs_dir: Path, capsys: pytest.CaptureFixture[str], repo_id: str, word: str
):
    assert cli.main(["push", str(pairs_dir), "--repo_id", repo_id]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert word in err
