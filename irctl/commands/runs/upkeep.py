"""The half of `irctl runs` that changes something: rebuild, mark, label, carry, clean up."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Quiet, complete_runs, finite
from irctl.errors import counted

Run = Annotated[
    str, typer.Argument(help="id, its beginning, latest, name, tag or folder", autocompletion=complete_runs)
]
NAMED = 20
"""As many evaluations that are not what their run wrote as stderr names."""


def reindex(json_: Json = False, debug: Debug = False) -> None:
    """Make the ledger again from the run folders, which are the truth. Evaluations that are not what their run wrote
    are named.

    \b
    Examples:
      irctl runs reindex
    """
    with guarded(json_, debug):
        from irctl import console, paths
        from irctl.errors import PartlyDone
        from irctl.ledger import altered, query
        from irctl.ledger.database import reindex as rebuilding
        from irctl.pipelines.evaluate import written

        count, skipped = rebuilding.reindex()
        evals = query.list_runs(command="eval", columns=("id", "run_dir", "command", "status"))
        spoilt = [*altered.find_all(), *written.list_edited(evals)]
        payload = {"runs": count, "skipped": skipped, "altered": spoilt}
        say(json_, "runs-reindex", payload, f"{paths.ledger()}: {counted(count, 'run')}")
        for line in spoilt[:NAMED]:
            console.err(f"warning: {line}")
        if len(spoilt) > NAMED:
            console.err(f"warning: and {len(spoilt) - NAMED} more: irctl runs reindex --json has all")
        if skipped:
            raise PartlyDone(f"{counted(len(skipped), 'folder')} left out: {'; '.join(skipped)}")


def reap(json_: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Mark runs whose process is gone. Deletes nothing.

    \b
    Examples:
      irctl runs reap
    """
    with guarded(json_, debug):
        from irctl.ledger.runs import reap as reaping

        ids = reaping.reap()
        say(json_, "runs-reap", {"marked": ids}, *(ids if quiet else [f"marked {counted(len(ids), 'run')}", *ids]))


def tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(help="one or more tags")],
    remove: Annotated[bool, typer.Option("--remove", help="take the tags away")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Tag a run; a tag then names the newest run that has it.

    \b
    Examples:
      irctl runs tag latest paper table-2
      irctl runs tag latest table-2 --remove
    """
    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.runs import tags_and_notes

        found = query.find_run(run)
        (tags_and_notes.untag if remove else tags_and_notes.tag)(found, *tags)
        now = list(query.find_run(str(found.folder.absolute())).tags)
        say(json_, "runs-tag", {"run": found.id, "tags": now}, f"{found.id}: {' '.join(now) or 'no tags'}")


def note(
    run: Run,
    text: Annotated[str, typer.Argument(help="the note; empty text removes it")],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write a note to a run.

    \b
    Examples:
      irctl runs note latest "baseline of table 2"
    """
    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.runs import tags_and_notes

        found = query.find_run(run)
        tags_and_notes.note(found, text)
        say(json_, "runs-note", {"run": found.id, "notes": text}, f"{found.id}: {text or 'no note'}")


def export(
    runs: Annotated[list[str] | None, typer.Argument(help="runs; none: all", autocompletion=complete_runs)] = None,
    to: Annotated[Path | None, typer.Option("--to", help="a file, JSON lines")] = None,
    mlflow: Annotated[str, typer.Option(help="an MLflow tracking URI, such as sqlite:///mlflow.db")] = "",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write runs to one file, without their outputs, to carry them elsewhere; or copy them into MLflow.

    \b
    Examples:
      irctl runs export --to runs.jsonl
      irctl runs export latest --to latest.jsonl
    """
    with guarded(json_, debug):
        from irctl import files
        from irctl.errors import ConfigError
        from irctl.ledger import query
        from irctl.ledger.files.secrets import Masker
        from irctl.ledger.runs import mlflow_export, transfer

        if bool(to) == bool(mlflow):
            raise ConfigError("runs export: expected either --to FILE or --mlflow URI", hint="--to runs.jsonl")
        if to:
            files.check_file(to)
        found = [query.find_run(r) for r in runs] if runs else query.list_runs(sort="created_at")
        if to:
            count = transfer.export_runs(found, to)
            say(json_, "runs-export", {"runs": count, "file": str(to)}, f"{to}: {counted(count, 'run')}")
        else:
            new, present = mlflow_export.export_runs(found, mlflow)
            payload = {"exported": new, "present": present}
            shown = Masker(sys.argv, os.environ).text(mlflow)
            say(
                json_,
                "runs-export",
                payload,
                f"{shown}: {counted(len(new), 'run')}, besides {len(present)} there already",
            )


def import_(
    file: Annotated[Path, typer.Argument(help="file of irctl runs export")], json_: Json = False, debug: Debug = False
) -> None:
    """Take over runs from a file; those that are here already stay as they are.

    \b
    Examples:
      irctl runs import runs.jsonl
    """
    with guarded(json_, debug):
        from irctl.ledger.runs import transfer

        taken, present = transfer.import_runs(file)
        payload = {"imported": taken, "present": present}
        say(json_, "runs-import", payload, f"{len(taken)} imported, {len(present)} were here already")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="also whole folders of runs that ended badly")] = False,
    older_than: Annotated[
        float, typer.Option(help="--failed: only those that ended so many days ago", min=0, callback=finite)
    ] = 30.0,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Free disk space: checkpoints of completed trainings, half-written files. Tagged or noted runs keep everything.

    \b
    Examples:
      irctl runs gc --dry-run
      irctl runs gc --failed --older-than 90 --dry-run
    """
    from irctl import console

    with guarded(json_, debug):
        from irctl.ledger.runs import cleanup

        waste = cleanup.find(failed=failed, older_than_days=older_than)
        freed = sum(w.size for w in waste) if dry_run else cleanup.remove(waste)
        rows = [{"run": w.run_id, "path": str(w.path), "size": w.size, "why": w.why} for w in waste]
        if not json_:
            console.table(rows)
        verb = "would free" if dry_run else "freed"
        payload = {"dry_run": dry_run, "items": rows, "bytes": freed}
        say(json_, "runs-gc", payload, f"{verb} {freed / 2**20:.1f} MiB in {counted(len(waste), 'place')}")


def say(json_: bool, schema: str, payload: dict[str, Any], *lines: str) -> None:
    """The JSON object of a command, or its lines."""
    from irctl import console

    if json_:
        console.emit_json({"schema": f"irctl/{schema}/1", **payload})
    else:
        for line in lines:
            console.out(line)
