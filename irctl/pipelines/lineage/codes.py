"""Which codes were searched: the run that wrote them, and the compression that they go back to.

A training may read codes (as its index, as where its negatives come from) and a dense search of its model reads none;
and a training may write codes, whose first compression is then the one to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class CodesOrigin:
    """Where the codes of a search are from.

    codes: the run that wrote them, None where there are none, or where no run of the ledger did. compress: the
    compression that they go back to. lost: the hash of the bundle from which on no run of the ledger tells more.
    """

    codes: RunRecord | None = None
    compress: RunRecord | None = None
    lost: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether a training made them of other codes."""
        if self.codes is None:
            return False
        return bool(self.lost) or (self.compress is not None and self.codes.id != self.compress.id)


def find_origin(search: Mapping[str, Any], asked: RunRecord, line: Sequence[RunRecord]) -> CodesOrigin:
    """Whether codes were searched is for the search to say; the ledger says who wrote them, if it knows.

    asked: the run that searched. line: newest first.
    """
    is_code = bool(search.get("compression"))
    if is_code and (bundle := _unwritten(asked, line)):
        return CodesOrigin(lost=bundle)
    codes = _find_codes(line, is_code=is_code)
    if codes is None:
        return CodesOrigin(lost=str(search.get("run") or asked.id) if is_code else "")
    if codes.columns.get("command") == "train" and (bundle := _unwritten(codes, line)):
        return CodesOrigin(codes, None, bundle)
    return CodesOrigin(codes, _find_compression(codes, line))


def _unwritten(run: RunRecord, line: Sequence[RunRecord]) -> str:
    """The hash of a bundle that a run read and no run of the line wrote, else empty."""
    from irctl.ledger import query

    read = [str(a["sha256"]) for a in query.artifacts(run, role="in", kind="bundle")]
    if not read:
        return ""
    written = {a["sha256"] for r in line for a in query.artifacts(r, role="out", kind="bundle")}
    return next((sha for sha in read if sha not in written), "")


def _find_codes(line: Sequence[RunRecord], *, is_code: bool) -> RunRecord | None:
    """The newest run of the line that wrote codes and did not add to others'; None where they were a training's alone.

    is_code: the search says that it read codes.
    """
    from irctl.ledger import query

    behind_training = False
    for run in (r for r in line if not added_rows(r)):
        command = run.columns.get("command")
        if command == "compress":
            return None if behind_training and not is_code else run
        wrote_others = command in WRITERS and is_code  # else its vectors or its model were read
        if wrote_others and query.artifacts(run, role="out", kind="bundle"):
            return run
        behind_training |= command == "train"
    return None


def _find_compression(codes: RunRecord, line: Sequence[RunRecord]) -> RunRecord:
    """The compression that these codes go back to, the oldest of the line; themselves where there is none."""
    if codes.columns.get("command") == "compress":
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
