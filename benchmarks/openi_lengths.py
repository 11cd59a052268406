"""How long Open-I's reports are, so that synthetic batches have the lengths of real ones.

Counted on the 3,425 reports with findings, normalised: words between spaces, and the tokens of BERT's uncased
vocabulary, special ones included.
"""

import random
from itertools import accumulate
from typing import NamedTuple

# fmt: off
REPORTS_BY_WORDS: dict[int, int] = {
    1: 1, 7: 1, 8: 2, 9: 7, 10: 52, 11: 37, 12: 24, 13: 16, 14: 84, 15: 50, 16: 113, 17: 59, 18: 111, 19: 76,
    20: 139, 21: 71, 22: 143, 23: 115, 24: 98, 25: 126, 26: 78, 27: 92, 28: 113, 29: 125, 30: 179, 31: 104, 32: 82,
    33: 79, 34: 81, 35: 108, 36: 62, 37: 55, 38: 73, 39: 75, 40: 56, 41: 51, 42: 44, 43: 44, 44: 32, 45: 32, 46: 36,
    47: 37, 48: 41, 49: 23, 50: 30, 51: 43, 52: 22, 53: 26, 54: 28, 55: 11, 56: 9, 57: 16, 58: 22, 59: 15, 60: 18,
    61: 17, 62: 11, 63: 8, 64: 14, 65: 13, 66: 8, 67: 9, 68: 1, 69: 6, 70: 6, 71: 4, 72: 4, 73: 6, 74: 2, 76: 3,
    77: 3, 78: 4, 79: 4, 80: 6, 81: 1, 83: 4, 84: 1, 85: 3, 87: 3, 89: 1, 90: 3, 91: 2, 92: 1, 93: 2, 94: 1, 97: 1,
    99: 1, 108: 1, 127: 1, 138: 1, 150: 1, 171: 1,
}
# fmt: on
"""How many reports have so many words."""

# fmt: off
REPORTS_BY_TOKENS: dict[int, int] = {
    3: 1, 9: 1, 11: 1, 12: 1, 13: 3, 14: 33, 15: 4, 16: 10, 17: 9, 18: 5, 19: 3, 20: 22, 21: 64, 22: 46, 23: 31,
    24: 10, 25: 22, 26: 78, 27: 43, 28: 30, 29: 37, 30: 45, 31: 34, 32: 116, 33: 39, 34: 47, 35: 59, 36: 58, 37: 72,
    38: 55, 39: 51, 40: 61, 41: 81, 42: 100, 43: 88, 44: 88, 45: 71, 46: 71, 47: 73, 48: 79, 49: 87, 50: 67, 51: 60,
    52: 77, 53: 91, 54: 80, 55: 52, 56: 55, 57: 55, 58: 48, 59: 58, 60: 50, 61: 36, 62: 41, 63: 40, 64: 36, 65: 27,
    66: 25, 67: 25, 68: 28, 69: 27, 70: 34, 71: 40, 72: 27, 73: 32, 74: 31, 75: 22, 76: 20, 77: 23, 78: 24, 79: 19,
    80: 17, 81: 15, 82: 22, 83: 26, 84: 14, 85: 12, 86: 22, 87: 13, 88: 11, 89: 10, 90: 10, 91: 9, 92: 8, 93: 9,
    94: 7, 95: 9, 96: 5, 97: 7, 98: 10, 99: 8, 100: 5, 101: 8, 102: 6, 103: 5, 104: 4, 105: 4, 106: 3, 108: 2,
    109: 5, 110: 3, 111: 5, 112: 1, 113: 2, 114: 3, 115: 4, 116: 2, 117: 3, 118: 4, 119: 1, 120: 2, 121: 4, 123: 2,
    124: 1, 125: 2, 126: 3, 127: 2, 132: 2, 133: 1, 135: 1, 136: 1, 138: 2, 139: 1, 141: 1, 144: 1, 147: 1, 155: 1,
    163: 1, 168: 1, 197: 1, 228: 1,
}
# fmt: on
"""How many reports have so many tokens."""


class ReportLength(NamedTuple):
    """Of one report: its words, and its tokens with the two special ones."""

    words: int
    tokens: int


def draw_lengths(count: int, seed: int) -> list[ReportLength]:
    """Draw the lengths of a batch of reports: longer reports have more of both, words and tokens.

    Args:
        count: how many reports.
        seed: of the draws.
    """
    rng = random.Random(seed)
    return [_length(rng.random()) for _ in range(count)]


def spread_lengths(count: int) -> list[ReportLength]:
    """Return the lengths of so many reports, evenly spread over the corpus: batches of any size are alike."""
    return [_length((place + 0.5) / count) for place in range(count)]


def _length(share: float) -> ReportLength:
    return ReportLength(_quantile(REPORTS_BY_WORDS, share), _quantile(REPORTS_BY_TOKENS, share))


def _quantile(histogram: dict[int, int], share: float) -> int:
    total = sum(histogram.values())
    below = accumulate(histogram.values())
    return next(length for length, reports in zip(histogram, below, strict=True) if share * total < reports)
