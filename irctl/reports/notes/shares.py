"""What recovery, gap closed and overlap are shares of: the evaluations behind them, of a cell and in a note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from irctl.reports import equal_bytes
from irctl.reports.columns import Column
from irctl.reports.equal_bytes import GAP, OVERLAP, Gap
from irctl.reports.records import Record, Wholes, find_uncompressed, index_wholes
from irctl.reports.reference import Reference

KEPT = "kept"
MOST = 6
"""As many evaluations or systems as a note names; --json has all."""


def find_references(column: Column, mine: Sequence[Record], wholes: Wholes) -> tuple[Reference, ...]:
    """The uncompressed evaluations that a row's recovery or overlap is by, each once; none of other columns."""
    if column.key not in (KEPT, OVERLAP):
        return ()
    known = [r for r in mine if column.key == OVERLAP or r.measure == column.measure]
    found = [whole for r in known if (whole := find_uncompressed(r, wholes)) is not None and whole is not r]
    return tuple(Reference.of(r) for r in {r.run_id: r for r in found}.values())


def tell(columns: Sequence[Column], records: Sequence[Record], gaps: Sequence[Gap]) -> list[str]:
    """Notes on the columns of such shares: what they are, of which evaluations, what has none or an open interval."""
    by_key = {c.key: c for c in columns}
    notes = [*(_recovery(by_key[KEPT].measure, records) if KEPT in by_key else ())]
    notes += [_gap(by_key[GAP].measure, gaps)] if GAP in by_key else []
    if OVERLAP in by_key:
        notes.append(
            "Overlap@10: share of the 10 best documents by the same vectors, uncompressed, that are among the 10 best "
            "here; mean over queries."
        )
    measure = next((by_key[key].measure for key in (KEPT, GAP) if key in by_key), "")
    return [*notes, *_wholes(measure, records)] if by_key.keys() & {KEPT, GAP, OVERLAP} else notes


def _wholes(measure: str, records: Sequence[Record]) -> list[str]:
    """The uncompressed evaluations, with value and run, and the rows whose own vectors are not those."""
    index = index_wholes(records)
    of = [(r, find_uncompressed(r, index)) for r in records if not measure or r.measure == measure]
    compared = [(r, whole) for r, whole in of if whole is not None and whole is not r]
    places = {whole.cell[:2] for _, whole in compared}
    wholes = {(w.run_id, *w.cell[:2]): w for _, w in compared}
    told = [
        f"{w.system}{f' on {w.dataset} {w.split}' if len(places) > 1 else ''} ("
        + (f"{measure} {w.value:.4f}, " if measure else "")
        + f"run {w.run_id})"
        for w in wholes.values()
    ]
    notes = [f"Uncompressed vectors: {_list(told)}."] if told else []
    if transformed := list(dict.fromkeys(r.system for r, _ in compared if r.transform)):
        notes.append(f"Compared with the vectors as encoded, not as transformed: {_list(transformed)}.")
    return notes


def _list(words: Sequence[str]) -> str:
    return "; ".join(words[:MOST]) + (f" and {len(words) - MOST} more (--json)" if len(words) > MOST else "")


def _recovery(measure: str, records: Sequence[Record]) -> list[str]:
    """What it is a share of, and the rows that have none."""
    notes = [f"Recovery: share of the {measure} that the same vectors have uncompressed."]
    wholes = index_wholes(records)
    of_vectors = [r for r in records if r.base and r.measure == measure]
    if alone := sorted({r.system for r in of_vectors if find_uncompressed(r, wholes) is None}):
        notes.append(f"No recovery, for no evaluation of the same vectors uncompressed is known: {', '.join(alone)}.")
    return notes


def _gap(measure: str, gaps: Sequence[Gap]) -> str:
    told = (
        f"Gap closed: (x - OPQ) / (uncompressed - OPQ) in {measure}, over the same vectors, as encoded; OPQ of as many "
        f"slices and bits, for other codes of as many bytes, the best in its mean where there are several; codes that "
        f"were trained from it start by start, with those that they began with. Blank "
        f"without one, or where uncompressed - OPQ is below {equal_bytes.SMALLEST}."
    )
    references: dict[str, list[str]] = {}
    for g in gaps:
        references.setdefault(g.of_reference, []).append(g.system)
    told += "".join(f" OPQ for {_list(of)}: {one}." for one, of in references.items())
    if open_ended := list_unbounded(gaps):
        told += f" No row is marked best, for these intervals have an end without bound: {_list(open_ended)}."
    unread = {g.why: g.system for g in gaps if g.why}
    return told + "".join(f" No interval for {system}: {why}." for why, system in unread.items())


def list_unbounded(gaps: Iterable[Gap]) -> list[str]:
    """Systems whose gap may be anything: an end of its interval is without bound."""
    return list(dict.fromkeys(g.system for g in gaps if g.n and None in (g.low, g.high)))
