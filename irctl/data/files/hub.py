"""Files of a data set repository, named hf://datasets/OWNER/NAME[@REVISION]/PATH: found when first read, never before.

`data.root` stands for the hub: ROOT/OWNER/NAME/PATH. Without it the hub's cache is used, then the network.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, TypeVar

from irctl.errors import DataError

T = TypeVar("T")
log = logging.getLogger("irctl")
TRIES = 5
TRIES_OF_A_NAME = 2
"""At a server whose name does not resolve: there is no network, and waiting longer brings none."""
FIRST_WAIT_S = 1.0
PREFIX = "hf://"
PATTERN = re.compile(r"hf://(?:datasets/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?")


_offline = ContextVar("offline", default=False)


class NotFetched(DataError):
    """What the hub has and this machine has not, where nothing may be fetched."""


@contextmanager
def offline() -> Iterator[None]:
    """Within it no file of a repository is fetched: what the cache does not hold is NotFetched."""
    before = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(before)


class HubPath(NamedTuple):
    """A place in a repository; revision is empty for its newest state, path for its root."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}datasets/{self.repo}{at}" + (f"/{self.path}" if self.path else "")


def is_hub(source: str) -> bool:
    return source.startswith(PREFIX)


def parse_source(source: str) -> HubPath:
    """Raises DataError for a name that is not hf://datasets/OWNER/NAME[@REVISION][/PATH]."""
    match = PATTERN.fullmatch(source)
    if not match:
        raise DataError(f"{source}: expected hf://datasets/OWNER/NAME[@REVISION]/PATH")
    return HubPath(match["repo"], match["revision"] or "", (match["path"] or "").strip("/"))


def find_file(source: str, root: str = "") -> Path:
    """One file of a repository, on this machine. Raises DataError naming the file when it cannot be had."""
    place = parse_source(source)
    if root:
        path = Path(root) / place.repo / place.path
        if not path.is_file():
            raise DataError(f"{path}: no such file (for {source})", hint="data.root holds OWNER/NAME/PATH")
        return path
    if _offline.get():
        return _in_cache(place)
    from huggingface_hub import hf_hub_download

    def download() -> str:
        return str(hf_hub_download(place.repo, place.path, repo_type="dataset", revision=place.revision or None))

    return Path(call_hub(download, source))


def is_here(source: str, root: str = "") -> bool:
    """Whether a file can be read without network."""
    place = parse_source(source)
    if root:
        return (Path(root) / place.repo / place.path).exists()
    with suppress(NotFetched):
        return bool(_in_cache(place))
    return False


def _in_cache(place: HubPath) -> Path:
    """A file of a repository in the hub's cache. Raises NotFetched; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(place.repo, place.path, repo_type="dataset", revision=place.revision or None)
    if not isinstance(path, str):
        raise _not_fetched(place)
    return Path(path)


def _not_fetched(place: HubPath) -> NotFetched:
    return NotFetched.of(place, "not on this machine yet", hint="The command itself fetches it")


def find_beir_folder(source: str, root: str = "") -> Path:
    """The files of a BEIR layout in a repository, as a folder on this machine."""
    place = parse_source(source)
    if root:
        folder = Path(root) / place.repo / place.path
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder (for {source})", hint="data.root holds OWNER/NAME/PATH")
        return folder
    from huggingface_hub import snapshot_download

    inside = f"{place.path}/" if place.path else ""
    is_offline = _offline.get()
    wanted = [f"{inside}{name}" for name in ("corpus.jsonl*", "queries.jsonl*", "qrels/*.tsv*", "card.toml")]

    def download() -> str:
        return str(
            snapshot_download(
                place.repo,
                repo_type="dataset",
                revision=place.revision or None,
                allow_patterns=wanted,
                local_files_only=is_offline,
            )
        )

    try:
        folder = Path(call_hub(download, source)) / place.path
    except DataError:
        if is_offline:
            raise _not_fetched(place) from None
        raise
    if not any(folder.glob("corpus.jsonl*")):
        if is_offline:
            raise _not_fetched(place)
        raise DataError(
            f"{source}: no corpus.jsonl there", hint="Expected corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv"
        )
    return folder


def call_hub(call: Callable[[], T], source: str) -> T:
    """Call the hub; at a busy or failing server (429, 5xx) or a broken connection, wait and try again, 5 times in all.

    At a name that does not resolve, once.
    Every way in which it can fail is one DataError naming the source. huggingface_hub stands on httpx, whose errors are
    neither OSError nor ConnectionError nor TimeoutError.
    """
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        EntryNotFoundError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    for attempt in range(TRIES):
        try:
            return call()
        except (HTTPError, EntryNotFoundError, HFValidationError, OSError, ValueError) as e:
            if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # the disk, not the hub
            # "not in the cache" is said of a hub that is busy or out of reach too: the cause tells them apart
            first = e.__cause__ if isinstance(e, LocalEntryNotFoundError) else e
            status = getattr(getattr(first, "response", None), "status_code", 0)
            may_pass = isinstance(first, (HTTPError, ConnectionError, TimeoutError)) and not 0 < status < 500
            may_pass &= not isinstance(first, OfflineModeIsEnabled)
            tries = TRIES
            if _is_unresolved(e):
                may_pass, tries = True, TRIES_OF_A_NAME
            if attempt < tries - 1 and (may_pass or status == 429):
                if attempt == 0:
                    log.warning("%s: %s; trying again, %d times at most", source, _reason(e), tries - 1)
                time.sleep(FIRST_WAIT_S * 2**attempt)
                continue
            if isinstance(e, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
                why = "the hub cannot be reached or is switched off, and it is not in the cache"
                raise DataError(f"{source}: {why}", hint="Set data.root to a folder that holds OWNER/NAME/PATH") from e
            raise DataError(f"{source}: {_reason(e)}", hint=_hint(status)) from e
    raise AssertionError("unreachable")


def _is_unresolved(e: BaseException | None) -> bool:
    """Whether the name of the server did not resolve, by what an error was raised from."""
    while e is not None:
        if isinstance(e, socket.gaierror):
            return True
        e = e.__cause__ or e.__context__
    return False


def _reason(e: Exception) -> str:
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    reasons: tuple[tuple[type[Exception], str], ...] = (
        (GatedRepoError, "its owner lets in only those who were accepted"),  # a kind of the next one
        (RepositoryNotFoundError, "no such repository on the hub, or a private one"),
        (EntryNotFoundError, "no such file in that repository"),
    )
    why = next((said for kind, said in reasons if isinstance(e, kind)), "cannot be read")
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return f"{why} ({lines[0] if lines else type(e).__name__})"


def _hint(status: int) -> str:
    return "Accept its terms on its page, and set HF_TOKEN" if status in (401, 403) else ""


def find_local(source: str, root: str) -> Path:
    return find_file(source, root) if is_hub(source) else Path(source)
