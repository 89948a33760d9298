"""The command that comes after a finished one, said below it where it works as it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def after(command: str, payload: Mapping[str, Any]) -> str:
    """A command line about the run of this payload; empty where none can be told that needs nothing else."""
    run = payload.get("run", "")
    if command == "train" and payload.get("bundle"):
        return f"irctl eval --index {run}" if payload.get("model") and _has_queries(payload["bundle"]) else ""
    if command == "train" and payload.get("model") and payload.get("method") != "acerag":
        return f"irctl eval --model {run}"
    if command in ("encode", "compress") and payload.get("bundle"):
        bundles, rows = payload.get("bundles") or {"": ""}, payload.get("results") or []
        if any(row.get("coverage") == "partial" for row in rows):
            return ""
        named = f"{run}:{next(iter(bundles))}" if len(bundles) > 1 else run
        return f"irctl eval --index {named}" if _has_queries(payload["bundle"]) else f"irctl export {named} --to faiss"
    if command == "encode" and payload.get("folder"):
        parts = _manifest(payload["folder"]).get("key_parts") or {}
        return f"irctl compress --data {run}" if parts.get("side") == "passage" else ""
    return "irctl report" if command == "eval" and payload.get("results") else ""


def _has_queries(bundle: str) -> bool:
    """Whether codes know the collection that they are of, and so its queries."""
    about = _manifest(bundle).get("about") or {}
    return bool(about.get("data") and about.get("encoder"))


def _manifest(folder: str) -> dict[str, Any]:
    from irctl import tables
    from irctl.index import shards

    file = Path(folder) / shards.MANIFEST
    return tables.json_object(file) if file.is_file() else {}
