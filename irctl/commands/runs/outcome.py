"""How a run ended: its result with what it was tested against, its time and machine, why it did not complete."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.commands.runs import listing
from irctl.errors import DATA, ENVIRONMENT, USAGE, counted
from irctl.ledger.files.identity import ID_PATTERN

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

FORMS = 6
"""As many systems of one evaluation as a paragraph holds."""


def result(run: RunRecord) -> Iterator[str]:
    """The measures with their split and number of queries, and what a paired test with a base said."""
    command = run.columns["command"]
    if command == "eval":
        yield _measured(eval_json(run))
        for c in comparisons(run)[:FORMS]:
            p = "p undefined" if c["p_adj"] is None else f"p {c['p_adj']:.3g}, {_corrected(c)} over {c['family']}"
            yield (
                f"Against {named(c['baseline'])}, {c['split']}: {c['measure']} {c['delta']:+.4f} "
                f"(95 % {c['ci_low']:+.4f} to {c['ci_high']:+.4f}, {p})"
            )
    elif command == "train":
        yield _trained(run)
    elif command == "compress" and (error := measure(run, "relative_mse")) is not None:
        yield f"Held-out error {error:.4f} of the vectors' variance"
    elif command == "arms" and run.columns["status"] == "completed":
        yield f"Its tables: irctl report --run {run.id}"


def _corrected(comparison: Mapping[str, Any]) -> str:
    from irctl.reports.significance import CORRECTED

    return CORRECTED[comparison.get("correction", "holm")]  # evaluations knew no other before they said which


def _measured(found: Mapping[str, Any]) -> str:
    """The means of eval.json: of one system all, of several the first measure of each."""
    results = found.get("results") or []
    if not results:
        return ""
    places = list(dict.fromkeys((r["dataset"], r["split"], r.get("part", "")) for r in results))
    if len(places) == 1:
        values = ", ".join(f"{r['measure']} {r['value']:.4f}" for r in results)
        return f"Result on {results[0]['split']} ({_queries(results[0], found)}): {values}"
    first = results[0]["measure"]
    every = [r for r in results if r["measure"] == first]
    names = [r.get("part") or f"{r['dataset']} {r['split']}".strip() for r in every]
    shown = [f"{n} {r['value']:.4f} ({_queries(r, found)})" for n, r in zip(names, every, strict=True)]
    more = f" and {len(every) - FORMS} more below" if len(every) > FORMS else ""
    return f"Result, {first}: {', '.join(shown[:FORMS])}{more}"


def _queries(result: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    return counted(result["n_queries"], "question" if "task" in found else "query")


def _trained(run: RunRecord) -> str:
    from irctl.training.run_files import journal
    from irctl.training.run_files.dev_measure import MEASURE, dev_measure

    done = next((e for e in reversed(journal.events(run.paths.metrics)) if e["event"] == "done"), None)
    if done is None:
        return ""
    steps = f"{counted(done['steps'], 'step')} of {counted(run.columns['global_batch'], 'query')}"
    after, before = done.get("dev_after"), done.get("dev_before")
    if after is None:
        loss = f", loss {done['last_loss']:.4f} in the last epoch" if done.get("last_loss") is not None else ""
        return f"{steps}{loss}; no dev split was measured"
    known = known_config(run)
    name = dev_measure(str(known.get("train.method")), str(known.get("eval.during")))
    from irctl.ledger import query

    split = next((m["split"] for m in query.measures(run.id) if m["name"] == MEASURE and m["split"]), "dev")
    was = "" if before is None else f", {before:.4f} before training"
    return f"{steps}; the model is of step {done['model_step']}. Result on {split}: {name} {after:.4f}{was}"


def use(run: RunRecord) -> str:
    from irctl.ledger import query

    c = run.columns
    kept = next(iter(query.rows("SELECT cpu, ram_gib, gpus_json FROM env WHERE run_id = ?", (run.id,))), {})
    gpus = [str(g.get("name", g)) if isinstance(g, dict) else str(g) for g in json.loads(kept.get("gpus_json") or "[]")]
    used = gpus[: c["world_size"] or 1] if known_config(run).get("hardware.device_kind") == "cuda" else []
    parts = [", ".join(dict.fromkeys(used)), kept.get("cpu"), kept.get("ram_gib") and f"{kept['ram_gib']:.0f} GiB"]
    machine = ", ".join(filter(None, (*parts, f"profile {c['profile']}" if c["profile"] else "")))
    where = f" on {c['host']}{f' ({machine})' if machine else ''}"
    if c["duration_s"] is None:
        return "" if not c["started_at"] else f"Started {c['started_at']}{where}"
    cpu = f" (CPU {listing.duration(c['cpu_s'])})" if c["cpu_s"] else ""
    return f"It took {listing.duration(c['duration_s'])}{cpu}{where}, {(c['started_at'] or c['created_at'])[:10]}"


def ending(run: RunRecord) -> tuple[str, str]:
    """(why a run did not complete, the line that says what continues it); blank for one that did."""
    c = run.columns
    status, again = c["status"], f"Continue it: {_line(run)}"
    if status == "completed":
        return "", ""
    if status == "running":
        beat = datetime.fromisoformat(c["heartbeat_at"] or c["created_at"])
        age = listing.duration(max((datetime.now(UTC) - beat).total_seconds(), 0.0))
        return (
            f"It is running: process {c['pid']}, last heard of {age} ago",
            f"Watch it: irctl runs show {run.id} --follow",
        )
    if status == "queued":
        return f"It waits for its Slurm job {c['slurm_job_id'] or ''}".strip(), ""
    if status == "lost":
        return "It is lost: its process is gone without a word, by a crash of the machine or a kill", again
    signal = f" by signal {c['signal']}" if c["signal"] else ""
    why = f": {c['error_msg'].rstrip('.')}" if c["error_msg"] else ""
    code = "" if c["exit_code"] is None else f" (exit code {c['exit_code']})"
    if status == "failed" and c["exit_code"] in (USAGE, DATA, ENVIRONMENT):  # the same line fails again
        again = f"Mend that first, then: {_line(run)}"
    word = {"failed": "It failed", "preempted": "It was preempted"}.get(status, f"It was {status}")
    return f"{word}{signal}{why}{code}", again


def _line(run: RunRecord) -> str:
    """The command of a run, to be typed anywhere."""
    c = run.columns
    line = shlex.join(json.loads(c["argv_json"] or "[]"))
    return line if not c["cwd"] or Path(c["cwd"]) == Path.cwd() else f"cd {shlex.quote(c['cwd'])} && {line}"


def named(model: Any) -> str:
    """A model or run as a reader knows it: a run with what it was."""
    from irctl.ledger import query

    short = listing.short_model(str(model or ""))
    if not ID_PATTERN.fullmatch(short):
        return str(model or "")
    known = query.rows("SELECT command, method, name FROM runs WHERE id = ?", (short,))
    if not known:
        return f"run {short}"
    what = known[0]["name"] or " ".join(filter(None, (known[0]["command"], known[0]["method"])))
    return f"run {short} ({what})"


def measure(run: RunRecord, name: str) -> float | None:
    from irctl.ledger import query

    return next((m["value"] for m in query.measures(run.id) if m["name"] == name), None)


def known_config(run: RunRecord) -> dict[str, Any]:
    return {k: v["value"] for k, v in json.loads(run.columns["config_json"] or "{}").items()}


def eval_json(run: RunRecord) -> dict[str, Any]:
    """What the run found; nothing where its file is gone, or is not what it wrote."""
    from irctl.errors import DataError
    from irctl.pipelines.evaluate import written

    try:
        return written.read_means(run)
    except DataError:  # said by view.list_altered
        return {}


def comparisons(run: RunRecord) -> list[dict[str, Any]]:
    """What the paired tests of an evaluation said: those of its main measure. As above."""
    from irctl.ledger import altered

    file = run.paths.out / "comparisons.json"
    is_there = file.is_file() and not altered.find(run, ("comparisons",))
    found: list[dict[str, Any]] = tables.json_object(file).get("comparisons", []) if is_there else []
    return found[:1] if len({c["split"] for c in found}) == 1 else found
