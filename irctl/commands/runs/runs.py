"""`irctl runs`: list, inspect, compare and look after runs and their ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Quiet
from irctl.commands.runs import upkeep as care
from irctl.commands.runs.upkeep import Run, say

app = typer.Typer(help="Runs and their ledger: list, inspect, compare, tag, carry, clean up.", no_args_is_help=True)
Format = Annotated[str, typer.Option("--format", help="table, csv, json or md")]


@app.command("ls")
def ls(
    dataset: Annotated[str, typer.Option(help="only this data set")] = "",
    status: Annotated[str, typer.Option(help="only this status, such as completed")] = "",
    command: Annotated[str, typer.Option(help="only this command, such as eval")] = "",
    where: Annotated[str, typer.Option(help="condition on columns, tag, params.'KEY' and metrics.'NAME'")] = "",
    sort: Annotated[str, typer.Option(help="column, measure or setting; -NAME for largest first")] = "",
    limit: Annotated[int, typer.Option(help="at most so many; 0: all", min=0)] = 0,
    format: Format = "table",
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List runs, newest first. Runs whose process is gone are marked lost on the way.

    The result is the measure of the collection's card, else the first of nDCG@10, RR@10, R@100 that was measured, else
    the first: of an evaluation, on its split (the card's, of several); of a training, the dev score of the model that
    it saved. A run that has not completed has its status there. "model or run": the run whose codes, model or vectors
    were read, else the name of a model. "differs in": what of their command lines runs that look alike do not share.
    --format csv, md and json have every column.

    \b
    Examples:
      irctl runs ls --dataset cranfield --status completed
      irctl runs ls --where "params.'search.k'>=10 and metrics.'RR@10'>0.33" \\
        --sort -RR@10
      irctl runs ls --where "tag='paper' or not status='failed'" --format csv
    """
    from irctl import console
    from irctl.commands.runs import listing, view

    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.runs import reap

        view.check_format(format, json_=json_)
        reap.reap()
        is_json = json_ or format == "json"
        found = query.list_runs(
            dataset=dataset,
            status=status,
            command=command,
            where=where,
            sort=sort,
            limit=limit,
            columns=view.COLUMNS if is_json else listing.COLUMNS,
        )
        if quiet and not is_json:
            for run in found:
                console.out(run.id)
            return
        if not found and not json_ and format == "table":
            asked = dataset or status or command or where
            console.err("no run fits these conditions; irctl runs ls lists all" if asked else "no runs yet")
        rows = listing.list_rows(found, sort)
        if is_json:
            runs = [{**row, **told} for told, row in zip(view.as_json(found), rows, strict=True)]
            console.emit_json({"schema": "irctl/runs/1", "runs": runs})
        elif format == "table":
            listing.print_table(rows, sort)
        else:
            view.print_rows(rows, format)


@app.command("show")
def show(
    run: Run = "latest",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="print log, events and metrics until it ends")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print one run: settings, measures, files, lineage and events.

    \b
    Examples:
      irctl runs show latest
      irctl runs show latest --follow
      irctl runs show latest:search --json
    """
    from irctl import console
    from irctl.commands.runs import view

    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.database import indexing
        from irctl.ledger.runs import follow as following

        found = query.find_run(run)
        if follow:
            for line in following.follow(found):
                console.out(line)
        elif json_:
            more = {
                "config": indexing.read_config(found.paths),
                "artifacts": query.artifacts(found),
                "lineage": query.lineage(found.id),
                "events": query.events(found.id),
                "altered": view.list_altered(found),
            }
            console.emit_json({"schema": "irctl/runs-show/1", **view.as_json([found])[0], **more})
        else:
            view.print_run(found)


@app.command("diff")
def diff(a: Run, b: Run, json_: Json = False, debug: Debug = False) -> None:
    """Compare two runs: settings with origins, packages, code, and measures with their difference b - a.

    Two evaluations over the same queries are tested query by query: paired t-test, Holm-corrected over all measures.

    \b
    Examples:
      irctl runs diff latest:search latest:eval
    """
    from irctl import console
    from irctl.commands.runs import view

    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.runs import compare
        from irctl.pipelines.evaluate import paired_tests, written

        left, right = query.find_run(a), query.find_run(b)
        tests, untested = paired_tests.compare_runs(left, right)
        found = compare.diff(left, right)
        found |= {"tests": tests, "warnings": [*found["warnings"], *written.list_edited([left, right]), *untested]}
        if json_:
            console.emit_json({"schema": "irctl/runs-diff/1", **found})
        else:
            view.print_diff(found)


@app.command("sql")
def sql(
    statement: Annotated[
        str, typer.Argument(help="a SELECT; tables: runs params metrics measures artifacts links ...")
    ],
    format: Format = "table",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Ask the ledger in SQL. Reading only, at most 10,000 rows.

    \b
    Examples:
      irctl runs sql "SELECT * FROM runs WHERE dataset='msmarco-streaming'" \\
        --format csv
      irctl runs sql "SELECT name, max(value) FROM measures GROUP BY name"
    """
    from irctl import console
    from irctl.commands.runs import view

    with guarded(json_, debug):
        from irctl import stopping
        from irctl.errors import ConfigError
        from irctl.ledger.database import read_only_sql

        view.check_format(format, json_=json_)
        if not statement.strip():
            raise ConfigError("runs sql: expected a SELECT, found nothing", hint="irctl runs sql --help has examples")
        stopping.install()
        try:
            names, rows, cut = read_only_sql.select(statement)
        finally:
            stopping.restore()
        if json_ or format == "json":
            console.emit_json({"schema": "irctl/runs-sql/1", "columns": names, "rows": rows, "truncated": cut})
        else:
            keys = view.distinct(names)
            view.print_rows([dict(zip(keys, row, strict=True)) for row in rows], format)
        if cut:
            console.err(f"warning: cut off after {read_only_sql.MOST_ROWS} rows; add a LIMIT or a WHERE")


@app.command("reproduce")
def reproduce(context: typer.Context, run: Run, json_: Json = False, debug: Debug = False) -> None:
    """Print the command line that repeats a run, and what differs here and now.

    \b
    Examples:
      irctl runs reproduce latest
    """
    from irctl import console
    from irctl.commands.frame import absolute
    from irctl.commands.frame.reading import reader

    with guarded(json_, debug):
        from irctl.ledger import query
        from irctl.ledger.runs import reproduce as reproducing

        record, read = query.find_run(run), reader(context.find_root().command)
        typed_in = Path(record.columns.get("cwd") or "/")
        found = reproducing.recipe(record, lambda words: absolute.of_line(read(words), typed_in))
        say(json_, "runs-reproduce", found, found["command"])
        for check in found["checks"]:
            if not check["same"]:
                console.err(f"differs: {check['what']} was {check['then'] or 'none'}, is {check['now'] or 'none'}")


app.command("reindex")(care.reindex)
app.command("reap")(care.reap)
app.command("tag")(care.tag)
app.command("note")(care.note)
app.command("export")(care.export)
app.command("import")(care.import_)
app.command("gc")(care.gc)
