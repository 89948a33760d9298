"""The command line: one Typer app, one light module a command. Nothing heavy is imported here."""

from __future__ import annotations

import inspect
import os
import sys

import typer

from irctl import errors
from irctl.commands import (
    compress,
    data,
    doctor,
    encode,
    evaluate,
    export,
    hardneg,
    help,
    profiles,
    recipes,
    search,
    settings,
    train,
)
from irctl.commands.demo import demo
from irctl.commands.frame import guard, pages, usage
from irctl.commands.frame.options import with_display
from irctl.commands.report import report
from irctl.commands.runs import runs

app = typer.Typer(
    name="irctl",
    help="Dense-retrieval research: mine negatives, train, encode, compress, search, evaluate, report.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": pages.WIDTH},
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("hardneg")(hardneg.hardneg)
app.command("train")(train.train)
app.command("encode")(encode.encode)
app.command("compress")(compress.compress)
app.command("search")(search.search)
app.command("eval")(evaluate.evaluate)
app.command("report")(report.report)
app.command("export")(export.export)
app.add_typer(runs.app, name="runs")
app.add_typer(recipes.app, name="recipes")
app.add_typer(profiles.app, name="profiles")
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.show_settings)
app.command("help")(help.show_help)


def _finish(group: typer.Typer) -> None:
    """Give every command the options of display and a page in groups, its `Examples:` below, where an eye ends.

    A group has the first of each of its commands.
    """
    for command in group.registered_commands:
        if command.callback is not None:
            command.callback = with_display(command.callback)
        text, mark, examples = (inspect.getdoc(command.callback) or "").partition(usage.EXAMPLES)
        command.help, command.epilog, command.cls = text.strip(), mark + examples, pages.Page
        command.short_help = " ".join(text.strip().partition("\n\n")[0].split())  # whole: Typer cuts its own
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            inner.short_help = inner.typer_instance.info.help
            _finish(inner.typer_instance)
            first = [usage.first_example(command.epilog or "") for command in inner.typer_instance.registered_commands]
            inner.epilog = inner.typer_instance.info.epilog = f"{usage.EXAMPLES}\n" + "\n".join(first)


_finish(app)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="print the version and stop")) -> None:
    with guard.guarded("--json" in sys.argv):
        guard.check_text()
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"irctl {installed('irctl')}")
        raise typer.Exit


def main() -> None:
    """Entry point of the `irctl` script. A usage error is one line; under --json one object too, like every other."""
    try:
        code = app(standalone_mode=False, prog_name="irctl")
    except Exception as e:
        from irctl import console

        if type(e).__name__ == "NoArgsIsHelpError":  # a group alone: its page
            e.show()  # type: ignore[attr-defined]
            sys.exit(errors.USAGE)
        if type(e).__name__ == "Abort":
            console.error("interrupted")
            sys.exit(errors.SIGINT)
        if isinstance(e, OSError):  # of a help page; commands say theirs themselves
            sys.exit(_leave(e))
        if not usage.is_usage_error(e):
            raise
        message, hint = usage.describe(e, typer.main.get_command(app), sys.argv[1:])
        if "--json" in sys.argv:
            guard.emit_error("UsageError", message, hint, errors.USAGE)
        console.error(guard.mask_secrets(str(errors.ConfigError(message, hint=hint))))
        code = errors.USAGE
    sys.exit(_flush(code if isinstance(code, int) else errors.OK))


def _flush(code: int) -> int:
    """The exit code, once what was printed is out."""
    try:
        sys.stdout.flush()
    except OSError as e:
        return _leave(e, code)
    return code


def _leave(e: OSError, code: int = errors.OK) -> int:
    """The exit code where standard output failed: 1, unless something else was wrong before or its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter would flush once more
    if isinstance(e, BrokenPipeError) or code != errors.OK:
        return code
    from irctl import console

    console.error(f"standard output: {e.strerror}. Free some space, or write elsewhere")
    return errors.RUN_FAILED


if __name__ == "__main__":
    main()
