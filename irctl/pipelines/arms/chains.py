"""Chains of irctl command lines as child processes: several chains at a time, finished lines remembered, a log each."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from irctl import paths, stopping, tables
from irctl.errors import PARTLY_DONE, DataError
from irctl.ledger.files import run_json
from irctl.ledger.files.identity import ID_PATTERN
from irctl.ledger.files.run_folder import append_lines
from irctl.pipelines.arms import code_sizes
from irctl.types import Reporter

RUN = "{run}"
"""Stands for the id of the chain's main run so far, in the lines after it."""
BRACES = re.compile(r"\{([A-Za-z0-9][\w./-]*)\}")
MEASURING = ("eval", "search", "report")
"""Commands that only measure; the main run of a chain is that of its last line with another."""

COMMAND = (sys.executable, "-P", "-m", "irctl.cli")
POLL_S = 0.2


@dataclass
class Chain:
    """Lines that run one after another: words without `irctl`. runs: ids of what is done; error: why it ended early;
    partly: what a line left out that did the rest.

    after: chains that must have ended before it starts, by the name that stands for their main run in its lines.
    arm: of the recipe; each: which of the arm's values it has, None where it has none.
    """

    name: str
    lines: tuple[tuple[str, ...], ...]
    runs: list[str] = field(default_factory=list)
    error: str = ""
    partly: str = ""
    after: Mapping[str, Chain] = field(default_factory=dict)
    arm: str = ""
    each: int | None = None

    @property
    def next_line(self) -> tuple[str, ...] | None:
        """The line to run now; None at the end."""
        if self.error or len(self.runs) == len(self.lines):
            return None
        return self.filled(self.lines[len(self.runs)])

    def filled(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words with what their braces stand for so far."""
        return tuple(BRACES.sub(lambda b: self._stands_for(b[1]) or b[0], word) for word in words)

    def _stands_for(self, brace: str) -> str:
        """The id of a run, or a size of codes by its vectors; empty where nothing does, or not yet."""
        if brace == "run":
            return self.main
        if brace in self.after:
            return self.after[brace].main
        parent = self.after.get(code_sizes.arm_of(brace))
        return code_sizes.size_of(brace, paths.runs() / parent.main) if parent and parent.main else ""

    @property
    def is_ready(self) -> bool:
        """Whether all that it waits for has ended, well or not."""
        return all(parent.next_line is None for parent in self.after.values())

    @property
    def main(self) -> str:
        """Id of the last run that does more than measure; empty before there is one."""
        return next((run for run, _ in self._mains()), "")

    @property
    def main_command(self) -> str:
        return next((command for _, command in self._mains()), "")

    def _mains(self) -> list[tuple[str, str]]:
        done = zip(self.runs, self.lines, strict=False)
        return [(run, words[0]) for run, words in done if run and words[0] not in MEASURING][::-1]

    def runs_of(self, command: str) -> list[str]:
        """Ids of what is done with one command."""
        return [run for run, words in zip(self.runs, self.lines, strict=False) if words[0] == command]


class DoneLines:
    """Which lines are done: one JSON line each. A line whose run has gone, or did not complete, is not done.

    The run of a command that records none is empty.
    """

    def __init__(self, file: Path, runs: Path) -> None:
        self._file, self._runs = file, runs
        rows = file.read_text().splitlines() if file.is_file() else []
        self._done = {row["line"]: str(row["run"]) for row in map(_row, rows) if row}

    def recall(self, words: Sequence[str]) -> str | None:
        run = self._done.get(shlex.join(words))
        if not run:
            return run
        if not ID_PATTERN.fullmatch(run):
            return None
        try:
            return run if run_json.read(self._runs / run)["status"] == "completed" else None
        except DataError:
            return None

    def keep(self, words: Sequence[str], run: str) -> None:
        self._done[shlex.join(words)] = run
        append_lines(self._file, {"line": shlex.join(words), "run": run})


def _row(text: str) -> dict[str, Any]:
    try:
        return tables.as_object(tables.parse_json(text, "line"), "line")
    except DataError:  # the torn last line of a killed run
        return {}


@dataclass
class _Child:
    chain: Chain
    words: tuple[str, ...]
    process: subprocess.Popen[str]
    answer: IO[str]
    slot: int
    is_told: bool = False


class Pool:
    """Runs chains, one on each slot at a time. environments: variables of each slot's children."""

    def __init__(self, memory: DoneLines, logs: Path, environments: Sequence[Mapping[str, str]]) -> None:
        self._memory, self._logs, self._environments = memory, logs, environments
        self._live: list[_Child] = []

    def run(self, chains: Sequence[Chain], reporter: Reporter) -> None:
        """Run every chain to its end or its first error; others go on. Raises Stopped once children have ended."""
        self._logs.mkdir(parents=True, exist_ok=True)
        waiting = list(chains)
        # a scheduler's notice must not make children requeue the job: all of them are told to save and end
        stopping.on_stop(lambda number: self._tell(signal.SIGTERM))
        with reporter.bar("command lines", sum(len(c.lines) for c in chains)) as advance:
            try:
                while waiting or self._live:
                    stopping.check("finished runs are kept")
                    self._start(waiting, reporter, advance)
                    self._collect(waiting, reporter, advance)
            finally:
                self._end()

    def _start(self, waiting: list[Chain], reporter: Reporter, advance: Any) -> None:
        free = [s for s in range(len(self._environments)) if s not in {c.slot for c in self._live}]
        while free and (chain := next((c for c in waiting if c.is_ready), None)):
            waiting.remove(chain)
            if failed := next((p for p in chain.after.values() if p.error), None):
                chain.error = f"waited for {failed.name}, which failed: {failed.error}"
                reporter.warn(f"{chain.name}: {chain.error}")
                continue
            while (words := chain.next_line) is not None and (run := self._memory.recall(words)) is not None:
                chain.runs.append(run)
                advance(1)
            if words is None:
                continue
            reporter.say(f"$ irctl {shlex.join(words)}")
            slot = free.pop(0)
            with (self._logs / f"{chain.name}.log").open("a") as log:
                log.write(f"$ irctl {shlex.join(words)}\n")
                log.flush()
                # without a name: the orphan of a killed group would write into that of the line's next child
                answer = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed once it is read
                process = subprocess.Popen(
                    [*COMMAND, *words, "--json"],
                    stdout=answer,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, **self._environments[slot]},
                    start_new_session=True,  # Ctrl-C reaches the group's process, which passes it on once
                )
            self._live.append(_Child(chain, words, process, answer, slot))

    def _collect(self, waiting: list[Chain], reporter: Reporter, advance: Any) -> None:
        ended = [c for c in self._live if c.process.poll() is not None]
        if not ended:
            time.sleep(POLL_S)
        for child in ended:
            self._live.remove(child)
            payload, chain = _answer(child), child.chain
            code = child.process.returncode
            run = str(payload.get("run", ""))
            if (code == 0 and payload) or (code == PARTLY_DONE and run):
                if code == 0:
                    self._memory.keep(child.words, run)
                else:  # not kept: what it left out may be there the next time
                    chain.partly = str(payload.get("message", ""))
                    reporter.warn(f"{chain.name}: {chain.partly}")
                chain.runs.append(run)
                waiting.insert(0, chain)  # its next line before new chains: evaluations appear as trainings end
                advance(1)
            elif not stopping.requested():
                chain.error = ". ".join(
                    str(x) for x in (payload.get("message") or _ending(code), payload.get("hint")) if x
                )
                reporter.warn(f"{chain.name}: {chain.error}; see {self._logs / (chain.name + '.log')}")

    def _tell(self, number: signal.Signals) -> None:
        """Once each: a second signal would end a child at once."""
        for child in self._live:
            if not child.is_told and child.process.poll() is None:
                child.is_told = True
                child.process.send_signal(number)

    def _end(self) -> None:
        """Leave no child behind, whatever ended the loop; what finished in the meantime counts."""
        self._tell(signal.SIGTERM)
        for child in self._live:
            child.process.wait()
            payload = _answer(child)
            if child.process.returncode == 0 and payload:
                self._memory.keep(child.words, str(payload.get("run", "")))
        self._live.clear()


def _answer(child: _Child) -> dict[str, Any]:
    """The JSON object that a child printed last, with the one before it where it was partly done; empty if none."""
    child.answer.seek(0)
    lines = child.answer.read().splitlines()
    child.answer.close()
    is_partly = child.process.returncode == PARTLY_DONE
    return {k: v for line in lines[-2 if is_partly else -1 :] for k, v in _row(line).items()}


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
