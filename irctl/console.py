"""The terminal: results to stdout, everything else to stderr; tables, progress and JSON.

Progress bars are drawn only when stderr is a terminal; otherwise one line every 30 s. What is shown is data: square
brackets are no markup, and control characters are shown as \\x1b, so that a run's name cannot steer a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.files import writing
from irctl.types import Advance

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S = 30.0
LEAST_WIDTH, COLUMN_GAP = 8, 2
"""Characters of a column that may be folded, and between two."""
PIPE_WIDTH = 200
"""A pipe has no width: long cells are not cut at 80 columns there."""
MANY_ROWS = 200
"""From here on a table whose rows fit is drawn here: rich takes a millisecond a row."""
SHORTEST_BAR, LONGEST_BAR, BESIDE_BAR = 4, 40, 61
"""Characters of a bar, and of what stands beside it: counts, rate, time left, loss and learning rate."""
SPEED_OVER_S, STEPS_OVER_S = 60.0, 600.0
"""Seconds that a bar's rate is taken over; of steps, which may take minutes, with an evaluation between two."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
_silent, _plain = False, False


@contextmanager
def display(*, quiet: bool = False, no_color: bool = False) -> Iterator[None]:
    """For as long as this lasts: quiet, only errors on stderr; no_color, plain text."""
    global _silent, _plain
    before = _silent, _plain
    _silent, _plain = _silent or quiet, _plain or no_color
    try:
        yield
    finally:
        _silent, _plain = before


def _console(stderr: bool, no_color: bool) -> Console:
    from rich.console import Console  # here and below: most commands draw nothing by it, and every start would pay

    plain = no_color or _plain or bool(os.environ.get("NO_COLOR"))
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, no_color=plain, highlight=False, markup=False, emoji=False, width=width,
                   soft_wrap=not stream.isatty(), color_system=None if no_color or _plain else "auto")  # fmt: skip


def is_styled() -> bool:
    """Whether what stdout is shows weights: a terminal that knows them, without --no-color. NO_COLOR keeps them."""
    return sys.stdout.isatty() and _console(stderr=False, no_color=False).color_system is not None


def visible(text: str) -> str:
    """The text with every control character but tab and line feed as \\xNN."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def out(line: str, *, is_drawn: bool = False) -> None:
    """One result line to stdout; is_drawn: with the colours of a drawn table, whose cells are visible() already."""
    _print(line if is_drawn else visible(line))


class ReaderGone(Exception):
    """Nobody reads standard output any more, as behind `| head`."""


@contextmanager
def _to_stdout() -> Iterator[None]:
    """Errors of stdout name it. ReaderGone where its reader has left."""
    try:
        yield
    except BrokenPipeError as e:
        raise ReaderGone from e
    except OSError as e:
        e.filename = e.filename or "standard output"
        raise


def _print(text: str) -> None:
    with _to_stdout():
        print(text, file=sys.stdout)  # noqa: T201


def err(line: str) -> None:
    """One line to stderr, unless the command is a quiet one."""
    if not _silent:
        print(visible(line), file=sys.stderr)  # noqa: T201


def error(message: str) -> None:
    """The line of a command that failed, to stderr."""
    print(visible(f"error: {message}"), file=sys.stderr)  # noqa: T201


def as_json(payload: Any) -> str:
    """One line of JSON that steers no terminal either."""
    text = json.dumps(payload, ensure_ascii=False, default=str)
    # JSON itself leaves those from 0x7f on as they are
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def emit_json(payload: Any) -> None:
    """The one JSON object of a command, to stdout."""
    _print(as_json(payload))


def _describe_rate(per_s: float, unit: str = "") -> str:
    """`31/s`; below one a second `2.3 s/step`, or `2.3 s each` of what has no name."""
    if per_s >= 1 or not per_s:
        return f"{per_s:.0f}/s"
    return f"{1 / per_s:.1f} s{f'/{unit}' if unit else ' each'}"


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return "--"
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:  # a learning rate: four decimals would be zeros
            return f"{value:.3g}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return str(value)


def table(
    rows: Sequence[Mapping[str, Any]], title: str = "", *, no_color: bool = False, whole: Sequence[str] = ()
) -> None:
    """Rows of equal keys as a table on stdout; numbers to the right. Nothing for no rows. whole: never folded."""
    if not rows:
        return
    columns = list(dict.fromkeys(k for row in rows for k in row))
    heads = [visible(str(c)) for c in columns]
    texts = [[visible(cell(row.get(column))) for row in rows] for column in columns]
    numeric = [all(isinstance(row.get(c), (int, float, type(None))) for row in rows) for c in columns]
    if len(rows) >= MANY_ROWS and not title and _draw_plain(heads, texts, numeric, no_color):
        return
    from rich.table import Table

    drawn = Table(title=visible(title) or None, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column, head, of, right in zip(columns, heads, texts, numeric, strict=True):
        width = max(map(len, of)) if column in whole else None
        drawn.add_column(
            head, justify="right" if right else "left", overflow="fold", min_width=width, no_wrap=width is not None
        )
    for row_texts in zip(*texts, strict=True):
        drawn.add_row(*row_texts)
    console = _console(stderr=False, no_color=no_color)
    least = sum((c.min_width or LEAST_WIDTH) + COLUMN_GAP for c in drawn.columns) if whole else 0
    console.width = max(console.width, least)  # on a narrower terminal lines are broken, ids are not cut
    with _to_stdout(), console.capture() as drawing:  # rich flushes what was printed before
        console.print(drawn)
    _print(drawing.get().removesuffix("\n"))


def _draw_plain(heads: list[str], texts: list[list[str]], numeric: list[bool], no_color: bool) -> bool:
    """Print columns as rich does where each row fits on a line; False where one does not."""
    console = _console(stderr=False, no_color=no_color) if sys.stdout.isatty() else None
    lines = align(heads, texts, numeric, console.width if console else PIPE_WIDTH)
    if not lines:
        return False
    if console:
        with _to_stdout(), console.capture() as head:
            console.print(lines.pop(0), style="bold", end="")
        lines.insert(0, head.get())
    _print("\n".join(lines))
    return True


def align(heads: list[str], texts: list[list[str]], numeric: list[bool], width: int) -> list[str]:
    """The lines of a table's columns, as rich draws them; none where a row needs several or a character two places."""
    columns = [[head, *of] for head, of in zip(heads, texts, strict=True)]
    if not all(text.isprintable() and (text.isascii() or _cells(text) == len(text)) for of in columns for text in of):
        return []
    widths = [max(map(len, of)) for of in columns]
    if sum(widths) + COLUMN_GAP * (len(widths) - 1) > width:
        return []
    places = [f"{{:{'>' if right else '<'}{wide}}}" for right, wide in zip(numeric, widths, strict=True)]
    line = (" " * COLUMN_GAP).join(places).format
    columns = [[t.rstrip() for t in of] if right else of for right, of in zip(numeric, columns, strict=True)]
    return [line(*row) for row in zip(*columns, strict=True)]


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


class ConsoleReporter:
    """A types.Reporter on stderr, copied to the run's log when it has one."""

    def __init__(self, *, quiet: bool = False, no_color: bool = False) -> None:
        self.quiet = quiet or _silent
        self.console = _console(stderr=True, no_color=no_color)
        self.log: Path | None = None
        self.scrub: Callable[[str], str] = str

    def say(self, line: str) -> None:
        self._log(line)
        if not self.quiet:
            self.console.print(visible(line))

    def warn(self, line: str) -> None:
        self._log(f"warning: {line}")
        self.console.print(f"warning: {visible(line)}", style="yellow")

    def bar(self, label: str, total: int | None, done: int = 0, *, unit: str = "") -> AbstractContextManager[Advance]:
        """unit: one of what is counted, such as step."""
        if self.console.is_terminal and not self.quiet:
            return self._drawn(label, total, done, unit)
        return self._lines(label, total, done, unit)

    @contextmanager
    def _drawn(self, label: str, total: int | None, done: int, unit: str) -> Iterator[Advance]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column
        from rich.text import Text

        class RateColumn(ProgressColumn):
            """How fast it goes, as plain lines say it."""

            def render(self, task: Task) -> Text:
                return Text(_describe_rate(task.speed, task.fields["unit"]) if task.speed else "")

        whole = Column(no_wrap=True)  # others are cut first, where a line is too short
        width = min(LONGEST_BAR, max(SHORTEST_BAR, self.console.width - len(label) - BESIDE_BAR))
        columns = (
            SpinnerColumn("line", table_column=whole),  # moves while the first of what is counted is still in work
            TextColumn("{task.description}", markup=False),
            BarColumn(width),
            MofNCompleteColumn(table_column=whole),
            RateColumn(table_column=whole),
            TimeRemainingColumn(table_column=whole),
            TextColumn("{task.fields[note]}", markup=False),
        )
        over_s = STEPS_OVER_S if unit == "step" else SPEED_OVER_S
        with Progress(*columns, console=self.console, transient=True, speed_estimate_period=over_s) as progress:
            task = progress.add_task(visible(label), total=total, completed=done, unit=unit, note="")

            def advance(n: int = 1, *, note: str = "") -> None:
                if n:  # a note alone is no beginning of the work, from which the rate is taken
                    progress.advance(task, n)
                if note:
                    progress.update(task, note=visible(note))

            yield advance

    @contextmanager
    def _lines(self, label: str, total: int | None, done: int, unit: str) -> Iterator[Advance]:
        last, count, said = time.monotonic(), done, ""
        first = started = (last, done)  # the rate is taken from the first on: what came before is no part of it

        def advance(n: int = 1, *, note: str = "") -> None:
            nonlocal last, count, said, first
            count, said = count + n, note or said
            now = time.monotonic()
            if now - last >= LINE_EVERY_S and not self.quiet:
                last = now
                at, before = first if count > first[1] else started
                rate = (count - before) / (now - at)
                words = [f"{label}: {count}{f' of {total}' if total else ''}", _describe_rate(rate, unit)]
                words += [f"{timedelta(seconds=round((total - count) / rate))} left"] if total and rate else []
                self.say(", ".join([*words, *([said] if said else [])]))
            if n and first is started:
                first = (now, count)

        yield advance

    def _log(self, line: str) -> None:
        if self.log is not None:
            with writing(self.log), self.log.open("a") as f:
                f.write(self.scrub(line) + "\n")
