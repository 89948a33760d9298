"""`irctl report`: paper tables and figures from the ledger."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from irctl.commands.frame.options import Debug, Json


def report(
    group: Annotated[str, typer.Argument(help="with --checklist: a group, by its recipe or run id")] = "",
    format: Annotated[str, typer.Option(help="table, latex, markdown, html, csv or json")] = "table",
    table: Annotated[
        str, typer.Option(help="main, compression, losses, cost, beir, isotropy, isotropy-compression or acerag")
    ] = "main",
    baseline: Annotated[str, typer.Option(help="run, method or row that the others are tested against")] = "",
    run: Annotated[list[str] | None, typer.Option("--run", help="only this run; repeatable")] = None,
    dataset: Annotated[str, typer.Option(help="only these data sets: a,b")] = "",
    split: Annotated[str, typer.Option(help="only this split; empty: all but dev where there are others")] = "",
    measures: Annotated[str, typer.Option(help="preset or list, such as 'nDCG@10 RR@10'")] = "",
    columns: Annotated[str, typer.Option(help="columns in order, such as avg,scifact,fiqa,bytes")] = "",
    group_by: Annotated[
        str, typer.Option(help="one row a system (runs that differ only in the seed), run, method, loss, model, ...")
    ] = "",
    figure: Annotated[
        str,
        typer.Option(
            help="pareto, speed, delta, curves, spectrum, isotropy, isotropy-compression, ratios: as PDF, SVG, PNG, CSV"
        ),
    ] = "",
    out: Annotated[str, typer.Option("-o", "--out", help="file for the table, folder for the figure")] = "",
    ids: Annotated[bool, typer.Option("--ids", help="name the run behind every row")] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="LaTeX: table*, over both columns of a page, for tables of up to 345 pt")
    ] = False,
    width: Annotated[
        float | None, typer.Option(help="LaTeX: points that a table may take  [default: 229.5, with --wide 345]")
    ] = None,
    marks: Annotated[str, typer.Option(help="daggers: differs from the baseline; letters: rows beaten")] = "daggers",
    test: Annotated[str, typer.Option(help="t or randomisation, paired over queries")] = "t",
    correction: Annotated[str, typer.Option(help="holm, bonferroni or none, over the whole table")] = "holm",
    mixed: Annotated[bool, typer.Option("--mixed", help="allow cells of different k, judgements, ...")] = False,
    checklist: Annotated[
        bool, typer.Option("--checklist", help="what reviewers ask for, and what is there; GROUP: of its arms")
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print tables of every evaluation in the ledger, each number traceable to its run.

    The best of a column is bold and the second underlined; in plain text the best has a star.

    --table compression has every bundle, evaluated or not: bytes, error, recall of exact neighbours, speed.
    --table isotropy-compression: codes by what their vectors went through, each tested against itself untransformed.
    --table acerag: answers by compressed and other contexts (irctl eval --task), with what they keep and cost.
    Where nothing was evaluated yet: what was compressed and trained, with the command that evaluates each.

    \b
    Examples:
      irctl report
      irctl report --format latex --baseline dense
      irctl report --format latex --wide --width 469 --table compression \\
        -o table.tex
      irctl report --table beir --ids
      irctl report --format markdown --columns nDCG@10,R@100,bytes
      irctl report --format html --baseline dense -o report.html
      irctl report --table compression --format csv --ids
      irctl report --table isotropy
      irctl report --group-by run
      irctl report --figure pareto -o figures
      irctl report --figure speed -o figures
      irctl report --figure isotropy -o figures
      irctl report --figure curves -o figures
      irctl report --figure spectrum -o figures
      irctl report --checklist
    """
    from irctl.commands.frame.guard import guarded

    with guarded(json_, debug):
        from irctl import console, errors, files
        from irctl.commands.report import output
        from irctl.ledger.files.secrets import Masker
        from irctl.pipelines.report.report import Wanted

        if out:
            (files.check_folder if figure else files.check_file)(Path(out))
        wanted = Wanted(
            table=table,
            baseline=baseline,
            runs=tuple(run or ()),
            datasets=dataset,
            split=split,
            measures=measures,
            columns=columns,
            marks=marks,
            test=test,
            correction=correction,
            mixed=mixed,
            group_by=group_by,
            command=shlex.join(("irctl", *sys.argv[1:])),
        )
        other = "--json" if json_ else f"--figure {figure}" if figure else "--checklist" if checklist else ""
        output.check_format(format, other)
        output.check_lines("json" if json_ else "figure" if figure else format, is_wide=wide, width=width)
        wanted.check()
        if group and not checklist:
            raise errors.ConfigError(
                f"{group}: goes with --checklist", hint=f"irctl report --run {group} reports a group"
            )
        if checklist and (figure or out):
            raise errors.ConfigError(
                f"--{'figure' if figure else 'out'}: does not go with --checklist, which prints lines", hint="Drop it"
            )
        if checklist:
            output.show_checklist(wanted, group, json_=json_)
        elif figure:
            output.draw(figure, Path(out or "figures"), wanted, json_=json_)
        else:
            mask, form, target = (
                Masker(sys.argv, os.environ).text,
                "json" if json_ else format,
                Path(out) if out else None,
            )
            text = output.render(form, wanted, ids=ids, target=target, mask=mask, is_wide=wide, width=width)
            text = mask(text)
            if out:
                output.write(Path(out), text)
                console.err(f"wrote {out}")
            elif text:
                console.out(text.rstrip("\n"), is_drawn=format == "table" and not json_)
