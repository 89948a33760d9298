"""Which codes were searched: the run that wrote them, and the compression that they go back to.

A training may read codes (as its index, as where its negatives come from) and a dense search of its model reads none;
and a training may write codes, whose first compression is then the one to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.index.shards import read_any_manifest

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

WRITERS = ("train", "encode")
"""Commands that write codes only now and then; `compress` always does."""


def added_rows(run: RunRecord) -> bool:
    """Whether a run only added rows to a bundle of another run: it wrote the one that it read."""
    from irctl.ledger import query

    read = {a["path"] for a in query.artifacts(run, role="in", kind="bundle")}
    return bool(read) and any(a["path"] in read for a in query.artifacts(run, role="out", kind="bundle"))


def find_codes(search: Mapping[str, Any], line: Sequence[RunRecord]) -> RunRecord | None:
    """The newest run of the line that wrote codes and did not add to others'; None where they were a training's alone.

    line: newest first.
    """
    from irctl.ledger import query

    behind_training = False
    for run in (r for r in line if not added_rows(r)):
        command = run.columns.get("command")
        if command == "compress":
            return None if behind_training and not search.get("compression") else run
        wrote_others = command in WRITERS and bool(search.get("compression"))  # else its vectors or its model were read
        if wrote_others and query.artifacts(run, role="out", kind="bundle"):
            return run
        behind_training |= command == "train"
    return None


def find_compression(codes: RunRecord | None, line: Sequence[RunRecord]) -> RunRecord | None:
    """The compression that these codes go back to, the oldest of the line; themselves where there is none."""
    if codes is None or codes.columns.get("command") == "compress":
        return codes
    first = (r for r in reversed(line) if r.columns.get("command") == "compress" and not added_rows(r))
    return next(first, codes)


def manifests_of(run: RunRecord) -> Sequence[Mapping[str, Any]]:
    """The manifests of the bundles that a run wrote, in their order; empty ones of bundles that are gone."""
    from irctl.ledger import query

    def read() -> list[Mapping[str, Any]]:
        return [read_any_manifest(Path(a["path"])) for a in query.artifacts(run, role="out", kind="bundle")]

    return query.once(("manifests", run.id), read)


def line_of(run: RunRecord) -> list[RunRecord]:
    """A run and those that it stands on, newest first."""
    from irctl.ledger import query

    return [run, *query.ancestors(run.id)]
