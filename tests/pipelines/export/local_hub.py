"""A hub of this process: what huggingface_hub's HfApi asks of the real one for an upload, by HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants


class LocalHub(ThreadingHTTPServer):
    """Keeps what it was sent. large: endings of files that it wants beside the commit. refused: status by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.created: list[dict[str, Any]] = []
        self.commits: list[tuple[str, dict[str, bytes]]] = []
        self.cards: list[str] = []
        self.stored: dict[str, bytes] = {}
        self.large, self.refused = (".safetensors",), dict[str, int]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Asked(BaseHTTPRequestHandler):
    server: LocalHub

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/repos/create":
            made = json.loads(body)
            self.server.created.append(made)
            page = f"{made['organization']}/{made['name']}"
            self._answer({"url": f"{self.server.url}/{'datasets/' if made['type'] == 'dataset' else ''}{page}"})
        elif self.path == "/api/validate-yaml":
            self.server.cards.append(json.loads(body)["content"])
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if path.endswith(self.server.large) else "regular" for path in paths]
            given = zip(paths, modes, strict=True)
            self._answer({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in given]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.server.url}/store/{one['oid']}"}}
            self._answer({"objects": objects, "transfer": "basic"})
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {at["value"]["path"]: self._content(at["value"]) for at in lines if at["key"] != "header"}
            self.server.commits.append((lines[0]["value"]["summary"], files))
            page = self.path.removeprefix("/api/models").removeprefix("/api").replace("/commit/main", "/commit/c0ffee")
            self._answer({"commitUrl": f"{self.server.url}{page}", "commitOid": "c0ffee"})

    def do_PUT(self) -> None:
        content = self._body()
        self.server.stored[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def _content(self, value: dict[str, Any]) -> bytes:
        if "oid" in value:
            return self.server.stored[value["oid"]]
        return base64.b64decode(value["content"])

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, said: dict[str, Any]) -> None:
        refusals = [status for part, status in self.server.refused.items() if part in self.path]
        content = json.dumps({"error": "not today"} if refusals else said).encode()
        self.send_response(refusals[0] if refusals else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def local_hub(patch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The hub that huggingface_hub asks, until the block ends; large files go by the protocol of git-lfs."""
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield hub
    hub.shutdown()
    hub.server_close()
    thread.join()
