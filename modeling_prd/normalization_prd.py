"""The form that all text of PRD has; in a file of its own, for what perturbs reports and needs no torch."""

import re
import unicodedata


def normalize_report(text: str) -> str:
    """Normalise a report as all text of PRD is: NFKC, lower case, letters and digits only, single spaces.

    Args:
        text: a report as written.

    Returns:
        The report's words joined by single spaces (`"2.5 cm"` -> `"2 5 cm"`); empty if it has no letter and no digit.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"[\W_]+", " ", folded).strip()
