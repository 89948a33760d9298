"""What the demo does with the codes of an encoder that it trained itself."""

from __future__ import annotations

import pytest
from workspace import Workspace


@pytest.mark.usefixtures("in_process")
def test_codes_of_a_trained_encoder_are_trained_with_its_queries(place: Workspace) -> None:
    sets = "--set data.group_size=4 --set eval.during=off --set encoder.passage_max_len=16"
    model = place.ok(f"train --loss infonce --batch 4 --max-steps 1 {sets} --json").json["run"]
    folder = place.ok(f"encode --model {model} --json").json["folder"]
    sets = "--set opq.m=4 --set opq.bits=4 --set opq.iterations=1"
    codes = place.ok(f"compress --method opq --data {folder} {sets} --json").json["run"]
    line = f"train --recipe jpq-distill --model {model} --index {codes} --tiny --max-steps 2 --json"
    learned = place.ok(line).json["run"]
    assert place.ok(f"eval --model {model} --index {learned} --split test --json").json["results"]
    place.ok(f"eval --model {model} --index {codes} --split test")
    systems = [r["system"] for r in place.ok("report --json").json["tables"][0]["rows"]]
    assert len(systems) == 2 and any("jpq distill" in s for s in systems), systems
