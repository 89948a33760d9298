"""Results put together: CQADupStack's mean, the average over data sets, remarks, and rows for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from irctl.errors import counted
from irctl.metrics.ranking.parsing import parse_one
from irctl.reports import published_values
from irctl.reports.columns import is_forum

CQADUPSTACK_PARTS = 12


def average_forums(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """CQADupStack is one data set, the unweighted mean of its 12 forums, where all of them are there."""
    means = []
    parts = [r for r in results if is_forum(r["dataset"])]
    for key in dict.fromkeys(map(_series, parts)):
        mine = [r for r in parts if _series(r) == key]
        if len({r["dataset"] for r in mine}) == CQADUPSTACK_PARTS:
            counts = {k: sum(r[k] for r in mine) for k in mine[0] if k.startswith("n_")}
            value = math.fsum(r["value"] for r in mine) / len(mine)
            means.append(
                {**mine[0], **counts, "run_sha256": "", "qrels_sha256": "", "dataset": "cqadupstack", "value": value}
            )
    return means


def _series(r: Mapping[str, Any]) -> tuple[str, str, str]:
    """What has one value a data set."""
    return r["measure"], r["split"], r.get("part", "")


def average(results: Sequence[dict[str, Any]], left_out: dict[str, str]) -> dict[str, Any]:
    """Means over the data sets, with the exact list of them; None for a measure that one of them lacks.

    By part first, where the run measured several.
    """
    whole = [r for r in results if not is_forum(r["dataset"])]
    if parts := list(dict.fromkeys(r["part"] for r in whole if r.get("part"))):
        of_part = {part: [{**r, "part": ""} for r in whole if r["part"] == part] for part in parts}
        each = {part: average(of_part[part], left_out) for part in parts}
        values_of = {part: one["values"] for part, one in each.items()}
        return {**each[parts[0]], "values": values_of}
    cells = list(dict.fromkeys((r["dataset"], r["split"]) for r in whole))
    values: dict[str, Any] = {}
    for measure in dict.fromkeys(r["measure"] for r in whole):
        by_cell = {(r["dataset"], r["split"]): r["value"] for r in whole if r["measure"] == measure}
        complete = len(by_cell) == len(cells) and not left_out
        values[measure] = math.fsum(by_cell.values()) / len(cells) if complete else None
    names = [f"{dataset} {split}" for dataset, split in cells]
    return {"datasets": names, "missing": sorted(left_out), "values": values}


def told_conflicts(count: int, on_conflict: str) -> str:
    """What is said of pairs that are judged twice with other grades."""
    return f"{count} pairs with other grades, of which the {'highest' if on_conflict == 'max' else 'last'} counts"


def conflicts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each data set and split in which a choice among grades was made."""
    found = {(r["dataset"], r["split"]): r for r in results if r.get("n_conflicts")}
    return [
        f"{d} {s}: judged twice: {told_conflicts(r['n_conflicts'], r['on_conflict'])}" for (d, s), r in found.items()
    ]


def remarks(r: dict[str, Any]) -> list[str]:
    """Lines about a result that a table cannot hold."""
    name = f"{r['dataset']} {r['split']} {r['measure']}"
    cutoff = int(r["measure"].partition("@")[2] or 0)
    lines = []
    if r.get("top_grade_of") == "judgements":
        lines.append(
            f"{name}: of a scale up to {r['top_grade']}, the highest grade judged; no card says its top_grades"
        )
    if r["k"] and cutoff > r["k"]:
        lines.append(f"{name}: looks at {counted(cutoff, 'document')}, the run holds k = {r['k']}")
    if r.get("boundary"):
        lines.append(
            f"{name}: looks at exactly the k = {r['k']} documents kept, and {r['boundary']} ties were cut there"
        )
    return lines


def to_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a data set and split (and transform and similarity, of several), a column a measure."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for r in results:
        at = (r["dataset"], r["split"], r.get("part", ""))
        form = {k: r[k] for k in ("transform", "similarity") if r.get("part")}
        row = rows.setdefault(at, {"dataset": at[0], "split": at[1], **form, "queries": r["n_queries"]})
        row[r["measure"]] = r["value"]
        if r["n_missing"]:
            row["missing"] = r["n_missing"]
        if r.get("n_left_out"):
            row["left out"] = r["n_left_out"]
        if r["n_unjudged"]:
            row["unjudged"] = r["n_unjudged"]
        if r["self_match"] == "drop":
            row["self-matches dropped"] = r["n_self_removed"]
    return list(rows.values())


def to_query_table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a query, a column a measure."""
    table: dict[tuple[str, ...], dict[str, Any]] = {}
    for r in rows:
        at = (r["dataset"], r["split"], r["query_id"])
        part = {"part": r["part"]} if r.get("part") else {}
        row = table.setdefault(
            (*at, *part.values()), {**dict(zip(("dataset", "split", "query"), at, strict=True)), **part}
        )
        row[r["measure"]] = r["value"]
    return list(table.values())


def note_boundary(result: dict[str, Any], search: Mapping[str, Any]) -> dict[str, Any]:
    """Note ties cut at k where the measure looks at exactly that many documents."""
    ties = int(search.get("boundary_ties") or 0)
    at_k = parse_one(result["measure"]).cutoff == search.get("k")
    return result | {"boundary": ties} if ties and at_k else result


def compare_published(
    searches: Sequence[Mapping[str, Any]], results: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """(checks, lines) against published values of the model that searched."""
    model = next((str(s["model"]) for s in searches if s.get("model")), "")
    checks = published_values.check(model, results)
    if not checks:
        return [], [f"no published value of {model or 'this run'} on these data sets"]
    rows = [asdict(c.oracle) | {"found": c.value, "ok": c.is_ok} for c in checks]
    return rows, [c.line for c in checks]
