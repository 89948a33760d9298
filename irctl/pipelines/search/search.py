"""`irctl search`: every query against all vectors or codes, to a TREC run file.

Query vectors from a .npy file need no encoder, so neither torch nor transformers is imported for them.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files
from irctl.data.collections import check
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.self_match import say_self_match
from irctl.errors import DataError
from irctl.index import scan_block
from irctl.index.rerank import check_depth
from irctl.models import fingerprints
from irctl.pipelines import outputs
from irctl.pipelines.references import transforms
from irctl.pipelines.references.trained_models import hash_of_training
from irctl.pipelines.search import opened_index, spread, watched_documents
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.encoder_pair import check_encoder
from irctl.pipelines.search.opened import Opened
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.search.query_vectors import encode_queries, find_mean_queries, read_queries, take
from irctl.pipelines.search.rank import Ranking, rank, to_lists
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle


def search(
    opened: Opened,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    collection: Collection | None = None,
    queries: str | None = None,
    out: str | None = None,
    measured: bool = False,
) -> dict[str, Any]:
    """Search and write the run file; the payload of --json.

    opened: what is searched and by which encoder. collection: opened already; default: the one that the settings or the
    index name. queries: a .npy file of query vectors in place of the collection's. measured: the ranking will be
    evaluated, so queries that gave the transform its query mean are left out. Under `gave_mean` the payload has their
    ids, left out or not. DataError where no other query is there.
    """
    check_depth(config.search.rerank, config.search.k)
    outputs.check(Path(out) if out else run.out)
    if out:
        files.check_file(Path(out))  # now, not after the work
    watched_documents.check(config.search.watch_docs)
    target = Path(out) if out else run.out / "run.trec.gz"
    if queries is not None:
        return _search_vectors(opened, config, run, reporter, Path(queries), target)
    return _search_texts(opened, config, run, reporter, collection or opened.collection(config), target, measured)


def _search_texts(
    opened: Opened,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    collection: Collection,
    target: Path,
    measured: bool,
) -> dict[str, Any]:
    """By the queries of the collection, encoded."""
    split = collection.split_named(config.data.split or collection.card.headline_split)
    queries = collection.queries(split)
    check.refuse_unfit_ids(collection, split)
    encoder, name = opened.encoder(config)
    searched = opened.index(config)
    if searched is None:
        searched = opened.encoded(collection, config, run, reporter)
    else:
        opened_index.check_corpus(searched, collection)
        check_encoder(searched, encoder, name)
    gave_Q = find_mean_queries(encoder, queries, config, searched)
    gave_mean = take(queries, gave_Q).ids
    if measured and gave_mean:
        queries = take(queries, ~gave_Q)
        if not len(queries):
            raise DataError(
                f"{collection.name} {split}: all {len(gave_mean)} queries gave "
                f"{searched.facts.get('transform', name)} its query mean, so nothing is measured by them",
                hint="Measure other queries (--split dev+test), or use --set transform.query_mean=corpus",
            )
    queries_QD = encode_queries(encoder, queries, config, searched)
    k = config.search.k + say_self_match(collection, split, config.eval.self_match, reporter).drops
    ranking = rank(searched, queries_QD, k, config, run.paths.folder, reporter)
    documents = Documents(searched, collection, reporter)
    _write(target, run, queries.ids, ranking, documents)
    vectors = dict(zip(queries.ids, queries_QD, strict=True))
    watched = watched_documents.write_scores(target, searched, documents, vectors, config, reporter)
    fingerprint = encoder.fingerprint("passage")
    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        method=searched.facts.get("compression", "dense"),
        model=name,
        model_fingerprint=fingerprint,
    )
    run.artifact(
        "in",
        "model",
        encoder.located.folder,
        sha256=hash_of_training(encoder.located.folder) or fingerprint,
        dim=encoder.dim,
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    about = {"dataset": collection.name, "split": split, "model": name, "model_fingerprint": fingerprint}
    about |= {"k": config.search.k, "queries": len(queries.ids), **watched}
    about["reading"] = fingerprints.describe_reading(encoder, searched.about.get("encoder") or {}, config.origins)
    about |= {"gave_mean": gave_mean} if gave_mean else {}
    return _finish(config.search.rerank, run, target, searched, ranking, about)


def _search_vectors(
    opened: Opened, config: Config, run: RunHandle, reporter: Reporter, queries: Path, target: Path
) -> dict[str, Any]:
    """By query vectors of a file."""
    searched = opened.index(config, default="latest")
    assert searched is not None
    queries_QD = searched.of_queries(read_queries(queries, searched.raw_dim))
    ranking = rank(searched, queries_QD, config.search.k, config, run.paths.folder, reporter)
    documents, ids = Documents(searched, None, reporter), list(map(str, range(len(queries_QD))))
    _write(target, run, ids, ranking, documents)
    vectors = dict(zip(ids, queries_QD, strict=True))
    watched = watched_documents.write_scores(target, searched, documents, vectors, config, reporter)
    dataset = dataset_name(config.run.dataset, str(searched.about.get("collection", "")), "vectors")
    method = searched.facts.get("compression", "dense")
    run.note(dataset=dataset, dataset_fingerprint=searched.fingerprint, method=method, model="")
    run.artifact("in", "queries", queries, n_rows=len(ids), dim=searched.dim)
    about = {"dataset": dataset, "k": config.search.k, "queries": len(ids), **watched}
    return _finish(config.search.rerank, run, target, searched, ranking, about)


def _write(target: Path, run: RunHandle, ids: Sequence[str], found: Ranking, documents: Documents) -> None:
    from irctl.data.judgements.runs import write_run

    ranked = zip(ids, to_lists(found, documents), strict=True)
    write_run(target, ((q, zip(names, scores, strict=True)) for q, (scores, names) in ranked), run.id)


def _finish(
    rerank: int, run: RunHandle, target: Path, searched: Searched, found: Ranking, about: dict[str, Any]
) -> dict[str, Any]:
    if searched.folder is not None:
        kind = "bundle" if searched.bundle is not None else "embeddings"
        run.artifact("in", kind, searched.folder, sha256=searched.fingerprint, n_rows=searched.rows, dim=searched.dim)
    run.artifact("out", "run_file", target, n_rows=int(about["queries"]))
    for name, value in {"boundary_ties": float(found.boundary_ties), **found.speed}.items():
        run.metric(name, value, dataset=str(about["dataset"]), split=str(about.get("split", "")))
    payload = {
        "run_file": str(target),
        "method": "dense",
        **about,
        **searched.facts,
        "rerank": rerank,
        "boundary_ties": found.boundary_ties,
        **{name: round(value, 3) for name, value in found.speed.items()},
    }
    return {**payload, "ids": [str(target)]}


def describe(config: Config, *, index: str | None = None, queries: str | None = None) -> dict[str, Any]:
    """What --dry-run prints: what is searched, and the memory that takes, as far as no encoder has to be opened."""
    plan: dict[str, Any] = {"k": config.search.k, "rerank": config.search.rerank}
    if queries is not None:
        index = index or "latest"
    if not index:
        from irctl.models import folder_facts
        from irctl.models.locate import find_local
        from irctl.models.similarity import describe_similarity

        folder_facts.check(config)
        local = find_local(config.model.name, config.model.revision)
        plan["similarity"] = describe_similarity(config.search.similarity, config.encoder.normalize, local)
        plan["block"] = scan_block.choose(config.search.block, config.search.k, None)
        plan |= transforms.describe(config)
        return {"search": {**plan, "in": f"{config.data.source}, encoded with {config.model.name}"}}
    searched = opened_index.open_index(index, config, fits=False)
    plan |= transforms.describe(config)
    if queries is not None:
        plan["queries"] = len(read_queries(Path(queries), searched.raw_dim))
    depth = max(config.search.k, config.search.rerank)
    plan["block"] = block = searched.choose_block(depth, config.search.block)
    memory = scan_block.estimate_memory(min(block, searched.rows), searched.dim, searched.scanned_size)
    facts = {k: v for k, v in searched.facts.items() if k != "bundle"}
    plan["processes"] = spread.count_processes(searched.rows, config.hardware.devices, block)
    return {"search": {**plan, "in": str(searched.folder), **facts, "working memory": f"{memory / 2**20:.0f} MiB"}}
