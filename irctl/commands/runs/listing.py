"""Rows of `irctl runs ls`: what tells one run from another, by a few queries of the ledger over the runs shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from irctl import console, plugins
from irctl.commands.runs import differing
from irctl.ledger.files.identity import ID_PATTERN
from irctl.ledger.files.run_columns import RUN_COLUMNS

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

COLUMNS = ("id", "run_dir", "name", "command", "method", "dataset", "status", "model", "seed", "parent_id",
           "argv_json", "duration_s", "dataset_fingerprint", "model_fingerprint")  # fmt: skip
"""What a row is made of."""
SEARCHES = ("search", "eval")
MEASURED = ("eval", "train")
"""Commands whose measures are of quality."""
HEADLINES = ("nDCG@10", "RR@10")
"""Measures of evaluations that have a column each in the formats for programs."""
USUAL = (*HEADLINES, "R@100")
"""What stands for a run where the collection's card names no measure, or another than was measured."""
ASIDE = ("queries_per_s", "timed_queries", "timed_threads", "latency_ms", "latency_p95_ms", "boundary_ties")
POPULATIONS = ("corpus", "queries")
"""What isotropy was measured of; it is kept where splits are."""
WITHOUT_MODEL = ("bm25", "fuse")
"""Methods that keep their settings, or what they join, where a model's name is."""
ALIKE = ("command", "method", "loss", "codes", "bytes_per_vector", "dataset", "split")
"""What a row shows of how its run was made, beside what it was made from."""
SHARED = ("dataset", "seed")
"""Columns that are said once where all runs agree."""
Place = tuple[str, str]
"""(data set, split)."""


class Lineage:
    """Of each run shown: the run that it is from, and the codes that it made or read. Every dict is by run id."""

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        from irctl.ledger import query

        self.parents: dict[str, list[str]] = {}
        above = (
            "WITH RECURSIVE above(id) AS (SELECT value FROM json_each(?1)"
            " UNION SELECT l.src_run FROM above a JOIN links l ON l.dst_run = a.id)"
            " SELECT l.src_run, l.dst_run FROM above a JOIN links l ON l.dst_run = a.id ORDER BY l.src_run DESC"
        )
        for row in query.rows(above, (json.dumps([run.id for run in runs]),)):
            self.parents.setdefault(row["dst_run"], []).append(row["src_run"])
        self.above = {run.id: list(self._above(run.id)) for run in runs}
        known = _one_of({*self.above, *(i for ids in self.above.values() for i in ids)})
        of_bundles = "SELECT DISTINCT run_id, role FROM artifacts WHERE kind = 'bundle' AND run_id IN {}"
        bundles = {(r["run_id"], r["role"]) for r in query.rows(*known(of_bundles))}
        self.writers = {run_id for run_id, role in bundles if role == "out"}
        self.readers = {run_id for run_id, role in bundles if role == "in"}
        sizes = "SELECT run_id, split, value FROM measures WHERE name = 'code_size' AND run_id IN {} ORDER BY row"
        self.sizes: dict[str, dict[str, float]] = {}
        for row in query.rows(*known(sizes)):
            self.sizes.setdefault(row["run_id"], {})[row["split"]] = row["value"]
        keys = "('loss.name', 'transform.name')"
        self.settings: dict[str, dict[str, str]] = {}
        for row in query.rows(
            *known(f"SELECT run_id, key, value_text FROM params WHERE key IN {keys} AND run_id IN {{}}")
        ):
            self.settings.setdefault(row["run_id"], {})[row["key"]] = row["value_text"] or ""

    def _above(self, run_id: str) -> Iterable[str]:
        """Every run that this one stands on, the nearest first."""
        seen, level = {run_id}, [run_id]
        while level:
            level = [p for one in level for p in self.parents.get(one, ()) if not (p in seen or seen.add(p))]  # type: ignore[func-returns-value]
            yield from level

    def codes(self, run: RunRecord) -> tuple[str, str, float | None]:
        """(run that wrote the codes, their method with its transform, bytes a vector); blank where there are none."""
        method = str(run.columns["method"] or "")
        searched = run.columns["command"] in SEARCHES and run.id in self.readers  # trained codes have a method's name
        if not (run.id in self.writers or searched or (method and _is_quantizer(method))):
            return "", "", None
        line = [run.id, *self.above[run.id]]
        writer = next((i for i in line if i in self.writers), "")
        sizes = next((self.sizes[i] for i in line if i in self.sizes), {})
        values = set(sizes.values()) if method not in sizes else {sizes[method]}
        transform = next(
            (t for i in line if (t := self.settings.get(i, {}).get("transform.name", "none")) != "none"), ""
        )
        return writer, f"{method} {transform}".strip(), values.pop() if len(values) == 1 else None


def list_rows(runs: Sequence[RunRecord], sort: str = "") -> list[dict[str, Any]]:
    """A row a run with everything that the formats of a listing show; `sort` adds a column of what was sorted by."""
    if not runs:
        return []
    lineage = Lineage(runs)
    measured = _measures([r.id for r in runs if r.columns["command"] in MEASURED])
    sorted_by = sort.lstrip("+-")
    also = _largest(runs, sorted_by) if sorted_by and sorted_by not in RUN_COLUMNS else {}
    rows = []
    for run in runs:
        c = run.columns
        writer, codes, size = lineage.codes(run)
        measure, place, value = main_measure(measured.get(run.id, {}))
        of = measured.get(run.id, {}).get(place, {}) if place and c["command"] == "eval" else {}
        base, model = _model_of(run, lineage, writer)
        row: dict[str, Any] = {k: c[k] for k in ("id", "name", "command", "method", "dataset", "status")}
        row |= {sorted_by: also.get(run.id)} if also else {}
        row |= {m: of.get(m) for m in HEADLINES if m not in row}
        row |= {"model": model, "base_run": base, "codes": codes, "bytes_per_vector": size}
        row |= {"split": place[1] if place else "", "seed": c["seed"], "measure": measure, "value": value}
        if c["command"] == "arms":
            row["method"] = recipe_of(json.loads(c["argv_json"] or "[]"))
        row |= {"loss": lineage.settings.get(run.id, {}).get("loss.name", "") if reads_loss(run) else ""}
        rows.append(row | {"duration_s": c["duration_s"], "tags": " ".join(run.tags)})
    shown = [tuple(str(row[k]) for k in ALIKE) + (row["base_run"] or row["model"],) for row in rows]
    for row, text in zip(rows, differing.find(runs, shown), strict=True):
        row["differs"] = text
    unknown = [m for m in HEADLINES if m != sorted_by and all(row[m] is None for row in rows)]
    return [{k: v for k, v in row.items() if k not in unknown} for row in rows]


def main_measure(measured: Mapping[Place, Mapping[str, float]]) -> tuple[str, Place | None, float | None]:
    """(name, (data set, split), value) of the number that stands for a run; blank where no one number does.

    The measure of the collection's card where it was measured, else the first of nDCG@10, RR@10 and R@100, else the
    first that was recorded; on the split of the card where several were measured. Of a training: of the model it saved.
    """
    from irctl.data.collections import cards

    datasets = {dataset for dataset, _ in measured}
    if len(datasets) != 1:
        return "", None, None
    (dataset,) = datasets
    key = cards.key_of(dataset)
    card = cards.built_in()[key] if key else None
    own = [p for p in measured if card is not None and p[1] == card.headline_split]
    place = next(iter(own or measured))
    if len(measured) > 1 and not own:
        splits = list(dict.fromkeys(split.partition(": ")[0] for _, split in measured))
        forms = [f"{len(measured)} forms"] if len(splits) < len(measured) else []
        return "", (dataset, ", ".join([*splits, *forms])), None
    names = measured[place]
    wanted = ([card.headline_measure] if card else []) + list(USUAL)
    name = next((m for m in wanted if m in names), next(iter(names)))
    return name, place, names[name]


def print_table(rows: Sequence[Mapping[str, Any]], sort: str = "") -> None:
    """The listing for people: no wider than 100 columns for the runs of one data set; ids are never cut or folded."""
    if not rows:
        return
    said = {k: {r[k] for r in rows} - {None, ""} for k in SHARED}
    once = {k: next(iter(values)) for k, values in said.items() if len(rows) > 1 and len(values) == 1}
    names = {r["measure"] for r in rows} - {""}
    sorted_by = sort.lstrip("+-")
    drawn = [_drawn(r, once, names, sorted_by if sorted_by in r else "") for r in rows]
    kept = [k for k in drawn[0] if any(r[k] not in ("", None) for r in drawn)]
    console.table([{k: r[k] for k in kept} for r in drawn], whole=("id", "model or run", "command", "time"))
    if once:
        words = {"dataset": "data set"}
        console.out(f"all: {', '.join(f'{words.get(k, k)} {v}' for k, v in once.items())}")


def _drawn(row: Mapping[str, Any], once: Mapping[str, Any], names: set[str], sorted_by: str) -> dict[str, Any]:
    """A row of the table: the status where a run has not completed stands in place of its result."""
    value: Any = "" if row["value"] is None else f"{row['value']:.4f}"
    if value and len(names) > 1:
        value = f"{row['measure']} {value}"
    method = row["loss"] and f"{row['method']} {row['loss']}"
    size = "" if row["bytes_per_vector"] is None else f"{row['bytes_per_vector']:g} B"
    by = {sorted_by: console.cell(row[sorted_by])} if sorted_by and names != {sorted_by} else {}
    return {
        "id": row["id"],
        "name": row["name"],
        "command": row["command"],
        "model or run": row["base_run"] or row["model"],
        "method": method or f"{row['codes'] or row['method'] or ''} {size}".strip(),
        "dataset": "" if "dataset" in once else row["dataset"],
        "split": row["split"],
        "seed": "" if "seed" in once else row["seed"],
        (next(iter(names)) if len(names) == 1 else "result"): value if row["status"] == "completed" else row["status"],
        **by,
        "differs in": row["differs"],
        "time": duration(row["duration_s"]),
        "tags": row["tags"],
    }


def duration(seconds: float | None) -> str:
    """1.9 s, 14 s, 3.2 min, 5.1 h."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _model_of(run: RunRecord, lineage: Lineage, writer: str) -> tuple[str, str]:
    """(run that it is from, model): the codes that it read, else the run whose model it took, else a name."""
    c = run.columns
    model = "" if str(c["method"]).startswith(WITHOUT_MODEL) else str(c["model"] or "")
    named = _run_in(model)
    if writer and writer != run.id:
        return writer, short_model(model)
    if run.id in lineage.writers and c["command"] == "compress":
        return next(iter(lineage.parents.get(run.id, ())), named), short_model(model)
    if named:
        return named, short_model(model)
    if c["parent_id"]:
        return str(c["parent_id"]), short_model(model)
    if model:
        return "", short_model(model)
    return next(iter(lineage.parents.get(run.id, ())), ""), ""


@cache
def _run_in(model: str) -> str:
    """The id of a run in the name of a model or folder; empty where there is none."""
    found = ID_PATTERN.search(model)
    return found[0] if found else ""


@cache
def short_model(model: str) -> str:
    """The last part of a hub name or folder; a run's id for a folder of it."""
    is_path = model.startswith(("/", ".", "~")) or "/" in model
    return _run_in(model) or (PurePath(model).name if is_path else model)


def recipe_of(words: Sequence[str]) -> str:
    """The recipe that a command line names; empty where it names none."""
    after = dict(pairwise(words))
    return next(
        (w.partition("=")[2] for w in words if w.startswith("--recipe=")), after.get("--recipe", after.get("run", ""))
    )


@cache
def _is_quantizer(methods: str) -> bool:
    return all(m in plugins.names("quantizers") for m in methods.split(","))


def reads_loss(run: RunRecord) -> bool:
    """Whether a training follows a loss over passages that it names."""
    method = str(run.columns["method"] or "")
    known = run.columns["command"] == "train" and method in plugins.names("methods")
    return known and plugins.literal("methods", method, "DATA") != "texts"


def _measures(ids: Sequence[str]) -> dict[str, dict[Place, dict[str, float]]]:
    """run -> (data set, split) -> measure -> last value, in the order of recording; those of quality alone."""
    from irctl.ledger import query

    sql = (
        "SELECT run_id, dataset, split, name, value FROM measures"
        " WHERE split <> '' AND value IS NOT NULL AND run_id IN {} ORDER BY row"
    )
    found: dict[str, dict[Place, dict[str, float]]] = {}
    for row in query.rows(*_one_of(ids)(sql)):
        if is_quality(row["name"], row["split"]):
            places = found.setdefault(row["run_id"], {})
            places.setdefault((row["dataset"], row["split"]), {})[row["name"]] = row["value"]
    return found


def is_quality(name: str, split: str) -> bool:
    """Whether a measure says how good a ranking or an answer is, not how fast it was or how even vectors are."""
    return name not in ASIDE and split.split()[0].rstrip(":") not in POPULATIONS


def _largest(runs: Sequence[RunRecord], name: str) -> dict[str, float]:
    """run -> what the order of a sort by this measure is made by."""
    from irctl.ledger import query

    sql = "SELECT run_id, max(value) AS value FROM measures WHERE run_id IN {} AND name = ?2 GROUP BY run_id"
    text, (ids,) = _one_of([r.id for r in runs])(sql)
    return {row["run_id"]: row["value"] for row in query.rows(text, (ids, name))}


def _one_of(ids: Iterable[str]) -> Any:
    """Puts a set of ids where a statement has {}: (statement, values)."""
    values = (json.dumps(sorted(ids)),)
    return lambda sql: (sql.format("(SELECT value FROM json_each(?1))"), values)
