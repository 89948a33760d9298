"""What is shown is data: brackets are no markup, control characters steer no terminal, text in CSV is no formula."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import sys

import pytest
from workspace import Workspace

from irctl import console
from irctl.reports.formats.formulas import make_inert

ODD = "[/i] x[red]y :smile: \x1b[31m\x07\x9b2J"
SHOWN = r"[/i] x[red]y :smile: \x1b[31m\x07\x9b2J"


def test_a_table_shows_brackets_and_control_characters_as_they_are_written(capsys) -> None:
    console.table([{ODD: ODD, "b[bold]": "[tiny]"}], title=f"a {ODD}")
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 3 and "b[bold]" in shown and "[tiny]" in shown
    assert not any(c in shown for c in "\x1b\x07\x9b")


def test_lines_of_a_run_are_shown_as_they_are_written(capsys) -> None:
    reporter = console.ConsoleReporter()
    reporter.say(f"say {ODD}")
    reporter.warn(f"warn {ODD}")
    console.out(f"out {ODD}")
    console.error(ODD)
    done = capsys.readouterr()
    assert done.out.splitlines() == [f"out {SHOWN}"]
    assert done.err.splitlines() == [f"say {SHOWN}", f"warning: warn {SHOWN}", f"error: {SHOWN}"]


def test_a_quiet_command_still_says_its_error(capsys) -> None:
    with console.display(quiet=True):
        console.err("error: is the first word of this notice")
        console.error("no such run")
    assert capsys.readouterr().err == "error: no such run\n"


def test_a_bar_takes_any_label(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    reporter = console.ConsoleReporter()
    reporter.console._force_terminal = True
    with reporter.bar("[/i]", 2) as advance:
        advance(2)
    assert "[/i]" in capsys.readouterr().err


def test_a_bar_shows_its_rate_by_its_unit_and_what_it_is_told(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    reporter = console.ConsoleReporter()
    reporter.console._force_terminal = True
    with reporter.bar("training", 2, unit="step") as advance:
        advance(2, note="loss 0.1234, lr 1.00e-05")
    assert "loss 0.1234, lr 1.00e-05" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_of_slow_steps_shows_rate_time_left_and_loss_whole_on_a_line(width: int, capsys, monkeypatch) -> None:
    """At 80 columns the loss was left out; of steps of 30 s or more there was no rate and no time left."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    clock = [0.0]
    reporter = console.ConsoleReporter()
    reporter.console._force_terminal, reporter.console.width = True, width
    reporter.console.get_time = lambda: clock[0]
    with reporter.bar("training", 6, unit="step") as advance:
        for step in range(4):
            clock[0] += 40
            advance(note=f"loss 0.123{step}, lr 1.00e-05")
    last = capsys.readouterr().err.split("\r")[-2]
    assert "4/6 40.0 s/step 0:01:20 loss 0.1233, lr 1.00e-05" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last)


def test_a_piped_bar_is_a_line_every_thirty_seconds_with_rate_time_left_and_note(
    capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.ConsoleReporter().bar("training", 100, 10, unit="step") as advance:
        for seconds, steps, note in ((29, 10, "loss 3.0"), (1, 0, "loss 2.5"), (16, 8, ""), (14, 8, "")):
            clock[0] += seconds
            advance(steps, note=note)
    assert capsys.readouterr().err.splitlines() == [
        "training: 20 of 100, 3.0 s/step, 0:04:00 left, loss 2.5",
        "training: 36 of 100, 1.9 s/step, 0:02:04 left, loss 2.5",  # 16 since 0:29, when the first were done
    ]
    assert [console._describe_rate(r, u) for r, u in ((31.4, "step"), (0.43, "step"), (0.5, ""), (0, "step"))] == [
        *("31/s", "2.3 s/step", "2.0 s each", "0/s")
    ]


def test_a_quiet_bar_says_nothing(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.ConsoleReporter(quiet=True).bar("x", 2) as advance:
        clock[0] += 40
        advance()
    assert capsys.readouterr().err == ""


def test_json_of_control_characters_is_ascii_and_reads_back(capsys) -> None:
    console.emit_json({"name": ODD})
    text = capsys.readouterr().out
    assert not any(c in text for c in "\x1b\x07\x9b") and json.loads(text) == {"name": ODD}


def test_text_that_begins_like_a_formula_is_quoted_and_numbers_are_not() -> None:
    assert [make_inert(v) for v in ("=1+1", "+a", "-x", "@SUM(A1)", "\t=1")] == [
        "'=1+1",
        "'+a",
        "'-x",
        "'@SUM(A1)",
        "'\t=1",
    ]
    assert [make_inert(v) for v in ("-0.12", "+1e-9", "-inf", -3, "a=b", "", None)] == [
        *("-0.12", "+1e-9", "-inf", -3, "a=b", "", None)
    ]


def test_a_query_with_two_columns_of_one_name_shows_both(place: Workspace) -> None:
    line = 'runs sql "SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a"'
    assert [line.split() for line in place.ok(line).out.splitlines()] == [["a", "a:1", "b", "a:2"], [*"1234"]]
    assert place.ok(f"{line} --format csv").out == "a,a:1,b,a:2\n1,2,3,4\n"
    assert place.ok(f"{line} --format md").out.splitlines()[0] == "| a | a:1 | b | a:2 |"
    assert place.ok(f"{line} --json").json["rows"] == [[1, 2, 3, 4]]


def test_csv_of_the_ledger_quotes_formulas(place: Workspace) -> None:
    done = place.ok("""runs sql "SELECT '=cmd()' AS x, '-0.5' AS y, -0.5 AS '@z'" --format csv""")
    assert list(csv.reader(io.StringIO(done.out))) == [["x", "y", "'@z"], ["'=cmd()", "-0.5", "-0.5"]]


def test_a_run_with_an_odd_name_is_listed_shown_and_noted(place: Workspace) -> None:
    place.ok("search --retriever bm25 --set 'run.name=[/i] \x1b[31m'")
    place.ok("runs note latest 'a [b]note[/b] \x1b]0;x\x07'")
    for line in ("runs ls", "runs show latest", "runs ls --format md", "runs ls --format csv"):
        done = place.ok(line)
        assert r"[/i] \x1b[31m" in done.out and "\x1b" not in done.out + done.err, line
    assert r"a [b]note[/b] \x1b]0;x\x07" in place.ok("runs show latest").out


@pytest.mark.parametrize("odd", ["", "Größe", "two\nlines", "x" * 220])
def test_a_long_table_reads_as_rich_draws_it(monkeypatch, capsys, odd) -> None:
    """Many rows are drawn without rich, but for those that need it: wide signs, several lines, folded cells."""
    rows = [{"id": f"r{i}", "name": odd, "value": 0.5 * i, "n": None if i else 3, "[b]": True} for i in range(3)]
    shown = []
    for many in (4, 3):
        monkeypatch.setattr(console, "MANY_ROWS", many)
        console.table(rows, whole=("id",))
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] and len(shown[0].splitlines()) >= 4


def test_a_learning_rate_is_not_shown_as_zero() -> None:
    assert [console.cell(v) for v in (2.857e-6, 0.0, 0.0123, 12.5)] == ["2.86e-06", "0.0000", "0.0123", "12.5"]


class FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_the_drawing_of_a_table_flushes_is_of_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", FullDisk())
    with pytest.raises(OSError, match="No space left") as failed:
        console.table([{"a": 1}])
    assert failed.value.filename == "standard output"
