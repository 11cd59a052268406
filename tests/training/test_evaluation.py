import math

import pytest
import torch
from planted_encoders import dataset, oracle, pair

from training.evaluation import _is_abnormal, _log_candidates, evaluate_pairs


def test_chance_of_matching_counts_the_candidates_that_equal_reports_leave():
    report_ids = torch.tensor([7, 7, 8, 9])
    assert _log_candidates(report_ids, masked=False) == pytest.approx(math.log(4))
    assert _log_candidates(report_ids, masked=True) == pytest.approx((2 * math.log(3) + 2 * math.log(4)) / 4)


def test_a_study_is_abnormal_where_a_label_is_present_and_no_finding_is_not():
    assert _is_abnormal({"No Finding": 0.0, "Edema": 1.0})
    assert _is_abnormal({"No Finding": None, "Edema": 1.0})
    assert not _is_abnormal({"No Finding": 1.0, "Support Devices": 1.0})
    assert not _is_abnormal({"No Finding": None, "Edema": None})
    assert not _is_abnormal(None)


def test_wrong_images_are_measured_at_each_evaluation_and_blind_models_named_as_left_out():
    data = dataset(
        [pair(grey, f"s{grey}", f"report {grey}", counterfactuals={"finding": f"edit {grey}"}) for grey in range(12)]
    )
    encoder = oracle(data)
    tree = evaluate_pairs(encoder, data, frozenset({"report 0"}), local=False)
    assert len(encoder.images_seen) == 12  # the wrong images cost no encoding
    controlled = [
        tree["validation"]["structure"],
        tree["validation"]["counterfactual"],
        tree["validation_unseen_reports"]["structure"],
    ]
    for task in controlled:
        assert task["accuracy"]["value"] == 1
        assert task["wrong_image"]["value"] < 0.8
        assert task["gain_over_wrong_image"]["interval"][0] > 0
        assert task["needs_image"] is True
        for control in ("blind", "gain_over_blind"):
            assert control not in task
            assert "no step changes them" in task["skipped"][control]
