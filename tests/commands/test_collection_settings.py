"""What the built-in collection says of training on it, and where it has no say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from irctl import config as schema
from irctl.commands.frame.options import Options
from irctl.commands.frame.settings import of_collection, settings
from irctl.data.collections import cards
from irctl.origins import Kind
from irctl.settings import Batch, Data, Train
from irctl.training import batch_plan

OWN = {"batch.global": 8, "data.group_size": 4, "train.epochs": 1.0}


def of(source: str | None = None, **options: Any) -> schema.Config:
    return settings(Options(**options), {"data.source": source}, {"data.source": "--data"})


@pytest.mark.parametrize("source", [None, "cranfield"])
def test_training_on_the_built_in_collection_has_the_budget_of_its_file(source: str | None) -> None:
    config = of(source)
    assert {k: v for k, v in config.flat().items() if config.origin(k).kind is Kind.COLLECTION} == OWN
    assert str(config.origin("batch.global")) == "collection cranfield"
    plan = batch_plan.plan(config)
    assert (plan.chunks, batch_plan.steps(config, plan, 135).total) == (1, 17)


def test_data_of_ones_own_keeps_the_defaults(tmp_path: Path) -> None:
    for source in (str(tmp_path), "beir/scifact", "../cranfield", "/cranfield"):
        config = of(source)
        assert (config.batch, config.data.group_size, config.train) == (Batch(), Data().group_size, Train())
    assert set(of_collection(cards.BUILT_IN)) == set(OWN)


def test_what_names_a_whole_experiment_or_a_setting_is_above_it(tmp_path: Path) -> None:
    assert of(recipe="cranfield-ws2").batch.global_ == 16
    (tmp_path / "own.toml").write_text("[train]\nlr = 1e-4\n")
    assert of(config=str(tmp_path / "own.toml")).train.epochs == Train().epochs
    chosen = of(set_=["train.epochs=3"])
    assert (chosen.train.epochs, chosen.batch.global_) == (3.0, 8)
