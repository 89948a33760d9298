"""model.freeze_layers: by parameter names alone, with an error where nothing has such a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.models.encoder import load_encoder
from irctl.models.trainable import freezing


def test_embeddings_and_the_first_blocks_are_frozen_and_nothing_else(tiny_encoder: Path) -> None:
    asked = settings.resolve(settings.from_sets([f"model.name={tiny_encoder}", "model.freeze_layers=1"]))
    trained = {n for n, p in load_encoder(asked).module.named_parameters() if p.requires_grad}
    assert trained and all(".layer.1." in n or ".pooler." in n for n in trained)
    every = settings.resolve(settings.from_sets([f"model.name={tiny_encoder}"]))
    assert all(p.requires_grad for p in load_encoder(every).module.parameters())


@pytest.mark.parametrize(
    ("names", "frozen"),
    [
        ("embeddings.LayerNorm.bias encoder.layer.0.w encoder.layer.1.w pooler.w", 2),
        ("embed_tokens.weight layers.0.mlp.layer.3.w layers.1.w norm.weight", 2),
        ("shared.weight encoder.block.0.layer.1.w encoder.block.10.layer.0.w", 2),
        ("wte.weight wpe.weight h.0.ln_1.weight h.1.ln_1.weight ln_f.weight", 3),
    ],
)
def test_blocks_of_every_family_are_found_by_name(names: str, frozen: int) -> None:
    assert len(freezing.choose_frozen(names.split(), 1, "m")) == frozen


def test_more_blocks_than_there_are_or_none_with_a_name_is_an_error(tiny_encoder: Path) -> None:
    with pytest.raises(ConfigError, match="has 2 blocks"):
        load_encoder(settings.resolve(settings.from_sets([f"model.name={tiny_encoder}", "model.freeze_layers=3"])))
    with pytest.raises(ConfigError, match="no blocks that are known by their names"):
        freezing.choose_frozen(["albert_layer_groups.0.albert_layers.0.w"], 1, "m")
    for other in ("model.freeze_base=true", "model.lora_r=4"):
        with pytest.raises(ConfigError, match="freezes all of it"):
            freezing.check(settings.resolve(settings.from_sets(["model.freeze_layers=1", other])))
