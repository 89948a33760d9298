"""The recipes of source 004, as it sets them, and irctl's own three arms."""

from __future__ import annotations

import pytest

from irctl import config, recipes_index

ARMS = ("baseline", "iso", "frozen")


def resolved(name: str) -> config.Config:
    return config.resolve(recipes_index.layer(name))


@pytest.mark.parametrize("arm", ARMS)
def test_settings_of_ragcun_are_those_of_source_004(arm: str) -> None:
    c = resolved(f"ragcun-{arm}")
    assert (c.model.name, c.model.output_dim) == ("sentence-transformers/all-mpnet-base-v2", "512")
    assert (c.model.head_init, c.model.dropout, c.model.similarity) == ("torch", 0.1, "euclid")
    assert (c.loss.name, c.plugin("loss.triplet")["margin"]) == ("triplet", 1.0)
    assert (c.train.projection_lr, c.train.epochs, c.batch.global_) == (5e-4, 3, 16)
    assert (c.train.warmup_steps, c.train.warmup_from, c.train.schedule) == (1000, 0.1, "cosine")
    assert (c.train.weight_decay, c.train.clip) == (0.01, 1.0)
    # a rate that reaches no parameter is refused: the frozen arm has none for its base
    assert (c.model.freeze_base, c.train.base_lr) == ((True, 0.0) if arm == "frozen" else (False, 1e-5))
    regularizer = "" if arm == "baseline" else "cov_iso_ragcun:1,entry_std:0.1"
    assert c.train.regularizer == regularizer and (not regularizer or c.train.regularizer_rows == "joint")


@pytest.mark.parametrize("arm", ARMS)
def test_our_arms_differ_in_what_is_trained_and_in_sigreg_alone(arm: str) -> None:
    own, base = resolved(f"isotropy-{arm}").flat(), resolved("isotropy-baseline").flat()
    expected = {"baseline": {}, "iso": {"train.regularizer": "sigreg:0.02"}}
    expected["frozen"] = {**expected["iso"], "model.freeze_base": True, "train.base_lr": 0.0}
    assert {k: v for k, v in own.items() if v != base[k]} == expected[arm]
    assert (own["model.output_dim"], own["model.head_init"], own["batch.global"]) == ("base", "pca", 256)
    assert (own["loss.name"], own["model.similarity"], own["loss.temperature"]) == ("infonce", "euclid", 1.0)


@pytest.mark.parametrize("name", [f"{kind}-{arm}" for kind in ("ragcun", "isotropy") for arm in ARMS])
def test_no_figure_of_the_forecast_is_shipped_as_expected(name: str) -> None:
    said = str(recipes_index.read(name)["meta"])
    for figure in ("47.5", "49.2", "46.8", "43.4", "0.95", ".95", "0.89", "0.92", "+1.7"):
        assert figure not in said
