"""What codes keep of the vectors they were made of, and how much of OPQ's loss at the same bytes they win back.

Both references are found by lineage: vectors are the same where the identity behind them (`Record.base`) is. Gap closed
is (x - OPQ) / (dense - OPQ): 0 for OPQ, 1 for uncompressed vectors. Codes that were trained from OPQ are compared with
the very starts that they began with, as far as those were evaluated; other codes with the mean of all starts.
Dimension key: N queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from irctl.errors import DataError
from irctl.reports.comparisons import PerQuery
from irctl.reports.records import Record, RowKey, Wholes, find_uncompressed, index_wholes, label_rows
from irctl.reports.reference import Reference
from irctl.reports.significance import bootstrap_ratio

OPQ = "opq"
GAP, OVERLAP = "gap", "overlap@10"
SMALLEST = 0.01
"""A difference of dense and OPQ below which a share of it says nothing."""

Best = Callable[[Record], Mapping[str, Sequence[str]] | None]
"""query id -> best documents of a record's ranking, or None if they were not kept."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One row against OPQ and uncompressed vectors. low, high: 95 %, queries resampled in pairs; None: unbounded.

    starts: OPQs that opq is the mean of. pairs: how many of the row's starts began with them and are compared; 0: none
    did, and the whole row is compared. n: queries of the interval, 0 where per-query values are missing; why: they
    cannot be read. compared: the evaluations behind dense and opq.
    """

    system: str
    reference: str
    starts: int
    pairs: int
    dataset: str
    split: str
    measure: str
    value: float
    dense: float
    opq: float
    gap: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    why: str = ""
    compared: tuple[Reference, ...] = ()

    @property
    def line(self) -> str:
        """The gap in words."""
        ends = ["unbounded" if v is None else f"{100 * v:.0f} %" for v in (self.low, self.high)]
        interval = f" [{', '.join(ends)}], n {self.n}" if self.n else ""
        return (
            f"{self.dataset} {self.split} {self.measure}: {self.system} closes {100 * self.gap:.0f} %{interval} "
            f"of the gap between {self.of_reference} and uncompressed ({self.dense:.4f}"
            f"{''.join(f', run {r.run}' for r in self.compared[:1])})"
        )

    @property
    def of_reference(self) -> str:
        """The OPQ that it is against: its value, how many starts, whether the row began with them, their runs."""
        starts = "1 start" if self.starts == 1 else f"mean of {self.starts} starts"
        if self.pairs:
            starts = "the start" if self.pairs == 1 else f"mean of the {self.pairs} starts"
            starts += " that it began with"
        runs = [r.run for r in self.compared[1:]]
        told = f", run{'s' if len(runs) > 1 else ''} {' '.join(runs)}" if runs else ""
        return f"{self.reference} ({self.opq:.4f}, {starts}{told})"


def add_overlap(records: Iterable[Record], best: Best) -> list[Record]:
    """The records with the share of the uncompressed vectors' best ten documents among their own, as a fact.

    Nothing is added where either ranking is not known, or they are of other queries.
    """
    shown = list(records)
    wholes = index_wholes(shown)
    return [_with_fact(r, OVERLAP, _overlap(r, wholes, best)) for r in shown]


def _overlap(record: Record, wholes: Wholes, best: Best) -> float | None:
    dense = find_uncompressed(record, wholes)
    if dense is None or not (mine := best(record)) or not (theirs := best(dense)) or mine.keys() != theirs.keys():
        return None
    shares = [len(set(theirs[q]) & set(mine[q])) / len(theirs[q]) for q in theirs if theirs[q]]
    return fmean(shares) if shares else None


def add_gap(records: Iterable[Record], measure: str) -> list[Record]:
    """The records of a measure with the gap that they close, as a fact; nothing where a reference is missing."""
    shown = list(records)
    wholes, opqs = index_wholes(shown), _index_opqs(shown)
    shares = {
        id(r): of.share(r.value)
        for mine in _rows(shown, measure).values()
        if (of := find_references(mine, wholes, opqs)) is not None
        for r in of.mine
    }
    return [_with_fact(r, GAP, shares.get(id(r))) for r in shown]


def _rows(records: Sequence[Record], measure: str) -> dict[tuple[RowKey, str, str], list[Record]]:
    """Records of a measure by row, data set and split."""
    rows: dict[tuple[RowKey, str, str], list[Record]] = {}
    for r in records:
        if r.measure == measure:
            rows.setdefault(((r.system, r.variant), r.dataset, r.split), []).append(r)
    return rows


@dataclass(frozen=True)
class References:
    """What a row is compared with: the uncompressed vectors, and starts of the OPQ of its bytes.

    mine: the row's records that are compared; pairs: with the start that each began with, 0 where there is none such.
    """

    dense: Record
    opq: tuple[Record, ...]
    mine: tuple[Record, ...]
    pairs: int

    @property
    def opq_mean(self) -> float:
        return fmean(r.value for r in self.opq)

    def share(self, value: float) -> float:
        """The gap that a value closes."""
        return (value - self.opq_mean) / (self.dense.value - self.opq_mean)


def find_references(row: Sequence[Record], wholes: Wholes, opqs: Wholes) -> References | None:
    """By lineage; None without them, for what re-scores by exact vectors, and where dense - OPQ is below .01.

    row: the records of a row, of one measure, data set and split. opqs: as _index_opqs has them.

    OPQ of as many slices and bits, where the codes have such; else of as many bytes. Of several the best in its mean.
    """
    record = row[-1]
    dense = find_uncompressed(record, wholes)
    if dense is None or not record.compression or record.rerank:
        return None
    rows: dict[RowKey, list[Record]] = {}
    for r in opqs.get((record.base, record.cell), ()):
        if r.qrels_sha256 == record.qrels_sha256 and _have_same_size(r, record):
            rows.setdefault((r.system, r.variant), []).append(r)
    if not rows:
        return None
    best = max(rows.values(), key=lambda of: fmean(r.value for r in of))
    opq_of = {r.start: r for r in best if r.start}
    mine = [r for r in row if r.start in opq_of]
    began = {r.start: opq_of[r.start] for r in mine}
    found = References(dense, tuple(began.values() or best), tuple(mine or row), len(began))
    return found if dense.value - found.opq_mean >= SMALLEST else None


def _index_opqs(records: Iterable[Record]) -> Wholes:
    """OPQ of vectors as encoded, not re-scored, by (base, cell)."""
    found: dict[tuple[str, tuple[str, str, str]], list[Record]] = {}
    for r in records:
        if (r.compression, r.transform, r.rerank) == (OPQ, "", 0):
            found.setdefault((r.base, r.cell), []).append(r)
    return found


def _have_same_size(opq: Record, record: Record) -> bool:
    shape = ("m", "slice_bits")
    if all(name in record.facts for name in shape):
        return all(opq.facts.get(name) == record.facts[name] for name in shape)
    return opq.bytes_per_vector == record.bytes_per_vector and opq.bytes_per_vector is not None


def compare_gaps(records: Sequence[Record], measure: str, per_query: PerQuery) -> list[Gap]:
    """Each row's gap with its interval, in the mean of its seeds."""
    labels = label_rows(records)
    wholes, opqs = index_wholes(records), _index_opqs(records)
    gaps = []
    for (key, dataset, split), row in _rows(records, measure).items():
        of = find_references(row, wholes, opqs)
        if of is None or key == (of.opq[0].system, of.opq[0].variant):
            continue
        value = fmean(r.value for r in of.mine)
        one = Gap(
            system=labels[key],
            reference=labels[of.opq[0].system, of.opq[0].variant],
            starts=len(of.opq),
            pairs=of.pairs,
            dataset=dataset,
            split=split,
            measure=measure,
            value=value,
            dense=of.dense.value,
            opq=of.opq_mean,
            gap=of.share(value),
            compared=tuple(map(Reference.of, (of.dense, *of.opq))),
        )
        gaps.append(_add_interval(one, of, per_query))
    return gaps


def _add_interval(gap: Gap, of: References, per_query: PerQuery) -> Gap:
    try:
        sides = [list(map(per_query, side)) for side in (of.mine, of.opq, [of.dense])]
    except DataError as e:
        return replace(gap, why=str(e))
    known = [v for side in sides for v in side if v]
    if len(known) < sum(map(len, sides)) or len({frozenset(v) for v in known}) > 1:
        return gap
    queries = sorted(known[0])
    x_N, opq_N, dense_N = (np.array([[v[q] for q in queries] for v in side if v]).mean(axis=0) for side in sides)
    low, high = bootstrap_ratio(x_N - opq_N, dense_N - opq_N)
    return replace(gap, low=low, high=high, n=len(queries))


def _with_fact(record: Record, name: str, value: float | None) -> Record:
    return record if value is None else replace(record, facts={**record.facts, name: value})
