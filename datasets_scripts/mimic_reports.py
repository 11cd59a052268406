"""The reports of MIMIC-CXR: from the sectioned CSV file, the archive of texts, or the folder it unpacks to."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm.auto import tqdm

from .input_files import find_csv, hash_file, read_csv
from .mimic_sections import SECTIONS, ReportSections, parse_sections

SECTIONED, ARCHIVE = "mimic_cxr_sectioned.csv", "mimic-cxr-reports.zip"

_BAR = "read reports"
_TEXT_NAME = re.compile(r"(?:^|/)s(\d+)\.txt$")


def find_reports(folder: Path) -> Path:
    """Where the reports of a folder are: `SECTIONED`, else `ARCHIVE`, else texts in the folder itself."""
    archive = folder / ARCHIVE
    return find_csv(folder, SECTIONED) or (archive if archive.is_file() else folder)


def read_reports(source: Path, subject_of: Mapping[str, str]) -> tuple[dict[str, ReportSections], str]:
    """Read the reports of some studies.

    Args:
        source: a sectioned CSV file (`.csv`, `.csv.gz`), an archive (`.zip`) of texts, or a folder with texts as
            `files/p10/p10000032/s50414267.txt`, with or without `files`.
        subject_of: the studies, to their patients; both without the letter before the number.

    Returns:
        The sections by study, without the studies that have no report; SHA-256 of the file, or of the names and
        contents of the texts that were read.

    Raises:
        FileNotFoundError: `source` is not there.
        ValueError: it holds no report of these studies, a study twice, or something that cannot be read; it is named.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist; give {SECTIONED}, {ARCHIVE} or the folder of the texts")
    if source.is_dir():
        digest = hashlib.sha256()
        reports = {}
        for study, name, content in _folder_texts(source, subject_of):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
            reports[study] = _parse(content, f"{source}: {name}")
        sha256 = digest.hexdigest()
    else:
        read = _read_archive if source.suffix == ".zip" else _read_sectioned
        reports, sha256 = read(source, subject_of), hash_file(source)
    if not reports:
        raise ValueError(
            f"{source} holds no report of the studies in the split file; give {SECTIONED}, {ARCHIVE} or the folder of "
            "the texts to --reports"
        )
    return reports, sha256


def _read_sectioned(path: Path, subject_of: Mapping[str, str]) -> dict[str, ReportSections]:
    reports: dict[str, ReportSections] = {}
    for where, row in tqdm(read_csv(path, ("study", *SECTIONS)), _BAR, unit="report", disable=None):
        study = row["study"].removeprefix("s")
        if study in reports:
            raise ValueError(f"{where}: study {row['study']} stands a second time; keep one of the two")
        if study in subject_of:
            reports[study] = ReportSections(**{name: row[name].strip() for name in SECTIONS})
    return reports


def _read_archive(path: Path, subject_of: Mapping[str, str]) -> dict[str, ReportSections]:
    reports: dict[str, ReportSections] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in tqdm(archive.namelist(), _BAR, unit="file", disable=None):
                match = _TEXT_NAME.search(name)
                if match is None or match[1] not in subject_of:
                    continue
                if match[1] in reports:
                    raise ValueError(f"{path}: {name} is a second report of its study; keep one of the two")
                reports[match[1]] = _parse(archive.read(name), f"{path}: {name}")
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged or no .zip archive ({error}); download it again") from error
    return reports


def _folder_texts(folder: Path, subject_of: Mapping[str, str]) -> Iterator[tuple[str, str, bytes]]:
    root = folder / "files" if (folder / "files").is_dir() else folder
    for study, subject in tqdm(sorted(subject_of.items()), _BAR, unit="report", disable=None):
        path = root / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt"
        if path.is_file():
            yield study, path.relative_to(folder).as_posix(), path.read_bytes()


def _parse(content: bytes, name: str) -> ReportSections:
    try:
        return parse_sections(content.decode("utf-8").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no UTF-8 text ({error}); restore it or take it out") from error
