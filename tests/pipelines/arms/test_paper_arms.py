"""The arms of compression-paper with a step of training, in small: what --tiny makes of them fits together."""

from __future__ import annotations

import pytest
from workspace import Workspace

GROUP = "compression-paper"


def made(place: Workspace, line: str, arm: str) -> str:
    return str(place.ok(f"{line} --recipe {GROUP}:{arm} --tiny --seed 1 --json").json["run"])


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_codes_as_encoded_and_after_soft_whitening_are_trained_and_reported_apart(place: Workspace) -> None:
    vectors = made(place, "encode", "dense")
    evals = [f"--index {vectors}", f"--index {vectors} --set transform.name=soft_whiten"]
    for arm in ("opq-16", "opq-soft-16"):
        sets = "--set opq.m=4 --set opq.bits=4"
        codes = made(place, f"compress --method opq --data {vectors} {sets}", arm)
        learned = made(place, f"train --index {codes} --max-steps 2", arm.replace("opq", "jpq-distill"))
        evals += [f"--index {codes}", f"--index {learned}"]
    runs = [place.ok(f"eval {of} --split dev+test --data cranfield --json").json["run"] for of in evals]
    line = " ".join(f"--run {run}" for run in runs)
    (table,) = place.ok(f"report --split dev+test {line} --baseline {runs[2]} --json").json["tables"]
    assert len(table["rows"]) == 6
    place.ok(f"report --figure pareto --split dev+test {line} -o {place.folder / 'figures'}")
