"""Files over HTTP: taken up where an earlier try broke off, put into place only when they are whole."""

import logging
import os
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

from .input_files import hash_file

_TRIES = 5  # in a row that bring no byte
_TIMEOUT = 60  # seconds without a byte
_CHUNK = 2**20

_RANGE_NOT_SATISFIABLE = 416

logger = logging.getLogger(__name__)


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Download a file, unless it is there.

    What came before a try broke off is kept in `NAME.partial`, from where the next try, or the next call, goes on.

    Args:
        url: of the file.
        path: where to put it; its folder is made.
        sha256: of the file, in hexadecimal; None where none is known.

    Raises:
        OSError: the server is not reached, has no such file, or breaks off again and again.
        ValueError: the file, downloaded now or there before, has another SHA-256. What was downloaded now is removed.
    """
    partial = path.with_name(f"{path.name}.partial")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_whole(url, partial)
        _check(partial, sha256, f"{url} has", remove=True)
        os.replace(partial, path)
    else:
        logger.warning("%s is there already and not downloaded again", path)
        _check(path, sha256, f"{path} has", remove=False)


def _fetch_whole(url: str, partial: Path) -> None:
    failures = 0
    while True:
        before = _size(partial)
        try:
            if _fetch(url, partial):
                return
            problem = f"ended after {_size(partial):,} bytes"
        except HTTPError as error:
            if error.code != _RANGE_NOT_SATISFIABLE:
                raise OSError(f"{url} cannot be downloaded: {error}") from error
            if error.headers.get("Content-Range") == f"bytes */{before}":
                return
            partial.unlink()  # it is longer than the file now is
            problem = f"has no byte {before:,}"
        except (OSError, HTTPException) as error:  # a URLError is an OSError
            problem = str(error)
        failures = 0 if _size(partial) > before else failures + 1
        if failures == _TRIES:
            raise OSError(
                f"{url} cannot be downloaded: {problem}; the same command goes on from byte {_size(partial):,}"
            )
        logger.warning("%s: %s; trying again", url, problem)


def _fetch(url: str, partial: Path) -> bool:
    """Fetch what is missing, or all if the server does not give parts; whether the file is whole then."""
    start = _size(partial)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urlopen(request, timeout=_TIMEOUT) as response:
        start = start if response.status == 206 else 0
        length = _length(response)
        with (
            partial.open("ab" if start else "wb") as file,
            tqdm(
                total=None if length is None else start + length,
                initial=start,
                desc=f"download {partial.stem}",
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return length is None or _size(partial) == start + length


def _length(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None else int(length)


def _check(path: Path, sha256: str | None, whose: str, remove: bool) -> None:
    found = hash_file(path)
    logger.warning("%s: SHA-256 %s", path.name.removesuffix(".partial"), found)
    if sha256 is not None and found != sha256:
        if remove:
            path.unlink()
        raise ValueError(f"{whose} the SHA-256 {found}, not {sha256}: it is damaged, or another edition")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
