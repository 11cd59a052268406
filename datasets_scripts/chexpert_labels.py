"""CheXpert's fourteen labels as the CSV files of CheXpert and of MIMIC-CXR-JPG write them, and policies for them."""

from collections.abc import Mapping
from typing import Literal

from .schema import CHEXPERT_LABELS, LABEL_VALUES

UncertainPolicy = Literal["ones", "zeros", "ignore"]
BlankPolicy = Literal["zeros", "ignore"]

_POLICY_VALUES: dict[str, float | None] = {"ones": 1.0, "zeros": 0.0, "ignore": None}


def parse_labels(row: Mapping[str, str], where: str) -> dict[str, float]:
    """The labels of a row: 1 present, 0 absent, -1 uncertain; a blank (not mentioned) is left out.

    Args:
        row: its columns, `CHEXPERT_LABELS` among them.
        where: the file and line, for errors.

    Raises:
        ValueError: a value is none of these.
    """
    return {name: _parse_value(row[name], f"{where}: {name}") for name in CHEXPERT_LABELS if row[name]}


def apply_policies(
    labels: Mapping[str, float], uncertain: UncertainPolicy, blank: BlankPolicy
) -> dict[str, float | None]:
    """All fourteen labels with neither uncertain ones nor blanks: 1, 0, or None for what a loss must pass over.

    Args:
        labels: as `parse_labels` gives them.
        uncertain: what -1 becomes, the U-Ones, U-Zeros and U-Ignore of Irvin et al. 2019, section 3: 1, 0 or None.
        blank: what an absent label becomes: 0 or None.
    """
    values = {1.0: 1.0, 0.0: 0.0, -1.0: _POLICY_VALUES[uncertain]}
    return {name: values[labels[name]] if name in labels else _POLICY_VALUES[blank] for name in CHEXPERT_LABELS}


def _parse_value(text: str, where: str) -> float:
    value = next((value for value in LABEL_VALUES if text in (str(value), str(int(value)))), None)
    if value is None:
        raise ValueError(f"{where} is {text!r}; a label is 1.0, 0.0, -1.0 or blank")
    return value
