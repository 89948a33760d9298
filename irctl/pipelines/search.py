"""`irctl search`: every query against all vectors or codes, to a TREC run file.

Query vectors from a .npy file need no encoder, so neither torch nor transformers is imported for them.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import files, paths, stopping
from irctl.data import run_ids
from irctl.data.self_match import self_match
from irctl.errors import ConfigError, DataError
from irctl.index.rerank import check_depth
from irctl.index.shards import write_json
from irctl.pipelines import _outputs, _search_spread, _searched, _speed, _vectors, _watched
from irctl.pipelines._searched import Documents, Searched
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle


@dataclass(frozen=True)
class Ranking:
    """Result of a search. scores, rows [Q, k']; row -1 is no result."""

    scores_Qk: NDArray[np.float32]
    rows_Qk: NDArray[np.int64]
    boundary_ties: int
    speed: Mapping[str, float]


def search(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    model: str | None = None,
    index: str | None = None,
    queries: str | None = None,
    out: str | None = None,
) -> dict[str, Any]:
    """Search and write the run file; the payload of --json.

    model: encoder of the queries; default: the index's own, else the configuration's. index: bundle or vectors, by
    folder or run; default: the collection, encoded. queries: a .npy file of query vectors in place of the collection's.
    """
    check_depth(config.search.rerank, config.search.k)
    _outputs.check(Path(out) if out else run.out)
    if out:
        files.check_file(Path(out))  # now, not after the work
    _watched.check(config)
    if queries is not None:
        return _by_vectors(config, run, reporter, queries, index or "latest", out)
    searched = _searched.open_index(index, config) if index else None
    collection, split = collection_for(config, searched)
    asked = collection.queries(split)
    run_ids.refuse(collection, split)
    encoder, name = encoder_for(config, model, searched)
    if searched is None:
        searched = _corpus(encoder, name, collection, config, run, reporter)
    else:
        _searched.check_corpus(searched, collection)
        _searched.check_encoder(searched, encoder, name)
    queries_QD = query_vectors(encoder, asked, config)
    rule, said = self_match(collection, split, config.eval.self_match)
    if said:
        reporter.say(said)
    k = config.search.k + (rule == "drop")
    found = rank(searched, queries_QD, k, config, run.paths.folder, reporter)
    documents = Documents(searched, collection, reporter)
    target = _write(out, run, asked.ids, found, documents)
    watched = _watched.beside(
        target, searched, documents, dict(zip(asked.ids, queries_QD, strict=True)), config, reporter
    )
    fingerprint = encoder.fingerprint("passage")
    run.note(
        dataset=config.run.dataset or collection.name,
        dataset_fingerprint=collection.fingerprint,
        method="dense",
        model=name,
        model_fingerprint=fingerprint,
    )
    run.artifact("in", "model", encoder.located.folder, sha256=_trained(encoder) or fingerprint, dim=encoder.dim)
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    about = {"dataset": collection.name, "split": split, "model": name, "model_fingerprint": fingerprint}
    about |= {"k": config.search.k, "queries": len(asked.ids), **watched}
    return _payload(config, run, target, searched, found, about)


def each_split(
    config: Config, run: RunHandle, one: Callable[[Config, str | None], dict[str, Any]], out: str | None
) -> dict[str, Any]:
    """What `one(config, out)` makes for each split, a run file each; also what an evaluation asks of it later.

    out: the run file; of several splits a pattern with {split}. Raises ConfigError.
    """
    from irctl.pipelines import _eval_store as store
    from irctl.pipelines._eval_checks import STABLE

    splits = [s.strip() for s in config.data.split.split(",") if s.strip()] or [""]
    if len(splits) > 1 and out and "{split}" not in out:
        raise ConfigError(f"--out {out}: one file for {len(splits)} splits", hint="Name it as 'out/{split}.trec'")
    payloads = []
    for split in splits:
        stopping.check("the splits that are done")
        own = str(run.out / f"run.{split}.trec.gz") if len(splits) > 1 and not out else out
        mine = config.replace({"data.split": split}, config.origins["data.split"]) if len(splits) > 1 else config
        payloads.append(one(mine, own.replace("{split}", split) if own else None))
    told = [{k: v for k, v in p.items() if k in (*STABLE, "run_file") and v is not None} for p in payloads]
    write_json(run.out / store.SEARCH, run.scrubbed({"schema": "irctl/search/1", "searches": told}))
    if len(payloads) == 1:
        return payloads[0]
    files = [str(p["run_file"]) for p in payloads]
    table = [{k: p[k] for k in ("dataset", "split", "queries", "k", "run_file")} for p in payloads]
    keep = ("table", "lines", "ids")
    searches = [{k: v for k, v in p.items() if k not in keep} for p in payloads]
    return {"searches": searches, "run_files": files, "ids": files, "table": table}


def _by_vectors(
    config: Config, run: RunHandle, reporter: Reporter, queries: str, index: str, out: str | None
) -> dict[str, Any]:
    searched = _searched.open_index(index, config)
    queries_QD = read_queries(Path(queries), searched.dim)
    found = rank(searched, queries_QD, config.search.k, config, run.paths.folder, reporter)
    documents, ids = Documents(searched, None, reporter), list(map(str, range(len(queries_QD))))
    target = _write(out, run, ids, found, documents)
    watched = _watched.beside(target, searched, documents, dict(zip(ids, queries_QD, strict=True)), config, reporter)
    dataset = config.run.dataset or str(searched.about.get("collection", "")) or "vectors"
    run.note(dataset=dataset, dataset_fingerprint=searched.fingerprint, method="dense", model="")
    run.artifact("in", "queries", Path(queries), n_rows=len(ids), dim=searched.dim)
    about = {"dataset": dataset, "k": config.search.k, "queries": len(ids), **watched}
    return _payload(config, run, target, searched, found, about)


def read_queries(path: Path, dim: int) -> NDArray[np.float32]:
    """Query vectors [Q, D] of a .npy file. Raises DataError."""
    from irctl.index.rows import as_rows

    files.is_input(path)
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise DataError(f"{path}: not a .npy file of query vectors ({e})") from e
    return as_rows(loaded, dim, str(path))


def collection_for(config: Config, searched: Searched | None) -> tuple[Collection, str]:
    """The collection asked for, else the one the index was made from; and the split of its queries."""
    from irctl.pipelines.encode import collection_of

    collection = collection_of(_of_index(config, searched))
    return collection, config.data.split or collection.card.headline_split


def _of_index(config: Config, searched: Searched | None) -> Config:
    """The settings with the collection that the index was made from, unless they name one."""
    if searched is None or "data.source" in config.origins or not searched.about.get("data"):
        return config
    return config.replace({"data.source": searched.about["data"]}, "the index")


def encoder_for(config: Config, model: str | None, searched: Searched | None) -> tuple[Any, str]:
    """(encoder, name): the one asked for, else the index's own query encoder, else the configuration's.

    The name of a run's model is the run's id, also where it was asked for as the latest.
    """
    from irctl.models.encoder import load_encoder
    from irctl.models.locate import resolved

    name = model or (config.model.name if "model.name" in config.origins else "")
    own = searched.folder / "query_encoder" if searched is not None and searched.folder else None
    if not name and own is not None and own.is_dir():
        name = str(own)
    if not name and searched is not None:
        name = str(searched.about.get("model") or "")
    name = resolved(name or config.model.name)
    config = _of_index(config, searched)  # prompts may be those of a data set
    return load_encoder(config, None if name == config.model.name else name), name


def _trained(encoder: Any) -> str:
    """What the training that made the encoder calls it, whatever lengths and prompts it is searched with; or empty."""
    from irctl.ledger import indexing, query

    sql = f"SELECT sha256 FROM artifacts o WHERE role = 'out' AND kind = 'model' AND {indexing.IS_AT.format('?1')}"
    return next((str(row["sha256"]) for row in query.rows(sql, (str(encoder.located.folder.absolute()),))), "")


def _corpus(
    encoder: Any, name: str, collection: Collection, config: Config, run: RunHandle, reporter: Reporter
) -> Searched:
    """The collection's vectors: from the cache, or encoded now on every device."""
    from irctl.pipelines.encode import embedded

    named = config.replace({"model.name": name}, "the search")
    made, _ = embedded(encoder, collection.corpus, named, run, reporter)
    return _searched.of_vectors(_vectors.of_folder(Path(made.folder), collection.name), config)


def query_vectors(encoder: Any, asked: Queries, config: Config) -> NDArray[np.float32]:
    """The queries, encoded [Q, D]."""
    from irctl.models.embedding import embed_queries

    vectors: NDArray[np.float32] = embed_queries(encoder, asked.ids, asked.texts, config)
    return vectors


def rank(
    searched: Searched, queries_QD: NDArray[np.float32], k: int, config: Config, place: Path, reporter: Reporter
) -> Ranking:
    """The k best rows of each query, re-scored where asked. place: folder for the logs of several processes."""
    depth, started = max(k, config.search.rerank), time.perf_counter()
    found = _search_spread.search(searched, queries_QD, depth, config, place, reporter)
    ranked = (found.scores_Qk, found.rows_Qk, found.boundary_ties)
    if config.search.rerank:
        ranked = _searched.reranked(searched, queries_QD, found.rows_Qk, k, config)
    seconds = time.perf_counter() - started
    return Ranking(*ranked, _speed.measured(searched, queries_QD, k, seconds, config))


def _lists(found: Ranking, documents: Documents) -> Any:
    """(scores, document ids) of one query after the other."""
    for scores_k, rows_k in zip(found.scores_Qk, found.rows_Qk, strict=True):
        real_k = rows_k >= 0
        yield scores_k[real_k].tolist(), documents.of(rows_k[real_k])


def _write(out: str | None, run: RunHandle, ids: Sequence[str], found: Ranking, documents: Documents) -> Path:
    from irctl.data.trec import write_run

    target = Path(out) if out else run.out / "run.trec.gz"
    ranked = zip(ids, _lists(found, documents), strict=True)
    write_run(target, ((q, zip(names, scores, strict=True)) for q, (scores, names) in ranked), run.id)
    return target


def _payload(
    config: Config, run: RunHandle, target: Path, searched: Searched, found: Ranking, about: dict[str, Any]
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
        "rerank": config.search.rerank,
        "boundary_ties": found.boundary_ties,
        **{name: round(value, 3) for name, value in found.speed.items()},
    }
    return {**payload, "ids": [str(target)]}


def search_index(
    index: str, queries: Queries, config: Config, reporter: Reporter, *, k: int, place: Path | None = None
) -> tuple[list[list[float]], list[list[str]], dict[str, Any]]:
    """(scores, document ids, facts) of the k best documents of each query by the codes or vectors of an index.

    place: folder for the logs of several processes; default: the cache.
    """
    searched = _searched.open_index(index, config)
    encoder, name = encoder_for(config, None, searched)
    _searched.check_encoder(searched, encoder, name)
    collection, _ = collection_for(config, searched)
    _searched.check_corpus(searched, collection)
    queries_QD = query_vectors(encoder, queries, config)
    found = rank(searched, queries_QD, k, config, place or paths.cache() / "search", reporter)
    pairs = list(_lists(found, Documents(searched, collection, reporter)))
    about = {"model": name, "model_fingerprint": encoder.fingerprint("passage"), "index": searched.fingerprint}
    return [s for s, _ in pairs], [d for _, d in pairs], {**about, **searched.facts}


def describe(config: Config, *, index: str | None = None, queries: str | None = None) -> dict[str, Any]:
    """What --dry-run prints: what is searched, and the memory that takes, as far as no encoder has to be opened."""
    plan: dict[str, Any] = {"k": config.search.k, "rerank": config.search.rerank, "block": config.search.block}
    if queries is not None:
        index = index or "latest"
    if not index:
        from irctl.models.locate import find_local
        from irctl.models.similarity import in_force

        plan["similarity"] = in_force(config, find_local(config.model.name, config.model.revision))
        return {"search": {**plan, "in": f"{config.data.source}, encoded with {config.model.name}"}}
    searched = _searched.open_index(index, config)
    if queries is not None:
        plan["queries"] = len(read_queries(Path(queries), searched.dim))
    memory = config.search.block * (searched.dim * 4 + 4 * 512)
    facts = {k: v for k, v in searched.facts.items() if k != "bundle"}
    plan["processes"] = _search_spread.processes(searched, config)
    return {"search": {**plan, "in": str(searched.folder), **facts, "working memory": f"{memory / 2**20:.0f} MiB"}}
