import pytest

from datasets_scripts.perturbations import ReportPerturber


@pytest.fixture(scope="session")
def perturber() -> ReportPerturber:
    return ReportPerturber(seed=0)
