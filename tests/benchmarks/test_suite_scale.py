"""The scale benchmark runs from end to end at tiny size, on data as the tasks expect it."""

import json
from pathlib import Path

import numpy as np

from benchmarks.suite_scale import RandomEncoder, made_up_split, main
from datasets_scripts.perturbations import PERTURBATIONS


def test_every_task_is_timed_with_the_memory_so_far(tmp_path: Path) -> None:
    main(["--images", "24", "--width", "8", "--n_bootstrap", "10", "--json", str(tmp_path / "out.json")])

    results = json.loads((tmp_path / "out.json").read_text())
    assert [stage["stage"] for stage in results["stages"]] == [
        "make 24 vectors of images, 240 of texts",
        "structure",
        "counterfactual",
        "retrieval",
        "zero_shot",
        "retrieval of 24 images among 240 texts",
    ]
    assert results["seconds"] == sum(stage["seconds"] for stage in results["stages"][1:]) > 0
    peaks = [stage["peak_gigabytes"] for stage in results["stages"]]
    assert peaks == sorted(peaks)
    assert results["peak_gigabytes"] == peaks[-1]


def test_every_image_has_a_report_of_its_own_and_all_perturbations_and_edits_change_it() -> None:
    data = made_up_split("test", 50, seed=0)
    assert len(set(data["report"])) == 50
    assert len(set(data["study_id"])) == 25
    for row in data:
        assert len({row["report"], *(row["perturbed"][name] for name in PERTURBATIONS)}) == 1 + len(PERTURBATIONS)
        assert sum(edit is not None for edit in row["counterfactual"].values()) == 2
    assert set(data["report"]).isdisjoint(made_up_split("train", 50, seed=0)["report"])


def test_vectors_have_norm_one_and_differ() -> None:
    vectors = RandomEncoder(16, seed=0).encode_texts(["a", "a", "b"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert len(np.unique(vectors, axis=0)) == 3
