"""Mining hard negatives: rank the corpus for the training queries, drop what is judged, keep what misleads.

Dimension key: Q queries, D vector width.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError
from irctl.pipelines.hardneg.left_out import LeftOut
from irctl.pipelines.hardneg.mine import write_negatives
from irctl.pipelines.hardneg.rankers import Ranker, bm25_ranker, run_ranker
from irctl.pipelines.hardneg.rules import rules
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle


def hardneg(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    retriever: str = "bm25",
    index: str | None = None,
    run_file: str | None = None,
    out: str | None = None,
) -> dict[str, Any]:
    """Mine negatives for one split into a grouped JSONL (or tsv) file with its provenance beside it."""
    from irctl.data.collections.open import open_for

    collection = open_for(config)
    split = train_split(config)
    rules(config.hardneg)  # before an index is built or a model loaded
    suffix = _suffix(config, out)
    queries, qrels = collection.queries(split), collection.qrels(split)
    left_out = LeftOut(collection, split, config)
    ranker = _ranker(config, collection, queries, left_out, run, reporter, retriever, index, run_file)
    if config.hardneg.rescore:
        from irctl.pipelines.hardneg.rescore import rescored

        ranker = rescored(ranker, collection, queries, config, reporter)
    target = Path(out) if out else run.out / f"negatives.{suffix}"
    counts = write_negatives(config, collection, split, queries, qrels, ranker, left_out, target, reporter)
    from irctl.hashing import sha256_file

    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        method=ranker.provenance["retriever"],
        model=str(ranker.provenance.get("model", "")),
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("out", "negatives", target, sha256=sha256_file(target), n_rows=counts.negatives)
    if counts.no_positive:
        reporter.warn(f"{counts.no_positive} of {len(queries.ids)} queries have no positive to compare with: skipped")
    return {"negatives_file": str(target), "split": split, "retriever": retriever, **asdict(counts)}


def _suffix(config: Config, out: str | None) -> str:
    """The ending of the file. Raises ConfigError where --out has one and hardneg.format another."""
    from irctl.data.files.lines import suffix

    if out:
        files.check_file(Path(out))
    wanted, origin = config.hardneg.format, config.origins.get("hardneg.format")
    if out and origin and (suffix(Path(out)) == ".tsv") != (wanted == "tsv"):
        raise ConfigError(
            f"--out {out}: hardneg.format={wanted} (from {origin}) needs a file that ends in .{wanted}",
            hint="Rename it, or drop hardneg.format: the ending of --out decides",
        )
    return wanted


def _ranker(
    config: Config,
    collection: Collection,
    queries: Queries,
    left_out: LeftOut,
    run: RunHandle,
    reporter: Reporter,
    retriever: str,
    index: str | None,
    run_file: str | None,
) -> Ranker:
    if retriever == "run":
        if not run_file:
            raise ConfigError("--retriever run: no run file given", hint="Add --run FILE")
        return run_ranker(Path(run_file), queries)
    if retriever == "bm25":
        return bm25_ranker(collection, queries, config)
    from irctl.pipelines.hardneg.dense_rankers import dense_ranker, index_ranker

    if retriever == "index":
        return index_ranker(str(index), queries, config, reporter, left_out.most())
    return dense_ranker(collection, queries, config, run, reporter, left_out.most())


def describe(config: Config, *, retriever: str) -> dict[str, Any]:
    """What --dry-run prints: which queries, which documents, where from."""
    from irctl.data.collections.open import open_for

    collection = open_for(config)
    split = train_split(config)
    chosen = rules(config.hardneg)
    queries = collection.queries(split)
    return {
        "mining": {
            "collection": f"{collection.name}, {len(collection.corpus)} documents",
            "queries": f"{len(queries.ids)} of {split}",
            "retriever": retriever if retriever != "dense" else f"dense, {config.model.name}",
            "negatives a query": f"{chosen.num}, {chosen.pick}, from ranks {chosen.first} to {chosen.last - 1}",
        }
    }
