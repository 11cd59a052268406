"""Reports in the XML of Open-I, made up for the tests."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def openi_xml(
    number: int,
    findings: str | None = "The lungs are clear.",
    impression: str = "No acute disease.",
    mesh: Sequence[str] = ("normal",),
    views: int = 2,
) -> str:
    """A report of study CXR<number>; `findings=None` leaves its section out."""
    sections = {} if findings is None else {"FINDINGS": findings}
    sections["IMPRESSION"] = impression
    texts = "".join(f'<AbstractText Label="{label}">{text}</AbstractText>' for label, text in sections.items())
    codes = "".join(f"<major>{code}</major>" for code in mesh)
    images = "".join(f'<parentImage id="{image_id(number, view)}"/>' for view in range(1, views + 1))
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>'
        f"{texts}</Abstract></Article></MedlineCitation><MeSH>{codes}<automatic>ignored</automatic></MeSH>{images}"
        "</eCitation>"
    )


def image_id(number: int, view: int = 1) -> str:
    return f"CXR{number}_IM-{number:04d}-{view}001"


def write_folder(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def write_archive(path: Path, files: Mapping[str, str], compresslevel: int = 9) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=compresslevel) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path
