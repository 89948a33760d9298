"""`irctl eval`: score run files, or search first; means into the ledger, per-query values into the run folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.errors import DataError
from irctl.index.shards import write_json
from irctl.ledger.runs.reproduce import TAKEN
from irctl.models.locate import resolved
from irctl.pipelines.evaluate import files as store
from irctl.pipelines.evaluate import mteb_files, neighbour_recall, options, paired_tests, ranking_origin, summary
from irctl.pipelines.evaluate import reuse as checks
from irctl.pipelines.evaluate.targets import Source, Target, newest_source, targets
from irctl.pipelines.search.opened import Opened
from irctl.types import Reporter, Run

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def evaluate(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    run_files: Sequence[str] = (),
    qrels: str | None = None,
    model: str | None = None,
    index: str | None = None,
    split: str | None = None,
    baseline: str | None = None,
    per_query: bool = False,
    keep_going: bool = False,
    overwrite: bool = False,
    format: str = "trec",
    recall_against: str | None = None,
    queries: str | None = None,
    export: str | None = None,
    oracle: bool = False,
    trust_rank: bool = False,
) -> dict[str, Any]:
    """Results of every data set and split, their average, and what else was asked for; the payload of --json.

    With no run file, model or index: the newest of the ledger, else the default model.
    recall_against: measure an index, which run_files may name too, by exact search in place of judgements.
    queries: its query vectors, a .npy file. trust_rank: a TREC file is ordered by its rank column.
    A payload with "left_out" is partly done: those data sets could not be used.
    """
    started = time.monotonic()
    options.check(
        config,
        run_files=run_files,
        qrels=qrels,
        model=model,
        index=index,
        queries=queries,
        format=format,
        recall_against=recall_against,
        export=export,
        oracle=oracle,
        trust_rank=trust_rank,
    )
    model = resolved(model) if model else None  # once: a training may end while data sets are evaluated
    results: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    searches: list[dict[str, Any]] = []
    lines: list[str] = []
    left_out: dict[str, str] = {}
    if recall_against:
        bundle = index or next(iter(run_files), None)
        made = neighbour_recall.measure(
            config, run, reporter, index=bundle, model=model, queries=queries, fresh=overwrite
        )
        results, rows, searches, lines = made.results, made.per_query, made.searches, made.lines
    else:
        source = Source(tuple(run_files), model, index)
        if source == Source() and qrels is None:
            source = newest_source()
            run.event("info", TAKEN, shlex.join(source.words()))
        found, left_out = targets(config, source, qrels=qrels, split=split, keep_going=keep_going, format=format)
        format = "rank" if trust_rank else format
        opened = Opened(source.model, source.index)
        found = [replace(t, dataset=run.scrub(t.dataset), split=run.scrub(t.split)) for t in found]
        for target in found:
            stopping.check("the data sets that are done")
            one = _one(target, source, opened, run, reporter, alone=len(found) == 1, overwrite=overwrite, format=format)
            results += one["results"]
            rows += one["per_query"]
            searches.append(one["search"] | {"run_sha256": one["results"][0]["run_sha256"]})
        lines += [target.said for target in found if target.said]
        searches = ranking_origin.of_one_source(searches)
        results += summary.cqadupstack(results)
    payload: dict[str, Any] = {"results": results, "average": summary.average(results, left_out), "searches": searches}
    if left_out:
        payload["left_out"] = left_out
    store.write_per_query(run.out / store.PER_QUERY, rows)
    facts = {"canonical_version": checks.CANONICAL_VERSION, "versions": store.versions()}
    stable = {**payload, "searches": [store.stable(s, run.out) for s in searches]}
    write_json(run.out / store.EVAL, run.scrubbed({"schema": "irctl/eval/1", **stable, **facts}))
    _record(run, config, results, searches)
    lines += [line for r in results for line in summary.remarks(r)]
    if export == "repconc":
        write_json(run.out / store.METRIC, store.repconc(results, rows))
        lines.append(f"RepCONC's measures in {run.out / store.METRIC}")
    if export and export.startswith("mteb"):
        folder = Path(export.removeprefix("mteb").removeprefix(":") or run.out / "mteb")
        files = mteb_files.write(folder, results, searches, time.monotonic() - started)
        lines.append(f"mteb's results in {files[0].parent}")
    if baseline:
        payload["comparisons"] = paired_tests.compare_with(baseline, run.out / store.PER_QUERY, run.id)
        lines += [paired_tests.comparison_line(c) for c in payload["comparisons"]]
    if oracle:
        payload["oracles"], found_lines = summary.oracles(searches, results)
        lines += found_lines
    if per_query:
        payload["per_query"] = rows
    return {**payload, "table": summary.query_table(rows) if per_query else summary.table(results), "lines": lines}


def describe(
    config: Config,
    *,
    run_files: tuple[str, ...] = (),
    qrels: str | None = None,
    model: str | None = None,
    index: str | None = None,
    split: str | None = None,
    format: str = "trec",
) -> dict[str, Any]:
    """What --dry-run prints: what would be measured, on which judgements, and which data sets are not here."""
    source = Source(run_files, model, index)
    if source == Source() and qrels is None:
        source = newest_source()
    found, left_out = targets(config, source, qrels=qrels, split=split, keep_going=True, format=format)
    what = source.index or (resolved(source.model) if source.model else "") or ", ".join(source.files)
    plan: dict[str, Any] = {"evaluate": {"of": what or config.model.name, "data sets": len(found)}}
    if not (source.index or source.files):
        from irctl.models import stated
        from irctl.models.locate import find_local
        from irctl.models.similarity import in_force

        stated.check(config, resolved(source.model or config.model.name))
        local = find_local(source.model or config.model.name, config.model.revision)
        plan["evaluate"]["similarity"] = in_force(config, local)
    for t in found:
        file = {"run file": str(t.run_file)} if t.run_file else {}
        plan[f"{t.dataset} {t.split}"] = {"queries": len(t.qrels), "measures": t.measures, **file}
    return plan | ({"not here": left_out} if left_out else {})


def _one(
    target: Target,
    source: Source,
    opened: Opened,
    run: RunHandle,
    reporter: Reporter,
    *,
    alone: bool,
    overwrite: bool,
    format: str,
) -> dict[str, Any]:
    """{results, per_query, search} of one target; taken from the run folder if it stands there for the same content."""
    from irctl.metrics.ranking.evaluate import canonical, evaluate, run_sha256

    part = run.out / "parts" / target.slug
    part.mkdir(parents=True, exist_ok=True)
    made = run.out / "run.trec.gz" if alone else part / "run.trec.gz"
    if target.run_file is None:
        search = _search(target, source, opened, run, reporter, part, made, overwrite)
        file = Path(search["run_file"])
    else:
        file = target.run_file
        search = ranking_origin.of_file(target, source)
        if not file.is_file():
            raise DataError(f"{file}: no such run file", hint="irctl search writes one")
        run.artifact("in", "run_file", file)
    key = checks.content_key(file, target, format)
    if not overwrite and (kept := checks.kept_part(part, key)) is not None:
        reporter.say(f"{target.dataset} {target.split}: evaluated already")
        return kept | {"search": search}
    ranked = _read(file, target, format)
    result = evaluate(ranked, target.qrels, target.measures, self_match=target.self_match, k=search.get("k"))
    ordered = canonical(ranked, search.get("k"), self_match=target.self_match)
    same = {
        "dataset": target.dataset,
        "split": target.split,
        "n_queries": result.n_queries,
        "n_missing": result.n_missing,
        "n_unjudged": result.n_unjudged,
        "n_without_relevant": result.n_without_relevant,
        "self_match": result.self_match,
        "n_self_removed": result.n_self_removed,
        "run_sha256": run_sha256(ordered),
        "qrels_sha256": target.qrels_sha256,
        "k": search.get("k"),
        "similarity": search.get("similarity"),
    }
    results = [{**same, "measure": name, "value": value} for name, value in result.means.items()]
    results = [summary.with_boundary(r, search) for r in results]
    rows = store.per_query_rows(target.dataset, target.split, result)
    checks.keep_part(part, key, results, rows)
    if target.run_file is not None and target.made_by is None and target.config.eval.save_run:
        from irctl.data.judgements.runs import write_run

        write_run(made, ordered, run.id)
    if target.run_file is None:
        if target.config.eval.save_run:
            run.artifact("out", "run_file", file)
        else:
            file.unlink()
    return {"results": results, "per_query": rows, "search": search}


def _search(
    target: Target,
    source: Source,
    opened: Opened,
    run: RunHandle,
    reporter: Reporter,
    part: Path,
    made: Path,
    overwrite: bool,
) -> dict[str, Any]:
    """Search for a target, unless the run folder holds the ranking of the same model, index, data and settings."""
    from irctl.pipelines.search.search import search

    key = checks.search_key(target, source)
    note = part / "search.json"
    if not overwrite and note.is_file() and made.is_file():
        kept = store.read_json(note)
        if kept["key"] == key:
            reporter.say(f"{target.dataset} {target.split}: searched already")
            return {**kept["search"], "run_file": str(made)}  # this run's own, wherever it was searched
    reporter.say(f"searching {target.dataset} {target.split}")
    payload = search(opened, target.config, run, reporter, collection=target.collection, out=str(made))
    told = {k: v for k, v in payload.items() if k not in ("table", "lines", "ids")} | {"run_file": str(made)}
    write_json(note, run.scrubbed({"key": key, "search": told}))
    return told


def _read(file: Path, target: Target, format: str) -> Run:
    """format: trec, msmarco, or rank for a TREC file in the order of its rank column."""
    from irctl.data.judgements.runs import read_msmarco_run, read_run

    corpus = target.collection.corpus if target.collection else None
    if format == "msmarco":
        return read_msmarco_run(file, corpus=corpus)
    return read_run(file, trust_rank=format == "rank", corpus=corpus)


def _record(
    run: RunHandle,
    config: Config,
    results: Sequence[dict[str, Any]],
    searches: Sequence[dict[str, Any]],
) -> None:
    """Means, files and origin into the ledger; and whether a checkpoint behind it was chosen on what is measured."""
    from irctl.ledger import query
    from irctl.pipelines.lineage.run_settings import is_selected, selected_on

    for r in results:
        run.metric(r["measure"], r["value"], dataset=r["dataset"], split=r["split"])
    run.artifact("out", "eval", run.out / store.EVAL)
    datasets = list(dict.fromkeys(s["dataset"] for s in searches))
    columns: dict[str, Any] = {"dataset": config.run.dataset or ",".join(datasets)}
    for name in ("method", "model"):  # an empty model too: a run file of others has none
        if (value := searches[0].get(name)) is not None:
            columns[name] = value
    selected = selected_on(query.ancestors(run.id))
    if any(is_selected(selected, r["dataset"], r["split"]) for r in results):
        columns["selected_on_eval"] = 1
    run.note(**columns)
