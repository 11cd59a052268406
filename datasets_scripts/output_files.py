"""The files that are written: what goes wrong there names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteError(OSError):
    """A file cannot be written: the disk is full, for example."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What writes a file, and nothing else.

    Raises:
        WriteError: for an OSError, which alone (`[Errno 28] No space left on device`) does not tell where.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{path} cannot be written ({reason}); make room there, or let it be written") from error
