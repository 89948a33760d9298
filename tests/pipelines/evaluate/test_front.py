"""`irctl eval --transforms`: the values of single evaluations, in one run, over the same queries."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_transformed_eval import judged, texts
from toy_collections import beir_folder
from workspace import Workspace

from irctl import config
from irctl.errors import ConfigError
from irctl.models import known_encoder
from irctl.models.transforms import affine
from irctl.pipelines.evaluate.files import read_per_query
from irctl.pipelines.evaluate.front import asked


@pytest.fixture(scope="module", autouse=True)
def toy(place: Workspace) -> None:
    documents, queries = texts()
    beir_folder(place.folder / "toy", documents, queries, **judged())
    place.ok("encode --data toy")


def front(place: Workspace, words: str) -> dict[str, Any]:
    return place.ok(f"eval --index latest --data toy {words} --json").json


def values(done: dict[str, Any], measure: str = "nDCG@10") -> dict[tuple[str, str], float]:
    return {(r["transform"], r["similarity"]): r["value"] for r in done["results"] if r["measure"] == measure}


@pytest.mark.parametrize("transform, similarity", [
    ("none", "cosine"), ("soft_whiten:.5", "cosine"), ("soft_whiten:.5", "euclid"), ("whiten:20", "euclid"),
    ("remove_top:2", "cosine"), ("centre:corpus", "euclid"), ("renorm", "cosine"),
])  # fmt: skip
def test_a_row_has_the_values_of_the_evaluation_of_that_transform_alone(
    transform: str, similarity: str, place: Workspace
) -> None:
    done = front(place, f"--transforms none,{transform} --similarities {similarity} --split dev+test")
    name, *rest = transform.split(":")
    keys = {"soft_whiten": "a", "whiten": "dim", "remove_top": "remove", "centre": "query_mean"}
    own = f"--set transform.{keys[name]}={rest[0]}" if rest else ""
    alone = place.ok(
        f"eval --index latest --data toy --split dev+test --set search.similarity={similarity} "
        f"--set transform.name={name} {own} --json"
    ).json
    mine = [r for r in done["results"] if r["transform"].startswith(name)]
    assert {r["measure"]: r["value"] for r in mine} == {r["measure"]: r["value"] for r in alone["results"]}


def test_every_row_is_in_eval_json_the_ledger_and_the_values_of_queries(place: Workspace) -> None:
    done = front(place, "--transforms none,whiten --similarities cosine,euclid --split dev")
    folder = Path(done["run_dir"])
    kept = json.loads((folder / "out" / "eval.json").read_text())
    parts = ["none, cosine", "none, euclid", "whiten, cosine", "whiten, euclid"]
    assert [r["part"] for r in kept["results"] if r["measure"] == "nDCG@10"] == parts
    assert [s["part"] for s in kept["searches"]] == parts
    with sqlite3.connect(folder.parent / "ledger.db") as ledger:
        found = dict(
            ledger.execute("SELECT split, value FROM measures WHERE run_id = ? AND name = 'nDCG@10'", (folder.name,))
        )
    assert set(found) == {f"dev: {part}" for part in parts}
    per_query = read_per_query(folder / "out" / "per_query.parquet")
    for (transform, similarity), value in values(done).items():
        cell = ("toy", f"dev: {transform}, {similarity}", "nDCG@10")
        assert np.mean(list(per_query[cell].values())) == pytest.approx(value) == pytest.approx(found[cell[1]])


def test_queries_that_gave_a_mean_are_left_out_of_every_row(place: Workspace) -> None:
    own = front(place, "--transforms none,centre --split all")
    assert {r["n_queries"] for r in own["results"]} == {18}
    assert values(own) == values(front(place, "--transforms none,centre --split dev+test"))
    corpus = front(place, "--transforms none,centre:corpus --split all")
    assert {r["n_queries"] for r in corpus["results"]} == {30}
    refused = place.run("eval --index latest --data toy --transforms centre --split train")
    assert refused.code == 3 and "queries gave a transform its query mean: none is left" in refused.err


def test_a_front_of_a_model_is_that_of_its_vectors(place: Workspace) -> None:
    words = "--data toy --transforms none,whiten --split dev+test --json"
    model = "sentence-transformers/all-MiniLM-L6-v2"
    of_model = values(place.ok(f"eval --model {model} {words}").json)
    assert {t: v for (t, _), v in of_model.items()} == {
        t: v for (t, _), v in values(place.ok(f"eval {words}").json).items()
    }
    plan = place.ok("eval --data toy --transforms front --dry-run").out
    assert "soft_whiten a=0.25" in plan


def test_a_second_front_opens_no_encoder(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = values(front(place, "--transforms front --similarities cosine --split dev+test"))
    monkeypatch.setattr("irctl.models.encoder.load_encoder", lambda *_: pytest.fail("opened"))
    assert values(front(place, "--transforms front --similarities cosine --split dev+test")) == first


def test_the_keys_of_a_known_encoder_are_those_of_the_opened_one(place: Workspace, tiny_encoder: Path) -> None:
    from irctl.models.encoder import load_encoder

    resolved = config.resolve(config.from_sets([f"model.name={tiny_encoder}"]))
    opened = load_encoder(resolved).freeze()
    passages = {**opened.key("passage"), "dtype": opened.dtype}
    about = {"model": str(tiny_encoder), "encoder": passages, "similarity": opened.similarity}
    known = known_encoder.of_vectors(about, opened.dim, resolved)
    assert known is not None
    assert (known.dim, known.dtype, known.similarity) == (opened.dim, opened.dtype, opened.similarity)
    assert [known.key(side) for side in ("query", "passage")] == [opened.key(side) for side in ("query", "passage")]
    assert known.fingerprint() == opened.fingerprint()
    other = config.resolve(config.from_sets([f"model.name={tiny_encoder}", "encoder.query_max_len=8"]))
    assert known_encoder.of_vectors(about, opened.dim, other) is None  # only opening it says what that gives


@pytest.mark.parametrize("text, said", [
    ("whitten", "Did you mean 'whiten'?"), ("soft_whiten:2", "from 0 to 1"), ("none:corpus", "none takes no number"),
    ("renorm:3", "renorm takes no number"), ("whiten:x", "a whole number from 1 up"), (",", "names none"),
])  # fmt: skip
def test_what_a_list_of_transforms_cannot_say(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        asked.transforms(text, config.resolve(), 32)
    assert said in f"{refused.value}"


def test_a_front_has_the_untouched_vectors_first_and_each_transform_once() -> None:
    labels = [affine.label(affine.describe(t)) for t in asked.transforms("front,whiten", config.resolve(), 384)]
    assert labels[0] == "none" and "whiten dim=256" in labels and labels.count("whiten") == 1
    by_corpus = [affine.label(affine.describe(t)) for t in asked.transforms("front:corpus", config.resolve(), 384)]
    assert "soft_whiten a=0.25 query_mean=corpus" in by_corpus and len(by_corpus) == len(labels)


@pytest.mark.parametrize("text, dim, labels", [
    ("remove_top,remove_top:3", 384, ["remove_top remove=0"]),  # of 384 dimensions it takes 3 away
    ("remove_top:3,remove_top", 384, ["remove_top remove=3"]),
    ("remove_top,remove_top:3", 768, ["remove_top remove=0", "remove_top remove=3"]),
    ("whiten,whiten:384", 384, ["whiten"]), ("whiten,whiten:384", 768, ["whiten", "whiten dim=384"]),
])  # fmt: skip
def test_what_comes_to_the_same_in_vectors_of_this_width_is_one_row(text: str, dim: int, labels: list[str]) -> None:
    assert [affine.label(affine.describe(t)) for t in asked.transforms(text, config.resolve(), dim)] == labels


def test_without_training_queries_own_means_and_that_of_the_corpus_are_one_row(place: Workspace) -> None:
    documents, queries = texts()
    beir_folder(place.folder / "bare", documents, queries, test=judged()["test"])
    done = place.ok("eval --data bare --transforms none,centre,centre:corpus,remove_top,remove_top:1 --json").json
    assert [t for t, _ in values(done)] == ["none", "centre query_mean=corpus", "remove_top query_mean=corpus remove=1"]
    assert len(done["results"]) == 3 * len({r["measure"] for r in done["results"]})


@pytest.mark.parametrize("words", [
    "--transforms front --baseline latest", "--transforms front --set transform.name=whiten",
    "--similarities cosine --set search.similarity=dot", "--transforms front --rerank 10", "--similarities l3",
])  # fmt: skip
def test_options_that_name_one_ranking_do_not_go_with_a_front(words: str, place: Workspace) -> None:
    assert place.run(f"eval --index latest --data toy {words}").code == 2


def test_the_isotropy_table_has_a_row_for_each_form_and_what_it_gains(place: Workspace) -> None:
    done = front(place, "--transforms none,soft_whiten,whiten --similarities cosine,euclid --split dev+test")
    run = Path(done["run_dir"]).name
    (table,) = place.ok(f"report --table isotropy --run {run} --json").json["tables"]
    assert [c["key"] for c in table["columns"]][:6] == ["similarity", "nDCG@10", "delta", "p", "p_adj", "iso"]
    assert [r["cells"]["similarity"]["text"] for r in table["rows"]] == ["cosine"] * 3 + ["euclid"] * 3
    compared = table["comparisons"]
    assert len(compared) == 5 and {c["family"] for c in compared} == {5}
    mine = {c["system"]: c["delta"] for c in compared}
    untouched, soft = (values(done)[t, "cosine"] for t in ("none", "soft_whiten a=0.25"))
    (name,) = (n for n in mine if n.endswith("soft_whiten a=0.25, cosine"))
    assert mine[name] == pytest.approx(soft - untouched)
    notes = " ".join(table["notes"])
    assert "Holm-corrected over a family of 5" in notes and "Power: " in notes and "N=60, D=32" in notes
    plain = Path(place.ok("eval --index latest --data toy --split dev+test --json").json["run_dir"]).name
    main = place.ok(f"report --run {run} --run {plain}").out
    assert f"Left out, with a table of their own (--table isotropy): {run}" in main and "whiten" not in main


def test_isotropy_of_a_front_is_that_of_the_single_evaluation(place: Workspace) -> None:
    """Held out: whitening fitted on its own rows would be flatter than chance."""
    words = "--index latest --data toy --split dev+test --json"
    done = place.ok(f"eval {words} --transforms none,whiten --similarities cosine").json
    mine = {s["transform"]: s["isotropy"][0] for s in done["searches"]}
    alone = place.ok(f"eval {words} --isotropy --set transform.name=whiten --set search.similarity=cosine").json
    (theirs,) = (row for row in alone["searches"][0]["isotropy"] if row["population"] == "corpus")
    for name in ("IsoScore", "1-cos", "erank/d"):
        assert mine["whiten"]["values"][name] == pytest.approx(theirs["values"][name], abs=1e-6)
    assert mine["whiten"]["N"] == mine["none"]["N"] == theirs["N"]
    assert mine["whiten"]["values"]["IsoScore"] < 1


def test_isotropy_asked_of_a_front_is_of_the_queries_too_and_by_every_measure(place: Workspace) -> None:
    words = "--index latest --data toy --split dev+test --json"
    front_of = f"eval {words} --transforms none,whiten --similarities cosine"
    done = place.ok(f"{front_of} --isotropy").json
    rows = {(s["transform"], row["population"]): row for s in done["searches"] for row in s["isotropy"]}
    alone = place.ok(f"eval {words} --isotropy --set transform.name=whiten --set search.similarity=cosine").json
    for row in alone["searches"][0]["isotropy"]:
        mine = rows["whiten", row["population"]]
        assert mine["N"] == row["N"] and mine["values"].keys() == row["values"].keys() >= {"I(W)", "SIGReg"}
        assert mine["values"] == {k: pytest.approx(v, abs=1e-5) for k, v in row["values"].items()}
    printed = place.ok(f"{front_of} --isotropy".replace(" --json", "")).out
    assert "IsoScore, queries" in printed and "isotropy of queries (N=18)" in printed
    without = place.ok(front_of).json["searches"][0]["isotropy"]
    assert [row["population"] for row in without] == ["corpus"] and "SIGReg" not in without[0]["values"]


def test_what_is_printed_has_the_gain_of_each_row_its_isotropy_and_the_power(place: Workspace) -> None:
    words = "--transforms none,soft_whiten,whiten --similarities cosine,euclid --split dev+test"
    done = front(place, words)
    assert {(c["baseline"], c["family"]) for c in done["comparisons"]} == {("none, cosine", 5)}
    gain = {c["system"]: c["delta"] for c in done["comparisons"]}
    mean = values(done)
    assert gain["whiten, euclid"] == pytest.approx(mean["whiten", "euclid"] - mean["none", "cosine"])
    printed = place.ok(f"eval --index latest --data toy {words}").out
    assert "p by Holm over a family of 5" in printed and "is just significant at 18 queries" in printed
    assert "IsoScore" in printed and "erank/d" in printed and "N=60" in printed
    without = place.ok("eval --index latest --data toy --transforms whiten --split dev").out
    assert "difference: from" not in without and "isotropy of documents" in without
