"""All steps of RepCONC on the built-in collection, each by the line that the group has for it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspace import Workspace, line_of

from irctl import config, recipes_index
from irctl.index.bundle import open_bundle
from irctl.ledger import query
from irctl.pipelines.arms.steps import Asked, plan
from irctl.quantizers.shared import opening

pytestmark = pytest.mark.slow
ARMS = ("dense", "warmup", "hardneg", "stage1", "codes", "stage2", "jpq", "jpq-distill")
Chain = dict[str, dict[str, Any]]
"""By arm, what its main line and its evaluation printed."""
SMALLER = {"compress": " --set opq.m=8", "train": " --max-steps 2 --batch 8"}
"""The tiny encoder has 32 dimensions, and two steps show what there is to show."""


def run_chain(place: Workspace) -> Chain:
    """Run every line of the group in order; what the main line and the evaluation of each arm printed."""
    settings = config.resolve(recipes_index.layer("repconc", tiny=True))
    line = line_of("recipes run repconc --tiny")
    chains = plan(settings, Asked(recipe="repconc", tiny=True, line=line, read=line_of))
    made: Chain = {}
    for chain in chains:
        for words in chain.lines:
            text = shlex.join(words).replace("'", "")
            ids = {arm: found["main"]["run"] for arm, found in made.items() if "main" in found}
            text = re.sub(r"\{([\w-]+)\}", lambda m: ids.get(m[1]) or ids[chain.arm], text)  # noqa: B023
            more = SMALLER.get(words[0], "")
            if words[0] == "train" and "stage1" in text:
                more = " --max-steps 2"
            done = place.ok(f"{text}{more} --json").json
            found = made.setdefault(chain.arm, {})
            found["eval" if words[0] == "eval" else "main"] = done
    return made


@pytest.fixture
def chain(place: Workspace, in_process: None, shares_here: list[str], kept: Chain) -> Chain:
    """Once for the file: the fixtures that keep a training in this process last for a test."""
    if not kept:
        kept.update(run_chain(place))
    return kept


@pytest.fixture(scope="module")
def kept() -> Chain:
    return {}


def bundle_of(run: str) -> Path:
    return Path(query.artifacts(query.find_run(run), role="out", kind="bundle")[0]["path"])


def test_every_step_runs_and_is_measured_with_their_metric_json(chain: Chain) -> None:
    assert tuple(chain) == ARMS
    for arm in ("dense", "warmup", "codes", "stage2", "jpq", "jpq-distill"):
        folder = Path(chain[arm]["eval"]["run_dir"]) / "out/repconc"
        found = {s: json.loads((folder / s / "metric.json").read_text()) for s in ("dev", "test")}
        assert all(0 < f["ndcg"]["NDCG@10"] < 1 and f["perquery"] for f in found.values()), arm


def test_codes_and_centroids_are_where_the_source_has_them(chain: Chain) -> None:
    runs = (chain[arm]["main"]["run"] for arm in ("warmup", "codes", "stage2"))
    warm, one, two = (open_bundle(bundle_of(run), opening.load) for run in runs)
    rotations = [np.load(b.folder / "pq/rotation.npy") for b in (warm, one, two)]
    centroids = [np.load(b.folder / "pq/centroids.npy") for b in (warm, one, two)]
    np.testing.assert_array_equal(rotations[0], rotations[1])  # stays
    assert np.abs(centroids[0] - centroids[1]).max() > 0  # stage 1 trains them
    np.testing.assert_array_equal(centroids[1], centroids[2])  # the document side stays in stage 2
    assert np.abs(np.load(two.folder / "pq/query_centroids.npy") - centroids[2]).max() > 0
    assert [p["sha256"] for p in two.parts] == [p["sha256"] for p in one.parts]


def test_a_run_of_the_chain_stands_on_its_own_steps(place: Workspace, chain: Chain) -> None:
    """Links were: a second run evaluated the first one's model."""
    parents = {arm: {r.id for r in query.ancestors(found["main"]["run"])} for arm, found in chain.items()}
    ids = {arm: found["main"]["run"] for arm, found in chain.items()}
    assert ids["dense"] in parents["warmup"] and ids["warmup"] in parents["hardneg"]
    assert {ids["warmup"], ids["hardneg"]} <= parents["stage1"]
    assert ids["stage1"] in parents["codes"] and ids["codes"] in parents["stage2"]
    assert ids["stage1"] not in parents["jpq"]
    selected = {arm: query.find_run(ids[arm]).columns.get("selected_on_eval") for arm in ("stage1", "stage2", "jpq")}
    assert not any(selected.values())


def test_a_training_that_is_killed_has_failed_and_left_no_bundle(
    place: Workspace, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`set -e` without pipefail linked a crash as finished."""
    from irctl.errors import RunFailed
    from irctl.training.processes import launch

    before = query.newest("train")

    def killed(*args: Any, **more: Any) -> None:
        raise RunFailed("the training process was killed (signal 9)")

    monkeypatch.setattr(launch, "run", killed)
    line = f"train --recipe repconc-stage2 --tiny --index {chain['codes']['main']['run']} --max-steps 2 --seed 5"
    done = place.run(line)
    assert done.code == 1
    last = query.list_runs(command="train")[0]
    assert last.columns["status"] == "failed" and not query.artifacts(last, role="out", kind="bundle")
    newest = query.newest("train")
    assert before is not None and newest is not None and newest.id == before.id
    assert place.run(f"eval --index {last.id}").code == 3
