"""Rankings measured by judgements: run files that were given, or searches made for it; resumed where they stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.data.judgements.qrels import ERROR
from irctl.errors import DataError
from irctl.index.shards import write_json
from irctl.ledger import taken
from irctl.pipelines.evaluate import best_documents, files, isotropy, populations, ranking_origin, reuse, summary
from irctl.pipelines.evaluate.measurements import Measurements
from irctl.pipelines.evaluate.targets import RankingSource, Target, find_newest_source, find_targets
from irctl.pipelines.search.opened import Opened
from irctl.types import Reporter, Run

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.metrics.ranking.evaluate import RankingResult
    from irctl.pipelines.evaluate.request import EvalRequest


@dataclass(frozen=True)
class _Job:
    """What is the same for every data set and split."""

    source: RankingSource
    opened: Opened
    run: RunHandle
    reporter: Reporter
    format: str
    overwrite: bool
    isotropy: bool


def choose_source(request: EvalRequest) -> RankingSource:
    """What the request names, else the newest of the ledger, else the default model (an empty source)."""
    return find_newest_source() if request.is_open else RankingSource(request.run_files, request.model, request.index)


def measure(config: Config, run: RunHandle, reporter: Reporter, request: EvalRequest) -> Measurements:
    """Every measure of every data set and split; run files given, or searches made by the model or index."""
    from irctl.metrics.ranking.parsing import parse

    source = choose_source(request)
    if request.is_open:
        taken.record(run, *source.words())
    asked, left_out = find_targets(config, source, request)
    asked = [replace(t, dataset=run.scrub(t.dataset), split=run.scrub(t.split)) for t in asked]
    opened = Opened(source.model, source.index, reporter)
    if request.isotropy:
        populations.check(source, lambda _: opened.index(config))
    job = _Job(source, opened, run, reporter, request.ranking_format, request.overwrite, request.isotropy)
    measured = Measurements(left_out=left_out)
    for target in asked:
        stopping.check("the data sets that are done are kept")
        measured.add(_measure_target(target, job, alone=len(asked) == 1))
    measured.lines.extend(target.said for target in asked if target.said)
    measured.levels.update({(t.dataset, t.split): t.level for t in asked})
    own = {(t.dataset, t.split): frozenset(m.name for m in parse(t.own_measures)) for t in asked if t.own_measures}
    measured.own.update(own)
    return replace(
        measured,
        searches=ranking_origin.join_foreign(measured.searches),
        results=[*measured.results, *summary.average_forums(measured.results)],
    )


def _measure_target(target: Target, job: _Job, *, alone: bool) -> Measurements:
    """One data set and split; taken from the run folder if it stands there for the same content."""
    part = job.run.out / "parts" / target.slug
    part.mkdir(parents=True, exist_ok=True)
    own_file = (job.run.out if alone else part) / "run.trec.gz"
    search = (
        _search(target, job, part, own_file) if target.run_file is None else _open_given(target, target.run_file, job)
    )
    file = Path(search["run_file"])
    to = str(search.get("transform") or search.get("model"))
    target = leave_out(target, search.get("gave_mean") or (), to, job.reporter)
    key = reuse.fingerprint_content(file, target, job.format)
    if job.overwrite or (kept := reuse.read_part(part, key)) is None:
        kept = _score(target, file, own_file, search, job)
        reuse.keep_part(part, key, kept)
        if target.run_file is None:
            if target.config.eval.save_run:
                job.run.artifact("out", "run_file", file)
            else:
                file.unlink()
    else:
        job.reporter.say(f"{target.dataset} {target.split}: evaluated already")
    results, rows, best = kept
    found = populations.measure(target, job.opened, job.run, job.reporter) if job.isotropy else []
    lines = [isotropy.write_line(target.dataset, target.split, row) for row in found]
    search = search | {"run_sha256": results[0]["run_sha256"]} | ({"isotropy": found} if found else {})
    return Measurements(results, rows, [search], best, lines)


def leave_out(target: Target, ids: Collection[str], to: str, reporter: Reporter, *, also: str = "") -> Target:
    """The target without queries that gave the mean of the query side. DataError where no judged query is left.

    to: what they gave it to. also: another way out, for the error.
    """
    from irctl.data.judgements.qrels import qrels_sha256

    gave = set(ids) & target.qrels.keys()
    if not gave:
        return target
    said = f"{target.dataset} {target.split}: {len(gave)} of {len(target.qrels)} queries gave {to} its query mean"
    left = {q: judged for q, judged in target.qrels.items() if q not in gave}
    if not left:
        raise DataError(f"{said}: none is left", hint=f"Measure other queries, such as --split dev+test{also}")
    reporter.say(f"{said}: left out")
    return replace(target, qrels=left, qrels_sha256=qrels_sha256(left), n_left_out=len(gave))


def _open_given(target: Target, file: Path, job: _Job) -> dict[str, Any]:
    """What is known of the search behind a run file. Raises DataError where the file is not there."""
    if not file.is_file():
        raise DataError(f"{file}: no such run file", hint="irctl search writes one")
    job.run.artifact("in", "run_file", file)
    return ranking_origin.describe_file(target, job.source)


def _search(target: Target, job: _Job, part: Path, own_file: Path) -> dict[str, Any]:
    """Search for a target, unless the run folder holds the ranking of the same model, index, data and settings."""
    from irctl.pipelines.search.search import search

    key = reuse.fingerprint_search(target, job.source)
    note = part / "search.json"
    if not job.overwrite and note.is_file() and own_file.is_file():
        kept = files.read_json(note)
        if kept["key"] == key:
            job.reporter.say(f"{target.dataset} {target.split}: searched already")
            return {**kept["search"], "run_file": str(own_file)}  # this run's own, wherever it was searched
    job.reporter.say(f"searching {target.dataset} {target.split}")
    payload = search(
        job.opened,
        target.config,
        job.run,
        job.reporter,
        collection=target.collection,
        out=str(own_file),
        measured=True,
    )
    facts = {k: v for k, v in payload.items() if k not in ("table", "lines", "ids")} | {"run_file": str(own_file)}
    write_json(note, job.run.scrub_value({"key": key, "search": facts}))
    return facts


def _score(target: Target, file: Path, own_file: Path, search: Mapping[str, Any], job: _Job) -> reuse.MeasuredPart:
    """Means, values of queries and their best documents.

    With eval.save_run, a ranking from elsewhere is kept as ordered here.
    """
    from irctl.data.judgements.runs import write_run
    from irctl.metrics.ranking.evaluate import canonicalize, evaluate, run_sha256

    k = search.get("k")
    with stopping.at_once("the data sets that are done are kept"):
        ranked = _read(file, target, job.format)
        result = evaluate(
            ranked, target.qrels, target.measures, self_match=target.self_match, k=k, top_grade=target.top_grade
        )
        ordered = canonicalize(ranked, k, self_match=target.self_match)
    if target.run_file is not None and target.made_by is None and target.config.eval.save_run:
        write_run(own_file, ordered, job.run.id)
    rows = files.make_query_rows(target.dataset, target.split, result)
    best = best_documents.make_rows(target.dataset, target.split, ordered, target.qrels)
    return reuse.MeasuredPart(result_rows(target, result, run_sha256(ordered), search), rows, best)


def result_rows(
    target: Target, result: RankingResult, run_sha256: str, search: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row a measure, with what its value depends on. search: k and similarity, and its ties at the cut."""
    same = {
        "dataset": target.dataset,
        "split": target.split,
        "n_queries": result.n_queries,
        "n_missing": result.n_missing,
        "n_unjudged": result.n_unjudged,
        "n_without_relevant": result.n_without_relevant,
        **({"n_left_out": target.n_left_out} if target.n_left_out else {}),
        "self_match": result.self_match,
        "n_self_removed": result.n_self_removed,
        "run_sha256": run_sha256,
        "qrels_sha256": target.qrels_sha256,
        "k": search.get("k"),
        "similarity": search.get("similarity"),
    }
    if target.config.eval.on_conflict != ERROR:
        same |= {"on_conflict": target.config.eval.on_conflict, "n_conflicts": target.n_conflicts}
    source = "judgements" if target.top_grade is None else "card"
    scale = {
        m.name: {"top_grade": result.top_grade, "top_grade_of": source} for m in result.measures if m.reads("top_grade")
    }
    rows = [{**same, "measure": n, "value": v, **scale.get(n, {})} for n, v in result.means.items()]
    return [summary.note_boundary(row, search) for row in rows]


def _read(file: Path, target: Target, format: str) -> Run:
    """format: trec, msmarco, or rank for a TREC file in the order of its rank column."""
    from irctl.data.judgements.runs import read_msmarco_run, read_run

    corpus = target.collection.corpus if target.collection else None
    if format == "msmarco":
        return read_msmarco_run(file, corpus=corpus)
    return read_run(file, trust_rank=format == "rank", corpus=corpus)
