"""What is said of tables as a whole: what they leave out, what is not tested, what is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irctl.errors import ConfigError
from irctl.reports import answers_table
from irctl.reports.columns import ANSWERS, ISOTROPY, list_filled
from irctl.reports.records import Record, RowKey, find_rows, keep_newest
from irctl.reports.table import Table


def tell_left_out(records: Sequence[Record], shown: Sequence[Record]) -> tuple[str, ...]:
    """Evaluations that have a table of their own."""
    here, said = {r.run_id for r in shown}, []
    for table, is_answer in ((ISOTROPY, False), (ANSWERS, True)):
        apart = [r for r in records if r.part and (r.method == answers_table.METHOD) == is_answer]
        runs = dict.fromkeys(r.run_id for r in apart if r.run_id not in here)
        if runs and not any(r.part for r in shown):
            said.append(f"Left out, with a table of their own (--table {table}): {', '.join(runs)}.")
    return tuple(said)


def tell_replaced(records: Sequence[Record], named: Sequence[str]) -> tuple[str, ...]:
    """Runs that were asked for by name and that no row shows, for a newer one measured the same."""
    kept = {r.run_id for r in keep_newest(records)}
    replaced = dict.fromkeys(r.run_id for r in records if named and r.run_id not in kept)
    if not replaced:
        return ()
    return (f"Left out, replaced by a newer evaluation of the same system on the same data: {', '.join(replaced)}.",)


def tell_untested(
    tables: Sequence[Table], bases: Sequence[RowKey | None], baseline: str, kind: str, every: Sequence[Record]
) -> list[Table]:
    """The tables, with a note where nothing is tested against the baseline. ConfigError where it is a row of none.

    bases: its row in each table. kind: of table. every: records, shown or not.
    """
    if not baseline:
        return list(tables)
    labels = {row.key: row.label for t in tables for row in t.rows}
    if not any(base in labels for base in bases):
        named = find_rows(baseline, keep_newest(every))
        places = dict.fromkeys(f"{r.dataset} {r.split}" for r in every if (r.system, r.variant) in named)
        known = f"evaluated on {', '.join(places)}, but " if places else ""
        raise ConfigError(
            f"--baseline {baseline}: {known}no row of this report (--table {kind})",
            hint=f"Rows: {', '.join(dict.fromkeys(labels.values()))}",
        )
    told = []
    for t in tables:
        note = ""
        if not any(row.key in bases for row in t.rows):
            note = f"No row '{baseline}' here: nothing is tested."
        elif not t.comparisons and len(t.rows) > 1:
            note = f"Nothing is tested against '{baseline}': no other row has its measure by the same queries."
        told.append(replace(t, notes=(*t.notes, note)) if note else t)
    return told


def tell_empty(tables: Sequence[Table], records: Sequence[Record]) -> list[Table]:
    """The tables, with a note on named columns in which no row of any has a value. ConfigError where that is all."""
    filled: dict[str, bool] = {}
    for table in tables:
        for i, column in enumerate(table.columns):
            has_value = any(row.cells[i].value is not None for row in table.rows)
            filled[column.key] = filled.get(column.key, False) or has_value
    empty = ", ".join(key for key, has_value in filled.items() if not has_value)
    if not empty:
        return list(tables)
    told = f"With values: {', '.join(list_filled(records))}."
    if not any(filled.values()):
        rows = sum(len(t.rows) for t in tables)
        raise ConfigError(f"--columns: none of the {rows} rows has a value of {empty}", hint=told.rstrip("."))
    return [replace(t, notes=(*t.notes, f"No row has a value of {empty}. {told}")) for t in tables]
