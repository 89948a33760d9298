"""What a group ends with: the tables and figures that [meta] of its recipe names, over the runs of its chains."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irctl import recipes_index
from irctl.errors import ConfigError
from irctl.files import write_atomic
from irctl.reports.columns import CODE_PIVOT, ISOTROPY

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.arms.chains import Chain
    from irctl.reports.records import Record
    from irctl.reports.table import Table

REPORT = "report.md"
COMPRESSION = "compression"
WHOLE = (COMPRESSION, CODE_PIVOT, ISOTROPY)
"""Tables of all sizes in one."""


def report_group(
    run: RunHandle,
    chains: Sequence[Chain],
    meta: dict[str, Any],
    splits: Callable[[], str] = lambda: "",
    absent: Mapping[str, str] | None = None,
) -> list[str]:
    """The tables that [meta] report names (losses) and its figures, as lines of Markdown; also out/report.md.

    splits: what `{held_out}` stands for in [meta] queries, a footnote of every table. absent: arms that are not there
    and why; footnotes too.
    """
    evals = [run_id for c in chains for run_id in c.runs_of("eval")]
    if not evals and not any(c.runs_of("compress") for c in chains):
        return []
    from irctl.reports.formats import markdown

    note = str(meta.get("queries", ""))
    note = note.replace("{held_out}", splits()) if "{held_out}" in note else note
    tables = list(_tables(run.id, chains, meta))
    notes = [*([note] if note else []), *(f"Left out: {name}: {why}." for name, why in together(absent or {}).items())]
    text = [markdown.render(replace(t, notes=(*t.notes, *notes))) for t in tables]
    text += _figures(run, evals, meta)
    if text:
        write_atomic(run.out / REPORT, "\n".join(text))
    return "\n".join(text).splitlines()


def together(absent: Mapping[str, str]) -> dict[str, str]:
    """Arms that are not there for the same reason in one entry."""
    reasons = dict.fromkeys(absent.values())
    return {", ".join(name for name, why in absent.items() if why == reason): reason for reason in reasons}


def _tables(group: str, chains: Sequence[Chain], meta: dict[str, Any]) -> Iterator[Table]:
    """One table a split, each against the baseline where that is in it; of compressions one with all splits.

    Where arms have an `each`, one for each of its values, with the arms that have none; of compressions one with all.
    """
    from irctl.pipelines.report.records import gather

    values = sorted({c.each for c in chains if c.each is not None}, reverse=True)
    for kind in meta.get("report", ["losses"]):
        again = f"irctl report --run {group} --table {kind}"
        for value in values if values and kind not in WHOLE else [None]:
            mine = [c for c in chains if value is None or c.each in (None, value)]
            evals = [run_id for c in mine for run_id in c.runs_of("eval")]
            runs = [*evals, *(r for c in mine for r in c.runs_of("compress"))] if kind == COMPRESSION else evals
            if not runs:
                continue
            records = gather(runs, probes=kind == COMPRESSION)
            if value is None:
                yield from _of_splits(records, kind, str(meta.get("baseline", "")), again)
                continue
            named = str(meta.get("baseline", "")).replace(recipes_index.EACH, str(value))
            baseline = next((r for c in mine if c.arm == named for r in c.runs_of("eval")), named)
            again = shlex.join(("irctl", "report", "--table", kind, *(w for r in evals for w in ("--run", r))))
            about = str(meta.get("each", recipes_index.EACH)).replace(recipes_index.EACH, str(value))
            for table in _of_splits(records, kind, baseline, again):
                yield replace(table, title=f"{table.title}, {about}")


def _of_splits(records: Sequence[Record], kind: str, baseline: str, again: str) -> Iterator[Table]:
    from irctl.pipelines.report.records import open_per_query
    from irctl.pipelines.report.report import Wanted, build_tables

    if kind == COMPRESSION:
        yield from build_tables(records, Wanted(table=kind, command=again), open_per_query())
        return
    if kind == CODE_PIVOT:
        for split in dict.fromkeys(r.split for r in records):
            yield from build_tables(records, Wanted(table=kind, split=split, command=again), open_per_query())
        return
    for split in dict.fromkeys(r.split for r in records):
        mine = [r for r in records if r.split == split]
        tested = _known(baseline, mine)
        command = f"{again} --split {split}" + (f" --baseline {tested}" if tested else "")
        wanted = Wanted(table=kind, baseline=tested, split=split, command=command)
        yield from build_tables(mine, wanted, open_per_query())


def _known(baseline: str, records: Sequence[Record]) -> str:
    """The baseline, where it is among the records; its own run may be among the failed ones."""
    from irctl.reports.records import find_row

    try:
        find_row(baseline, records)
    except ConfigError:
        return ""
    return baseline


def _figures(run: RunHandle, evals: Sequence[str], meta: dict[str, Any]) -> list[str]:
    """Draw the figures into the group's folder; Markdown that shows them, with what they leave out."""
    from irctl.pipelines.report.figures import draw_figure
    from irctl.pipelines.report.report import Wanted

    left_out: list[str] = []
    kinds = meta.get("figures", ()) if evals else ()
    drawn = [p for kind in kinds for p in draw_figure(kind, run.out, Wanted(runs=evals), left_out)]
    return [*(f"![{p.stem}]({p.stem}.png)\n" for p in drawn if p.suffix == ".png"), *(f"{line}\n" for line in left_out)]
