"""Regularizers in a training step: which rows, what values, what share of the gradient, and what is said of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from torch import Tensor

from irctl.errors import ConfigError, RunFailed
from irctl.methods.dense import Method
from irctl.paths import RunPaths
from irctl.regularizers import cov_iso, gor, istar, sigreg
from irctl.training.groups.batches import unpack_views
from irctl.training.loop import session
from irctl.training.method import StepOutput
from irctl.training.parallel.batch_vectors import embed_batch
from irctl.training.run_files import journal


def method_of(regularizer: str, *, is_unit: bool = False, **values: Any) -> tuple[Method, list[str], list[dict]]:
    """(a method over the tiny data, what it warned of, its events)."""
    warned: list[str] = []
    events: list[dict] = []

    def event(name: str, **row: Any) -> None:
        events.append({"event": name, **row})

    config = tiny.configuration(**{"train.regularizer": regularizer, "loss.temperature": 0.2, **values})
    method = tiny.method_of(config, micro=8, warn=warned.append, event=event, is_unit=is_unit)
    return method, warned, events


def rows_of(method: Method, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Queries and positives, by hand: labels of the tiny groups are 3, 2, 1, 0 and positives start at 2."""
    vectors, own = embed_batch(method.encoder, batch), unpack_views(batch)["own"]
    columns = [
        column
        for b, labels_K in enumerate(own.labels_BN)
        for k, column in enumerate(own.columns_BK[b].tolist())
        if labels_K[k] >= 2
    ]
    return vectors.queries_BD, vectors.passages_ND[columns]


def step(method: Method, rows: int = 8) -> tuple[StepOutput, dict[str, Any]]:
    batch = method.collate([(i, 0) for i in range(rows)])
    return method.step(batch), batch


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ("separate", {"rows.queries": 8, "rows.passages": 16}),
        ("joint", {"rows.joint": 24}),
        ("queries", {"rows.queries": 8}),
        ("passages", {"rows.passages": 16}),
    ],
)
def test_the_rows_are_queries_and_their_positives_alone(rows: str, sizes: dict[str, int]) -> None:
    method, _, _ = method_of("cov_iso:0.5", **{"train.regularizer_rows": rows})
    found, batch = step(method)
    queries_BD, positives_ND = rows_of(method, batch)
    given = {
        "separate": [queries_BD, positives_ND],
        "joint": [torch.cat([queries_BD, positives_ND])],
        "queries": [queries_BD],
        "passages": [positives_ND],
    }[rows]
    expected = sum(cov_iso.regularize(z_ND, cov_iso.Config()) for z_ND in given) / len(given)
    assert torch.allclose(found.parts["cov_iso"], expected) and found.measures == sizes
    assert torch.allclose(found.loss, found.parts["infonce"] + 0.5 * expected)


def test_rows_that_are_compared_by_direction_are_as_long_as_isotropic_ones() -> None:
    config = sigreg.Config(slices=16)
    method, _, _ = method_of(
        "sigreg", is_unit=True, **{"regularizer.sigreg.slices": 16, "train.regularizer_rows": "queries"}
    )
    found, batch = step(method)
    z_BD = rows_of(method, batch)[0]
    unit_BD = z_BD / z_BD.norm(dim=1, keepdim=True)
    assert torch.allclose(
        found.parts["sigreg"], sigreg.regularize(8**0.5 * unit_BD, config, step=0, seed=42), rtol=1e-5
    )


def test_slices_follow_the_seed_and_the_step_and_go_on_where_a_checkpoint_was() -> None:
    settings = {"regularizer.sigreg.slices": 16, "train.regularizer_rows": "queries"}
    whole, _, _ = method_of("sigreg", **settings)
    values = [float(step(whole)[0].parts["sigreg"]) for _ in range(3)]
    assert len(set(values)) == 3  # the weights stay, the slices do not
    first, _, _ = method_of("sigreg", **settings)
    step(first), step(first)
    assert first.state()["regularizer_step"] == 2
    resumed, _, events = method_of("sigreg", **settings)
    resumed.restore(first.state())
    assert float(step(resumed)[0].parts["sigreg"]) == values[2] and not events
    other, _, _ = method_of("sigreg", **settings, **{"run.seed": 7})
    assert float(step(other)[0].parts["sigreg"]) != values[0]


def test_a_training_lowers_what_it_regularizes(tmp_path: Path) -> None:
    last = {}
    for weight in (1e-9, 3.0):
        values = {"train.regularizer": f"cov_iso:{weight}", "train.max_steps": 30, "train.lr": 0.02, "train.save": "30"}
        paths = RunPaths(tmp_path / str(weight))
        session.run(tiny.configuration(**{"run.name": "no dropout", **values}), paths, tiny.build)
        last[weight] = journal.steps(paths.metrics)[30]["loss.cov_iso"]
    assert last[3.0] < 0.7 * last[1e-9]


def test_a_training_that_was_cut_off_draws_the_slices_of_one_that_was_not(tmp_path: Path) -> None:
    values = {"train.regularizer": "sigreg:.5,istar:.5", "regularizer.sigreg.slices": 8, "regularizer.istar.zeta": 0.5}
    config = tiny.configuration(**values, **{"train.max_steps": 4, "train.save": "2", "train.lr": 0.1, "train.keep": 9})
    whole, cut = (RunPaths(tmp_path / name) for name in ("whole", "cut"))
    session.run(config, whole, tiny.build)
    cut.checkpoints.mkdir(parents=True)
    shutil.copytree(whole.checkpoints / "step-2", cut.checkpoints / "step-2")
    session.run(config, cut, tiny.build)
    before, after = (journal.steps(paths.metrics) for paths in (whole, cut))
    assert list(after) == [3, 4] and all(after[s] == before[s] for s in after)
    assert before[3]["loss.sigreg"] != before[4]["loss.sigreg"]
    weights = [(paths.model / "model.safetensors").read_bytes() for paths in (whole, cut)]
    assert weights[0] == weights[1]
    assert [e["event"] for e in journal.events(cut.metrics)].count("regularizers") == 0


def test_the_share_of_the_gradient_is_told_once() -> None:
    method, warned, events = method_of("gor:0.5", **{"train.regularizer_rows": "queries"})
    step(method), step(method)
    assert [e["event"] for e in events] == ["regularizers"] and not warned
    batch = method.collate([(i, 0) for i in range(8)])
    scored = method.score(batch)
    queries_BD = scored.rows["queries"].vectors_XD
    term = 0.5 * gor.regularize(queries_BD, gor.Config())
    loss, _ = method.objective(scored.scores_BN, scored.views)
    own, whole = (torch.autograd.grad(v, queries_BD, retain_graph=True)[0].norm() for v in (term, loss + term))
    assert events[0]["shares"]["gor"] == pytest.approx(float(own / whole), rel=1e-5)


def test_uniformity_is_logged_beside_the_alignment_of_pairs() -> None:
    method, _, _ = method_of("uniformity:.1")
    found, batch = step(method)
    queries_BD, positives_ND = (x / x.norm(dim=1, keepdim=True) for x in rows_of(method, batch))
    own_ND = queries_BD.repeat_interleave(2, dim=0)  # two positives a query
    expected = (own_ND - positives_ND).square().sum(1).mean()
    assert torch.allclose(found.measures["alignment"], expected) and not found.measures["alignment"].requires_grad
    other, _, _ = method_of("gor:.1")
    assert "alignment" not in step(other)[0].measures


@pytest.mark.parametrize(("rows", "seen"), [("separate", ("queries", "passages")), ("joint", ("joint",))])
def test_istar_is_drawn_towards_covariances_of_many_training_rows(rows: str, seen: tuple[str, ...]) -> None:
    settings = {"train.regularizer_rows": rows, "regularizer.istar.zeta": 0.75}
    method, _, events = method_of("istar", **settings)
    assert method.state_dict()["regularization.reference_PDD"].shape == (len(seen), 8, 8), "kept with the weights"
    method.prepare([method.collate([(i, 0) for i in range(8)])])
    all_of = rows_of(method, method.collate([(i, 0) for i in range(20)]))  # the source has 20 queries
    batch = method.collate([(i, 0) for i in range(8)])
    given = rows_of(method, batch)
    if rows == "joint":
        all_of, given = (torch.cat(all_of),), (torch.cat(given),)
    expected = [
        istar.regularize(z_ND, istar.Config(zeta=0.75), reference_DD=torch.cov(whole_ND.T))
        for z_ND, whole_ND in zip(given, all_of, strict=True)
    ]
    assert torch.allclose(method.step(batch).parts["istar"], torch.stack(expected).mean(), rtol=1e-5)
    assert events[0]["sampled"] == {name: len(z_ND) for name, z_ND in zip(seen, all_of, strict=True)}
    plain, _, events = method_of("istar", **{"train.regularizer_rows": rows})
    plain.prepare([batch])
    step(plain)
    assert "sampled" not in events[0] and "regularization.reference_PDD" not in plain.state_dict()


def test_a_weight_so_small_that_it_does_nothing_is_said_in_one_line() -> None:
    method, warned, _ = method_of("gor:1e-7")
    step(method), step(method)
    (line,) = warned
    assert line.startswith("gor: weight 1e-07 gives it ") and "Raise its weight in train.regularizer" in line
    assert "\n" not in line


def test_a_gradient_of_exactly_0_is_said_too() -> None:
    method, warned, events = method_of("sigreg:0.1", **{"regularizer.sigreg.clip": 1e6})
    step(method)
    (line,) = warned
    assert line.startswith("sigreg: its gradient is exactly 0 at the first step")
    assert events[0]["shares"] == {"sigreg": 0.0}


def test_batches_of_fewer_than_three_rows_have_no_term_and_that_is_said_once() -> None:
    method, warned, _ = method_of("gor:0.5", **{"train.regularizer_rows": "queries"})
    step(method)
    for _ in range(2):
        found, _ = step(method, rows=2)
        assert found.parts["gor"] == 0 and found.measures == {"rows.queries": 2}
        assert torch.equal(found.loss, found.parts["infonce"])
    assert warned == ["train.regularizer: a batch has fewer than 3 rows (2 of queries): there its terms are 0"]


def test_rows_without_a_gradient_are_refused() -> None:
    method, _, _ = method_of("gor:0.5")
    method.module.requires_grad_(False)
    with pytest.raises(ConfigError, match="no vector of the queries gets a gradient"):
        step(method)


def test_collapsed_rows_end_the_training_with_the_population_named() -> None:
    method, _, _ = method_of("cov_iso:0.5")
    for p in method.encoder.module["out"].parameters():
        torch.nn.init.zeros_(p)
    with pytest.raises(RunFailed, match=r"cov_iso: all 8 rows are equal.*\(queries and passages\)"):
        step(method)


def test_without_regularizers_nothing_is_kept_or_logged() -> None:
    method, _, _ = method_of("")
    found, _ = step(method)
    assert list(found.parts) == ["infonce"] and not found.measures and "regularizer_step" not in method.state()
