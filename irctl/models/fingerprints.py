"""What a model is, as hashes of its content, never its path: of its tensors, of its files; and how it reads texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing, tables
from irctl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

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

HEADER_BYTES = 8
HEADER = {"*": {"dtype": str, "shape": [int], "data_offsets": [int]}, "__metadata__?": dict}
FETCH = "Fetch the model again"
VOLATILE = (
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
    "architectures",
)


def fingerprint_of(value: Any) -> str:
    """sha256 of a JSON value, keys sorted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_header(file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """(tensor name -> dtype, shape, data_offsets; byte from which these count) of a safetensors file.

    Raises DataError where it is none.
    """
    what = f"{file}: not a safetensors file"
    with file.open("rb") as f:
        size = int.from_bytes(f.read(HEADER_BYTES), "little")
        if size > file.stat().st_size:
            raise DataError(f"{what}: its header would be {size} bytes long", hint=FETCH)
        found = tables.parse_json(f.read(size), what, hint=FETCH)
        tables.check(found, HEADER, what, hint=FETCH)
        return {name: entry for name, entry in found.items() if name != "__metadata__"}, f.tell()


def fingerprint_state(state: Mapping[str, Tensor]) -> str:
    """Hash of tensors in memory: right even while they are being trained, or when their file is overwritten."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def describe_architecture(config: Any) -> dict[str, Any]:
    """What a transformers configuration says about the computation; versions, paths and types of storage left out."""
    values = config.to_diff_dict()
    return {k: v for k, v in values.items() if k not in VOLATILE and k != "gradient_checkpointing" and k[0] != "_"}


def fingerprint_tokenizer(tokenizer: Any) -> str:
    """Hash of how text becomes tokens: the whole fast tokenizer, or vocabulary and special tokens of another."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        words: Any = json.loads(backend.to_str())
        del words["truncation"], words["padding"]  # whatever the last call left there
    else:
        words = sorted(tokenizer.get_vocab().items())
    special = {k: str(v) for k, v in getattr(tokenizer, "special_tokens_map", {}).items()}
    return fingerprint_of({"words": words, "special": special, "side": getattr(tokenizer, "padding_side", "right")})


def name_files(folder: Path) -> list[str]:
    """Files of weights below a model's folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(WEIGHTS) if p.is_file())


def list_files(folder: Path) -> dict[str, str]:
    """Files of weights below a model's folder by name, with their sha256 (of large ones: `hashing.identities`)."""
    names = name_files(folder)
    return dict(zip(names, hashing.identities([folder / name for name in names]), strict=True))


def describe_reading(encoder: Any, documents: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """How a model reads the texts of a search: what evaluations must share to be compared.

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
    """`WHAT: OTHER, here MINE` of everything in which two of them differ, by `describe_reading`."""
    names = {**COMPARED, **{k: v for k, v in CHOSEN.items() if k in {*mine["chosen"], *other["chosen"]}}}
    return [f"{word} {other[k]!r}, here {mine[k]!r}" for k, word in names.items() if mine[k] != other[k]]
