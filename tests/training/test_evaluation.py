import math

import pytest
import torch

from training.evaluation import _is_abnormal, _log_candidates


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
