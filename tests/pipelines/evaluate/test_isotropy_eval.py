"""`irctl eval --isotropy`: documents and queries apart, as they are compared, on rows that nothing was fitted on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl.config import from_sets, resolve
from irctl.index.arrays import normalize_rows
from irctl.ledger import query
from irctl.metrics.vectors import isotropy as measures
from irctl.metrics.vectors import moments
from irctl.models import fitted_rows
from irctl.models.encoder import load_encoder
from irctl.models.transforms import affine, router
from irctl.models.transforms.files import FittedTransform, hash_texts
from irctl.pipelines.evaluate import isotropy
from irctl.settings import Transform

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()
LINE = "eval --model all-MiniLM-L6-v2 --data spread --split dev --isotropy"


def texts() -> tuple[dict[str, str], dict[str, str]]:
    rng = np.random.default_rng(5)
    documents = {f"d{i}": " ".join(rng.choice(WORDS, 8)) for i in range(150)}
    return documents, {f"q{i}": " ".join(rng.choice(WORDS, 4)) for i in range(40)}


@pytest.fixture(scope="module", autouse=True)
def spread(place: Workspace) -> None:
    """`spread`: 150 documents, 40 queries; those of train are 15, q0 to q14."""
    judged = {f"q{i}": {f"d{i}": 1, f"d{i + 1}": 0} for i in range(40)}
    parts = {"train": range(15), "dev": range(15, 40)}
    splits = {name: {f"q{i}": judged[f"q{i}"] for i in numbers} for name, numbers in parts.items()}
    beir_folder(place.folder / "spread", *texts(), **splits)


def populations(done: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["population"]: row for row in done["searches"][0]["isotropy"]}


def encoded(encoder: Path) -> tuple[Any, Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder), device="cpu")
    documents, queries = texts()
    return model.encode(list(documents.values())), model.encode([queries[f"q{i}"] for i in range(15, 40)])


def test_documents_and_queries_are_measured_apart_as_they_are_compared(place: Workspace, tiny_encoder: Path) -> None:
    done = place.ok(f"{LINE} --set search.similarity=cosine --json").json
    found = populations(done)
    x, q = (normalize_rows(part) for part in encoded(tiny_encoder))
    second = (hash_texts(texts()[0].values()) & np.uint64(1)).astype(bool)
    halves = [measures.measure(x[~second]), measures.measure(x[second])]
    corpus, queries = found["corpus"], found["queries"]
    for name in ("IsoScore", "IsoScore.raw", "1-cos", "erank/d", "norm.mean"):
        assert corpus["values"][name] == pytest.approx((halves[0][name] + halves[1][name]) / 2, abs=2e-3), name
        assert queries["values"][name] == pytest.approx(measures.measure(q)[name], abs=1e-4), name
    assert (corpus["N"], corpus["D"], corpus["rows"]) == (75, 32, 150) and (queries["N"], queries["D"]) == (25, 32)
    assert queries["values"]["alignment"] == pytest.approx(measures.alignment(q, x[15:40]), abs=1e-4)
    assert "IsoScore*" in queries["values"] and "IsoScore*" not in corpus["values"]
    assert corpus["seed"] == 42 and "IsoScore" in corpus["centred"] and "mean-cos" not in corpus["centred"]


def test_values_are_in_the_ledger_with_n_and_d_and_how_they_were_measured_is_an_event(place: Workspace) -> None:
    done = place.ok(f"{LINE} --json").json
    measured = {(m["split"], m["name"]): m["value"] for m in query.measures(done["run"])}
    for split, population in (("corpus", "corpus"), ("queries dev", "queries")):
        row = populations(done)[population]
        assert measured[split, "IsoScore"] == row["values"]["IsoScore"] and measured[split, "N"] == row["N"]
    events = [json.loads(e["msg"]) for e in query.events(done["run"]) if e["code"] == "isotropy"]
    assert {(e["population"], e["held_out"]) for e in events} == {
        ("corpus", "two halves"),
        ("queries", "queries that nothing was fitted on"),
    }
    kept = json.loads((Path(done["run_dir"]) / "out" / "eval.json").read_text())
    assert kept["searches"][0]["isotropy"] == done["searches"][0]["isotropy"]
    shown = place.ok(f"runs show {done['run']}").out
    assert "erank/d" in shown and "queries dev" in shown


def test_a_transform_is_fitted_on_the_other_half_of_the_rows(place: Workspace, tiny_encoder: Path) -> None:
    done = place.ok(f"{LINE} --set transform.name=whiten --json").json
    corpus = populations(done)["corpus"]
    assert corpus["held_out"] == "two halves, each through a transform fitted on the other" and corpus["N"] == 75
    x = encoded(tiny_encoder)[0]
    own = measures.measure(isotropy.as_compared(_whiten(x), "cosine"))["IsoScore"]
    assert own > 1 > corpus["values"]["IsoScore"] + 0.1
    queries = populations(done)["queries"]
    assert (
        "alignment" in queries["values"] and "alignment is with documents that their transform" in queries["held_out"]
    )


def test_a_report_shows_isotropy_beside_quality_of_every_transform(place: Workspace) -> None:
    runs = [place.ok(f"{LINE} {more} --json").json["run"] for more in ("", "--set transform.name=soft_whiten")]
    line = f"report --run {runs[0]} --run {runs[1]} --split dev --columns nDCG@10,iso,1-cos,erank/d,queries:iso --json"
    shown = place.ok(line).json
    (table,) = shown["tables"]
    assert len(table["rows"]) == 2 and "1-cos" in str(table["columns"])
    assert any("IsoScore (debiased)" in note and "N=75, D=32" in note for note in table["notes"])


def _whiten(x: Any) -> Any:
    from irctl.models.transforms import affine

    return affine.fit(affine.measure([x]), Transform(name="whiten"), "cosine", None).documents(x)


def test_copies_of_a_document_lie_in_one_half_whatever_their_ids() -> None:
    x = np.random.default_rng(0).standard_normal((80, 8)).astype(np.float32)
    once = isotropy.MeasuredDocuments(x).measure(Transform(name="whiten"), "l2")
    twice = isotropy.MeasuredDocuments(np.concatenate([x, x])).measure(Transform(name="whiten"), "l2")
    assert twice["values"]["IsoScore.raw"] == pytest.approx(once["values"]["IsoScore.raw"], rel=1e-5)
    assert (once["N"], twice["N"]) == (40, 80)


def fitted_on(encoder: Path, folder: Path, hashes: Any) -> Path:
    """The encoder with a note of the texts that its head was fitted on."""
    shutil.copytree(encoder, folder)
    fitted_rows.save(folder, hashes)
    return folder


def test_rows_that_a_head_was_fitted_on_are_left_out_and_counted(place: Workspace, tiny_encoder: Path) -> None:
    documents = list(texts()[0].values())
    model = fitted_on(tiny_encoder, place.folder / "head", hash_texts(documents[:31]))
    done = place.ok(f"eval --model {model} --data spread --split dev --isotropy --json")
    corpus = populations(done.json)["corpus"]
    assert corpus["n_left_out"] == 31 and corpus["N"] == 119 // 2 and corpus["rows"] == 150
    assert "31 that the model was fitted on left out" in isotropy.write_line("spread", "dev", corpus)
    # nor do they take part in what queries are measured against: judged are d15 to d39, of which d31 on are left
    x, q = encoded(tiny_encoder)
    queries = populations(done.json)["queries"]["values"]
    assert queries["alignment"] == pytest.approx(measures.alignment(q[16:], x[31:40]), abs=1e-4)
    c0 = moments.of_rows(x[31:]).covariance_DD
    assert queries["IsoScore*"] == pytest.approx(measures.measure(q, reference_DD=c0)["IsoScore*"], abs=1e-4)


def test_a_transform_in_a_model_is_refused_whatever_its_head_and_later_trainings_say(
    place: Workspace, tiny_encoder: Path
) -> None:
    """A head's own rows came along into the exported folder and spoke for the transform's."""
    documents, queries = (list(part.values()) for part in texts())
    base = load_encoder(resolve(from_sets([f"model.name={tiny_encoder}"])))
    base.fitted_on = hash_texts(["a text of another corpus"])
    whitening = affine.fit(affine.measure([base.encode(documents)]), Transform(name="whiten"), "ip", None)
    router.save(
        place.folder / "white", base, FittedTransform(whitening, "key", "2 queries", hash_texts(queries[:2])), "dot"
    )
    exported = load_encoder(resolve(from_sets([f"model.name={place.folder / 'white'}"])))
    exported.save(place.folder / "later")  # as a training from it does
    for name in ("white", "later"):
        found = populations(place.ok(f"eval --model {name} --data spread --split dev --isotropy --json").json)
        assert "has the transform whiten" in found["corpus"]["refused"], name
        assert "--set transform.name=whiten" in found["corpus"]["refused"] and "values" in found["queries"], name
    # the queries of its mean, though nothing of the transform but its weights is in the later folder
    assert np.isin(hash_texts(queries[:2]), fitted_rows.load(place.folder / "later")).all()


def test_too_few_other_rows_are_refused_with_what_to_do(place: Workspace, tiny_encoder: Path) -> None:
    documents, queries = (list(part.values()) for part in texts())
    model = fitted_on(tiny_encoder, place.folder / "most", hash_texts(documents[:80]))
    done = place.ok(f"eval --model {model} --data spread --split dev --isotropy --json")
    refused = populations(done.json)["corpus"]["refused"]
    assert "IsoScore*" not in populations(done.json)["queries"]["values"], "of documents too few are left"
    assert "was fitted on all but 70 of 150 rows, expected at least 100 others" in refused and "--data" in refused
    assert "values" in populations(done.json)["queries"] and "isotropy of spread, corpus" in done.err
    model = fitted_on(tiny_encoder, place.folder / "all", hash_texts([*documents, *queries]))
    failed = place.run(f"eval --model {model} --data spread --split dev --isotropy")
    assert failed.code == 3 and "was fitted on all but 0 of 25 rows" in failed.err


def test_a_dry_run_says_that_isotropy_is_measured(place: Workspace) -> None:
    assert "corpus and queries" in place.ok(f"{LINE} --dry-run --json").out


def test_rankings_and_codes_have_no_isotropy(place: Workspace) -> None:
    ranking = place.ok("search --model all-MiniLM-L6-v2 --data spread --split dev --json").json["run"]
    refused = place.run(f"eval {ranking} --isotropy")
    assert refused.code == 2 and "is a ranking" in refused.err
    bundle = (
        place.ok("encode --data spread --json") and place.ok("compress --data latest --method sq --json").json["run"]
    )
    refused = place.run(f"eval --index {bundle} --data spread --split dev --isotropy")
    assert refused.code == 2 and "holds codes" in refused.err and "--index FOLDER of vectors" in refused.err
    again = place.run(f"eval --index {bundle} --data spread --split dev --isotropy --dry-run")
    assert (again.code, again.err) == (refused.code, refused.err)
    refused = place.run(f"eval --index {bundle} --recall-against exact --isotropy")
    assert refused.code == 2 and "--isotropy: goes with judgements" in refused.err
