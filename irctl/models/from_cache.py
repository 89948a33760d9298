"""A folder of one's own filled with vectors that the cache holds under the same key: shards as links, or copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from irctl import files, tables
from irctl.data.vectors.embedding_folder import FORMAT, VERSION
from irctl.files import sync_folder, write_atomic
from irctl.index import shards
from irctl.ledger import damaged, stored
from irctl.models.embed import PLAN, find_finished, finish, locate_cached
from irctl.models.embedding_folder import SHAPE


def take(folder: Path, key: str) -> int:
    """Put the shards that `folder` lacks there, and its manifest; how many. 0 where the cache has not all of them.

    Their hashes are checked. A folder that was begun with another size of shards is left to be encoded.
    Raises DataError where a file of the cache is damaged.
    """
    cached = locate_cached(key)
    if folder.resolve() == cached.resolve() or not (cached / shards.MANIFEST).is_file():
        return 0
    manifest = shards.read_manifest(cached, FORMAT, VERSION, SHAPE)
    plan = {k: v for k, v in manifest.items() if k not in ("tokens", "parts", "fingerprint")}
    plan["shards"] = len(manifest["parts"])
    if manifest["key"] != key or not all(shards.is_present(cached, part) for part in manifest["parts"]):
        return 0
    if not (folder / PLAN).is_file():
        if any(folder.glob("[!.]*")):  # what is there is said by who encodes into it
            return 0
        shards.write_json(folder / PLAN, plan)
    begun = shards.read_any_manifest(folder) or tables.json_object(folder / PLAN)
    if (begun.get("key"), begun.get("shard_rows")) != (key, plan["shard_rows"]):
        return 0
    done, journal = find_finished(folder, key), shards.ShardJournal(folder)
    missing = [part for part in manifest["parts"] if int(part["index"]) not in done]
    stored.check_all((cached / name, sha256) for part in missing for name, _, sha256 in shards.list_files(part))
    for part in missing:
        for name, _, sha256 in shards.list_files(part):
            _link(cached / name, folder / name, sha256)
        journal.add(part)
        done[int(part["index"])] = dict(part)
    if missing:
        finish(folder, plan, done)
    return len(missing)


def _link(source: Path, target: Path, sha256: str) -> None:
    """A hard link, or a copy with this hash where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        written = write_atomic(target, lambda sink: _copy(source, sink))
        if written.sha256 != sha256:
            target.unlink()
            raise damaged.error(source, sha256, written.sha256, "Remove it; irctl encode makes it again") from None
    else:
        sync_folder(target.parent)


def _copy(source: Path, sink: Any) -> None:
    try:
        file = source.open("rb")
    except OSError as e:
        raise files.read_error(source, e) from e
    with file:
        shutil.copyfileobj(file, sink, 1 << 20)
