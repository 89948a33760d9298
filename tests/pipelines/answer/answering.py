"""A random language model, an encoder that somebody changed, and questions: what evaluations of answers run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from irctl import config as settings
from irctl.data.contexts import recall
from irctl.models.compressive import folder as folders
from irctl.models.compressive import tiny_lm
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.locate import LocatedModel

LAYERS = 3


def make_models(folder: Path, *, selection: str = "stride", instructions: dict[str, str] | None = None) -> Path:
    """A random language model of three layers, and FOLDER/encoder, its first layer with other weights."""
    torch.manual_seed(0)
    place = folder / "lm"
    tiny_lm._make_model("llama", LAYERS, len(recall.words())).save_pretrained(place)
    tokenizer = tiny_lm.make_tokenizer()
    tokenizer.save_pretrained(place)
    encoder = CompressiveEncoder.cut(LocatedModel(place, str(place), "", "folder"), 1)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.05 * torch.randn_like(p))
    about = folders.About(
        lm=folders.describe_language_model(str(place), "", place, tokenizer),
        layers=1,
        ratios=(1, 2, 4),
        selection=selection,
        grid="content",
        chunk_tokens=20,
        instructions=instructions or {},
    )
    folders.save(folder / "encoder", encoder, tokenizer, about)
    return folder


def write_questions(path: Path, contexts: int = 3) -> Path:
    """Rows of the recall task, eight a context of 32 tokens."""
    path.write_text("".join(json.dumps(row) + "\n" for row in recall.rows(contexts, 5, "test")))
    return path


def write_passages(path: Path) -> Path:
    """Three questions with two or three passages each, of 7 and 5 tokens, one of them in two questions."""
    first, second, third = "k0v1 n1 n2 k1v2 n3 n4 n5", "k2v3 n6 k3v4 n7 n8", "k4v5 n9 n10 k5v6 n11"
    rows = [
        {"query": "k0?", "key": [first, second], "answers": ["k0v1"]},
        {"query": "k4?", "key": [third, first, second], "answers": ["k4v5"]},
        {"query": "k2?", "key": [second, third], "answers": ["k2v3"]},
    ]
    path.write_text(json.dumps(rows))
    return path


def configuration(data: Path | str, **more: Any) -> settings.Config:
    base = {"data.source": str(data), "acerag.new_tokens": 3, "hardware.omp_threads": 1}
    return settings.resolve(settings.from_sets(f"{k}={v}" for k, v in {**base, **more}.items()))
