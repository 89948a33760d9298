"""Earlier evaluations of the same content: the key that names it, and finished parts kept for the next attempt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from irctl.errors import DataError
from irctl.hashing import sha256_file
from irctl.index.shards import write_json
from irctl.metrics.ranking.evaluate import CANONICAL_VERSION
from irctl.pipelines.evaluate import best_documents
from irctl.pipelines.evaluate.files import EVAL, PER_QUERY, read_json, read_rows, read_versions, write_per_query
from irctl.pipelines.evaluate.targets import RankingSource, Target
from irctl.pipelines.references import bundles

WEIGHTS = ("*.safetensors", "*.json", "*/*.safetensors", "*/*.json", "*.txt")


class MeasuredPart(NamedTuple):
    """What was measured of one data set and split: rows of means, of queries, and of their best documents."""

    results: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    best: list[dict[str, Any]]


def _fingerprint(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint_content(file: Path, target: Target, format: str) -> str:
    """What the numbers of a target depend on: run, judgements, measures, rule, and how runs are ordered."""
    return _fingerprint(
        {
            "run": sha256_file(file) if file.is_file() else "",
            "qrels": target.qrels_sha256,
            "measures": target.measures,
            "top_grade": target.top_grade,
            "self_match": target.self_match,
            "k": target.config.search.k,
            "format": format,
            "canonical": CANONICAL_VERSION,
            "versions": read_versions(),
        }
    )


def fingerprint_search(target: Target, source: RankingSource) -> str:
    """What the ranking of a target depends on: weights, codes, corpus, queries and settings; never a path alone."""
    assert target.collection is not None
    sections = ("model.", "encoder.", "prompts.", "search.", "data.", "eval.self_match", "transform.")
    settings = {k: v for k, v in target.config.flat().items() if k.startswith(sections)}
    index = source.index or ""
    if bundles.method_named(index)[1]:
        index = str(bundles.folder_of(index))
    return _fingerprint(
        {
            "model": _identify(source.model or target.config.model.name, "model"),
            "index": _identify(index, "bundle"),
            "corpus": target.collection.fingerprint,
            "qrels": target.qrels_sha256,
            "settings": settings,
        }
    )


def _identify(reference: str, kind: str) -> list[str]:
    """Name and content of a model or an index: a folder is hashed, a run stands for its output."""
    folder = Path(reference)
    if not reference or not folder.is_dir():
        from irctl.ledger import query

        try:
            record = query.find_run(reference, completed=True, made=(kind,)) if reference else None
        except DataError:  # a name of the hub: its revision is among the settings
            record = None
        if record is None:
            return [reference]
        outputs = query.artifacts(record, role="out", kind=kind)
        return [record.id, *(str(a["sha256"]) for a in outputs)]
    files = sorted({f for pattern in WEIGHTS for f in folder.glob(pattern)})
    return [f"{f.relative_to(folder)} {sha256_file(f)}" for f in files]


def keep_part(part: Path, key: str, measured: MeasuredPart) -> None:
    """Keep what was measured of one target, the file with the key last."""
    write_per_query(part / PER_QUERY, measured.rows)
    best_documents.write(part / best_documents.FILE, measured.best)
    write_json(part / EVAL, {"key": key, "results": measured.results})


def read_part(part: Path, key: str) -> MeasuredPart | None:
    """What an earlier attempt at the same content measured, or None."""
    best = part / best_documents.FILE
    if not (part / EVAL).is_file() or not best.is_file():
        return None
    kept = read_json(part / EVAL)
    if kept["key"] != key:
        return None
    return MeasuredPart(kept["results"], read_rows(part / PER_QUERY), best_documents.read_rows(best))
