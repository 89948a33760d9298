"""Files of a data set repository, named hf://datasets/OWNER/NAME[@REVISION]/PATH: found when first read, never before.

`data.root` stands for the hub: ROOT/OWNER/NAME/PATH. Without it the hub's cache is used, then the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from irctl.errors import DataError

T = TypeVar("T")
PREFIX = "hf://"
PATTERN = re.compile(r"hf://(?:datasets/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?")


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


def parse(source: str) -> HubPath:
    """Raises DataError for a name that is not hf://datasets/OWNER/NAME[@REVISION][/PATH]."""
    match = PATTERN.fullmatch(source)
    if not match:
        raise DataError(f"{source}: expected hf://datasets/OWNER/NAME[@REVISION]/PATH")
    return HubPath(match["repo"], match["revision"] or "", (match["path"] or "").strip("/"))


def file(source: str, root: str = "") -> Path:
    """One file of a repository, on this machine. Raises DataError naming the file when it cannot be had."""
    place = parse(source)
    if root:
        path = Path(root) / place.repo / place.path
        if not path.is_file():
            raise DataError(f"{path}: no such file (for {source})", hint="data.root holds OWNER/NAME/PATH")
        return path
    from huggingface_hub import hf_hub_download

    def download() -> str:
        return str(hf_hub_download(place.repo, place.path, repo_type="dataset", revision=place.revision or None))

    return Path(asked(download, source))


def is_here(source: str, root: str = "") -> bool:
    """Whether a file can be read without network."""
    place = parse(source)
    if root:
        return (Path(root) / place.repo / place.path).exists()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place.repo, place.path, repo_type="dataset", revision=place.revision or None)
    return isinstance(found, str)


def beir_folder(source: str, root: str = "") -> Path:
    """The files of a BEIR layout in a repository, as a folder on this machine."""
    place = parse(source)
    if root:
        folder = Path(root) / place.repo / place.path
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder (for {source})", hint="data.root holds OWNER/NAME/PATH")
        return folder
    from huggingface_hub import snapshot_download

    inside = f"{place.path}/" if place.path else ""
    wanted = [f"{inside}{name}" for name in ("corpus.jsonl*", "queries.jsonl*", "qrels/*.tsv*", "card.toml")]

    def download() -> str:
        return str(
            snapshot_download(place.repo, repo_type="dataset", revision=place.revision or None, allow_patterns=wanted)
        )

    folder = Path(asked(download, source)) / place.path
    if not any(folder.glob("corpus.jsonl*")):
        raise DataError(
            f"{source}: no corpus.jsonl there", hint="Expected corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv"
        )
    return folder


def asked(call: Callable[[], T], source: str) -> T:
    """Call the hub; every way it can fail becomes one line with the file's name."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return call()
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as e:
        why = "the hub is switched off or cannot be reached, and the file is not in its cache"
        raise DataError(f"{source}: {why}", hint="Set data.root to a folder that holds OWNER/NAME/PATH") from e
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise DataError(f"{source}: cannot be fetched ({first})") from e
