"""The image of a table's row, and how a row is named on standard error when it, or its image, cannot be used."""

import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from .image_file import FileIdentity, file_identity
from .radiographs import load_radiograph
from .shards import UNREADABLE, NamedFault


@dataclass(frozen=True)
class RowImage:
    """Reads a row's image when the writer asks for it, and names the row if it cannot be read: the writer does not."""

    number: int
    path: Path
    image_size: int
    name: str

    def __call__(self) -> Image.Image:
        """Raises NamedFault: the file is damaged, or not one radiograph."""
        try:
            return load_radiograph(self.path, self.image_size)
        except OSError as error:
            log_fault(self.number, UNREADABLE, self.name, _without_path(error, self.path), after_bar=True)
            raise NamedFault(f"row {self.number}: {error}") from error

    def identity(self) -> FileIdentity:
        """Of the file, so that what a killed build stored of another one is not taken up."""
        return file_identity(self.path)


def log_fault(number: int, reason: str, file: str, detail: str = "", *, after_bar: bool = False) -> None:
    """Name a row that is left out, on a line of its own on standard error.

    Args:
        number, reason, file: the row, why it cannot be used, the file it names: `row N: REASON: FILE`.
        detail: what more is known, for an indented line after that one.
        after_bar: whether a progress bar may stand on the line.
    """
    message = f"row {number}: {reason}: {_printable(file)}"
    if detail:
        message += f"\n    {_printable(' '.join(detail.split()))}"
    if sys.stderr.isatty():
        tqdm.write(message, file=sys.stderr)  # above the bar
    else:
        print(f"\n{message}" if after_bar else message, file=sys.stderr)


def is_readable(path: Path) -> bool:
    """Whether the whole file can be read as a radiograph."""
    try:
        load_radiograph(path, None)
    except OSError:
        return False
    return True


def _without_path(error: OSError, path: Path) -> str:
    """What an error says, less the file's name: the row that it is said of names it."""
    return (error.strerror or str(error)).removeprefix(f"{path} ").replace(f": {str(path)!r}", "")


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)
