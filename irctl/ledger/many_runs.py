"""Many runs asked for at once: one question to the ledger where one a run would be thousands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from irctl import paths
from irctl.ledger import query
from irctl.ledger.files import places
from irctl.ledger.query import RunRecord

LISTED = "(SELECT value FROM json_each(?))"


def find(ids: Iterable[str]) -> dict[str, RunRecord]:
    """The runs of these ids, in their order; ids that the ledger does not know are left out."""
    wanted = list(dict.fromkeys(ids))
    known = query.known[-1].runs if query.known else {}
    if not known.keys() >= set(wanted):
        known = {r.id: r for r in query.select(f"id IN {LISTED}", (json.dumps(wanted),))}
    return {run: known[run] for run in wanted if run in known}


@contextmanager
def at_once(runs: Iterable[RunRecord]) -> Iterator[dict[str, list[RunRecord]]]:
    """Meanwhile query answers from memory about these runs and those that they stand on, which are yielded by run.

    Artifacts are those of the ledger, which has what the folders have; runs of folders that it does not know are asked
    as ever. What changes meanwhile is not seen.
    """
    given = {r.id: r for r in runs}
    listed = query.rows(f"SELECT id, run_dir FROM runs WHERE id IN {LISTED}", (json.dumps(list(given)),))
    here = paths.runs().absolute()
    folders = {row["id"]: places.run_folder(row["id"], row["run_dir"], here) for row in listed}
    first = {run: r for run, r in given.items() if folders.get(run) == r.folder}
    above = ancestors(first)
    every = first | {r.id: r for of in above.values() for r in of}
    artifacts = _by_run(every, f"SELECT * FROM artifacts WHERE run_id IN {LISTED} ORDER BY rowid")
    query.known.append(query.AskedAtOnce(every, measures(every), artifacts, above))
    try:
        yield above
    finally:
        query.known.pop()


def measures(ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The last values of the series of each run, as query.measures gives them for one."""
    columns = f"run_id, {query.MEASURE_COLUMNS}"
    return _by_run(ids, f"SELECT {columns} FROM measures WHERE run_id IN {LISTED} ORDER BY run_id, row")


def _by_run(ids: Iterable[str], sql: str) -> dict[str, list[dict[str, Any]]]:
    """Rows that a statement finds for these ids, in its order, without their run_id."""
    found: dict[str, list[dict[str, Any]]] = {run: [] for run in ids}
    for row in query.rows(sql, (json.dumps(list(found)),)):
        found[row.pop("run_id")].append(row)
    return found


def ancestors(ids: Iterable[str]) -> dict[str, list[RunRecord]]:
    """What each run stands on, newest first, as query.ancestors gives it for one."""
    sources: dict[str, list[str]] = {}
    for link in query.rows("SELECT src_run, dst_run FROM links"):
        sources.setdefault(link["dst_run"], []).append(link["src_run"])
    above = {run: _climb(run, sources) for run in ids}
    known = find(run for of in above.values() for run in of)
    newest_first = sorted(known.values(), key=lambda r: (r.columns["created_at"], r.id), reverse=True)
    place = {r.id: i for i, r in enumerate(newest_first)}
    return {run: [newest_first[i] for i in sorted(place[a] for a in of if a in place)] for run, of in above.items()}


def _climb(run: str, sources: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(sources.get(run, ()))
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += sources.get(one, ())
    return found
