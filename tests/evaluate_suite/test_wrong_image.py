"""Derangements: every row gets the image of another study with another report."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate_suite.controls import NotComputable
from evaluate_suite.controls.gains import Cases
from evaluate_suite.controls.wrong_image import derangements, mean_over_derangements

ROWS = st.lists(st.tuples(st.sampled_from("stuvw"), st.sampled_from("abcde")), min_size=1, max_size=14)


def most_shared(rows: list[tuple[str, str]]) -> int:
    return max(sum(study == s or report == r for s, r in rows) for study, report in rows)


@given(ROWS, st.integers(0, 99))
@settings(deadline=None, max_examples=300)
def test_no_row_gets_its_own_study_or_report_wherever_half_of_the_rows_are_others(
    rows: list[tuple[str, str]], seed: int
) -> None:
    studies, reports = zip(*rows, strict=True)
    if 2 * most_shared(rows) > len(rows):
        with pytest.raises(NotComputable, match=rf"with {most_shared(rows)} of the {len(rows)} rows"):
            derangements(studies, reports, seed=seed)
        return
    orders = derangements(studies, reports, repeats=3, seed=seed)
    assert orders.shape == (3, len(rows))
    for order in orders:
        assert sorted(order) == list(range(len(rows)))
        for row, image in enumerate(order):
            assert studies[image] != studies[row]
            assert reports[image] != reports[row]


def test_exactly_half_with_one_report_gives_every_image_to_the_other_half() -> None:
    orders = derangements(list("stuvwxyz"), list("aaaabbbb"), seed=1)
    assert (orders[:, :4] >= 4).all()
    assert (orders[:, 4:] < 4).all()


def test_more_than_half_with_one_report_is_refused() -> None:
    with pytest.raises(NotComputable, match="too few other images"):
        derangements(list("stuvw"), list("aaabb"))


def test_orders_depend_on_the_seed_alone_and_differ_from_each_other() -> None:
    studies = [f"s{row // 2}" for row in range(40)]
    reports = [f"r{row // 4}" for row in range(40)]
    orders = derangements(studies, reports, seed=3)
    assert np.array_equal(orders, derangements(studies, reports, seed=3))
    assert not np.array_equal(orders, derangements(studies, reports, seed=4))
    assert len({tuple(order) for order in orders}) == 20


def test_every_allowed_image_comes_up_about_as_often() -> None:
    orders = derangements([f"s{row}" for row in range(10)], list("aabbccddee"), repeats=4000, seed=0)
    counts = Counter(orders[:, 0].tolist())
    assert set(counts) == set(range(2, 10))
    assert max(counts.values()) < 1.2 * min(counts.values())


@pytest.mark.parametrize("effect_of_images", [1.0, 3.0])
def test_images_that_raise_the_scores_of_all_texts_do_not_make_the_gain_look_certain(effect_of_images: float) -> None:
    generator, n_rows, n_models = np.random.default_rng(0), 60, 200
    names = [f"s{row}" for row in range(n_rows)]
    rows, everything = np.arange(n_rows), np.ones((n_rows, 1), dtype=bool)
    covered, found = 0, 0
    for seed in range(n_models):
        texts, images = generator.standard_normal((2, n_rows))
        own = generator.standard_normal((n_rows, n_rows))
        outcomes = (texts[:, None] + effect_of_images * images + own > 0).astype(np.float64)  # [report, image]
        right = outcomes[rows, rows][:, None]
        wrong = mean_over_derangements(names, names, lambda image, of=outcomes: of[rows, image][:, None], seed=seed)
        cases = Cases("by_kind", [], everything, rows, [0.5], n_bootstrap=100, seed=seed)
        low, high = cases.gain(right, wrong)["interval"]
        covered += low <= 0 <= high
        found += low > 0
    assert covered >= 0.94 * n_models
    assert found <= 0.03 * n_models
