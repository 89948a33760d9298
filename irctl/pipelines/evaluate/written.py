"""What an evaluation left in its run folder, read back only where it is what the run wrote.

A number whose file has another hash than its run recorded cannot be traced. Errors name the run and not its folder:
cards repeat them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import DataError
from irctl.ledger import altered
from irctl.ledger.altered import AlteredFile
from irctl.ledger.files.secrets import MASK
from irctl.pipelines.evaluate import best_documents
from irctl.pipelines.evaluate.files import EVAL, PER_QUERY, read_per_query, split_of

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle

SAME = 1e-9
"""By which a mean of values by query may differ from the one that was written with them."""
Values = Mapping[tuple[str, str, str], Mapping[str, float]]
"""(data set, split, measure) -> query id -> value."""

MEANS = {
    "results": [
        {"dataset": str, "split": str, "part?": str, "measure": str, "value": float, "qrels_sha256": str,
         "self_match": str, "n_queries": int, "n_missing": int}
    ]
}  # fmt: skip
"""Shape of eval.json, as far as every reader needs it."""


def record(run: RunHandle) -> None:
    """Note what was written with its hashes, for what reads it back."""
    for kind, name in (("eval", EVAL), ("per_query", PER_QUERY), ("best", best_documents.FILE)):
        if (run.out / name).is_file():
            run.artifact("out", kind, run.out / name)


def read_means(run: RunRecord) -> dict[str, Any]:
    """eval.json of a run. DataError where it is missing, AlteredFile where it is damaged or altered."""
    altered.refuse(run, "eval")
    return _read_means(run)


def _read_means(run: RunRecord) -> dict[str, Any]:
    """The same, whatever its hash is."""
    file, name, hint = run.folder / "out" / EVAL, f"run {run.id}: out/{EVAL}", altered.remedy(run.id)
    if not file.is_file():
        raise DataError(f"{name}: no evaluation there", hint="Run irctl eval first")
    found = tables.json_object(file, label=name, hint=hint, error=AlteredFile)
    tables.check(found, MEANS, name, hint=hint, error=AlteredFile)
    return found


def read_values(run: RunRecord) -> Values:
    """Per-query values of a run; none of one that is no evaluation. DataError as above."""
    path = run.folder / "out" / PER_QUERY
    if run.columns.get("command") != "eval" and not path.is_file():
        return {}
    name = f"run {run.id}: out/{PER_QUERY}"
    if not path.is_file():
        raise DataError(f"{name}: no per-query values there", hint="Evaluate it again with irctl eval")
    altered.refuse(run, "per_query")
    values = read_per_query(path, name)
    means = _read_means(run)["results"] if (run.folder / "out" / EVAL).is_file() else []
    for r in means:  # of runs, too, that recorded no hash of the file
        cell = (r["dataset"], split_of(r["split"], r.get("part", "")), r["measure"])
        if (of := values.get(cell)) and not math.isclose(mean := fmean(of.values()), r["value"], abs_tol=SAME):
            raise DataError(
                f"{name} is not that of out/{EVAL}: {' '.join(cell)}: expected the mean {r['value']:.6f}, "
                f"found {mean:.6f}",
                hint="Evaluate it again",
            )
    return values


def read_best(run: RunRecord) -> Mapping[tuple[str, str], Mapping[str, list[str]]]:
    """(data set, split) -> query id -> best documents of a run; empty where it did not keep them. DataError alike."""
    altered.refuse(run, "best")
    return best_documents.read(run.folder / "out" / best_documents.FILE)


def list_edited(runs: Sequence[RunRecord]) -> list[str]:
    """Lines on evaluations of these runs whose metrics.jsonl has not the means of eval.json, whose hash is recorded.

    Listings and comparisons of runs show what metrics.jsonl has. What has no hash must at least be readable.
    """
    from irctl.ledger import many_runs

    runs = [r for r in runs if r.columns["command"] == "eval" and r.columns["status"] == "completed"]
    measures = many_runs.measures([run.id for run in runs])
    said = []
    for run in runs:
        known = {(m["dataset"], m["split"], m["name"]): m["value"] for m in measures[run.id]}
        if not (run.folder / "out" / EVAL).is_file() or altered.find(run, ("eval",)):  # said of the file itself
            continue
        try:
            results = _read_means(run)["results"]
        except DataError as e:
            said.append(e.message)
            continue
        is_masked = any(MASK in text for cell in known for text in cell)  # a name held what is secret in its line
        for r in results:
            cell = (r["dataset"], split_of(r["split"], r.get("part", "")), r["measure"])
            value = known.get(cell)
            if value is None and is_masked:
                continue
            if value != r["value"]:
                found = "no such line" if value is None else f"{value:.6f}"
                said.append(
                    f"run {run.id}: metrics.jsonl is not what the run wrote: {' '.join(cell)}: "
                    f"expected {r['value']:.6f} (out/{EVAL}), found {found}"
                )
                break
    return said
