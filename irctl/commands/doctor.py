"""`irctl doctor`: is this machine fit for the work, and what to do where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands._guard import guarded
from irctl.commands._options import Debug, Json, complete_files


def doctor(
    profile: Annotated[
        str, typer.Option(help="hardware profile to check for", autocompletion=complete_files("profiles"))
    ] = "cpu",
    issue: Annotated[bool, typer.Option("--issue", help="print a block for a bug report, without secrets")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check packages, accelerator, folders, locks and limits. Exit 0 if fit, 4 if not; every finding has a fix.

    \b
    Examples:
      irctl doctor
      irctl doctor --issue
    """
    from irctl import console, errors
    from irctl.pipelines import doctor as checks

    with guarded(json_, debug):
        findings = checks.run(profile)
        bad = [f for f in findings if f.level == "error"]
        if issue:
            console.out(checks.issue_block(findings))
        elif json_:
            rows = [vars(f) for f in findings]
            console.emit_json({"schema": "irctl/doctor/1", "fit": not bad, "findings": rows})
        else:
            marks = {"ok": "ok", "warning": "WARN", "error": "FAIL"}
            console.table([{"": marks[f.level], "check": f.check, "found": f.found, "fix": f.fix} for f in findings])
        if bad:
            raise typer.Exit(errors.ENVIRONMENT)
