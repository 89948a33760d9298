"""A training against codes of transformed vectors: documents and queries are those that the codes were made of."""

from __future__ import annotations

import numpy as np
from compressing import save_vectors, vectors
from learning import opened
from workspace import Workspace

from irctl.data.judgements.runs import read_run
from irctl.models.transforms import files
from irctl.training.index.opening import NamedIndex


def test_a_trained_bundle_keeps_the_transform_and_is_searched_through_it(place: Workspace, in_process: None) -> None:
    save_vectors(place.folder / "x.npy", 1500)
    np.save(place.folder / "training.npy", vectors(40, seed=5) + np.float32(0.2))
    np.save(place.folder / "q.npy", vectors(30, seed=77) + np.float32(0.2))
    sets = "--set opq.m=16 --set opq.bits=4 --set opq.iterations=2 --set compress.batch=500"
    soft = "--set transform.name=soft_whiten --set transform.queries=training.npy"
    parent = opened(place.ok(f"compress --data x.npy --method opq --stream {sets} {soft} --json").json["bundle"])
    line = "train --method jpq --loss distill --data x.npy --max-steps 20 --batch 64 --set jpq.texts=training.npy"
    child = opened(place.ok(f"{line} --json").json["bundle"])
    fitted = files.of_bundle(child)
    assert fitted is not None and child.manifest["transform"] == parent.manifest["transform"]
    named = NamedIndex(
        str(parent.folder), [str(place.folder / "x.npy")], str(place.folder / "training.npy"), "texts", 40, False
    )
    raw = np.load(place.folder / "training.npy")
    np.testing.assert_array_equal(named.open_texts(parent)[0], fitted.transform.queries(raw))
    rows = np.arange(0, 1500, 7)
    np.testing.assert_array_equal(named.open_documents("").take(rows), fitted.transform.documents(vectors(1500)[rows]))
    for rerank in ("", " --rerank 1500"):
        done = place.ok(f"search --index {child.folder} --queries q.npy -k 10{rerank} --json").json
        found = {q: list(docs) for q, docs in read_run(place.folder / done["run_file"]).items()}
        queries = fitted.transform.queries(np.load(place.folder / "q.npy"))
        if rerank:
            scores = queries @ fitted.transform.documents(vectors(1500)).T
        else:
            scores = child.quantizer.scores(queries, child.take(np.arange(1500)))
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        assert found == {str(q): [str(r) for r in rows] for q, rows in enumerate(best)}, rerank
    refused = place.run(f"{line} --set transform.name=centre")
    assert refused.code == 2 and "a training compares vectors as its model makes them" in refused.err


def test_settings_of_a_transform_that_no_head_begins_as_are_refused(place: Workspace) -> None:
    refused = place.run("train --set transform.a=.9 --dry-run")
    assert refused.code == 2 and "transform.a (from --set): this training fits no transform" in refused.err
    head = "--set model.output_dim=base --set model.head_init=transform"
    refused = place.run(f"train {head} --set transform.name=whiten --set transform.a=.9 --dry-run")
    assert refused.code == 2 and "transform.a (from --set): transform.name=whiten does not read it" in refused.err
    place.ok(f"train {head} --set transform.a=.9 --dry-run")
    place.ok("train --set transform.name=none --dry-run")
