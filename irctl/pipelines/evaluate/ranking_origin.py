"""What is known about a ranking that came as a file: the search of irctl that made it, or a name and a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.pipelines.evaluate import written
from irctl.pipelines.evaluate.files import EVAL, read_json
from irctl.pipelines.evaluate.targets import RankingSource, Target
from irctl.pipelines.lineage.system import FOREIGN
from irctl.pipelines.search import splits
from irctl.pipelines.search.splits import STABLE

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

OF_RUN = ("method", "model", "model_fingerprint")
OF_SEARCH = tuple(k for k in STABLE if k not in ("dataset", "split", "run", "k", "truth", "isotropy"))


def describe_file(target: Target, source: RankingSource) -> dict[str, Any]:
    """What the run that made the file says of its search; of a file from elsewhere only what it is called."""
    facts: dict[str, Any] = {"run_file": str(target.run_file), "dataset": target.dataset, "split": target.split}
    maker = target.made_by
    if maker is None:
        return facts | {"method": FOREIGN, "model": "", "name": _name(source.files)}
    facts |= {
        "run": maker.id,
        **{k: maker.columns.get(k) for k in OF_RUN},
        **_read_search(maker, target.dataset, target.split),
    }
    return {**facts, "k": target.config.search.k}


def join_foreign(searches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The searches; run files from elsewhere, one a data set, are one system by the hash of all of them."""
    shas = sorted({s["run_sha256"] for s in searches if s.get("method") == FOREIGN})
    whole = shas[0] if len(shas) == 1 else hashlib.sha256(" ".join(shas).encode()).hexdigest()
    merged = []
    for s in searches:
        rest = {k: v for k, v in s.items() if k != "run_sha256"}
        merged.append(rest | ({"run_sha256": whole} if s.get("method") == FOREIGN else {}))
    return merged


def describe_record(search: Mapping[str, Any], run_sha256: str, line: Sequence[RunRecord]) -> dict[str, Any]:
    """The same for an evaluation that was stored without it: by the search that wrote those bytes, else by name."""
    if "run_file" not in search or any(search.get(k) for k in ("method", "run", "model", "vectors")):
        return dict(search)
    search_run = next((r for r in line if r.columns.get("command") == "search"), None)
    if search_run is not None:
        return {**search, **{k: search_run.columns.get(k) for k in OF_RUN}}
    return {**search, "method": FOREIGN, "name": Path(search["run_file"]).name, "run_sha256": run_sha256}


def _name(files: Sequence[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return Path(files[0]).name + more


def _read_search(made: RunRecord, dataset: str, split: str) -> dict[str, Any]:
    """What a search or an evaluation stored of this ranking; of an older search what its inputs say."""
    from irctl.ledger import query

    for name in (splits.SEARCH, EVAL):
        path = made.folder / "out" / name
        if path.is_file():
            told = written.read_means(made) if name == EVAL else read_json(path)
            searches: list[dict[str, Any]] = told.get("searches", [])
            fits = [s for s in searches if s.get("split", "") == split and s.get("dataset") == dataset]
            fits = fits or [s for s in searches if s.get("split", "") == split] or searches
            return {k: v for k, v in (fits[0] if fits else {}).items() if k in OF_SEARCH}
    inputs = query.artifacts(made, role="in")
    dims = [a["dim"] for a in inputs if a["kind"] in ("embeddings", "bundle") and a["dim"]]
    return {"dim": dims[0]} if dims else {}
