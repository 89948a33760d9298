"""A method that is new takes a page: what it puts between vectors and scores is trained like all else."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import tiny_training as tiny
import torch

from irctl.paths import RunPaths
from irctl.training.loop import session
from irctl.training.run_files import checkpoints, journal

SETTINGS = {"loss.name": "infonce", "loss.inbatch": "all", "train.lr": 0.01, "eval.during": "off"}


def test_a_scale_and_a_term_on_the_gathered_vectors_are_trained_by_their_own_rate(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    values = {"run.name": "scaled", "train.max_steps": 2, "batch.micro": 4}
    session.run(tiny.configuration(**SETTINGS, **values), paths, tiny.build)
    steps = journal.steps(paths.metrics)
    assert steps[1]["loss"] == pytest.approx(steps[1]["loss.infonce"] + 0.1 * steps[1]["loss.length"], rel=1e-6)
    newest = checkpoints.newest(paths.checkpoints)
    weights = safetensors.torch.load_file(newest.folder / checkpoints.WEIGHTS)
    # AdamW moves a scalar by its own rate in the first step of warm-up, and by less in the second
    assert 0.1 < abs(float(weights["method.scale"]) - 2.0) < 1.0


def test_the_scale_acts_on_every_score_and_the_term_is_added_with_its_weight() -> None:
    scaled, dense = (
        tiny.method_of(tiny.configuration(**SETTINGS, **{"run.name": name}), micro=2) for name in ("scaled", "dense")
    )
    batch = dense.collate([(1, 0), (2, 0), (4, 0)])
    got, plain = scaled.score(batch), dense.score(batch)
    assert torch.allclose(got.scores_BN, 2 * plain.scores_BN)
    scaled.prepare([batch])
    loss, parts = scaled.step(batch).loss, scaled.step(batch).parts
    assert parts.keys() == {"infonce", "length"} and float(parts["length"]) > 0
    assert loss.item() == pytest.approx(float(parts["infonce"] + 0.1 * parts["length"]), rel=1e-6)
    ones = torch.ones(1, 8).numpy()
    with torch.no_grad():
        dev = scaled._compare_arrays(ones, ones)
    assert dev == pytest.approx(16.0), "the dev split is compared as training compares"


def test_a_parameter_that_no_group_of_the_optimizer_holds_is_not_left_untrained_in_silence(tmp_path: Path) -> None:
    def build(config, context):
        method = tiny.build(config, context)
        method.forgotten = torch.nn.Parameter(torch.zeros(()))
        return method

    with pytest.raises(AssertionError, match=r"in no group of the optimizer: \['method\.forgotten'\]"):
        session.run(tiny.configuration(**SETTINGS, **{"train.max_steps": 1}), RunPaths(tmp_path), build)
