"""`irctl doctor`: is this machine fit for the work, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Options, Quiet, complete_files, finite

if TYPE_CHECKING:
    from irctl.pipelines.doctor.finding import Finding

MARKS = {"ok": "ok", "warning": "WARN", "error": "FAIL"}


def doctor(
    context: typer.Context,
    profile: Annotated[
        str, typer.Option(help="hardware profile to check for", autocompletion=complete_files("profiles"))
    ] = "cpu",
    recipe: Annotated[
        str, typer.Option(help="also whether this recipe fits", autocompletion=complete_files("recipes"))
    ] = "",
    tiny: Annotated[bool, typer.Option("--tiny", help="the recipe's small overlay")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable")] = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="try the training in small: data, two steps, save, resume, evaluation")
    ] = False,
    limit: Annotated[
        float, typer.Option(help="--preflight: seconds that one check may take", min=1, callback=finite)
    ] = 600.0,
    issue: Annotated[bool, typer.Option("--issue", help="print a block for a bug report, without secrets")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check packages, accelerator, folders, locks and limits. Exit 0 if fit, 4 if not; every finding has a fix.

    --preflight --recipe NAME also trains that recipe, or each arm of a group that trains, for two steps and proves what
    a long run relies on: every row of the data, a finite loss, a gradient of every term, the learning rates' peaks,
    save and load, resume, evaluation. All checks run and all failures are printed. It leaves no run behind.

    \b
    Examples:
      irctl doctor
      irctl doctor --recipe sycl-synth-multilevel --tiny
      irctl doctor --issue
    """
    from irctl import console, errors
    from irctl.commands.frame.settings import settings
    from irctl.pipelines.doctor import doctor as checks
    from irctl.pipelines.doctor import recipe_checks

    with guarded(json_, debug):
        options = Options(profile=profile, recipe=recipe, tiny=tiny, set_=set_ or [], root=context.find_root().command)
        if preflight:
            findings = []
            for found in _preflight(options, limit):
                findings.append(found)
                if not (json_ or quiet):
                    console.err(f"{MARKS[found.level]:4}  {found.check}: {found.found}")
        else:
            config = settings(options, {}, {})
            findings = checks.run(profile) + (list(recipe_checks.checks(config)) if recipe or set_ else [])
        bad = [f for f in findings if f.level == "error"]
        if json_:
            rows = [vars(f) for f in findings]
            block = {"issue": checks.issue_block(findings)} if issue else {}
            console.emit_json({"schema": "irctl/doctor/1", "fit": not bad, "findings": rows, **block})
        elif issue:
            console.out(checks.issue_block(findings))
        elif quiet:
            for found in bad:
                console.out(found.check)
        else:
            console.table([{"": MARKS[f.level], "check": f.check, "found": f.found, "fix": f.fix} for f in findings])
        if bad:
            raise typer.Exit(errors.ENVIRONMENT)


def _preflight(options: Options, limit_s: float) -> Iterator[Finding]:
    """The machine, which arms are tried, and the checks of each."""
    from irctl.commands.frame import trainings
    from irctl.commands.train import NAMES
    from irctl.pipelines.doctor import doctor as checks
    from irctl.pipelines.doctor import preflight
    from irctl.pipelines.doctor.finding import Finding

    found = trainings.find(options, NAMES)
    preflight.refuse_others([config for _, config in found.found])
    yield from checks.run(options.profile)
    if found.measured or found.waiting:
        told = [f"trained: {', '.join(arm for arm, _ in found.found) or 'none'}"]
        told += [f"only measured: {', '.join(found.measured)}"] if found.measured else []
        told += [f"not tried: {arm}, which reads what {other} makes" for arm, other in found.waiting.items()]
        yield Finding("arms", "ok", "; ".join(told))
    yield from preflight.run(found.found, limit_s=limit_s)
