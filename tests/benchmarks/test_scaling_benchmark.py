"""The benchmark of scaling fits what it says, and two processes have the gradients of one."""

import json
from pathlib import Path

import pytest

from benchmarks.scaling import fit, main


def test_a_fit_finds_the_terms_it_was_made_of() -> None:
    rows = [(1.0, batch, batch * (1 + perturbations)) for batch in (16, 32, 64) for perturbations in (3, 6, 9)]
    multiples, r_squared, error = fit(rows, [0.5 + 0.02 * images + 0.01 * texts for _, images, texts in rows])
    assert multiples == pytest.approx([0.5, 0.02, 0.01])
    assert r_squared == pytest.approx(1)
    assert error == pytest.approx(0, abs=1e-9)


def test_a_term_that_is_left_out_shows() -> None:
    _, r_squared, error = fit([(1.0, size) for size in (1, 2, 4, 8)], [size**2 for size in (1, 2, 4, 8)])
    assert r_squared < 0.95
    assert error > 0.2


def test_two_processes_have_the_gradients_of_one_and_the_cost_is_fitted(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--batch", "4", "--perturbations", "1", "--batches_of", "2", "3", "--perturbations_of", "1", "2"]
    shape = ["--image_size", "32", "--layers", "1", "--width", "32", "--repeats", "1", "--threads", "1"]
    main([*sizes, *shape, "--json", str(file)])
    figures = json.loads(file.read_text())
    assert figures["max_relative_difference"] < 1e-4
    assert figures["bound"] == 2
    cost = figures["cost"]
    assert [(step["batch"], step["perturbations"]) for step in cost["steps"]] == [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert all(step["seconds"] > 0 for step in cost["steps"])
    assert set(cost["local_loss_seconds"]) == {"2", "3"}
    assert cost["local_loss_share"] > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch", "5"], "--batch 5 does not split"),
        (["--batches_of", "8", "8"], "--batches_of has one size"),
        (["--perturbations_of", "3"], "--perturbations_of has one size"),
    ],
)
def test_sizes_that_cannot_be_measured_are_refused(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert words in capsys.readouterr().err
