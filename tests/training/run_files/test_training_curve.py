"""Losses are compared between batches of equally many queries, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_training as tiny

from irctl.paths import RunPaths
from irctl.training import batch_plan
from irctl.training.loop import session
from irctl.training.run_files import journal
from irctl.training.run_files.curve import Epochs, means


def filled(queries: int, logged: int = 1, **values: float) -> Epochs:
    config = tiny.configuration(batch__global=8, **values)
    plan = batch_plan.plan(config)
    return Epochs.of(plan, batch_plan.steps(config, plan, queries), queries, logged)


def test_a_smaller_last_batch_is_compared_with_nothing() -> None:
    assert filled(20) == Epochs(3, 2, 1) and filled(24) == Epochs(3, 3, 1) and filled(5) == Epochs(1, 1, 1)
    losses = {1: 4.0, 2: 2.0, 3: 0.1, 4: 3.0, 5: 2.5, 6: 0.1, 7: 2.0, 8: 1.0, 9: 0.1}
    assert means(losses, filled(20)) == (3.0, 1.5)
    assert means({s: losses[s] for s in range(1, 9)}, filled(20)) == (3.0, 2.75)  # the third epoch is not whole
    assert means({1: 5.0, 2: 4.0, 3: 2.0}, filled(5)) == (5.0, 2.0)  # every batch holds all queries


def test_one_epoch_alone_compares_with_nothing() -> None:
    assert means({1: 4.0, 2: 2.0, 3: 0.1}, filled(20)) is None
    assert means({}, filled(20)) is None


def test_means_over_several_steps_count_where_all_of_them_are_full() -> None:
    # 36 queries: four full steps and one of half; rows at 2, 4, 6 (holds step 5), 8, 10 (holds step 10)
    epochs = filled(36, logged=2)
    losses = {2: 4.0, 4: 2.0, 6: 9.0, 8: 1.0, 10: 9.0}
    assert epochs.comparable(losses) == {2, 4, 8}
    assert means(losses, epochs) == (3.0, 1.0)
    assert filled(12, logged=2).comparable({2, 4}) == {2, 4}  # each holds a small one: alike again


@pytest.mark.parametrize(("loss", "epochs"), [("ws2", 3), ("infonce", 1)])
def test_a_run_says_the_means_of_its_first_and_last_epoch_or_nothing(tmp_path: Path, loss: str, epochs: int) -> None:
    import json

    paths = RunPaths(tmp_path / "run")
    paths.folder.mkdir()
    config = tiny.configuration(train__epochs=epochs, loss__name=loss)  # 20 queries: steps of 8, 8 and 4
    paths.config.write_text(json.dumps(config.to_json()))
    session.run(config, paths, tiny.build)
    rows = journal.events(paths.metrics)
    done = next(r for r in rows if r["event"] == "done")
    assert Epochs.read(rows) == Epochs(3, 2, 1)
    if epochs == 1:
        assert done["first_loss"] is None and done["last_loss"] is None
        return
    steps = {s: v["loss"] for s, v in journal.steps(paths.metrics).items()}
    assert done["first_loss"] == pytest.approx((steps[1] + steps[2]) / 2)
    assert done["last_loss"] == pytest.approx((steps[7] + steps[8]) / 2)
