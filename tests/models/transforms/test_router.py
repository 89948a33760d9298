"""An encoder saved with its transform: two routes, the same vectors in any program with sentence-transformers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl import config
from irctl.errors import ConfigError
from irctl.models.encoder import load_encoder
from irctl.models.transforms import affine, files, router
from irctl.models.transforms.files import FittedTransform, hash_texts

DOCUMENTS = {f"d{i}": text for i, text in enumerate(("wing flow", "shock wave", "heat", "panel flutter", "jet noise"))}
QUERIES = {"a": "wing", "b": "flow of heat", "c": "shock", "d": "noise", "e": "flutter"}
JUDGED = {
    "train": {"a": {"d0": 1}, "b": {"d2": 1}},
    "dev": {"c": {"d1": 1}},
    "test": {"d": {"d4": 1}, "e": {"d3": 1}},
}
ALONE = """
import sys
sys.modules["irctl"] = None  # cannot be imported
import json
from sentence_transformers import SentenceTransformer
texts, found = json.load(sys.stdin), []
for folder in sys.argv[1:]:
    model = SentenceTransformer(folder, device="cpu")
    sides = [model.encode_query(texts).tolist(), model.encode_document(texts).tolist(), model.encode(texts).tolist()]
    found.append([*sides, model.similarity_fn_name])
json.dump(found, sys.stdout)
"""


def routed(place: Path, encoder: Path, **keys: object) -> tuple[Path, FittedTransform]:
    """(a model folder with a transform in it, the transform)."""
    base = load_encoder(config.resolve(config.from_sets([f"model.name={encoder}"])))
    settings = config.resolve(config.from_sets(f"transform.{k}={v}" for k, v in keys.items())).transform
    x = base.encode(list(DOCUMENTS.values()))
    mean = base.encode([QUERIES["a"], QUERIES["b"]], "query").mean(axis=0, dtype=np.float64)
    made = affine.fit(affine.measure([x]), settings, "ip", mean)
    fitted = FittedTransform(made, "key", "2 queries", np.unique(hash_texts([QUERIES["a"], QUERIES["b"]])))
    router.save(place, base, fitted, "dot")
    return place, fitted


@pytest.mark.slow
def test_folders_give_both_sides_where_irctl_cannot_be_imported(tmp_path: Path, tiny_encoder: Path) -> None:
    asked: list[dict[str, object]] = [{"name": "soft_whiten"}, {"name": "renorm"}, {"name": "whiten", "dim": 3}]
    made = [routed(tmp_path / str(n), tiny_encoder, **keys) for n, keys in enumerate(asked)]
    texts = [*QUERIES.values(), *DOCUMENTS.values()]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *(str(folder) for folder, _ in made)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    raw = load_encoder(config.resolve(config.from_sets([f"model.name={tiny_encoder}"]))).encode(texts)
    for (_, fitted), (query, document, either, similarity) in zip(made, json.loads(done.stdout), strict=True):
        np.testing.assert_allclose(query, fitted.transform.queries(raw), atol=1e-5)
        np.testing.assert_allclose(document, fitted.transform.documents(raw), atol=1e-5)
        assert either == document and similarity == "cosine"
        assert np.abs(np.array(query) - np.array(document)).max() > 1e-3


def test_irctl_opens_it_as_an_encoder_of_two_sides(tmp_path: Path, tiny_encoder: Path) -> None:
    folder, fitted = routed(tmp_path / "model", tiny_encoder, name="soft_whiten", dim=4)
    base, both = (
        load_encoder(config.resolve(config.from_sets([f"model.name={name}"]))) for name in (tiny_encoder, folder)
    )
    texts = list(DOCUMENTS.values())
    np.testing.assert_allclose(both.encode(texts), fitted.transform.documents(base.encode(texts)), atol=1e-5)
    np.testing.assert_allclose(both.encode(texts, "query"), fitted.transform.queries(base.encode(texts)), atol=1e-5)
    assert (both.dim, both.similarity, base.dim) == (4, "dot", 32)
    for side, of in (("passage", fitted.transform.documents), ("query", fitted.transform.queries)):
        forward = both.forward(both.features(texts, side)).detach().numpy()
        np.testing.assert_allclose(forward, of(base.encode(texts)), atol=1e-5)
    keys = {both.key("passage")["weights"], base.key("passage")["weights"]}
    assert len(keys) == 2 and both.key("passage")["modules"] != base.key("passage")["modules"]
    both.save(tmp_path / "again")
    again = load_encoder(config.resolve(config.from_sets([f"model.name={tmp_path / 'again'}"])))
    assert (again.encode(texts, "query") == both.encode(texts, "query")).all()


def test_a_command_writes_it_from_a_bundle_and_it_ranks_as_the_bundle_does(place: Workspace) -> None:
    beir_folder(place.folder / "toy", DOCUMENTS, QUERIES, **JUDGED)
    flat = "--method flat --set flat.dtype=float32 --set compress.probe=0"
    encoded = place.ok("encode --data toy --set transform.name=soft_whiten --json").json
    bundle = place.ok(f"compress --data {encoded['run']} {flat} --json").json["bundle"]
    made = place.ok(f"export {bundle} --to model --out {place.folder / 'routed'} --json").json
    assert made["transform"] == "soft_whiten a=0.25" and (place.folder / "routed" / "modules.json").is_file()
    by_codes = place.ok(f"eval --index {bundle} --data toy --split test --json").json
    by_model = place.ok("eval --model routed --data toy --split test --json").json
    values = [{r["measure"]: r["value"] for r in done["results"]} for done in (by_codes, by_model)]
    assert values[0] == values[1]
    card = (place.folder / "routed" / "README.md").read_text()
    assert (
        card.startswith("---\nbase_model: sentence-transformers/all-MiniLM-L6-v2\n")
        and str(place.folder) not in (card.partition("## Command")[0])
    )
    for said in (
        "transformed by soft_whiten a=0.25: two routes",
        "| fitted on the rows of | toy |",
        "| vectors | 32 dimensions, compared by",
        "| bundle | ",
        "Not evaluated when this was written: `irctl eval --model FOLDER",
        f"run `{made['run']}`",
    ):
        assert said in card, card
    by_vectors = place.ok(f"eval --index {encoded['run']} --data toy --split test --json").json
    every = place.ok("eval --model routed --data toy --split all --json")
    assert {r["n_queries"] for r in every.json["results"]} == {3} and "2 of 5 queries gave" in every.err
    of_vectors = place.ok(f"export {encoded['run']} --to model --out {place.folder / 'same'} --json").json
    one, two = (
        {p.name: p.read_bytes() for p in sorted((place.folder / name).rglob("*.safetensors"))}
        for name in ("routed", "same")
    )
    assert one == two and of_vectors["transform"] == made["transform"]
    results = (place.folder / "same" / "README.md").read_text().partition("## Results")[2]
    assert f"`{by_vectors['run']}`" in results
    assert all(f"| {r['measure']} | {r['value']:.4f} | not evaluated |" in results for r in by_vectors["results"])
    plain = place.ok("encode --data toy --json").json
    refused = place.run(f"export {plain['run']} --to model")
    assert refused.code == 2 and "has no transform" in refused.err and "transform.name=soft_whiten" in refused.err
    assert "model" in place.ok("export latest:encode --to model --set transform.name=centre --dry-run").out


def test_an_encoder_that_cuts_its_vectors_itself_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(tiny_encoder, cut)
    about = json.loads((cut / "config_sentence_transformers.json").read_text())
    (cut / "config_sentence_transformers.json").write_text(json.dumps(about | {"truncate_dim": 8}))
    base = load_encoder(config.resolve(config.from_sets([f"model.name={cut}"])))
    if not base.module.truncate_dim:  # this version of sentence-transformers does not read it from there
        base.module.truncate_dim = 8
    _, fitted = routed(tmp_path / "model", tiny_encoder, name="centre")
    with pytest.raises(ConfigError, match="cuts its vectors to 8 dimensions"):
        router.save(tmp_path / "no", base, fitted, "dot")


def test_the_transform_lies_in_the_folder(tmp_path: Path, tiny_encoder: Path) -> None:
    folder, fitted = routed(tmp_path / "model", tiny_encoder, name="soft_whiten")
    kept = files.load(folder / files.FOLDER)
    assert kept.gave_mean(hash_texts(["wing", "shock"])).tolist() == [True, False]
    assert json.loads((folder / "irctl.json").read_text())["transform"]["label"] == fitted.transform.label
