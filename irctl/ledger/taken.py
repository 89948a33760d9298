"""What a run took where its command line named nothing, or `latest`: kept among its events, in words of the line."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths, plugins
from irctl.command_line import CommandLine, Option, Read
from irctl.errors import ConfigError
from irctl.ledger import query, stored
from irctl.ledger.database import indexing
from irctl.ledger.files import run_json
from irctl.ledger.query import RunRecord

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle

CODE = "taken"
"""Code of the events that say so."""
OPTION_OF = {
    "compress.source": "--data",
    "data.negatives": "--negatives",
    "model.name": "--model",
    "train.index": "--index",
    "train.init": "--init",
}
"""Settings that may name the newest, and the options that set them."""
WRITERS = (
    "SELECT r.id FROM artifacts o JOIN runs r ON r.id = o.run_id WHERE o.role = 'out' AND o.kind = 'run_file' "
    "AND o.sha256 = ?1 ORDER BY {} DESC, r.created_at DESC, r.id DESC"
)


def is_open(name: str | None) -> bool:
    """Whether a name leaves to the ledger what it means: none, `latest` or latest:NAME."""
    return not name or name == "latest" or name.startswith("latest:")


def record(run: RunHandle, *words: str) -> None:
    """Say what was taken, as words that could have been on the line: `--data RUN`."""
    run.event("info", CODE, shlex.join(words))


def name_of(folder: Path) -> str:
    """A bundle or model by the run that wrote it, RUN or RUN:METHOD, where it lies in one of these; else its folder."""
    run = run_json.find_above(folder)
    if run is not None and run.resolve().parent == paths.runs().resolve():
        out = paths.RunPaths(run).out.resolve()
        if folder.resolve() in (out, paths.RunPaths(run).model.resolve()):
            return run.name
        if folder.resolve().parent == out:  # a training's only bundle is called otherwise
            return f"{run.name}:{folder.name}" if folder.name in plugins.names("quantizers") else run.name
    return str(folder.absolute())


def line_of(run: RunRecord) -> str:
    """The command line of a run with what it took named; as it was typed where this irctl does not know the line."""
    argv = json.loads(run.columns["argv_json"] or "[]")
    read = stored.line_reader()
    if read is None:
        return shlex.join(argv)
    try:
        return str(pin(run, read(argv), read))
    except ConfigError:
        return shlex.join(argv)


def pin(run: RunRecord, line: CommandLine, read: Read, *, settings: bool = True) -> CommandLine:
    """The line with `latest` as the run or path that it meant, and with what was taken where nothing was named.

    settings: False where the run's config.json, which has them, goes with the line.
    """
    statements = [read((*line.command, *words)) for words in _statements(run)]
    taken = {_named(o)[0]: o for s in statements for o in s.options if settings or o.name != "--set"}
    arguments = next((s.arguments for s in reversed(statements) if s.arguments), ())
    meant = _inputs(run) | {key: o.value for key, o in taken.items() if o.value is not None}
    kept = []
    for option in line.options:
        name, value = _named(option)
        if value is None or not value or not is_open(value):
            kept.append(option)
            taken.pop(name, None)
        elif name not in taken:
            before = option.value or ""
            kept.append(replace(option, value=before.removesuffix(value) + meant.get(name, value)))
    own = [a if not is_open(a) else "" if arguments else meant.get("", a) for a in line.arguments]
    return replace(line, options=(*taken.values(), *kept), arguments=(*arguments, *filter(None, own)))


def _named(option: Option) -> tuple[str, str | None]:
    """(option, value); `--set train.index=X` is `--index X`."""
    key, _, value = (option.value or "").partition("=")
    if option.name == "--set":
        return OPTION_OF.get(key, f"--set {key}"), value
    return option.name, option.value


def _inputs(run: RunRecord) -> dict[str, str]:
    """What was read, by the option that names it; by "" the run file, or the run that wrote it."""
    by_option: dict[str, str] = {}
    for a in query.artifacts(run, role="in"):
        if a["kind"] == "run_file":
            writers = query.rows(WRITERS.format(indexing.IS_AT.format("?2")), (a["sha256"], a["path"]))
            by_option[""] = str(writers[0]["id"]) if writers else str(a["path"])
        elif a["kind"] in ("bundle", "embeddings"):
            by_option["--index"] = str(a["path"])
        elif a["kind"] == "model":
            by_option["--model"] = str(run.columns["model"] or a["path"])
    return by_option


def _statements(run: RunRecord) -> list[list[str]]:
    """What was said since the run was last begun: one that is resumed takes again."""
    said: list[list[str]] = []
    for event in query.events(run.id):
        if event["code"] == "resumed":
            said = []
        elif event["code"] == CODE:
            said.append(shlex.split(event["msg"]))
    return said
