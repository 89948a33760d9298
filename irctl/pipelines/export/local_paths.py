"""The files of a model or a bundle as they go to a hub: paths of this machine give way to the last part of their name.

Local folders keep them, for there they find things again. The manifest of a bundle gets the hashes of what changes
here, so that its own is another than that by which the ledger knows the bundle. Neither plan nor journals go along:
they continue a compression on the machine that began it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from irctl import hashing, tables
from irctl.index import shards
from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import ENCODER, fingerprint_files
from irctl.models import reading
from irctl.models.compressive import folder as compressors
from irctl.models.locate import ADAPTER
from irctl.pipelines.cards import elsewhere, page
from irctl.pipelines.lineage.run_settings import short_name

Content = Path | bytes
"""A file as it lies there, or what is sent in its place."""
OWN = (reading.FILE, compressors.FILE)
TEXTS = ("encoder", "reading", "prompts", "query_prompt", "passage_prompt", "title_join", "instructions")
"""Keys of irctl's own files whose values are texts for a model, or are compared with those of another."""
MODELS = ("model", "base_model")
"""Keys whose value may be a run; a model that was uploaded is named as it is there."""
FOREIGN = ("config.json", "tokenizer_config.json", ADAPTER)
NAMED = ("_name_or_path", "name_or_path", "base_model_name_or_path")
"""Keys of files of transformers and peft that may name a folder; their other values may be templates."""


def of_folder(folder: Path, files: Iterable[Path]) -> dict[str, Content]:
    """Files below a folder by name."""
    return {path.relative_to(folder).as_posix(): _of_file(path) for path in files}


def of_bundle(bundle: Bundle) -> dict[str, Content]:
    """The files that a manifest speaks of, and the manifest of what they are now."""
    shared: dict[str, Any] = _shorten(bundle.manifest)
    parts = [bundle.folder / name for part in bundle.parts for name, _, _ in shards.list_files(part)]
    below = [bundle.folder / shared[kind]["folder"] for kind in ("quantizer", "transform", ENCODER) if kind in shared]
    files = of_folder(bundle.folder, [*parts, *(p for folder in below for p in hashing.files_below(folder))])
    if ENCODER in shared:
        start = f"{shared[ENCODER]['folder']}/"
        own = {name.removeprefix(start): sha256(content) for name, content in files.items() if name.startswith(start)}
        shared[ENCODER] |= {"fingerprint": fingerprint_files(own)}
    return {**files, shards.MANIFEST: shards.as_json(shared).encode()}


def sha256(content: Content) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else hashing.sha256_file(content)


def size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _of_file(path: Path) -> Content:
    if path.name not in (*OWN, *FOREIGN):
        return path
    said = tables.json_object(path)
    shared = _shorten(said) if path.name in OWN else _shorten_named(said)
    return path if shared == said else f"{json.dumps(shared, indent=1, ensure_ascii=False)}\n".encode()


def _shorten(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: v if k in TEXTS else _shorten(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_shorten(v) for v in value]
    if not isinstance(value, str):
        return value
    return _name(value) if key in MODELS else page.say_without_folders(value)


def _name(model: str) -> str:
    """As it was uploaded, or as the hub may know it; of anything else the last part, wherever it lies or lay."""
    return elsewhere.find_upload(model) or page.name_on_hub(model, ".") or short_name(model)


def _shorten_named(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _name(v) if k in NAMED and isinstance(v, str) else _shorten_named(v) for k, v in value.items()}
    return [_shorten_named(v) for v in value] if isinstance(value, list) else value
