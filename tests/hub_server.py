"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that uploads, downloads and streams use.

It holds models, datasets and Spaces, keeps everything in memory, has one branch and speaks to the real clients: run
them in a process with `client_environment`, or, if they but upload, in this one with `uploads_to`.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import close_session, constants

LARGE_FILES = (".safetensors", ".parquet", ".bin", ".pt")


class NotThereError(Exception):
    """What was asked for is not on the server; the argument is the Hub's error code."""


@dataclass
class Repository:
    """A repository's files, whether it is private, a Space's SDK, and its number of commits."""

    private: bool
    sdk: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def revision(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub:
    """The repositories, and what each request does to them.

    A repository is known by its path on the server: `org/model`, `datasets/org/pairs`, `spaces/org/metric`.
    """

    def __init__(self) -> None:
        self.address = ""
        self.repositories: dict[str, Repository] = {}
        self.large_objects: dict[str, bytes] = {}
        self.partial_reads: list[str] = []

    def repository(self, repo_id: str) -> Repository:
        if repo_id not in self.repositories:
            raise NotThereError("RepoNotFound")
        return self.repositories[repo_id]

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = body.get("type") or "model"
        repo_id = f"{'' if kind == 'model' else kind + 's/'}{body['organization']}/{body['name']}"
        private = body.get("private", False) or body.get("visibility") == "private"
        self.repositories.setdefault(repo_id, Repository(private=private, sdk=body.get("sdk")))
        return {"url": f"{self.address}/{repo_id}"}

    def preupload(self, body: dict[str, Any]) -> dict[str, Any]:
        def mode(path: str) -> str:
            return "lfs" if path.endswith(LARGE_FILES) else "regular"

        paths = [file["path"] for file in body["files"]]
        return {"files": [{"path": path, "uploadMode": mode(path), "shouldIgnore": False} for path in paths]}

    def announce_large_objects(self, body: dict[str, Any]) -> dict[str, Any]:
        objects = [{"oid": item["oid"], "size": item["size"]} for item in body["objects"]]
        for item in objects:
            item["actions"] = {"upload": {"href": f"{self.address}/objects/{item['oid']}"}}
        return {"transfer": "basic", "objects": objects}

    def commit(self, repo_id: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        repository = self.repository(repo_id)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.large_objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del repository.files[value["path"]]
        repository.commits += 1
        return {
            "commitOid": repository.revision,
            "commitUrl": f"{self.address}/{repo_id}/commit/{repository.revision}",
        }

    def info(self, repo_id: str) -> dict[str, Any]:
        repository = self.repository(repo_id)
        siblings = [{"rfilename": path} for path in sorted(repository.files)]
        name = "/".join(repo_id.split("/")[-2:])
        return {"id": name, "sha": repository.revision, "private": repository.private, "siblings": siblings}

    def tree(self, repo_id: str, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        below = f"{folder}/" if folder else ""
        inside = [path for path in sorted(self.repository(repo_id).files) if path.startswith(below)]
        if folder and not inside:
            raise NotThereError("EntryNotFound")
        parents = {parent.as_posix() for path in inside for parent in Path(path).parents}
        folders = [path for path in sorted(parents - {".", folder}) if path.startswith(below)]
        entries = [self._folder_entry(path) for path in folders] + [self._file_entry(repo_id, path) for path in inside]
        return [entry for entry in entries if recursive or "/" not in entry["path"].removeprefix(below)]

    def paths_info(self, repo_id: str, paths: list[str]) -> list[dict[str, Any]]:
        return [entry for entry in self.tree(repo_id, "", recursive=True) if entry["path"] in paths]

    def _folder_entry(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}

    def _file_entry(self, repo_id: str, path: str) -> dict[str, Any]:
        content = self.file(repo_id, path)
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def file(self, repo_id: str, path: str) -> bytes:
        files = self.repository(repo_id).files
        if path not in files:
            raise NotThereError("EntryNotFound")
        return files[path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def answer(self) -> None:
        address, body = urlsplit(self.path), self._body()
        path, query = unquote(address.path), parse_qs(address.query)
        repo = "((?:datasets/|spaces/)?[^/]+/[^/]+)"
        of = f"/api/(?:models/)?{repo}"
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("POST", "/api/repos/create", lambda: self.hub.create(json.loads(body))),
            ("POST", "/api/validate-yaml", dict),
            ("POST", f"{of}/preupload/main", lambda _: self.hub.preupload(json.loads(body))),
            (
                "POST",
                f"/{repo}.git/info/lfs/objects/batch",
                lambda _: self.hub.announce_large_objects(json.loads(body)),
            ),
            ("PUT", "/objects/([0-9a-f]{64})", lambda oid: self.hub.large_objects.update({oid: body}) or {}),
            (
                "POST",
                f"{of}/commit/main",
                lambda repo_id: self.hub.commit(repo_id, [json.loads(line) for line in body.splitlines()]),
            ),
            ("GET", f"{of}(?:/revision/[^/]+)?", self.hub.info),
            (
                "GET",
                f"{of}/tree/[^/]+(?:/(.+))?",
                lambda repo_id, folder: self.hub.tree(
                    repo_id, folder or "", recursive=query.get("recursive", ["false"])[0].lower() == "true"
                ),
            ),
            (
                "POST",
                f"{of}/paths-info/[^/]+",
                lambda repo_id: self.hub.paths_info(repo_id, parse_qs(body.decode())["paths"]),
            ),
        ]
        try:
            download = re.fullmatch(f"/{repo}/resolve/[^/]+/(.+)", path)
            if download and self.command in ("GET", "HEAD"):
                return self._send_file(*download.groups())
            for method, pattern, action in routes:
                match = re.fullmatch(pattern, path)
                if match and method == self.command:
                    return self._send(200, json.dumps(action(*match.groups())).encode())
            raise NotThereError("EntryNotFound")
        except NotThereError as error:
            self._send(404, b"{}", {"X-Error-Code": str(error)})

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send_file(self, repo_id: str, path: str) -> None:
        content = self.hub.file(repo_id, path)
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": self.hub.repository(repo_id).revision,
            "Accept-Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self._send(200, content, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        self.hub.partial_reads.append(path)
        self._send(206, content[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serves an empty hub on a free port of this machine until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def uploads_to(hub: Hub) -> Iterator[None]:
    """Lets this process take `hub` for the Hub in uploads; downloads keep the address of their import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.address)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setenv("HF_TOKEN", "hf_test")
        yield
    close_session()  # its connections would outlive the hub


def client_environment(hub: Hub, home: Path, **variables: str) -> dict[str, str]:
    """What a process needs in order to take `hub` for the Hub, and to keep what it loads in `home`."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_TOKEN": "hf_test",
        "HF_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
