"""Joining finished batch files into one file an input file: thousands of small files hurt a shared file system.

Hashes are checked while copying; the manifest is replaced before any batch file goes, so a kill loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irctl import hashing
from irctl.errors import counted
from irctl.files import write_atomic
from irctl.index import shards
from irctl.index.bundle import measure_rows
from irctl.index.plan import Plan
from irctl.ledger import damaged
from irctl.types import Reporter


def merge(folder: Path, plan: Plan, manifest: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The manifest after merging, written. A merged folder is left as it is, but for batch files left behind."""
    parts = [part for part in manifest["parts"] if "index" in part or "batches" in part]
    if any("batches" not in part for part in parts):
        merged = [
            dict(group[0]) if len(group) == 1 and "batches" in group[0] else _join(folder, number, group)
            for number, group in enumerate(_groups(plan, parts))
        ]
        merged += [part for part in manifest["parts"] if part not in parts]  # of --append, in folders of their own
        manifest = {**manifest, "parts": merged, "bytes_per_row": measure_rows(merged)}
        shards.write_manifest(folder, manifest)
        reporter.say(f"joined {counted(len(parts), 'batch')} into {counted(len(merged), 'file')}")
    kept = {str(part[key]) for part in manifest["parts"] for key in ("file", "ids") if part.get(key)}
    for path in (*(folder / "codes").glob("*.npy"), *(folder / "ids").glob("*.arrow")):
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink()
    return manifest


def _groups(plan: Plan, parts: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Parts of each input file, in order. A part may be merged already: a lost file comes back in batches."""
    files = {b.index: b.file for b in plan.batches()}
    group: list[Mapping[str, Any]] = []
    for part in parts:
        if group and files.get(_span(part)[0]) != files.get(_span(group[-1])[0]):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _span(part: Mapping[str, Any]) -> tuple[int, int]:
    """First and last batch of a part."""
    first, last = part.get("batches") or (part["index"], part["index"])
    return int(first), int(last)


def _join(folder: Path, number: int, group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = sum(int(p["rows"]) for p in group)
    name = f"codes/part-{number:05d}.npy"
    width = np.load(folder / group[0]["file"], mmap_mode="r", allow_pickle=False).shape[1]

    def copy(sink: Any) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(sink, header)
        for part in group:
            path = folder / part["file"]
            _check(path, part["sha256"])
            sink.write(np.load(path, allow_pickle=False).tobytes())

    written = write_atomic(folder / name, copy)
    joined: dict[str, Any] = {
        "file": name,
        "rows": rows,
        "row0": int(group[0]["row0"]),
        "bytes": written.bytes,
        "sha256": written.sha256,
        "batches": [_span(group[0])[0], _span(group[-1])[1]],
    }
    if group[0].get("ids"):
        files = [folder / part["ids"] for part in group]
        for file, part in zip(files, group, strict=True):
            _check(file, part["ids_sha256"])
        joined |= shards.join_part_ids(folder, f"ids/part-{number:05d}.arrow", files)
        first, last = shards.read_ids(files[0])[0], shards.read_ids(files[-1])[-1]
        joined |= {"first_id": first.as_py(), "last_id": last.as_py()}
    return joined


def _check(path: Path, expected: str) -> None:
    if (digest := hashing.compute_sha256(path)) != expected:
        again = "Remove that file alone and run its command again: the others stay"
        raise damaged.error(path, expected, digest, again)
