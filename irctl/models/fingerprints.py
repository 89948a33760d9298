"""What a model is, as hashes of its content: names, types, shapes and bytes of its tensors, never its path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

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
