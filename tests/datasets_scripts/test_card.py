"""What a dataset's card may say of its licence."""

from dataclasses import replace

import pytest
from dataset_helpers import INFO

LINK = "https://example.org/licence"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"licence": "other", "licence_name": "an-agreement"}, "give name and link"),
        ({"licence": "other", "licence_link": LINK}, "give name and link"),
        ({"licence": "cc-by-4.0", "licence_name": "an-agreement", "licence_link": LINK}, "the Hub knows cc-by-4.0"),
        ({"licence": "other", "licence_name": "An Agreement", "licence_link": LINK}, "small letters.*An Agreement"),
    ],
)
def test_a_licence_s_name_is_one_the_hub_takes_has_a_link_and_is_for_other_alone(
    fields: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        replace(INFO, **fields)
