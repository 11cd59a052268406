"""Open-I's two archives from the National Library of Medicine."""

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path

from tqdm.auto import tqdm

from .download import download
from .output_files import writing

ADDRESS = "https://openi.nlm.nih.gov/imgs/collections"
REPORTS, IMAGES = "NLMCXR_reports.tgz", "NLMCXR_png.tgz"

# The NLM publishes no checksums. This is of the archive with 3,955 reports; that of the images has none but gzip's
# own, which unpacking checks.
REPORTS_SHA256 = "8fb6de7eec73d8c3665067ad4bb003ccd57f971ae316d2642e1627ac7268667a"

_IMAGES_OF_THE_CORPUS = 7470


def download_reports(folder: Path) -> Path:
    """The archive of the reports (1 MB), downloaded to a folder unless it is there.

    Raises:
        OSError: it cannot be downloaded.
        ValueError: it is not the edition that is known; another one can still be given as `--reports`.
    """
    path = folder / REPORTS
    try:
        download(f"{ADDRESS}/{REPORTS}", path, REPORTS_SHA256)
    except ValueError as error:
        raise ValueError(f"{error}; give another edition, got by yourself, as --reports") from error
    return path


def download_images(folder: Path) -> Path:
    """The folder of the PNG images, downloaded (1.3 GB) and unpacked unless it is there.

    Raises:
        OSError: the archive cannot be downloaded.
        ValueError: it is damaged.
    """
    unpacked = folder / IMAGES.removesuffix(".tgz")
    if not unpacked.is_dir():
        archive = folder / IMAGES
        download(f"{ADDRESS}/{IMAGES}", archive)
        unpack_images(archive, unpacked)
    return unpacked


def unpack_images(archive: Path, folder: Path) -> None:
    """Unpack the PNG files of a .tgz archive into a folder, flat, which is there only when all are.

    Raises:
        ValueError: the archive is damaged.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with gzip.open(archive) as content:
            with tarfile.open(fileobj=content, mode="r|") as members:
                _save_images(members, partial)
            _check_end(content)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} is damaged ({error}); remove it to have it downloaded again") from error
    os.replace(partial, folder)


def _save_images(members: tarfile.TarFile, folder: Path) -> None:
    for member in tqdm(members, "unpack images", total=_IMAGES_OF_THE_CORPUS, unit="image", disable=None):
        file = members.extractfile(member) if member.name.lower().endswith(".png") else None
        if file is not None:
            content, path = file.read(), folder / Path(member.name).name
            with writing(path):
                path.write_bytes(content)


def _check_end(content: gzip.GzipFile) -> None:
    """Read on to gzip's checksum, short of which tarfile stops; it takes a bad header for the end, too."""
    while rest := content.read(2**24):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("a bad header within")
