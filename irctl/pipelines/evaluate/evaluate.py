"""`irctl eval`: score run files, or search first; means into the ledger, per-query values into the run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.index.shards import write_json
from irctl.metrics.ranking.evaluate import CANONICAL_VERSION
from irctl.models.locate import resolve_run_name
from irctl.pipelines.evaluate import (
    best_documents,
    files,
    isotropy,
    mteb_files,
    neighbour_recall,
    paired_tests,
    populations,
    rankings,
    repconc_files,
    summary,
    written,
)
from irctl.pipelines.evaluate.front import front, shown
from irctl.pipelines.evaluate.measurements import Measurements
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.evaluate.targets import find_targets
from irctl.pipelines.references import newest
from irctl.pipelines.search import opened_index
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def evaluate(config: Config, run: RunHandle, reporter: Reporter, request: EvalRequest) -> dict[str, Any]:
    """Results of every data set and split, their average, and what else was asked for; the payload of --json.

    A payload with "left_out" is partly done: those data sets could not be used.
    """
    started = time.monotonic()
    request.check(config)
    baseline = paired_tests.find_baseline(request.baseline, run) if request.baseline else None
    if request.model:
        request = replace(request, model=resolve_run_name(request.model))  # once: a training may end meanwhile
    if request.index and not (request.is_front or request.recall_against):  # of vectors, and of codes, alone
        request = replace(request, index=newest.settle_index(request.index, run))
    measure = neighbour_recall.measure if request.recall_against else rankings.measure
    measured = (front.measure if request.is_front else measure)(config, run, reporter, request)
    results, rows, searches = measured.results, measured.per_query, measured.searches
    payload = _write(run, measured)
    _record(run, config.run.dataset, results, searches)
    said = dict.fromkeys(measured.lines)  # of the corpus once, whatever the number of splits
    lines = [*said, *summary.conflicts(results), *(line for r in results for line in summary.remarks(r))]
    if request.export:
        lines.append(_export(request, run.out, measured, time.monotonic() - started))
    if baseline:
        payload["comparisons"] = paired_tests.compare_with(baseline, run.out / files.PER_QUERY, run.id)
        lines += [paired_tests.write_line(c) for c in payload["comparisons"]]
    if request.oracle:
        payload["oracles"], oracle_lines = summary.compare_published(searches, results)
        lines += oracle_lines
    table = summary.to_table([r for r in results if measured.is_shown(r)])
    if request.is_front:
        compared = shown.compare_parts(measured)
        payload["comparisons"] = [asdict(c) for c in compared]
        table = shown.make_table(table, measured, compared)
        lines += shown.lines(measured, compared)
    if "comparisons" in payload:
        paired_tests.keep(run, payload["comparisons"])
    if request.per_query:
        payload["per_query"], table = rows, summary.to_query_table(rows)
    return {**payload, "table": table, "lines": lines}


def describe(config: Config, request: EvalRequest) -> dict[str, Any]:
    """What --dry-run prints: what would be measured, on which judgements, and which data sets are not here."""
    request.check(config)
    if request.baseline:
        paired_tests.find_baseline(request.baseline)
    if request.is_front:
        return front.describe(config, request)
    if request.recall_against is not None:
        index = request.index or ", ".join(request.run_files) or "latest"
        return {"recall": {"against": request.recall_against, "of": index}}
    source = rankings.choose_source(request)
    present, left_out = find_targets(config, source, replace(request, keep_going=True))
    what = source.index or (resolve_run_name(source.model) if source.model else "") or ", ".join(source.files)
    plan: dict[str, Any] = {"evaluate": {"of": what or config.model.name, "data sets": len(present)}}
    if request.isotropy:
        populations.check(source, lambda reference: opened_index.open_index(reference, config, fits=False))
        plan["evaluate"]["isotropy"] = f"of {isotropy.CORPUS} and {isotropy.QUERIES}"
    if not (source.index or source.files):
        from irctl.models import folder_facts
        from irctl.models.locate import find_local
        from irctl.models.similarity import describe_similarity

        folder_facts.check(config, resolve_run_name(source.model or config.model.name))
        local = find_local(source.model or config.model.name, config.model.revision)
        plan["evaluate"]["similarity"] = describe_similarity(config.search.similarity, config.encoder.normalize, local)
    for t in present:
        file = {"run file": str(t.run_file)} if t.run_file else {}
        twice = (
            {"judged twice": summary.told_conflicts(t.n_conflicts, config.eval.on_conflict)} if t.n_conflicts else {}
        )
        plan[f"{t.dataset} {t.split}"] = {"queries": len(t.qrels), "measures": t.measures, **twice, **file}
    return plan | ({"not here": left_out} if left_out else {})


def _write(run: RunHandle, measured: Measurements) -> dict[str, Any]:
    """Write eval.json, per_query.parquet and best.parquet; {results, average, searches, left_out if any}."""
    payload: dict[str, Any] = {
        "results": measured.results,
        "average": summary.average(measured.results, measured.left_out),
        "searches": measured.searches,
    }
    if measured.left_out:
        payload["left_out"] = measured.left_out
    files.write_per_query(run.out / files.PER_QUERY, measured.per_query)
    best_documents.write(run.out / best_documents.FILE, measured.best)
    facts = {"canonical_version": CANONICAL_VERSION, "versions": files.read_versions()}
    stable = {**payload, "searches": [files.keep_stable(s, run.out) for s in measured.searches]}
    write_json(run.out / files.EVAL, run.scrub_value({"schema": "irctl/eval-file/1", **stable, **facts}))
    return payload


def _export(request: EvalRequest, out: Path, measured: Measurements, seconds: float) -> str:
    """Write the files of another tool; the line that says where."""
    if request.export_kind == "repconc":
        place = request.export_folder or out / repconc_files.FOLDER
        paths = repconc_files.write(place, measured.results, measured.per_query, measured.levels)
        return f"RepCONC's measures in {', '.join(map(str, paths))}"
    written = mteb_files.write(request.export_folder or out / "mteb", measured.results, measured.searches, seconds)
    return f"mteb's results in {written[0].parent}"


def _record(
    run: RunHandle,
    dataset: str,
    results: Sequence[dict[str, Any]],
    searches: Sequence[dict[str, Any]],
) -> None:
    """Means, files and origin into the ledger; and whether a checkpoint behind it was chosen on what is measured."""
    from irctl.ledger import query
    from irctl.pipelines.lineage.run_settings import is_selected, selected_on

    for r in results:
        split = files.split_of(r["split"], r.get("part", ""))
        run.metric(r["measure"], r["value"], dataset=r["dataset"], split=split)
    for search in searches:
        isotropy.record(run, search)
    written.record(run)
    datasets = list(dict.fromkeys(s["dataset"] for s in searches))
    columns: dict[str, Any] = {"dataset": dataset_name(dataset, ",".join(datasets))}
    for name in ("method", "model"):  # an empty model too: a run file of others has none
        if (value := searches[0].get(name)) is not None:
            columns[name] = value
    selected = selected_on(query.ancestors(run.id))
    if any(is_selected(selected, r["dataset"], r["split"]) for r in results):
        columns["selected_on_eval"] = 1
    if compression := searches[0].get("compression"):  # what was searched; a search of vectors is called dense
        columns["method"] = compression
    run.note(**columns)
