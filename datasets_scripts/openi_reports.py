"""The reports of Open-I: the XML files of the Indiana University Chest X-ray Collection, as the NLM publishes them."""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from .input_files import hash_file


@dataclass(frozen=True)
class OpenIReport:
    """One report.

    Attributes:
        study_id: such as `CXR1900`.
        findings, impression: as written, less the white space around them; empty where the section is.
        mesh: the codes that indexers gave by hand (`major`), such as `Pleural Effusion/left/small`.
        image_ids: such as `CXR1900_IM-0584-1001`; some reports have none.
    """

    study_id: str
    findings: str
    impression: str
    mesh: tuple[str, ...]
    image_ids: tuple[str, ...]


def read_reports(source: Path) -> list[OpenIReport]:
    """Read every XML file of an archive (`NLMCXR_reports.tgz`) or, recursively, of a folder.

    Args:
        source: the archive or the folder.

    Returns:
        The reports in the order of their study ids, whatever the order of the files.

    Raises:
        FileNotFoundError: `source` is not there.
        ValueError: the archive is damaged or none, a file is no XML or no report, a study or an image is there
            twice, or there is no XML file at all.
    """
    reports: dict[str, OpenIReport] = {}
    study_of: dict[str, str] = {}
    for name, content in _xml_files(source):
        report = parse_report(content, f"{source}: {name}")
        if report.study_id in reports:
            raise ValueError(f"{source}: {name} is a second report of study {report.study_id}; remove one of the two")
        reports[report.study_id] = report
        for image_id in report.image_ids:
            if image_id in study_of:
                raise ValueError(f"{source}: {name} claims image {image_id}, an image of study {study_of[image_id]}")
            study_of[image_id] = report.study_id
    if not reports:
        raise ValueError(f"{source} holds no XML file; give NLMCXR_reports.tgz or the folder it unpacks to")
    return [reports[study_id] for study_id in sorted(reports)]


def parse_report(content: bytes, name: str) -> OpenIReport:
    """Parse one report.

    Args:
        content: the XML file.
        name: of the file, for errors.

    Raises:
        ValueError: it is no XML, or has no study id.
    """
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two for some encodings
        raise ValueError(f"{name} cannot be read as XML ({error}); restore it or take it out") from error
    study = root.find("uId")
    if study is None or not study.get("id"):
        raise ValueError(f"{name} has no study id (element uId), so it is no Open-I report; take it out")
    return OpenIReport(
        study_id=study.attrib["id"],
        findings=_section(root, "FINDINGS"),
        impression=_section(root, "IMPRESSION"),
        mesh=tuple(code.text.strip() for code in root.iter("major") if code.text and code.text.strip()),
        image_ids=tuple(dict.fromkeys(image.attrib["id"] for image in root.iter("parentImage") if image.get("id"))),
    )


def hash_reports(source: Path) -> str:
    """SHA-256 of an archive; of a folder, of the names and contents of its XML files in the order of their names."""
    if source.is_file():
        return hash_file(source)
    digest = hashlib.sha256()
    for name, content in _xml_files(source):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _section(root: ElementTree.Element, label: str) -> str:
    """The text of the sections of that label, joined by spaces."""
    sections = (element for element in root.iter("AbstractText") if element.get("Label", "").upper() == label)
    return " ".join(text for element in sections if (text := "".join(element.itertext()).strip()))


def _xml_files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*.xml")):
            yield path.relative_to(source).as_posix(), path.read_bytes()
    elif source.exists():
        yield from _xml_members(source)
    else:
        raise FileNotFoundError(f"{source} does not exist; give NLMCXR_reports.tgz or the folder it unpacks to")


def _xml_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        # The whole stream first: gzip's checksum stands at its end, and tarfile's own reader stops short of it.
        content = gzip.decompress(archive.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as members:
            for member in members:
                file = members.extractfile(member) if member.name.endswith(".xml") else None
                if file is not None:
                    yield member.name, file.read()
            end = members.offset
        # tarfile takes a bad header for the end, which is of zeros alone.
        if content[end:].strip(b"\0"):
            raise tarfile.ReadError(f"bad header at byte {end} of the unpacked archive")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} is damaged or no .tgz archive ({error}); download it again") from error
