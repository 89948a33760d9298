"""What a command takes where nothing is named is in its record: `runs reproduce` and cards name the very same thing."""

from __future__ import annotations

import json

import pytest
from toy_collections import beir_folder
from workspace import Workspace, line_of

from irctl.ledger import query, taken
from irctl.ledger.recording import start_run

OPQ = "compress --method sq"


@pytest.fixture(scope="module")
def data(place: Workspace) -> str:
    """A collection of twelve documents."""
    documents = {f"d{i}": f"wing flow number {i}" for i in range(12)}
    return str(beir_folder(place.folder / "small", documents, {"q": "wing flow"}, test={"q": {"d1": 1}}))


def reproduced(place: Workspace, run: str) -> str:
    return place.ok(f"runs reproduce {run}").out.strip()


def source_of(run: str) -> str:
    return json.loads(query.find_run(run).columns["config_json"])["compress.source"]["value"]


def test_a_compression_is_reproduced_from_the_vectors_it_read_whatever_is_encoded_since(
    place: Workspace, data: str
) -> None:
    first = place.ok(f"encode --data {data} --json").json["run"]
    made = [place.ok(f"{OPQ}{more} --json").json for more in ("", " --data latest", " --set compress.source=latest")]
    place.ok(f"encode --data {data} --set encoder.passage_max_len=4")
    for run in made:
        assert source_of(run["run"]) == first
        assert "latest" not in reproduced(place, run["run"])
    again = place.ok(f"{reproduced(place, made[0]['run'])} --json").json
    assert source_of(again["run"]) == first
    place.ok(f"export {made[0]['run']} --to card --out {place.folder}/card.md")
    assert f"--data {first}" in (place.folder / "card.md").read_text()
    later = place.ok(f"{OPQ} --json").json["run"]
    assert source_of(later) != first


def test_an_export_and_an_evaluation_of_the_newest_name_what_they_took(place: Workspace, data: str) -> None:
    run = place.ok(f"{OPQ} --data synthetic:300,16,0.5 --json").json["run"]
    exported = place.ok("export --to npy --json").json["run"]
    again = place.ok("export latest --to npy --json").json["run"]
    card = place.ok(f"export --to card --out {place.folder}/own.md --json").json["run"]
    place.ok(f"{OPQ} --data synthetic:200,16,0.5")
    for one in (exported, again, card):
        assert f"irctl export {run}" in reproduced(place, one), one


def test_what_a_resumed_run_takes_stands_in_the_place_of_what_it_took_before() -> None:
    run = start_run(command="eval", argv=["irctl", "eval", "--baseline", "latest"], config=None)
    taken.record(run, "--model", "a")
    run.finish("failed")
    run = start_run(command="eval", argv=["irctl", "eval"], config=None, resume=run.paths.folder)
    taken.record(run, "b.trec")
    taken.record(run, "--baseline", "c")
    run.finish("completed")
    line = taken.pin(query.find_run(run.id), line_of(["eval", "--baseline", "latest"]), line_of)
    assert str(line) == "irctl eval b.trec --baseline c"
