"""Records of what the ledger holds: evaluations with their lineage, and compressions that were only probed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths
from irctl.errors import DataError
from irctl.pipelines.evaluate import written
from irctl.pipelines.evaluate.files import EVAL, split_of
from irctl.pipelines.evaluate.ranking_origin import describe_record
from irctl.pipelines.lineage.run_settings import is_selected, selected_on
from irctl.pipelines.lineage.system import System, measured, system
from irctl.pipelines.report import bundle_probes
from irctl.reports import same_names
from irctl.settings import Model

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.reports.records import Record

SIMILARITY = {"ip": "dot", "l2": "euclid"}


def gather(
    runs: Sequence[str] = (), *, probes: bool = False, left_out: list[str] | None = None, required: bool = True
) -> list[Record]:
    """Records of every finished evaluation, or of those named; a group's id stands for the evaluations in it.

    probes: those of compressions too, by what they measured on their own rows. left_out: takes what is said of
    evaluations whose values are not in their run folders any more, or not what the run wrote; without it they are
    warned of. Raises DataError if there is none and one is required, or if one that was named is such.
    """
    from irctl.ledger import altered, many_runs, query
    from irctl.ledger.database.store import warn_once

    evals = query.list_runs(command="eval", status="completed")
    evaluations = evals if not runs else []
    probed = query.list_runs(command="compress", status="completed") if probes and not runs else []
    for named in map(query.find_run, runs):
        members = [r for r in evals if r.columns.get("group_id") == named.id]
        if not members and (status := named.columns.get("status")) != "completed":
            why = f": {named.columns['error_msg']}" if named.columns.get("error_msg") else ""
            raise DataError(f"run {named.id} ({named.columns.get('command')}) is {status}{why}",
                            hint=f"irctl runs show {named.id}")  # fmt: skip
        if named.columns.get("command") == "compress":
            probed.append(named)
        else:
            evaluations += members or [named]
    gone = [] if runs else [r for r in evaluations if not (r.folder / "out" / EVAL).is_file()]
    lost_ids = dict.fromkeys(r.id for r in gone)
    there = [r for r in evaluations if r.id not in lost_ids]
    faults = [f"values are not in their run folders any more: {', '.join(lost_ids)}"] if gone else []
    said = [f"Left out, for their {fault}." for fault in faults]
    records = []
    with many_runs.at_once([*there, *probed]):
        for record in there:
            try:
                records += read_records(record)
            except altered.AlteredFile as e:
                if runs:
                    raise
                faults.append(e.message)
                said.append(f"Left out: {e.message}.")
        if probes:
            records += bundle_probes.read_probes(probed)
    for line in said if left_out is None else ():
        warn_once(line)
    if left_out is not None:
        left_out += said
    if faults and not records and required:
        raise DataError(f"no evaluation to report: {faults[0]}", hint="Restore the file, or irctl eval again")
    if not evaluations and not records and required:
        is_probed = bool(probed) or (not runs and query.newest("compress") is not None)
        raise DataError(f"{paths.ledger()}: no evaluation to report", hint=_how_to_get_one(is_probed=is_probed))
    return same_names.tell_apart(records)


def _how_to_get_one(*, is_probed: bool) -> str:
    """Commands that work on the ledger as it is."""
    from irctl.ledger import query

    if is_probed:
        return "irctl report --table compression shows compressions; irctl eval adds one"
    if any(query.newest(command) for command in ("search", "train")):
        return "irctl eval evaluates the newest search, else the newest model"
    return f"irctl demo makes some; irctl eval --model {Model().name} adds one"


def read_records(record: RunRecord) -> list[Record]:
    """Records of one evaluation run, from its eval.json and its lineage. DataError where that is not what it wrote."""
    from irctl.ledger import query

    payload = written.read_means(record)
    searches: dict[Any, dict[str, Any]] = {
        (s["dataset"], s["split"], s.get("part", "")): s for s in payload.get("searches", [])
    }
    line = query.ancestors(record.id)
    selected = selected_on(line)
    is_trained = any(r.columns.get("command") == "train" for r in line)  # else only the run itself can say it
    collections = _collections_of(record, line)
    systems: dict[tuple[str, str, str], System] = {}
    records = []
    for r in payload["results"]:
        place = (r["dataset"], r["split"], r.get("part", ""))
        if place not in systems:
            search = searches.get(place) or next(iter(searches.values()), {})
            systems[place] = system(record, describe_record(search, str(r.get("run_sha256") or ""), line), line)
        records.append(
            measured(
                record,
                systems[place],
                dataset=r["dataset"],
                split=r["split"],
                part=r.get("part", ""),
                measure=r["measure"],
                value=float(r["value"]),
                qrels_sha256=r["qrels_sha256"],
                **collections.get(r["dataset"], collections.get("", {})),
                queries=str(r.get("queries") or ""),
                k=r.get("k"),
                similarity=SIMILARITY.get(str(r.get("similarity") or ""), str(r.get("similarity") or "")),
                self_match=r["self_match"],
                top_grade=r.get("top_grade"),
                selected_on_eval=is_selected(selected, *place[:2])
                or (not is_trained and bool(record.columns.get("selected_on_eval"))),
                n_queries=r["n_queries"],
                n_missing=r["n_missing"],
                reading=searches.get(place, {}).get("reading") or {},
            )
        )
    return records


def _collections_of(record: RunRecord, line: Sequence[RunRecord]) -> dict[str, dict[str, str]]:
    """Data set -> hash and folder of the collection that the evaluation, else its search, read; of one alone as ""."""
    from irctl.ledger import query

    for run in (record, *(r for r in line if r.columns.get("command") == "search")):
        if read := query.artifacts(run, role="in", kind="collection"):
            told = [{"documents": str(a["sha256"] or ""), "data_path": str(a["path"])} for a in read]
            if len(told) == 1:
                return {"": told[0]}
            return {name: t for t in told for name in _names_of(Path(t["data_path"]))}
    return {}


def _names_of(folder: Path) -> tuple[str, str]:
    """What a data set in this folder may be called: `nq`, `cqadupstack/english`."""
    return folder.name, f"{folder.parent.name}/{folder.name}"


def open_per_query() -> Callable[[Record], Mapping[str, float] | None]:
    """Per-query values of a record, from its run folder; each file is read once. DataError as written.read_values."""
    from irctl.ledger import query

    @cache
    def file(run_id: str) -> written.Values:
        return written.read_values(query.find_run(run_id))

    def find(r: Record) -> Mapping[str, float] | None:
        return file(r.run_id).get((r.called or r.dataset, split_of(r.split, r.part), r.measure))

    return find


def open_best(unread: list[str]) -> Callable[[Record], Mapping[str, Sequence[str]] | None]:
    """The best documents of a record's ranking by query, from its run folder; each file is read once.

    unread: takes what is said of files that cannot be read, whose records have none.
    """
    from irctl.ledger import query

    @cache
    def file(run_id: str) -> Mapping[tuple[str, str], Mapping[str, Sequence[str]]]:
        try:
            return written.read_best(query.find_run(run_id))
        except DataError as e:
            unread.append(f"No overlap@10: {e.message}.")
            return {}

    return lambda record: file(record.run_id).get((record.called or record.dataset, record.split))
