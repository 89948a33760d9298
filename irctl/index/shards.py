"""Shards of encode and compress on disk: atomic files, a journal line each, a manifest written last.

Order of writing: file as a hidden tmp name, fsync, rename, fsync of the folder, then its journal line; the manifest
comes after the last line. So whatever is read was whole, and a killed writer loses at most the shard it was in
(of text, the model batch: models/pieces.py).
The manifest holds no times, hosts or paths: two runs over the same input leave the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irctl import hashing, tables
from irctl.data.files.arrow import reading
from irctl.errors import DataError
from irctl.files import Written, sync_folder, write_atomic, writing
from irctl.ledger import damaged
from irctl.paths import check_inside

MANIFEST = "manifest.json"
JOURNAL = "journal"
PART = {"file": str, "rows": int, "bytes": int, "sha256": str, "ids?": str, "ids_bytes?": int, "ids_sha256?": str}


def write_ids(path: Path, ids: Sequence[str]) -> Written:
    """One uncompressed Arrow column `docid` (utf8)."""
    import pyarrow as pa

    table = pa.table({"docid": pa.array(ids, pa.string())})

    def write(sink: Any) -> None:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    return write_atomic(path, write)


def _join_ids(path: Path, files: Sequence[Path]) -> Written:
    """The ids of several such files, one after the other. As many record batches: a column of text ends at 2 GiB."""
    import pyarrow as pa

    def write(sink: Any) -> None:
        with pa.ipc.new_file(sink, pa.schema({"docid": pa.string()})) as writer:
            for file in files:
                writer.write_table(pa.table({"docid": read_ids(file)}))

    return write_atomic(path, write)


def write_part_ids(folder: Path, file: str, ids: Sequence[str]) -> dict[str, Any]:
    """`write_ids` to a file of the folder; returns what a part says of it."""
    return _describe_ids(file, write_ids(folder / file, ids))


def join_part_ids(folder: Path, file: str, files: Sequence[Path]) -> dict[str, Any]:
    """The same of a file that holds the ids of several, none of them in memory."""
    return _describe_ids(file, _join_ids(folder / file, files))


def _describe_ids(file: str, written: Written) -> dict[str, Any]:
    return {"ids": file, "ids_bytes": written.bytes, "ids_sha256": written.sha256}


def read_ids(path: Path) -> Any:
    """The `docid` column as a memory-mapped pyarrow ChunkedArray."""
    import pyarrow as pa

    with reading(str(path), "not an Arrow file with a column docid"):
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column("docid")


def write_json(path: Path, value: Any) -> Written:
    """Keys sorted, so that equal content is equal bytes."""
    return write_atomic(path, as_json(value))


def as_json(value: Any) -> str:
    """The text of such a file."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


class ShardJournal:
    """One writer's list of finished shards. Host, pid and start time are in its name: no two processes share a file."""

    def __init__(self, folder: Path, worker: int = 0, workers: int = 1) -> None:
        attempt = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        width = max(2, len(str(workers)))
        self.path = folder / JOURNAL / f"manifest.w{worker:0{width}d}of{workers:0{width}d}.{attempt}.jsonl"

    def add(self, line: Mapping[str, Any]) -> None:
        """Append {index, file, bytes, sha256, ...} once the shard's files are in place."""
        with writing(self.path):
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if new:
                sync_folder(self.path.parent)


def read_journals(folder: Path) -> dict[int, dict[str, Any]]:
    """index -> line, over every writer. Two hashes for one shard are a DataError.

    A torn last line is dropped, and so is one in the middle that a disk has spoilt: a shard without a line is written
    again, to the same bytes.
    """
    lines_of: dict[int, dict[str, Any]] = {}
    for file in sorted((folder / JOURNAL).glob("manifest.*.jsonl")):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:  # another writer finished the folder meanwhile
            continue
        for number, text in enumerate(lines[:-1], 1):  # what follows the last newline is torn
            try:
                line = json.loads(text)
                index, hashes = int(line["index"]), {k: v for k, v in line.items() if k.endswith("sha256")}
                names = [name for name, _, _ in list_files(line)]
            except (ValueError, KeyError, TypeError):
                continue
            for name in names:
                check_inside(name, file)
            before = lines_of.setdefault(index, line)
            if any(before.get(k) != v for k, v in hashes.items()):
                raise DataError(
                    f"{file}:{number}: shard {index} was written twice with different content",
                    hint=f"The input or the machine's arithmetic changed; remove {folder} and run again",
                )
    return lines_of


def list_files(line: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(name, bytes, sha256) of a shard's files: `file`, bytes, sha256; and, if any, `ids`, ids_bytes, ids_sha256."""
    files = [(str(line["file"]), int(line["bytes"]), str(line["sha256"]))]
    if line.get("ids"):
        files.append((str(line["ids"]), int(line["ids_bytes"]), str(line["ids_sha256"])))
    return files


def is_present(folder: Path, line: Mapping[str, Any]) -> bool:
    """Whether every file of a shard is there in its size."""
    files = [(folder / name, size) for name, size, _ in list_files(line)]
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def find_done(folder: Path) -> dict[int, dict[str, Any]]:
    """Shards with a journal line and files of that size. The others are to be written (again)."""
    return {i: line for i, line in sorted(read_journals(folder).items()) if is_present(folder, line)}


def sweep(folder: Path) -> None:
    """Remove tmp files of processes of this host that no longer live."""
    for path in folder.rglob(".*.tmp.*"):
        host, _, pid = path.name.partition(".tmp.")[2].rpartition(".")
        if host == socket.gethostname() and pid.isdigit() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write manifest.json, the proof that the folder is whole, and drop the journal. Returns its sha256."""
    written = write_json(folder / MANIFEST, manifest)
    drop_journal(folder)
    return written.sha256


def drop_journal(folder: Path) -> None:
    """Remove the journal of a folder whose manifest says it all; also what a kill after the manifest left of it."""
    with contextlib.suppress(OSError):  # another writer of the same manifest may clean up too
        for file in (folder / JOURNAL).glob("*"):
            file.unlink(missing_ok=True)
        (folder / JOURNAL).rmdir()


def read_manifest(
    folder: Path, format: str, version: int = 1, shape: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest of a finished folder. shape: of its keys besides the parts (tables.check).

    Raises DataError when it is absent, torn, or of another format, version or shape.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise DataError(
            f"{folder}: no {MANIFEST}, so it is not finished or not a folder of irctl",
            hint="Run the command that writes it again; it continues",
        )
    again = f"Remove {path} and run the command that wrote it again"
    manifest = tables.json_object(path, hint=again)
    its_format, its_version = manifest.get("format"), manifest.get("version")
    if (its_format, its_version) != (format, version):
        raise DataError(f"{path}: expected format {format} version {version}, found {its_format} version {its_version}")
    tables.check(manifest, {"parts": [PART], **(shape or {})}, str(path), hint=again)
    check_names(path, manifest)
    return manifest


def read_any_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of any format; empty where there is none. Raises DataError when it is torn."""
    path = folder / MANIFEST
    return tables.json_object(path) if path.is_file() else {}


def check_names(path: Path, manifest: Mapping[str, Any]) -> None:
    """DataError where the manifest at `path` names a file or a folder outside of its own folder."""
    entries = [
        manifest.get("parts"),
        manifest.get("appended"),
        [manifest.get(key) for key in ("quantizer", "query_encoder", "transform")],
    ]
    for entry in (e for some in entries if isinstance(some, list) for e in some):
        for key in ("file", "ids", "folder"):
            if isinstance(entry, Mapping) and entry.get(key):
                check_inside(entry[key], path)


def verify(folder: Path, parts: Sequence[Mapping[str, Any]], remedy: Callable[[], str] | None = None) -> int:
    """Hash every file of these lines or parts again; returns how many. DataError names the first that differs.

    remedy: how a file is made again, where it is not by the same command.
    The hint holds for finished and unfinished folders: a shard whose file is gone is written again, the others stay.
    """
    files = [f for part in parts for f in list_files(part)]
    for name, size, expected in files:
        path = folder / name
        actual = path.stat().st_size if path.is_file() else -1
        if actual != size:
            raise DataError(
                f"{path}: expected {size} bytes, found {'no file' if actual < 0 else actual}",
                hint=remedy()
                if remedy
                else "Run the command that wrote it again: it writes that file, the others stay",
            )
        if (sha256 := hashing.compute_sha256(path)) != expected:
            again = "Remove that file alone and run the command that wrote it again: the others stay"
            raise damaged.error(path, expected, sha256, remedy() if remedy else again)
    return len(files)
