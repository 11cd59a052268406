"""The download of Open-I's archives, from a server of the test's own."""

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from openi_helpers import image_id, openi_xml, write_archive
from PIL import Image

from datasets_scripts import openi_download
from datasets_scripts.__main__ import main
from datasets_scripts.download import download
from datasets_scripts.openi_download import unpack_images

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `files`.

    Attributes:
        broken: so many answers, the first ones, end after half of what they promise.
        gives_parts: whether a range that is asked for is honoured.
        framing: how an answer says where it ends: by its `length`, in `chunks`, or by `nothing`.
        refusals: the status and headers of the first answers, which have no content.
        content_range: what every 206 says of its content, which is then the whole file.
        ranges: those asked for.
    """

    def __init__(self) -> None:
        self.address = ""
        self.files: dict[str, bytes] = {}
        self.broken = 0
        self.gives_parts = True
        self.framing = "length"
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.content_range: str | None = None
        self.ranges: list[str | None] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        content = self.files.get(handler.path)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.gives_parts else 0
        if self.refusals:
            self.send(handler, *self.refusals.pop(0))
        elif content is None:
            handler.send_error(404)
        elif start >= len(content):
            self.send(handler, 416, {"Content-Range": f"bytes */{len(content)}"})
        elif wanted and self.content_range is not None:
            self.send(handler, 206, {"Content-Range": self.content_range}, content)
        elif start:
            content_range = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(handler, 206, {"Content-Range": content_range}, content[start:])
        else:
            self.send(handler, 200, {}, content)

    def send(
        self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes = b""
    ) -> None:
        framing = {
            "length": {"Content-Length": str(len(content))},
            "chunks": {"Transfer-Encoding": "chunked"},
            "nothing": {},
        }
        handler.send_response(status)
        for name, value in {**headers, **framing[self.framing if content else "length"]}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if content:
            self.broken -= 1
            half = len(content) // 2
            parts = [content[:half]] if self.broken >= 0 else [content[:half], content[half:], b""]
            chunks = self.framing == "chunks"
            handler.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(part), part) if chunks else part for part in parts))


def no_pause(seconds: float) -> None:
    """Instead of `time.sleep`."""


@pytest.fixture
def server() -> Iterator[Server]:
    site = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        site.address = f"http://127.0.0.1:{http.server_port}"
        Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        http.shutdown()


def archive_of_images(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            png = io.BytesIO()
            Image.effect_noise((64, 48), 80).save(png, "PNG")
            member = tarfile.TarInfo(name)
            member.size = len(png.getvalue())
            archive.addfile(member, io.BytesIO(png.getvalue()))
    return buffer.getvalue()


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT

    for _ in range(2):
        download(f"{server.address}/a.bin", tmp_path / "new/a.bin", SHA256)

    assert (tmp_path / "new/a.bin").read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]


def test_a_download_that_breaks_off_goes_on_where_it_stood(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    server.broken = 2

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256)

    half, three_quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert server.ranges == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_what_an_earlier_run_left_is_taken_up(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.partial").write_bytes(CONTENT[:1000])

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256)

    assert server.ranges == ["bytes=1000-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_already_is_enough(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.partial").write_bytes(CONTENT)

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file_is_begun_anew(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.partial").write_bytes(CONTENT + b"more")

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256, sleep=no_pause)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_what_comes_after_a_beginning_anew_counts_as_new(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.partial").write_bytes(CONTENT + b"more")
    server.broken = 7

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256, sleep=no_pause)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_gives_no_parts_gives_the_whole_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    server.gives_parts = False
    server.broken = 1

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content_range", "next_ranges"),
    [
        (f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}", []),
        (f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}", [None]),
        ("", [None]),
    ],
    ids=["from the start", "from another byte", "untold"],
)
def test_a_part_that_was_not_asked_for_is_not_put_behind_what_is_there(
    server: Server, tmp_path: Path, content_range: str, next_ranges: list[None]
) -> None:
    server.files["/a.bin"] = CONTENT
    server.content_range = content_range
    (tmp_path / "a.bin.partial").write_bytes(CONTENT[:1000])

    download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", *next_ranges]


def test_a_server_that_always_breaks_off_and_gives_other_parts_is_given_up(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    server.broken = 1000
    server.content_range = ""

    with pytest.raises(OSError, match="gave a part without its range for the bytes from"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)


@pytest.mark.parametrize("broken", [0, 3])
def test_an_answer_in_chunks_is_whole_only_with_its_last_one(server: Server, tmp_path: Path, broken: int) -> None:
    server.files["/a.bin"] = CONTENT
    server.framing = "chunks"
    server.broken = broken

    download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_an_answer_that_does_not_tell_its_end_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    server.framing = "nothing"

    with pytest.raises(OSError, match=r"a\.bin is sent without its length"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert not (tmp_path / "a.bin").exists()
    assert len(server.ranges) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_fault_of_the_server_is_waited_for(server: Server, tmp_path: Path, status: int) -> None:
    server.files["/a.bin"] = CONTENT
    server.refusals = [(status, {}), (status, {}), (status, {"Retry-After": "7"})]
    pauses: list[float] = []

    download(f"{server.address}/a.bin", tmp_path / "a.bin", SHA256, sleep=pauses.append)

    assert pauses == [1, 2, 7]


def test_a_server_that_stays_away_is_given_up_after_five_tries(server: Server, tmp_path: Path) -> None:
    server.refusals = [(503, {})] * 10
    pauses: list[float] = []

    with pytest.raises(OSError, match=r"a\.bin cannot be downloaded: HTTP Error 503"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=pauses.append)

    assert pauses == [1, 2, 4, 8]


def test_a_server_that_asks_for_a_long_pause_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    server.refusals = [(429, {"Retry-After": "3600"})]

    with pytest.raises(OSError, match=r"HTTP Error 429.*, which asks for a pause of 3600 seconds"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert len(server.ranges) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which stands for a full disk")
def test_a_full_disk_is_named_and_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.partial").symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"a\.bin\.partial cannot be written \(No space left on device\)"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert len(server.ranges) == 1


def test_another_checksum_is_an_error_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT

    with pytest.raises(ValueError, match=f"a.bin has the SHA-256 {SHA256}, not 0000"):
        download(f"{server.address}/a.bin", tmp_path / "a.bin", "0" * 64)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_with_another_checksum_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")

    with pytest.raises(ValueError, match=r"a\.bin has the SHA-256 .*, not 0000"):
        download("http://127.0.0.1:1/a.bin", tmp_path / "a.bin", "0" * 64)

    assert (tmp_path / "a.bin").read_bytes() == b"mine"


def test_an_absent_file_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"/b\.bin cannot be downloaded: .*404"):
        download(f"{server.address}/b.bin", tmp_path / "b.bin")


def test_a_server_that_is_not_there_is_named_and_what_came_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.bin.partial").write_bytes(CONTENT[:10])

    with pytest.raises(OSError, match=r"127\.0\.0\.1:1/a\.bin cannot be downloaded.*goes on from byte 10"):
        download("http://127.0.0.1:1/a.bin", tmp_path / "a.bin", sleep=no_pause)

    assert (tmp_path / "a.bin.partial").read_bytes() == CONTENT[:10]


def test_the_images_of_an_archive_are_unpacked_flat(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(archive_of_images(["one.png", "folder/two.png", "notes.txt", "../three.png"]))

    unpack_images(tmp_path / "a.tgz", tmp_path / "images")

    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["one.png", "three.png", "two.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "images"]


def test_a_full_disk_is_named_when_images_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tgz").write_bytes(archive_of_images(["one.png"]))

    def no_space(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match=r"one\.png cannot be written \(No space left on device\)"):
        unpack_images(tmp_path / "a.tgz", tmp_path / "images")


@pytest.mark.parametrize("damage", ["cut", "checksum", "content"])
def test_a_damaged_archive_is_named_and_makes_no_folder(tmp_path: Path, damage: str) -> None:
    content = bytearray(archive_of_images([f"{number}.png" for number in range(20)]))
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[-6 if damage == "checksum" else len(content) // 2] ^= 0xFF
    (tmp_path / "a.tgz").write_bytes(content)

    with pytest.raises(ValueError, match=r"a\.tgz is damaged .*remove it"):
        unpack_images(tmp_path / "a.tgz", tmp_path / "images")

    assert not (tmp_path / "images").exists()


def test_open_i_is_built_from_what_is_downloaded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {f"{number}.xml": openi_xml(number, f"Clear. {number} granulomas.") for number in range(1, 9)}
    reports = write_archive(tmp_path / "made.tgz", texts).read_bytes()
    server.files = {
        "/NLMCXR_reports.tgz": reports,
        "/NLMCXR_png.tgz": archive_of_images([f"{image_id(number)}.png" for number in range(1, 9)]),
    }
    monkeypatch.setattr(openi_download, "ADDRESS", server.address)
    monkeypatch.setattr(openi_download, "REPORTS_SHA256", hashlib.sha256(reports).hexdigest())

    for name in ("one", "two"):
        where = ["--download", str(tmp_path / "raw"), "--out", str(tmp_path / name)]
        assert main(["build", "openi", *where, "--image_size", "32"]) == 0

    assert len(server.ranges) == 2
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "NLMCXR_png",
        "NLMCXR_png.tgz",
        "NLMCXR_reports.tgz",
    ]
    card = (tmp_path / "two/README.md").read_text()
    assert "| image not found | 8 |" in card
    assert "--reports NLMCXR_reports.tgz --images NLMCXR_png" in card


def test_another_edition_of_the_reports_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/NLMCXR_reports.tgz"] = b"another"
    monkeypatch.setattr(openi_download, "ADDRESS", server.address)

    where = ["--download", str(tmp_path / "raw"), "--images", "phantom", "--out", str(tmp_path / "out")]
    assert main(["build", "openi", *where]) == 2

    assert "give another edition, got by yourself, as --reports" in capsys.readouterr().err


def test_without_a_download_reports_and_images_must_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "openi", "--images", "phantom", "--out", str(tmp_path / "out")]) == 2

    assert "give --reports and --images, or --download DIR" in capsys.readouterr().err
