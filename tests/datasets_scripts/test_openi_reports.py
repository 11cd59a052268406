import gzip
import io
import tarfile
from pathlib import Path

import pytest
from openi_helpers import image_id, openi_xml, write_archive, write_folder

from datasets_scripts.openi_reports import OpenIReport, hash_reports, parse_report, read_reports

FILES = {f"ecgen-radiology/{number}.xml": openi_xml(number) for number in (2, 10, 1)}


def test_a_report_is_parsed_as_written() -> None:
    xml = openi_xml(7, " Small LEFT effusion. ", "1. Effusion.", ["Pleural Effusion/left/small", "Spine"], views=2)

    assert parse_report(xml.encode(), "7.xml") == OpenIReport(
        study_id="CXR7",
        findings="Small LEFT effusion.",
        impression="1. Effusion.",
        mesh=("Pleural Effusion/left/small", "Spine"),
        image_ids=(image_id(7, 1), image_id(7, 2)),
    )


@pytest.mark.parametrize("findings", [None, "", " \n "], ids=["absent", "empty", "white space"])
def test_findings_that_are_absent_or_blank_are_empty(findings: str | None) -> None:
    assert parse_report(openi_xml(7, findings).encode(), "7.xml").findings == ""


def test_several_sections_of_findings_are_joined_and_markup_in_them_is_dropped() -> None:
    findings = 'Clear <b>lungs</b>.</AbstractText><AbstractText Label="Findings">Normal heart.'

    assert parse_report(openi_xml(7, findings).encode(), "7.xml").findings == "Clear lungs. Normal heart."


def test_a_folder_and_an_archive_of_the_same_files_read_alike(tmp_path: Path) -> None:
    from_folder = read_reports(write_folder(tmp_path / "folder", FILES))

    assert [report.study_id for report in from_folder] == ["CXR1", "CXR10", "CXR2"]
    assert read_reports(write_archive(tmp_path / "reports.tgz", FILES)) == from_folder


def test_the_order_of_an_archive_does_not_matter(tmp_path: Path) -> None:
    backwards = dict(reversed(FILES.items()))

    assert read_reports(write_archive(tmp_path / "a.tgz", FILES)) == read_reports(
        write_archive(tmp_path / "b.tgz", backwards)
    )


def test_an_archive_that_is_cut_anywhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "reports.tgz", FILES, compresslevel=0)
    content = archive.read_bytes()
    end_of_the_last_file = content.rindex(b"</eCitation>")

    for length in range(0, end_of_the_last_file, 100):  # in headers, in files and in the padding behind them
        archive.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"reports\.tgz is damaged or no \.tgz archive"):
            read_reports(archive)


@pytest.mark.parametrize("compresslevel", [0, 9])
def test_an_archive_with_a_flipped_bit_anywhere_is_an_error(tmp_path: Path, compresslevel: int) -> None:
    archive = write_archive(tmp_path / "reports.tgz", FILES, compresslevel)
    content = archive.read_bytes()
    start_of_the_data = content.index(b"\0", 10) + 1  # behind gzip's header, which ends with the file's name

    for position in range(start_of_the_data, len(content), 1 + len(content) // 100):
        archive.write_bytes(_flip(content, position))
        with pytest.raises(ValueError, match=r"reports\.tgz is damaged or no \.tgz archive .*; download it again"):
            read_reports(archive)


def test_an_archive_whose_checksum_does_not_match_is_an_error(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "reports.tgz", FILES)
    checksum = -8  # CRC-32 and length, four bytes each, end the file
    archive.write_bytes(_flip(archive.read_bytes(), checksum))

    with pytest.raises(ValueError, match=r"reports\.tgz is damaged or no \.tgz archive \(CRC check failed"):
        read_reports(archive)


def test_a_bad_header_between_files_is_not_taken_for_the_end(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "reports.tgz", FILES)
    tar = gzip.decompress(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        second = members.getmembers()[1].offset
    archive.write_bytes(gzip.compress(_flip(tar, second)))

    with pytest.raises(ValueError, match=rf"reports\.tgz is damaged .*bad header at byte {second}"):
        read_reports(archive)


def _flip(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("encoding", ["no-such-encoding", "utf-7", "hex"])
def test_a_file_whose_encoding_cannot_be_read_is_named(tmp_path: Path, encoding: str) -> None:
    folder = write_folder(tmp_path / "folder", {**FILES, "3.xml": openi_xml(3).replace("utf-8", encoding)})

    with pytest.raises(ValueError, match=r"folder: 3\.xml cannot be read as XML"):
        read_reports(folder)


def test_a_file_that_is_no_xml_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", {**FILES, "3.xml": openi_xml(3)[:-20]})

    with pytest.raises(ValueError, match=r"folder: 3\.xml cannot be read as XML"):
        read_reports(folder)


def test_an_xml_that_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"3\.xml has no study id"):
        read_reports(write_folder(tmp_path / "folder", {"3.xml": "<html/>"}))


def test_a_study_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"copy\.xml is a second report of study CXR1"):
        read_reports(write_folder(tmp_path / "folder", {"1.xml": openi_xml(1), "copy.xml": openi_xml(1)}))


def test_an_image_of_two_studies_is_an_error(tmp_path: Path) -> None:
    stolen = openi_xml(2).replace(image_id(2), image_id(1))

    with pytest.raises(ValueError, match=rf"2\.xml claims image {image_id(1)}, an image of study CXR1"):
        read_reports(write_folder(tmp_path / "folder", {"1.xml": openi_xml(1), "2.xml": stolen}))


def test_reports_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tgz does not exist"):
        read_reports(tmp_path / "absent.tgz")
    with pytest.raises(ValueError, match="holds no XML file"):
        read_reports(tmp_path)


def test_the_hash_of_a_folder_changes_with_a_name_or_a_content(tmp_path: Path) -> None:
    hashes = [
        hash_reports(write_folder(tmp_path / name, files))
        for name, files in {
            "a": FILES,
            "b": {**FILES, "ecgen-radiology/1.xml": openi_xml(1, "Changed.")},
            "c": {name.replace("10", "11"): text for name, text in FILES.items()},
        }.items()
    ]

    assert len(set(hashes)) == 3
    assert hash_reports(write_folder(tmp_path / "again", dict(reversed(FILES.items())))) == hashes[0]
