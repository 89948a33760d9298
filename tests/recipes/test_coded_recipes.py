"""Recipes of RepCONC's stage 1 and of STAR: the values of their sources; overlays run on the built-in collection."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import Workspace

from irctl import config, recipes_index
from irctl.methods.repconc import Config


def resolved(name: str) -> config.Config:
    return config.resolve(recipes_index.layer(name))


def test_stage_1_has_the_published_values_of_eight_devices() -> None:
    c = resolved("repconc-stage1")
    own = Config(**c.plugin("repconc"))
    assert (c.train.lr, own.centroid_lr, c.batch.global_, own.negatives, c.train.epochs) == (2e-5, 5e-4, 4096, 11, 6)
    assert (own.eps, own.rounds, own.top_negatives, c.run.seed) == (0.003, 100, 11, 2022)
    assert own.mse_weight == pytest.approx(1e-4 * c.batch.global_ * (own.negatives + 1) / 64)
    assert c.train.clip == 8.0, "the norm of gradients that eight devices averaged to an eighth was cut at 1"
    assert (c.train.schedule, c.train.warmup_ratio, c.train.weight_decay) == ("constant", 0, 0)
    assert (c.encoder.query_max_len, c.encoder.passage_max_len, c.loss.temperature) == (16, 128, 1.0)


def test_the_paper_is_another_training() -> None:
    c = resolved("repconc-paper")
    own = Config(**c.plugin("repconc"))
    assert (c.train.lr, own.centroid_lr, c.batch.global_, own.negatives, c.train.epochs) == (5e-6, 2e-4, 1024, 1, 10)
    assert (own.eps, own.rounds, own.top_negatives, own.mse_weight) == (0.05, 30, 0, 0.05)
    assert (c.train.weight_decay, c.encoder.query_max_len, c.encoder.passage_max_len) == (0.001, 24, 110)
    assert (c.run.seed, c.hardneg.depth, c.hardneg.num, c.train.clip) == (521, 210, 200, 1.0)


def test_star_compares_pairs_with_one_static_negative_and_the_batch() -> None:
    c = resolved("star")
    assert (c.train.method, c.loss.name, c.loss.inbatch, c.data.group_size) == ("dense", "ranknet", "masked", 2)
    assert (c.data.binary, c.train.max_steps, c.hardneg.num) == ("true", 50000, 200)


@pytest.mark.slow
def test_the_overlays_of_both_stages_1_train_from_one_bundle_and_their_codes_are_searched(
    place: Workspace, in_process: None
) -> None:
    short = "--set encoder.passage_max_len=32 --set encoder.query_max_len=32 --set encoder.override=true"
    place.ok(f"encode --data cranfield {short}")
    place.ok("compress --data latest --method opq --set opq.m=8 --set opq.bits=4 --set opq.iterations=2")
    place.ok(f"hardneg --index latest --split train --data cranfield --num 10 {short}")
    for name in ("repconc-stage1", "repconc-paper"):
        done = place.ok(f"train --recipe {name} --tiny {short} --max-steps 2 --json").json
        assert done["steps"] == 2 and done["dev_after"] is not None
        assert (Path(done["model"]) / "pq" / "centroids.npy").is_file()
    codes = place.ok("encode --model latest:train --data cranfield --codes --json").json
    place.ok(f"eval --index {codes['run']} --split dev --json")
    place.ok(f"train --recipe star --tiny {short} --max-steps 1 --negatives none --set data.group_size=1")
