"""Image files as the sources of a dataset's images, told apart by where they are and when they were changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from .radiographs import load_radiograph

FileIdentity = tuple[str, int, int] | tuple[str]
"""Absolute path, size in bytes and time of the last change in nanoseconds; the path alone of a file that is absent."""


@runtime_checkable
class HasFile(Protocol):
    """A source of an image that is read from a file: a build does not take up what was stored of another file."""

    def identity(self) -> FileIdentity:
        """Which file is read."""


@dataclass(frozen=True)
class ImageFile:
    """Reads a radiograph when it is called.

    Attributes:
        path: its file.
        shorter_side: pixels to which a larger image is reduced; 0 or None for full size.
    """

    path: Path
    shorter_side: int | None

    def __call__(self) -> Image.Image:
        """Raises OSError, as `load_radiograph`."""
        return load_radiograph(self.path, self.shorter_side)

    def identity(self) -> FileIdentity:
        """Of `path`."""
        return file_identity(self.path)


def file_identity(path: Path) -> FileIdentity:
    """Where a file is, and what tells without reading it that it was changed; links are followed for the latter."""
    try:
        status = path.stat()
    except OSError:
        return (str(path.absolute()),)
    return str(path.absolute()), status.st_size, status.st_mtime_ns
