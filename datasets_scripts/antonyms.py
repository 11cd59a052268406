"""Antonyms of the adjectives that radiology reports use: one fixed single word each."""

REVIEWED: dict[str, str] = {
    "clear": "unclear",
    "normal": "abnormal",
    "right": "left",
    "left": "right",
}


def antonym(adjective: str) -> str | None:
    """The fixed antonym of an adjective in lower case, a single word; None where there is none."""
    return REVIEWED.get(adjective)
