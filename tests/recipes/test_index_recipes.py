"""Recipes of trainings against an index: the values of their sources; overlays run on the built-in collection."""

from __future__ import annotations

import pytest
from workspace import Workspace

from irctl import config, recipes_index

NAMES = ("jpq", "jpq-paper", "repconc-stage2", "adore")


def resolved(name: str) -> config.Config:
    return config.resolve(recipes_index.layer(name))


@pytest.mark.parametrize(
    ("name", "lr", "centroid_lr", "batch", "epochs", "seed"),
    [
        ("jpq", 5e-6, 1e-4, 128, 4, 2023),
        ("repconc-stage2", 2e-6, 2e-5, 128, 4, 2023),
        ("jpq-paper", 5e-6, 1e-4, 32, 6, 42),
        ("adore", 5e-6, None, 32, 6, 42),
    ],
)
def test_the_values_are_those_of_the_source(name, lr, centroid_lr, batch, epochs, seed) -> None:
    c = resolved(name)
    assert (c.train.lr, c.batch.global_, c.train.epochs, c.run.seed) == (lr, batch, epochs, seed)
    assert c.plugin("jpq").get("centroid_lr") == centroid_lr and c.plugin(c.train.method)["k"] == 200
    assert c.train.clip == 1.0 and c.loss.temperature == 1.0
    by_paper = name in ("jpq-paper", "adore")
    assert c.loss.name == ("lambdamrr" if by_paper else "infonce")
    assert (c.train.schedule, c.train.warmup_steps) == (("linear", 2000) if by_paper else ("constant", 0))
    assert c.train.weight_decay == (0.01 if by_paper else 0) and c.encoder.query_max_len == (32 if by_paper else 16)


@pytest.mark.slow
def test_the_overlays_train_on_the_built_in_collection(place: Workspace, in_process: None) -> None:
    place.ok("encode --data cranfield --set encoder.passage_max_len=32 --set encoder.override=true")
    place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=4 --set compress.probe=0")
    for name in NAMES:
        sets = "--set encoder.passage_max_len=32 --set encoder.override=true --max-steps 2"
        done = place.ok(f"train --recipe {name} --tiny {sets} --json").json
        assert done["steps"] == 2 and done["dev_after"] is not None
        assert ("bundle" in done) == (name != "adore")
