"""Recall of nearest neighbours among the records: measured on codes, not by judgements, so shown as facts of a system.

probe_recall@k: by irctl compress, held-out rows against a sample. recall_exact@k, recall_codes@k: by irctl eval
--recall-against exact, with and without what exact vectors re-score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from irctl.reports.records import Record, keep_newest

PROBE = "probe_recall"
PROBED, OF_FILE = "probe", "queries"
"""Splits that no collection has: of what a compression measures on its own rows, and of query vectors of a file."""
OF_CODES = (PROBED, OF_FILE)
QUALITY = ("recall_exact@10", "recall_exact@100", "probe_recall@10", "probe_recall@100")
"""What stands for quality where nothing was judged, best first."""

_NAME = re.compile(rf"(recall_exact|recall_codes|{PROBE})@\d+")

Key = tuple[str, str, tuple[int | None, int | None]]


def is_recall(measure: str) -> bool:
    """Whether a measure is recall of neighbours; so is the empty one, of codes on which nothing was measured."""
    return not measure or _NAME.fullmatch(measure) is not None


def keep_judged(records: Sequence[Record]) -> list[Record]:
    """Records of measures that judgements stand behind."""
    return [r for r in records if not is_recall(r.measure)]


def fold_recall(records: Sequence[Record]) -> list[Record]:
    """Judged records with the recall of their system as facts; a record without a measure for what was never judged.

    Recall measured on a collection's split stands with that split alone; that of no split stands with all of them.
    """
    shown = keep_newest(records)
    # an evaluated bundle has the probe's numbers through its lineage, whatever its data set was called
    evaluated = {(run, r.compression) for r in shown if r.split != PROBED for run in r.lineage}
    shown = [r for r in shown if r.split != PROBED or (r.run_id, r.compression) not in evaluated]
    with_recall: list[Record] = []
    for dataset in dict.fromkeys(r.dataset for r in shown):
        mine = [r for r in shown if r.dataset == dataset]
        recalls = [r for r in mine if is_recall(r.measure)]
        splits = dict.fromkeys(r.split for r in (*keep_judged(mine), *recalls) if r.split not in OF_CODES)
        for split in splits or ("",):
            here = [r for r in keep_judged(mine) if r.split == split]
            fitting = [r for r in recalls if r.split in (split, *OF_CODES)]
            extra = _by_system(sorted(fitting, key=lambda r: (r.split == split, r.created_at, r.run_id)))
            with_recall += [_add_recall(r, extra[_key(r)]) if _key(r) in extra else r for r in here]
            known = {_key(r) for r in here}
            with_recall += [
                _add_recall(replace(of[-1], split=split, measure="", value=float("nan")), of)
                for key, of in extra.items()
                if key not in known
            ]
    return with_recall


def _key(r: Record) -> Key:
    return r.system, r.variant, r.seeds


def _by_system(recalls: Sequence[Record]) -> dict[Key, list[Record]]:
    records_of: dict[Key, list[Record]] = {}
    for r in recalls:
        records_of.setdefault(_key(r), []).append(r)
    return records_of


def _add_recall(record: Record, recalls: Sequence[Record]) -> Record:
    """The record with what these say; its own facts stay."""
    facts: dict[str, float] = {}
    runs: dict[str, str] = {}
    queries: dict[str, str] = {}
    for r in recalls:
        own_facts = {**r.facts, **({r.measure: r.value} if r.measure else {})}
        facts |= own_facts
        runs |= {name: r.fact_runs.get(name, r.run_id) for name in own_facts}
        if r.measure and r.split != PROBED:
            queries[r.measure] = r.queries or ("" if r.split == OF_FILE else r.split)
    own = {name: record.fact_runs.get(name, record.run_id) for name in record.facts}
    facts, runs = {**facts, **record.facts}, {**runs, **own}
    return replace(record, facts=facts, fact_runs=runs, fact_queries=queries)
