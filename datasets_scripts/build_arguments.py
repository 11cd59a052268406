"""The arguments that builders of image files share."""

import argparse

from .perturbations import DEFAULT_SPACY_MODEL

STORED_SIZE = 256
_SMALLEST, _LARGEST = 16, 8192


def add_image_size(parser: argparse.ArgumentParser) -> None:
    """Add `--image_size`, the size at which images are stored."""
    parser.add_argument(
        "--image_size",
        type=int,
        default=STORED_SIZE,
        help="pixels of an image's shorter side; a larger image is reduced (default %(default)s; 0: full size)",
    )


def check_image_size(image_size: int) -> None:
    """Raises ValueError where images cannot be stored at that size."""
    if image_size and not _SMALLEST <= image_size <= _LARGEST:
        raise ValueError(
            f"--image_size must be {_SMALLEST} to {_LARGEST} pixels, or 0 for full size, not {image_size}"
        )


def add_perturbing(parser: argparse.ArgumentParser, seed_of: str) -> None:
    """Add `--seed`, `--spacy_model` and `--num_proc`.

    Args:
        parser: of the builder.
        seed_of: what the seed is of.
    """
    parser.add_argument("--seed", type=int, default=0, help=f"of {seed_of}")
    parser.add_argument(
        "--spacy_model", default=DEFAULT_SPACY_MODEL, help="whose tagger finds nouns, verbs, adjectives"
    )
    parser.add_argument("--num_proc", type=int, default=1, help="processes")
