"""Downloading one file by huggingface_hub's client: tried again where the connection breaks, from the byte it broke at.

What has come stays in the cache, so that a command that was killed goes on there as well. Whether the whole is right is
told by its md5; without one, by its length.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import socket
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from irctl import paths
from irctl.data.files import hub, made_once
from irctl.errors import DataError
from irctl.types import Reporter

PARTS = "downloads"
RANGE_PAST_THE_END = 416
COPY = "fetch it where there is a network and copy IRCTL_CACHE"


def download(url: str, target: Path, md5: str, reporter: Reporter) -> None:
    """Fetch one file and compare its md5. Raises DataError where it cannot be had or the sum differs."""
    part = paths.cache() / PARTS / hashlib.sha256(url.encode()).hexdigest()[:32]
    part.parent.mkdir(parents=True, exist_ok=True)
    with made_once.alone(part.with_suffix(".lock")):
        if url.startswith("file:"):
            source = Path(urllib.request.url2pathname(urllib.parse.urlparse(url).path))
            if not source.is_file():
                raise _not_fetched(url, FileNotFoundError("no such file"))
            shutil.copyfile(source, part)
        else:
            _fetch(url, part, reporter)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 and found != md5:
            part.unlink()
            raise DataError(f"{url}: expected md5 {md5}, found {found}", hint="Try again; report if it stays")
        shutil.move(part, target)


def _fetch(url: str, part: Path, reporter: Reporter) -> None:
    """The rest of a file, behind what is there already."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    class Progress:
        """What http_get tells of its progress, on the reporter's bar."""

        def __init__(self, *, total: int | None = None, initial: int = 0, **_: Any) -> None:
            self._bar = reporter.bar(url, total, initial, unit="byte")
            self._advance = self._bar.__enter__()

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: Any) -> None:
            self._bar.__exit__(None, None, None)

        def update(self, n: int) -> None:
            self._advance(n)

    told: Any = Progress
    logging.getLogger("huggingface_hub.file_download").setLevel(logging.ERROR)  # the error says what its warnings say
    with part.open("ab") as file:

        def get() -> None:
            if file.tell():
                reporter.say(f"{url}: going on at byte {file.tell()}")
            _resolve(url)
            try:
                http_get(url, file, resume_size=file.tell(), tqdm_class=told)
            except HfHubHTTPError as e:
                if e.response.status_code != RANGE_PAST_THE_END:  # else it had come whole when it was stopped
                    raise

        try:
            hub.call_hub(get, url)
        except DataError as e:
            raise _not_fetched(url, e.__cause__ or e) from e
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise made_once.cannot_write(part, e) from e
            raise


def _resolve(url: str) -> None:
    """socket.gaierror where the server's name does not resolve, where http_get waits; a proxy may know it."""
    from huggingface_hub import constants

    place = urllib.parse.urlsplit(url)
    if place.hostname and not constants.HF_HUB_OFFLINE and place.scheme not in urllib.request.getproxies():
        socket.getaddrinfo(place.hostname, place.port)


def _not_fetched(url: str, cause: BaseException) -> DataError:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(cause, OfflineModeIsEnabled):
        return DataError(f"{url}: cannot be fetched (HF_HUB_OFFLINE is set)", hint=f"Unset it. Or: {COPY}")
    why = str(cause).partition("\n")[0] or type(cause).__name__
    return DataError(f"{url}: cannot be fetched ({why})", hint=f"The same command goes on where it stopped. Or: {COPY}")
