"""Bad input ends a command with one line, not with a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A bad value or file that only comes to light while the run is under way."""


@contextmanager
def one_line_errors(*types: type[Exception]) -> Iterator[None]:
    """Ends the process with status 2 and `error: MESSAGE` on standard error where one of `types` is raised."""
    try:
        yield
    except types as error:
        # A worker process of the data loader hands on its traceback, whose last line is the message.
        message = str(error).rpartition(f"{InputError.__qualname__}: ")[2]
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2) from error
