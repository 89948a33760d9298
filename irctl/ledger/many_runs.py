"""Many runs asked for at once: one question to the ledger where one a run would be thousands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from irctl.ledger import query
from irctl.ledger.query import RunRecord

LISTED = "(SELECT value FROM json_each(?))"


def find(ids: Iterable[str]) -> dict[str, RunRecord]:
    """The runs of these ids, in their order; ids that the ledger does not know are left out."""
    wanted = list(dict.fromkeys(ids))
    known = {r.id: r for r in query.select(f"id IN {LISTED}", (json.dumps(wanted),))}
    return {run: known[run] for run in wanted if run in known}


def inputs(ids: Iterable[str]) -> list[dict[str, Any]]:
    """What these runs read, as the ledger has it: {run_id, kind, path, sha256}."""
    sql = f"SELECT run_id, kind, path, sha256 FROM artifacts WHERE role = 'in' AND run_id IN {LISTED} ORDER BY rowid"
    return query.rows(sql, (json.dumps(list(ids)),))


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
