"""How `irctl runs` prints runs: rows for tables, pages for one run, and the formats of a listing."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irctl import console, origins
from irctl.commands.runs import story
from irctl.errors import ConfigError
from irctl.ledger.files.run_columns import RUN_COLUMNS
from irctl.reports.formats.formulas import make_inert

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

FORMATS = ("table", "csv", "json", "md")
LAST_EVENTS = 10
COLUMNS = tuple(c for c in RUN_COLUMNS if c != "config_json")
"""What a run's row as JSON is made of."""


def as_json(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """The rows of runs with their texts of JSON opened, their tags and their last measures."""
    from irctl.ledger import many_runs

    measured = many_runs.measures([run.id for run in runs])
    told = []
    for run in runs:
        row = {c: run.columns[c] for c in COLUMNS if c != "argv_json"}
        row["argv"] = json.loads(run.columns["argv_json"] or "[]")
        told.append({**row, "tags": list(run.tags), "measures": measured[run.id]})
    return told


def print_rows(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Rows on stdout as table, csv or md."""
    if format == "table":
        console.table(rows)
    elif format == "csv":
        console.out(_csv(rows).rstrip("\n"))
    elif rows:
        names = list(rows[0])
        console.out(f"| {' | '.join(names)} |")
        console.out(f"|{'---|' * len(names)}")
        for row in rows:
            console.out(f"| {' | '.join(console.cell(row[n]).replace('|', chr(92) + '|') for n in names)} |")


def distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: a second `a` is `a:1`, as SQLite itself names it in a table made of such a query."""
    found: list[str] = []
    for name in names:
        count, key = 0, name
        while key in found:
            count += 1
            key = f"{name}:{count}"
        found.append(key)
    return found


def check_format(format: str, *, json_: bool) -> None:
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: expected {', '.join(FORMATS)}")
    if json_ and format not in ("table", "json"):
        raise ConfigError(f"--format {format}: not with --json", hint="Drop one")


def print_run(run: RunRecord) -> None:
    """The page of one run."""
    from irctl.ledger import altered, query
    from irctl.ledger.database import indexing
    from irctl.ledger.runs import cleanup

    c = run.columns
    console.out(story.paragraph(run))
    for told in list_altered(run):
        console.out(f"{told}. {altered.remedy(run.id)}")
    console.out("")
    console.out(f"{run.id}  {c['command']}  {c['status']}{'  [' + ' '.join(run.tags) + ']' if run.tags else ''}")
    here = cleanup.size(run.folder) if run.folder.is_dir() else 0
    facts = {
        "name": c["name"],
        "method": c["method"],
        "dataset": c["dataset"],
        "model": c["model"],
        "folder": f"{run.folder} ({here / 2**20:.1f} MiB)",
        "command line": shlex.join(json.loads(c["argv_json"] or "[]")),
        "time": f"{c['started_at']} to {c['ended_at'] or 'now'}, {console.cell(c['duration_s'])} s, "
        f"CPU {console.cell(c['cpu_s'])} s",
        "where": f"{c['user']}@{c['host']}, process {c['pid']}, profile {c['profile'] or 'none'}, {c['runner']}",
        "code": f"irctl {c['irctl_version']}{'' if '+g' in (c['irctl_version'] or '') else ' (installed)'}",
        "working folder": _checkout(c),
        "error": c["error_msg"] and f"{c['error_kind']}: {c['error_msg']} (exit code {c['exit_code']})",
        "notes": c["notes"],
    }
    for name, value in facts.items():
        if value:
            console.out(f"  {name}: {value}")
    config = indexing.read_config(run.paths)
    _section("settings that are not defaults", _settings(config, str(c["command"])))
    _section("measures", _measures(run, config))
    keep = ("role", "kind", "path", "size", "sha256")
    made = query.artifacts(run)
    _section("artifacts", [{k: a[k] for k in keep} | {"sha256": (a["sha256"] or "")[:12]} for a in made])
    line = query.lineage(run.id)
    _section("lineage", [{"direction": d, "run": r["id"], "relation": r["relation"]} for d in line for r in line[d]])
    _section("events", query.events(run.id)[-LAST_EVENTS:])


def list_altered(run: RunRecord) -> list[str]:
    """Lines on files of a run that are not what it wrote."""
    from irctl.ledger import altered
    from irctl.pipelines.evaluate import written

    return [*altered.find(run), *written.list_edited([run])]


def print_diff(found: Mapping[str, Any]) -> None:
    """Two runs side by side; warnings to stderr."""
    console.out(f"a = {found['a']}\nb = {found['b']}")
    for part in ("facts", "config", "packages"):
        _section(part, found[part])
    _section("measures", _tested(found["measures"], found["tests"]))
    if found["tests"]:
        console.out(f"paired t-test over queries, Holm-corrected, family of {len(found['tests'])}: the measures above")
    for line in found["warnings"]:
        console.err(f"warning: {line}")


def _checkout(columns: Mapping[str, Any]) -> str:
    """The folder in which the command ran, and the commit of the checkout that it is in."""
    changes = " and changes" if columns["git_dirty"] else ""
    commit = f"commit {columns['git_commit'][:12]}{changes}" if columns["git_commit"] else "in no git checkout"
    return f"{columns['cwd']}, {commit}"


def _tested(measures: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measures with what the paired test says of their difference, where they were tested."""
    by_cell = {(t["dataset"], t["split"], t["measure"]): t for t in tests}
    rows = []
    for m in measures:
        t = by_cell.get((m["dataset"], m["split"], m["name"]))
        row, corrected = dict(m), f"p, family of {len(tests)}"
        if tests:
            row |= {
                "95% interval": f"{t['ci_low']:+.4f} to {t['ci_high']:+.4f}" if t else None,
                "p": ("undefined" if t["p_raw"] is None else f"{t['p_raw']:.4g}") if t else None,
                corrected: ("undefined" if t["p_adj"] is None else f"{t['p_adj']:.4g}") if t else None,
                "won/tied/lost": f"{t['wins']}/{t['ties']}/{t['losses']}" if t else None,
            }
        rows.append(row)
    return rows


def _measures(run: RunRecord, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measures of one run; a training's dev score by its full name, with the step that it is of."""
    from irctl.ledger import query
    from irctl.training.run_files.dev_measure import MEASURE, dev_measure

    rows = query.measures(run.id)
    found = [{k: m[k] for k in ("dataset", "split", "name", "value")} for m in rows]
    if run.columns["command"] == "train":
        method, during = (config.get(key, {}).get("value", "") for key in ("train.method", "eval.during"))
        for row, m in zip(found, rows, strict=True):
            if m["name"] == MEASURE and m["split"]:
                row["name"] = f"{dev_measure(method, during)}, step {m['step'] or 0}"
    return found


def _settings(config: Mapping[str, Any], command: str) -> list[dict[str, Any]]:
    from irctl.pipelines.lineage import run_settings

    changed = {k: v for k, v in config.items() if origins.parse(v["origin"]) != origins.DEFAULT}
    return [
        {"key": k, "value": str(v["value"]), "origin": v["origin"]}
        for k, v in changed.items()
        if run_settings.concerns(command, k, v["origin"])
    ]


def _section(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        console.out(f"\n{title}")
        console.table(rows)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([make_inert(value) for value in line] for line in (rows[0], *(row.values() for row in rows)))
    return text.getvalue()
