"""A download goes on where it broke: against a server of this process that breaks connections and knows ranges."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from irctl import paths
from irctl.data.files import downloads, hub
from irctl.data.files.downloads import download
from irctl.errors import DataError
from irctl.types import Silent

CONTENT = bytes(i * i % 251 for i in range(100_000))
MD5 = hashlib.md5(CONTENT).hexdigest()


class Breaking(ThreadingHTTPServer):
    """breaks: after so many bytes of an answer, one an answer, until there are none left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.breaks: list[int] = []
        self.asked: list[str] = []
        self.ranges, self.status = True, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x.zip"


class Answer(BaseHTTPRequestHandler):
    server: Breaking

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        if self.server.status:
            return self.send_error(self.server.status)
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0) if self.server.ranges else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        stop = self.server.breaks.pop(0) if self.server.breaks else len(CONTENT)
        self.wfile.write(CONTENT[start : start + stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    with Breaking() as made:
        threading.Thread(target=made.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
        yield made
        made.shutdown()


def test_a_broken_connection_is_taken_up_at_the_byte_where_it_broke(tmp_path: Path, server: Breaking) -> None:
    server.breaks = [50_000, 20_000]
    download(server.url, tmp_path / "x.zip", MD5, Silent())
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=50000-", "bytes=70000-"]


def test_a_server_without_ranges_gives_the_whole_again(tmp_path: Path, server: Breaking) -> None:
    server.breaks, server.ranges = [50_000], False
    download(server.url, tmp_path / "x.zip", MD5, Silent())
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


def test_a_command_that_was_killed_goes_on_the_next_time_and_a_whole_part_is_not_fetched_again(
    tmp_path: Path, server: Breaking
) -> None:
    part = paths.cache() / downloads.PARTS / hashlib.sha256(server.url.encode()).hexdigest()[:32]
    part.parent.mkdir(parents=True)
    said = Silent()
    for there in (30_000, 100_000):
        part.write_bytes(CONTENT[:there])
        download(server.url, tmp_path / "x.zip", MD5, said)
        assert (tmp_path / "x.zip").read_bytes() == CONTENT and not part.exists()
    assert server.asked == ["bytes=30000-", "bytes=100000-"]
    assert said.lines[0] == f"{server.url}: going on at byte 30000"


def test_a_wrong_sum_is_said_and_nothing_of_it_is_kept(tmp_path: Path, server: Breaking) -> None:
    with pytest.raises(DataError, match="expected md5 0000, found"):
        download(server.url, tmp_path / "x.zip", "0000", Silent())
    assert not (tmp_path / "x.zip").exists()
    download(server.url, tmp_path / "x.zip", MD5, Silent())
    assert server.asked == ["", ""]


def test_a_server_that_stays_broken_is_one_line_and_what_came_is_kept(
    tmp_path: Path, server: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "FIRST_WAIT_S", 0.0)
    server.status = 500
    with pytest.raises(DataError, match=r"x\.zip: cannot be fetched \(.*500.*The same command goes on"):
        download(server.url, tmp_path / "x.zip", MD5, Silent())
    assert len(server.asked) == hub.TRIES
    server.status = 404
    with pytest.raises(DataError, match="404"):
        download(server.url, tmp_path / "x.zip", MD5, Silent())
    assert len(server.asked) == hub.TRIES + 1, "what is not there is asked for once"


def test_without_a_network_it_is_said_after_one_more_try_and_nothing_stray(
    tmp_path: Path, server: Breaking, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)

    def unknown(*place: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(downloads.socket, "getaddrinfo", unknown)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match=r"nowhere.*cannot be fetched \(.*Temporary failure.*The same command goes on"):
        download("http://nowhere.example/x.zip", tmp_path / "x.zip", MD5, Silent())
    assert waits == [1.0] and capfd.readouterr() == ("", "")


def test_offline_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        download("http://127.0.0.1:9/x.zip", tmp_path / "x.zip", MD5, Silent())
