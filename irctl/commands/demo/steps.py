"""Running the demo: each step through the command line itself, finished ones remembered, then the report."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from irctl import paths, tables
from irctl.commands.frame.guard import guarded
from irctl.files import write_atomic

Main = Callable[[list[str]], int | None]


def run(main: Main, *, fresh: bool, quick: bool, dry_run: bool, json_: bool, debug: bool, rag: bool = False) -> None:
    """main runs one irctl command line in this process and returns its exit code (None is 0)."""
    from irctl import console
    from irctl.pipelines import demo, rag_demo

    with guarded(json_, debug):
        memory = Memory(paths.runs() / f"demo{'-rag' if rag else ''}{'-quick' if quick else ''}.json", fresh)
        started, number = time.monotonic(), 0
        steps = (rag_demo if rag else demo).plan(quick=quick)
        payload: Any = None
        lines: list[str] = []
        try:
            while True:
                step = steps.send(payload)
                number += 1
                line = shlex.join(("irctl", *step.argv))
                if dry_run:
                    lines.append(line)
                    payload = demo.Placeholder()
                    continue
                console.err(f"[{number}] {step.about}\n    $ {line}")
                payload = memory.recall(step.argv)
                if payload is None:
                    began = time.monotonic()
                    payload = invoke(main, step.argv)
                    memory.keep(step.argv, payload)
                    console.err(f"    {outcome(payload)} ({time.monotonic() - began:.0f} s)")
                else:
                    console.err(f"    {outcome(payload)} (done before: run {payload['run']})")
        except StopIteration as finished:
            summary = finished.value
        if dry_run and json_:
            return console.emit_json({"schema": "irctl/demo-plan/1", "lines": lines})
        if dry_run:
            return console.out("\n".join(lines))
        seconds = time.monotonic() - started
        if rag:
            finish_rag(summary, json_=json_, seconds=seconds)
        else:
            finish(main, summary, json_=json_, seconds=seconds)


def invoke(main: Main, argv: tuple[str, ...]) -> dict[str, Any]:
    """Run one command in this process with --json and return its payload. Its failure ends the demo."""
    words = [*argv, "--json"]
    before, sys.argv = sys.argv, ["irctl", *words]
    captured = io.StringIO()
    try:
        with contextlib.redirect_stdout(captured):
            code = main(words)
    finally:
        sys.argv = before
    if code:
        raise typer.Exit(code)
    payload: dict[str, Any] = json.loads(captured.getvalue().splitlines()[-1])
    return payload


def outcome(payload: dict[str, Any]) -> str:
    """What a step found, in a few words."""
    results = payload.get("results") or [payload]
    if "task" in payload:
        of = [r for r in results if r["part"].startswith("compressed") and r["measure"] == results[0]["measure"]]
        return "  ".join(f"{r['part']} {r['measure']} {r['value']:.4f}" for r in of)
    if "measure" in results[0]:
        return "  ".join(f"{r['measure']} {r['value']:.4f}" for r in results if isinstance(r.get("value"), float))
    shown = ("queries", "negatives", "rows", "bytes_per_row", "relative_mse", "steps", "loss", "seconds")
    told = [(k, results[0][k]) for k in shown if k in results[0]]
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in told) or "done"


class Memory:
    """Which steps are done: a JSON file beside the run folders. A step whose run folder has gone is not done."""

    def __init__(self, file: Path, fresh: bool) -> None:
        self.file = file
        self.steps: dict[str, dict[str, Any]] = {}
        if file.is_file() and not fresh:
            self.steps = tables.json_object(file, hint="irctl demo --fresh starts over")

    def recall(self, argv: tuple[str, ...]) -> dict[str, Any] | None:
        payload = self.steps.get(json.dumps(argv))
        if not payload or "run" not in payload:  # what is made in the cache is there already
            return None
        here = paths.runs() / str(payload["run"])
        # of a copy, or of runs that were moved, the paths in it are another place's
        same = (here / "run.json").is_file() and here.resolve() == Path(payload["run_dir"]).resolve()
        return payload if same else None

    def keep(self, argv: tuple[str, ...], payload: dict[str, Any]) -> None:
        self.steps[json.dumps(argv)] = payload
        write_atomic(self.file, json.dumps(self.steps))


def finish(main: Main, summary: dict[str, Any], *, json_: bool, seconds: float) -> None:
    """Print the table and write LaTeX and figure, each by `irctl report`."""
    from irctl import console

    folder = paths.runs() / "demo-report"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [word for run_id in summary["evals"] for word in ("--run", run_id)]
    base = ["report", *chosen, "--baseline", summary["baseline"]]
    captured = io.StringIO()
    with contextlib.redirect_stdout(captured):
        code = main([*base, "--format", "latex"])
    write_atomic(folder / "table.tex", captured.getvalue())
    with contextlib.redirect_stdout(io.StringIO()):
        code = code or main(["report", *chosen, "--figure", "pareto", "-o", str(folder)])
    if code:
        raise typer.Exit(code)
    if json_:
        console.emit_json({"schema": "irctl/demo/1", **summary, "report": str(folder), "seconds": round(seconds, 1)})
        return
    code = main([*base, "--ids"])
    console.out("")
    console.out(
        f"best on dev: {summary['best']}; compressed from it. All figures: test queries, never used for a choice."
    )
    console.out(
        f"run folders {paths.runs()}/   ledger {paths.ledger()}   LaTeX {folder}/table.tex   figure {folder}/pareto.png"
    )
    console.out(f"took {seconds:.0f} s. The last column has the run of every row; as typed:")
    for line in next_lines(summary["evals"][-1], summary["baseline"]):
        console.out(line)
    if code:
        raise typer.Exit(code)


def next_lines(newest: str, other: str) -> list[str]:
    """Command lines, with what they print, that say where the numbers of these two evaluations come from."""
    lines = {
        f"irctl runs show {newest}": "what that run did, from what, and where its files are",
        f"irctl runs diff {other} {newest}": "two runs: settings, and a paired test of their measures",
        f"irctl runs reproduce {newest}": "the command that repeats it",
        "irctl runs ls --command eval --sort -nDCG@10": "all evaluations, the best first",
    }
    width = max(map(len, lines))
    return [f"  {line:{width}}  # {about}" for line, about in lines.items()]


def finish_rag(summary: dict[str, Any], *, json_: bool, seconds: float) -> None:
    """Print what was answered by compressed passages, and what the table means."""
    from irctl import console
    from irctl.pipelines import rag_demo

    rows = rag_demo.table(summary)
    if json_:
        about = {"r_at_1": summary["r_at_1"], "trained": summary["trained"], "rows": rows}
        console.emit_json({"schema": "irctl/demo-rag/1", **about, "seconds": round(seconds, 1)})
        return
    console.table(rows)
    console.out("")
    console.out(f"R@1 {summary['r_at_1']:.4f}; retrieved and gold: exact matches of answers by passages so found")
    for sentence in rag_demo.MEANING:
        console.out(sentence)
    console.out(f"run folders {paths.runs()}/   took {seconds:.0f} s. As typed:")
    for line in next_lines(str(summary["retrieved"]["run"]), str(summary["gold"]["run"])):
        console.out(line)
