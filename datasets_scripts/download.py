"""Files over HTTP: taken up where an earlier try broke off, put into place only when they are whole."""

import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

from .input_files import hash_file
from .output_files import WriteError, writing

_TRIES = 5  # in a row that bring nothing new, or in all that lose what came before
_TIMEOUT = 60  # seconds without a byte
_LONGEST_PAUSE = 60  # seconds that a server may ask for
_CHUNK = 2**20

# Besides those of the server's own faults (5xx).
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?:(?P<total>\d+)|\*)")

logger = logging.getLogger(__name__)


class _OtherPart(OSError):
    """The server gave another part of the file than that asked for."""


class _NoLength(OSError):
    """The server does not tell where the file ends."""


@dataclass(frozen=True)
class _Failure:
    """A try that may be repeated.

    Attributes:
        problem: what went wrong.
        pause: seconds to wait, where the server named them.
        begins_anew: whether what came before was removed.
    """

    problem: str
    pause: int | None = None
    begins_anew: bool = False


def download(url: str, path: Path, sha256: str | None = None, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Download a file, unless it is there.

    What came before a try broke off is kept in `NAME.partial`, from where the next try, or the next call, goes on. A
    try that brings nothing, also by 408, 429 or 5xx, is repeated after 1, 2, 4 and 8 seconds, or after what the server
    asks for. What is no part of the server's file is removed.

    Args:
        url: of the file.
        path: where to put it; its folder is made.
        sha256: of the file, in hexadecimal; None where none is known.
        sleep: waits that many seconds.

    Raises:
        OSError: the server is not reached, has no such file, does not say how long it is, asks for a pause of more
            than a minute, or breaks off again and again; or the file cannot be written.
        ValueError: the file, downloaded now or there before, has another SHA-256. What was downloaded now is removed.
    """
    partial = path.with_name(f"{path.name}.partial")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_whole(url, partial, sleep)
        _check(partial, sha256, f"{url} has", remove=True)
        os.replace(partial, path)
    else:
        logger.warning("%s is there already and not downloaded again", path)
        _check(path, sha256, f"{path} has", remove=False)


def _fetch_whole(url: str, partial: Path, sleep: Callable[[float], None]) -> None:
    failures, losses, most = 0, 0, _size(partial)
    while failure := _try(url, partial):
        if failure.begins_anew:
            losses, most = losses + 1, 0
        failures = 0 if _size(partial) > most else failures + 1
        most = max(most, _size(partial))
        if _TRIES in (failures, losses) or (failure.pause or 0) > _LONGEST_PAUSE:
            asked = f", which asks for a pause of {failure.pause} seconds" if failure.pause else ""
            raise OSError(
                f"{url} cannot be downloaded: {failure.problem}{asked}; "
                f"the same command goes on from byte {_size(partial):,}"
            )
        logger.warning("%s: %s; trying again", url, failure.problem)
        if failures:
            sleep(2 ** (failures - 1) if failure.pause is None else failure.pause)


def _try(url: str, partial: Path) -> _Failure | None:
    """Fetch what is missing; None when the file is whole.

    Raises:
        OSError: there is no use in another try.
    """
    try:
        if _fetch(url, partial):
            return None
        return _Failure(f"ended after {_size(partial):,} bytes")
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _judge_end(error, partial)
        if error.code in _PASSING or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            seconds = error.headers.get("Retry-After", "")
            return _Failure(str(error), int(seconds) if seconds.isdecimal() else None)
        raise OSError(f"{url} cannot be downloaded: {error}") from error
    except (_NoLength, WriteError):
        raise
    except _OtherPart as error:
        partial.unlink()
        return _Failure(str(error), begins_anew=True)
    except (OSError, HTTPException) as error:  # a URLError is an OSError
        return _Failure(str(error))


def _judge_end(error: HTTPError, partial: Path) -> _Failure | None:
    """The server has no byte after those of the partial file: it is whole, or longer than the file now is."""
    size = _size(partial)
    if error.headers.get("Content-Range") == f"bytes */{size}":
        return None
    partial.unlink()
    return _Failure(f"has no byte {size:,}", begins_anew=True)


def _fetch(url: str, partial: Path) -> bool:
    """Fetch what is missing, or all if the server does not give parts; whether the file is whole then."""
    size = _size(partial)
    request = Request(url, headers={"Range": f"bytes={size}-"} if size else {})
    with urlopen(request, timeout=_TIMEOUT) as response:
        start, total = _extent(response, size)
        if not start:
            with writing(partial):
                partial.write_bytes(b"")
        with tqdm(
            total=total, initial=start, desc=f"download {partial.stem}", unit="B", unit_scale=True, disable=None
        ) as bar:
            while chunk := response.read(_CHUNK):
                with writing(partial), partial.open("ab") as file:
                    file.write(chunk)
                bar.update(len(chunk))
    return total is None or _size(partial) == total


def _extent(response: HTTPResponse, size: int) -> tuple[int, int | None]:
    """From which byte an answer goes on, and how long the whole file is.

    The length is None where the answer comes in chunks, whose end http.client checks.

    Raises:
        _OtherPart: it begins neither at the start of the file nor at `size`.
        _NoLength: it just ends, whole or broken off.
    """
    start, total = 0, response.length
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        given = response.headers.get("Content-Range", "")
        part = _CONTENT_RANGE.fullmatch(given)
        if part is None or int(part["first"]) not in (0, size):
            raise _OtherPart(f"gave {given or 'a part without its range'} for the bytes from {size:,}")
        start = int(part["first"])
        total = int(part["total"]) if part["total"] else total and start + total
    if total is None and response.getheader("Transfer-Encoding", "").lower() != "chunked":
        raise _NoLength(
            f"{response.url} is sent without its length, so that a part of it would pass for the whole; "
            "download it by other means"
        )
    return start, total


def _check(path: Path, sha256: str | None, whose: str, remove: bool) -> None:
    found = hash_file(path)
    logger.warning("%s: SHA-256 %s", path.name.removesuffix(".partial"), found)
    if sha256 is not None and found != sha256:
        if remove:
            path.unlink()
        raise ValueError(f"{whose} the SHA-256 {found}, not {sha256}: it is damaged, or another edition")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
