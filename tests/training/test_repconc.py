"""RepCONC's step: balanced codes, gradients on both sides, what is logged; a training goes on to the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import repconc_training as tiny
import torch
from two import environment

from irctl.data.groups.candidates import View
from irctl.errors import ConfigError, RunFailed
from irctl.methods import repconc
from irctl.models.codes import sinkhorn
from irctl.paths import RunPaths
from irctl.quantizers.learned import Quantizer
from irctl.training.loop import session
from irctl.training.run_files import checkpoints, journal

ITEMS = [(i, 0) for i in range(8)]


def configuration(**more):
    return tiny.configuration(**{"loss.temperature": 0.5, **more})


def method_of(**more):
    return tiny.method_of(configuration(**more), micro=8)


def run(folder: Path, settings, build=tiny.build) -> RunPaths:
    paths = RunPaths(folder)
    session.run(settings, paths, build)
    return paths


def test_a_step_without_balanced_assignment_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args, **_kwargs):
        raise RuntimeError("the plan")

    monkeypatch.setattr(sinkhorn, "assign", broken)
    method = method_of()
    batch = method.collate(ITEMS)
    with pytest.raises(RuntimeError, match="the plan"):
        method.step(batch)
    nearest = tiny.method_of(configuration(**{"repconc.constraint": False}), micro=8)
    nearest.prepare([batch])
    assert torch.isfinite(nearest.step(batch).loss), "only nearest codes do without"


def test_the_loss_is_that_of_balanced_codes_in_training_and_of_nearest_ones_outside() -> None:
    method = method_of(**{"repconc.top_negatives": 0})
    batch = method.collate(ITEMS)
    vectors = repconc.embed_batch(method.encoder, batch)
    rotated_NE = method.pq.rotate(vectors.passages_ND)
    balanced = sinkhorn.assign(rotated_NE, method.pq.centroids, range(tiny.SLICES), eps=0.003, rounds=100).codes_XS
    nearest = method.pq.assign(rotated_NE)
    assert not torch.equal(balanced, nearest)
    queries_BE = method.pq.rotate(vectors.queries_BD)
    for training, codes in ((True, balanced), (False, nearest)):
        scores_BN = method.train(training).score(batch).scores_BN
        assert torch.allclose(scores_BN, queries_BE @ method.pq.decode(codes).T, atol=1e-6)
    dev, _ = method.compare(vectors)
    assert torch.allclose(dev, scores_BN, atol=1e-6), "the dev split is compared by nearest codes"


def test_the_rank_loss_alone_moves_encoder_and_centroids_but_not_the_rotation() -> None:
    method = method_of(**{"repconc.mse_weight": 0.0})
    method.prepare([batch := method.collate(ITEMS)])
    method.step(batch).loss.backward()
    assert method.pq.centroids.grad.abs().sum() > 0
    assert method.module["out"].weight.grad.abs().sum() > 0
    assert method.pq.rotation.requires_grad is False


def test_the_squared_distance_is_a_mean_over_the_batch_whatever_the_chunks_and_its_gradient_meets_both_sides() -> None:
    method = method_of(**{"repconc.mse_weight": 1.0})
    scored = method.score(method.collate(ITEMS))
    mse = scored.terms["mse"].value
    rotated_NE = method.pq.rotate(repconc.embed_batch(method.encoder, method.collate(ITEMS)).passages_ND)
    plan = sinkhorn.assign(rotated_NE, method.pq.centroids, range(tiny.SLICES), eps=0.003, rounds=100)
    wanted = (method.pq.decode(plan.codes_XS) - rotated_NE).square().sum() / len(rotated_NE)
    assert mse.item() == pytest.approx(wanted.item(), rel=1e-6)
    of_centroids, of_encoder = torch.autograd.grad(mse, (method.pq.centroids, method.module["out"].weight))
    assert of_centroids.abs().sum() > 0 and of_encoder.abs().sum() > 0


def test_the_originals_weight_is_one_mean_a_chunk_and_so_grows_with_the_batch() -> None:
    assert repconc.Config().mse_weight == pytest.approx(1e-4 * 4096 * 12 / 64)
    # the original: for each chunk of 64 of its passages, weight x the mean of the chunk
    distances_N = torch.rand(640, generator=torch.Generator().manual_seed(1))
    original = sum(1e-4 * chunk.mean() for chunk in distances_N.split(64))
    assert float(original) == pytest.approx(1e-4 * 640 / 64 * float(distances_N.mean()), rel=1e-6)


def test_only_the_hardest_of_the_others_count_and_the_own_positive_always() -> None:
    mask_BN = torch.tensor([[True, True, True, True, False], [True, True, True, True, True]])
    own = View(torch.ones(2, 1), torch.ones(2, 1, dtype=torch.bool), torch.tensor([[0], [3]]))
    scores_BN = torch.tensor([[-9.0, 1.0, 3.0, 2.0, 8.0], [5.0, 4.0, 3.0, -1.0, 9.0]])
    kept = repconc.keep_hardest({"own": own, "masked": View(torch.zeros(2, 5), mask_BN)}, scores_BN, 2)["masked"]
    assert kept.mask_BN.tolist() == [[True, False, True, True, False], [True, False, False, True, True]]


def test_the_queue_holds_the_newest_passages_and_joins_the_balance_without_being_coded() -> None:
    method = method_of(**{"repconc.queue": 40, "repconc.constraint": True})
    method.prepare([method.collate(ITEMS)])
    assert int(method.queued) == 0, "looking at the first batches is no training"
    seen = []
    for step in range(3):
        batch = method.collate([((i + 3 * step) % 20, step) for i in range(6)])
        seen.append(method.pq.rotate(repconc.embed_batch(method.encoder, batch).passages_ND).detach())
        method.step(batch)
    wanted = torch.cat(seen)[-40:]
    assert int(method.queued) == sum(map(len, seen))
    assert {tuple(r) for r in method.queue.tolist()} == {tuple(r) for r in wanted.tolist()}


def test_with_fewer_passages_than_centroids_the_codes_are_nearest_until_the_queue_has_filled(monkeypatch) -> None:
    calls: list[int] = []
    real = sinkhorn.assign
    monkeypatch.setattr(sinkhorn, "assign", lambda x, *a, **k: calls.append(len(x)) or real(x, *a, **k))
    method = method_of(**{"repconc.queue": 4, "repconc.negatives": 2})
    method.training_on.batches.source.sizes = (3,)
    for _ in range(2):
        method.score(method.collate([(1, 0)]))
    assert calls == [6], "3 passages of 4 at first, then 3 and 3 of the queue"


def test_a_plan_that_is_not_finite_ends_the_run_with_its_step_and_slice(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"step 1: the balanced assignment of slice m=0 of 4 is not finite"):
        run(tmp_path, configuration(**{"repconc.eps": 1e-5, "train.max_steps": 2}))


def test_settings_out_of_range_are_refused() -> None:
    for more in ({"similarity": "l2"}, {"eps": 0.0}, {"bits": 9}, {"centroid_lr": -1.0}, {"rounds": 0}, {"queue": -1}):
        with pytest.raises(ConfigError, match="repconc"):
            repconc.Config(**more)


def test_centroids_learn_by_their_own_rate_without_decay() -> None:
    method = method_of(**{"repconc.centroid_lr": 0.125, "train.weight_decay": 0.5})
    groups = method.parameter_groups()
    (of_centroids,) = [g for g in groups if any(p is method.pq.centroids for p in g["params"])]
    assert of_centroids["lr"] == 0.125 and of_centroids["weight_decay"] == 0.0 and len(of_centroids["params"]) == 1
    assert any(g["weight_decay"] == 0.5 for g in groups)


SHORT = {"train.lr": 0.05, "repconc.centroid_lr": 0.05, "repconc.queue": 16, "train.save": "2", "train.epochs": 4.0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """20 queries in batches of 8: three steps an epoch, the last with 4 queries; twelve steps in all."""
    return run(tmp_path_factory.mktemp("whole"), configuration(**SHORT))


def test_every_step_logs_row_error_and_balance_with_and_without_the_constraint(whole: RunPaths) -> None:
    steps = journal.steps(whole.metrics)
    assert len(steps) == 12
    for values in steps.values():
        loss = values["loss.infonce"] + 0.0768 * values["loss.mse"]
        assert values["loss"] == pytest.approx(loss, rel=1e-5)
        assert 0 <= values["row_error.mean"] <= values["row_error.max"]
        for measure in ("average", "max", "empty"):
            for name in ("imbalance", "imbalance_nearest"):
                low, mean, high = (values[f"{name}.{measure}.{how}"] for how in ("min", "mean", "max"))
                assert low <= mean <= high
    means = {n: np.mean([v[f"{n}.average.mean"] for v in steps.values()]) for n in ("imbalance", "imbalance_nearest")}
    assert means["imbalance"] < means["imbalance_nearest"]


def test_what_is_saved_are_the_trained_centroids_and_the_rotation_it_started_from(whole: RunPaths) -> None:
    saved, start = Quantizer.load(whole.model / "pq"), tiny.layer()
    assert np.array_equal(saved.rotation_ED, start.rotation.numpy())
    assert not np.allclose(saved.centroids_MKd, start.centroids.detach().numpy(), atol=1e-2)
    assert saved.query_centroids_MKd is None
    assert (saved.config.m, saved.config.bits) == (tiny.SLICES, 2)


def bytes_of(paths: RunPaths) -> dict[str, bytes]:
    return {str(f.relative_to(paths.model)): f.read_bytes() for f in paths.model.rglob("*") if f.is_file()}


@pytest.mark.parametrize("dies_in", [4, 9])
def test_a_training_that_dies_goes_on_to_the_same_bytes(whole: RunPaths, tmp_path: Path, dies_in: int) -> None:
    def build(config, context):
        method = tiny.build(config, context)
        real, steps = method.step, []

        def step(batch):
            steps.append(1)
            if len(steps) == dies_in:
                raise KeyboardInterrupt
            return real(batch)

        method.step = step
        return method

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, configuration(**SHORT), build)
    assert 0 < checkpoints.newest(RunPaths(tmp_path).checkpoints).step < dies_in
    again = run(tmp_path, configuration(**SHORT))
    assert bytes_of(again) == bytes_of(whole)
    assert {"pq/quantizer.json", "pq/centroids.npy", "pq/rotation.npy"} <= bytes_of(whole).keys()


@pytest.mark.slow
def test_kill_9_in_the_middle_and_the_same_command_again_gives_the_same_bytes(tmp_path: Path) -> None:
    settings = configuration(**{**SHORT, "train.epochs": 60.0, "train.save": "20"})
    made = []
    for name in ("whole", "killed"):
        paths = RunPaths(tmp_path / name)
        paths.folder.mkdir()
        paths.config.write_text(json.dumps(settings.to_json()))
        made.append(paths)
    whole, killed = made
    line = [sys.executable, tiny.__file__]
    subprocess.run([*line, str(whole.folder)], env=environment(), check=True, capture_output=True)
    with subprocess.Popen([*line, str(killed.folder)], env=environment(), stdout=subprocess.DEVNULL) as child:
        while not journal.steps(killed.metrics) or max(journal.steps(killed.metrics)) < 50:
            time.sleep(0.05)
            assert child.poll() is None, "it was over before it could be killed"
        child.send_signal(signal.SIGKILL)
    assert not killed.model.exists()
    subprocess.run([*line, str(killed.folder)], env=environment(), check=True, capture_output=True)
    assert bytes_of(killed) == bytes_of(whole)
