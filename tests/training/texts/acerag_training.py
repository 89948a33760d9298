"""A compressive encoder's training of seconds: a random language model that reads the words of the recall task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from irctl import config as settings
from irctl.data.contexts import recall
from irctl.models.compressive import tiny_lm
from irctl.paths import RunPaths

LAYERS = 3


def make_models(folder: Path, shape: str = "llama") -> Path:
    """A random language model of three layers, with its tokenizer."""
    torch.manual_seed(0)
    place = folder / f"lm-{shape}"
    tiny_lm._make_model(shape, LAYERS, len(recall.words())).save_pretrained(place)
    tiny_lm.make_tokenizer().save_pretrained(place)
    return place


def make_files(folder: Path, contexts: int = 5) -> None:
    """recall-train.json (eight rows a context) and recall-text.json."""
    folder.mkdir(parents=True, exist_ok=True)
    recall.write(folder, train=contexts, test=2, seed=3)


def configuration(place: Path, **more: Any) -> settings.Config:
    """place: of `make_models` and `make_files`."""
    stage = more.get("acerag.stage", "ft")
    base = {
        "train.method": "acerag",
        "acerag.lm": str(place / "lm-llama"),
        "acerag.data_files": str(place / ("recall-train.json" if stage == "ft" else "recall-text.json")),
        "acerag.stage": stage,
        "acerag.layers": 1,
        "acerag.chunk_tokens": 20 if stage == "ft" else 32,
        "acerag.held_out": 0.2,
        "batch.global": 8,
        "batch.micro": 8,
        "train.lr": 1e-2,
        "train.max_steps": 4,
        "train.save": "2",
        "train.gradient_checkpointing": "false",
        "hardware.omp_threads": 1,
    }
    base |= {"acerag.window": 16} if stage == "pt" else {"acerag.lm_tokens": 64}
    layer = settings.from_sets(f"{k}={v}" for k, v in {**base, **more}.items())
    return settings.resolve(layer)


def open_run(folder: Path, config: settings.Config) -> RunPaths:
    folder.mkdir(parents=True)
    paths = RunPaths(folder)
    paths.config.write_text(json.dumps(config.to_json()))
    return paths
