"""What the demo does with the codes of an encoder that it trained itself."""

from __future__ import annotations

import pytest
from workspace import Workspace

from irctl.commands.demo.steps import next_lines


@pytest.mark.usefixtures("in_process")
@pytest.mark.slow
def test_codes_of_a_trained_encoder_are_trained_with_its_queries(place: Workspace) -> None:
    sets = "--set data.group_size=4 --set eval.during=off --set encoder.passage_max_len=16"
    model = place.ok(f"train --loss infonce --batch 4 --max-steps 1 {sets} --json").json["run"]
    folder = place.ok(f"encode --model {model} --json").json["folder"]
    sets = "--set opq.m=4 --set opq.bits=4 --set opq.iterations=1"
    codes = place.ok(f"compress --method opq --data {folder} {sets} --json").json["run"]
    line = f"train --recipe jpq-distill --model {model} --index {codes} --tiny --max-steps 2 --json"
    learned = place.ok(line).json["run"]
    assert place.ok(f"eval --model {model} --index {learned} --split test --json").json["results"]
    compressed = place.ok(f"eval --model {model} --index {codes} --split test")
    newest, baseline = (place.ok(f"runs ls --command eval -q --limit {n}").out.split()[-1] for n in (1, 2))
    assert f"run: {newest}, model {model}" in compressed.out
    for command in next_lines(newest, baseline):  # the last lines of a demo
        assert place.ok(command.partition("#")[0]).out
    listed = place.ok("runs ls").out
    assert codes in listed and learned in listed and "opq 2 B" in listed and "jpq distill" in listed
    systems = [r["system"] for r in place.ok("report --json").json["tables"][0]["rows"]]
    assert len(systems) == 2 and any("jpq distill" in s for s in systems), systems
