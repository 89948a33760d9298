"""Parameters of a training with a head: counted from files before it, equal to what is then there."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling
from transformers import MPNetConfig, MPNetModel
from workspace import Workspace

from irctl import config as settings
from irctl.models import heads
from irctl.models.encoder import load_encoder
from irctl.models.heads import Sample
from irctl.pipelines.doctor import recipe_checks
from irctl.pipelines.train import memory, model_parts

TEXTS = [f"{a} {b}" for a in "wing flow heat shock".split() for b in "jet plate cone wave".split()]


def config(folder: Path | str, *sets: str) -> settings.Config:
    return settings.resolve(settings.from_sets([f"model.name={folder}", *sets]))


def headers_of(folder: Path, model: torch.nn.Module, width: int, **about: Any) -> Path:
    """A sentence-transformers folder whose safetensors file is the header alone: names, types and shapes."""
    entries, at = {}, 0
    for name, tensor in model.state_dict().items():
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + 4 * tensor.numel()]}
        at += 4 * tensor.numel()
    header = json.dumps(entries).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (folder / "config.json").write_text(json.dumps({"hidden_size": width, **about}))
    (folder / "1_Pooling").mkdir()
    Pooling(width, pooling_mode="mean").save(str(folder / "1_Pooling"))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{t}"}
              for i, (p, t) in enumerate(modules)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-mpnet-base-v2 by its published shape."""
    with torch.device("meta"):
        model = MPNetModel(MPNetConfig(vocab_size=30527, max_position_embeddings=514))
    return headers_of(tmp_path_factory.mktemp("mpnet") / "model", model, 768)


def counted(folder: Path | str, *sets: str) -> tuple[int, int]:
    """(parameters, trained ones)."""
    taken = memory.of_model(Path(folder), config(folder, *sets), 1)
    return taken.parameters, taken.trained


def test_the_head_of_mpnet_has_1968128_parameters_and_the_whole_111454592(mpnet: Path) -> None:
    assert counted(mpnet)[0] == 109_486_464
    assert counted(mpnet, "model.output_dim=512") == (111_454_592, 111_454_592)
    assert counted(mpnet, "model.output_dim=512", "model.freeze_base=true") == (111_454_592, 1_968_128)
    assert counted(mpnet, "model.output_dim=base", "model.freeze_base=true")[1] == 2_361_600


def test_the_head_of_minilm_has_689408_parameters(minilm: Path) -> None:
    made = heads._make_head(384, 512, 0.0)
    assert sum(p.numel() for part in made for p in part.parameters()) == 689_408
    sets = ("model.output_dim=512", "model.head_init=torch", "model.freeze_base=true")
    assert counted(minilm, *sets)[1] == 689_408


@pytest.mark.parametrize(
    "sets",
    [
        ("model.output_dim=20",),
        ("model.output_dim=20", "model.freeze_base=true"),
        ("model.output_dim=base", "model.head_init=transform"),
        ("model.output_dim=16", "model.head_init=transform", "model.freeze_layers=1"),
        ("model.freeze_layers=2",),
    ],
)
def test_what_is_counted_before_is_there_afterwards(tiny_encoder: Path, tmp_path: Path, sets: tuple[str, ...]) -> None:
    asked = config(tiny_encoder, *sets)
    encoder = heads.prepare(load_encoder(asked), asked, lambda: Sample(TEXTS, TEXTS[:3]))
    parameters = list(encoder.module.parameters())
    found = sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
    assert counted(tiny_encoder, *sets) == found
    encoder.save(tmp_path / "model")
    again = [s for s in sets if "output_dim" not in s and "head_init" not in s]
    assert counted(tmp_path / "model", *again) == found


def test_a_dry_run_and_doctor_count_the_head(place: Workspace, tiny_encoder: Path) -> None:
    line = "irctl train --dry-run --set model.output_dim=base --set model.freeze_base=true"
    whole, trained = counted(tiny_encoder, "model.output_dim=base", "model.freeze_base=true")
    out = place.ok(line).out
    assert f"{whole:,}, {trained:,} trained" in out and f"{trained:,} parameters" in out
    room = {f.check: f.found for f in recipe_checks.checks(config(tiny_encoder, "model.output_dim=99", "train.lr=1"))}
    assert "begins with at most 32 directions" in room["recipe"]


def test_the_parts_of_a_saved_model_are_told_apart(tiny_encoder: Path, tmp_path: Path) -> None:
    asked = config(tiny_encoder, "model.output_dim=base", "model.head_init=transform")
    heads.prepare(load_encoder(asked), asked, lambda: Sample(TEXTS, TEXTS[:3])).save(tmp_path / "model")
    assert isinstance(SentenceTransformer(str(tmp_path / "model"), device="cpu"), SentenceTransformer)
    base, head = model_parts.find(config(tmp_path / "model"))
    assert (head.trained, head.frozen) == (32 * 64 + 64 + 64 * 32 + 32, 2 * (32 * 32 + 32)) and base.frozen == 0
