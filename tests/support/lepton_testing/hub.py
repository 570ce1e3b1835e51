"""A small model hub on this machine, with the endpoints that the hub's own client asks."""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = re.compile(
    r"/api/models/(?P<model>[^/]+/[^/]+)(/(?P<what>revision|tree)/(?P<revision>[^?]+))?"
)
FILE = re.compile(r"/(?P<model>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)")


@dataclass(frozen=True)
class Shelf:
    """What the hub has: one folder under a name, with one branch beside `main`."""

    folder: Path
    model: str = "books/encoder"
    branch: str = "v1"
    token: str = ""
    gated: bool = False


@dataclass
class Hub:
    """Serves until it is closed; notes the files that were fetched. `broken` answers 503 to all."""

    shelf: Shelf
    broken: bool = False
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def address(self) -> str:
        """What `HF_ENDPOINT` is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer(head=False)

    def _answer(self, head: bool) -> None:
        shelf = self.hub.shelf
        if self.hub.broken:
            return self._refuse(503, "")
        found = API.match(self.path) or FILE.match(self.path)
        if found is None or found["model"] != shelf.model:
            return self._refuse(401, "RepoNotFound")
        if shelf.token and self.headers.get("Authorization") != f"Bearer {shelf.token}":
            return self._refuse(*((403, "GatedRepo") if shelf.gated else (401, "RepoNotFound")))
        if found["revision"] not in (None, "main", shelf.branch, COMMIT):
            return self._refuse(404, "RevisionNotFound")
        if found.re is FILE:
            return self._send_file(found["file"], head)
        self._send_json(self._tree() if found["what"] == "tree" else self._info())

    def _info(self) -> object:
        siblings = [{"rfilename": entry["path"]} for entry in self._tree()]
        return {"id": self.hub.shelf.model, "sha": COMMIT, "siblings": siblings}

    def _tree(self) -> list[dict[str, object]]:
        folder = self.hub.shelf.folder
        return [
            {
                "type": "file",
                "oid": _digest(path),
                "size": path.stat().st_size,
                "path": str(path.relative_to(folder)),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]

    def _send_file(self, name: str, head: bool) -> None:
        path = self.hub.shelf.folder / name
        if not path.is_file():
            return self._refuse(404, "EntryNotFound")
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{_digest(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not head:
            self.hub.fetched.append(name)
            self.wfile.write(content)

    def _send_json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, code: int, error: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
