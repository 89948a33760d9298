"""What decides a vector, as hashes: weights, tokenizer, pooling, prompt, lengths, dtype. The key of every cache.

A path is never part of it, so a checkpoint overwritten in place is another key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "*.model",
)


def of_parts(parts: Mapping[str, Any]) -> str:
    """sha256 over canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over sorted names, dtypes, shapes and bytes; adapters count like other tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def of_tokenizer(tokenizer: Any) -> str:
    """sha256 of the fast tokenizer without its padding and truncation, which each call sets; else of its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content = {"vocab": tokenizer.get_vocab(), "class": type(tokenizer).__name__}
    else:
        content = json.loads(backend.to_str())
        content |= {"truncation": None, "padding": None}
    return of_parts({"tokenizer": content, "special": {k: str(v) for k, v in tokenizer.special_tokens_map.items()}})


def of_folder(folder: Path) -> str:
    """The weights of a saved folder, hashed as `of_tensors` hashes the loaded ones: names in the file, dtypes, bytes."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                digest.update(of_tensors({f"{file.relative_to(folder)}:{name}": tensors.get_tensor(name)}).encode())
    return digest.hexdigest()
