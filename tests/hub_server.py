"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that uploads and downloads of models use.

It keeps everything in memory, has one branch and speaks to the real clients: set `HF_ENDPOINT` to its address.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE_FILES = (".safetensors", ".parquet", ".bin", ".pt")


class NotThereError(Exception):
    """What was asked for is not on the server; the argument is the Hub's error code."""


@dataclass
class Repository:
    """A repository's files, whether it is private, and its number of commits."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def revision(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub:
    """The repositories, and what each request does to them."""

    def __init__(self) -> None:
        self.address = ""
        self.repositories: dict[str, Repository] = {}
        self.large_objects: dict[str, bytes] = {}

    def repository(self, repo_id: str) -> Repository:
        if repo_id not in self.repositories:
            raise NotThereError("RepoNotFound")
        return self.repositories[repo_id]

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        repo_id = f"{body['organization']}/{body['name']}"
        private = body.get("private", False) or body.get("visibility") == "private"
        self.repositories.setdefault(repo_id, Repository(private=private))
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
        repository.commits += 1
        return {
            "commitOid": repository.revision,
            "commitUrl": f"{self.address}/{repo_id}/commit/{repository.revision}",
        }

    def info(self, repo_id: str) -> dict[str, Any]:
        repository = self.repository(repo_id)
        siblings = [{"rfilename": path} for path in sorted(repository.files)]
        return {"id": repo_id, "sha": repository.revision, "private": repository.private, "siblings": siblings}

    def tree(self, repo_id: str, folder: str) -> list[dict[str, Any]]:
        files = self.repository(repo_id).files
        found = [path for path in sorted(files) if path.startswith(folder)]
        if not found:
            raise NotThereError("EntryNotFound")
        return [
            {"type": "file", "path": path, "size": len(files[path]), "oid": hashlib.sha1(files[path]).hexdigest()}
            for path in found
        ]

    def file(self, repo_id: str, path: str) -> bytes:
        files = self.repository(repo_id).files
        if path not in files:
            raise NotThereError("EntryNotFound")
        return files[path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def answer(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self._body()
        repo = r"([^/]+/[^/]+)"
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("POST", "/api/repos/create", lambda: self.hub.create(json.loads(body))),
            ("POST", "/api/validate-yaml", dict),
            ("POST", f"/api/models/{repo}/preupload/main", lambda _: self.hub.preupload(json.loads(body))),
            (
                "POST",
                f"/{repo}.git/info/lfs/objects/batch",
                lambda _: self.hub.announce_large_objects(json.loads(body)),
            ),
            ("PUT", "/objects/([0-9a-f]{64})", lambda oid: self.hub.large_objects.update({oid: body}) or {}),
            (
                "POST",
                f"/api/models/{repo}/commit/main",
                lambda repo_id: self.hub.commit(repo_id, [json.loads(line) for line in body.splitlines()]),
            ),
            ("GET", f"/api/models/{repo}(?:/revision/[^/]+)?", self.hub.info),
            (
                "GET",
                f"/api/models/{repo}/tree/[^/]+(?:/(.+))?",
                lambda repo_id, folder: self.hub.tree(repo_id, folder or ""),
            ),
        ]
        try:
            download = re.fullmatch(f"/{repo}/resolve/[^/]+/(.+)", path)
            if download and self.command in ("GET", "HEAD"):
                return self._send_file(download[1], self.hub.file(*download.groups()))
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

    def _send_file(self, repo_id: str, content: bytes) -> None:
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self._send(200, content, {"ETag": etag, "X-Repo-Commit": self.hub.repository(repo_id).revision})

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
