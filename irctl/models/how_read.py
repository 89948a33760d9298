"""How a model read the texts of a search, and by which files of weights: what evaluations must share to be compared.

The files are known by their bytes, so that a model is the same under a short name, a long one or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irctl import hashing

WEIGHTS = "*.safetensors"
FILES = "files"
BEGAN_WITH = "began_with"
"""Key of irctl.json: the files of weights of the model that was opened before it was trained."""
# What must agree, and how a message names it. Scaling to length 1 is the model's own, unless somebody chose it.
COMPARED = {
    "query_max_len": "tokens of a query",
    "passage_max_len": "tokens of a passage",
    "query_prompt": "prompt of queries",
    "passage_prompt": "prompt of passages",
    "title_join": "join of title and text",
    "pooling": "pooling",
    "truncate_dim": "dimensions kept",
}
CHOSEN = {"normalize": "scaling to length 1"}


def name_files(folder: Path) -> list[str]:
    """Files of weights below a model's folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(WEIGHTS) if p.is_file())


def list_files(folder: Path) -> dict[str, str]:
    """Files of weights below a model's folder by name, with their sha256 (of large ones: `hashing.identities`)."""
    names = name_files(folder)
    return dict(zip(names, hashing.identities([folder / name for name in names]), strict=True))


def describe(encoder: Any, documents: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation keeps of it.

    documents: what is known of the encoder of what was searched; empty: the same one. chosen: origins of settings.
    """
    query, passage = encoder.key("query"), {**encoder.key("passage"), **documents}
    return {
        FILES: list_files(Path(encoder.located.folder)),
        **{f"{side}_max_len": key["max_len"] for side, key in (("query", query), ("passage", passage))},
        **{f"{side}_prompt": key["prompt"] for side, key in (("query", query), ("passage", passage))},
        **{name: passage[name] for name in ("title_join", "pooling", "truncate_dim", "normalize")},
        "chosen": sorted(name for name in CHOSEN if f"encoder.{name}" in chosen),
    }


def list_differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """`WHAT: OTHER, here MINE` of everything in which two of them differ, by `describe`."""
    names = {**COMPARED, **{k: v for k, v in CHOSEN.items() if k in {*mine["chosen"], *other["chosen"]}}}
    return [f"{word} {other[k]!r}, here {mine[k]!r}" for k, word in names.items() if mine[k] != other[k]]
