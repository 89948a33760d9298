"""Rows of a training's journal as they come: into the ledger, and onto the terminal."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from irctl.errors import counted
from irctl.pipelines.train import regularizer_lines
from irctl.training.run_files.dev_measure import MEASURE
from irctl.types import Advance, Reporter

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle


SHOWN = {"loss": "loss {:.4f}", "lr": "lr {:.2e}"}
"""What of a step is shown as it comes, and how."""


def time_line(seconds: float, step: int, steps: int, evaluations: str) -> str:
    """How long a training takes from a step on, as its first one was timed. evaluations: in or not, or ''."""
    hours, minutes = divmod(round(seconds / 60), 60)
    took = f"{hours} h {minutes} min" if hours else f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"
    which = f"the last {steps - step} of {steps} steps" if step else counted(steps, "step")
    return f"about {took} for {which}" + (f", dev evaluations {evaluations}" if evaluations else "")


def stop_line(
    step: int | None,
    seconds: float | None,
    saved: int | None,
    *,
    gives_up: bool,
    prepares: bool,
    patience: float | None,
) -> str:
    """What becomes of the work under way. step: under way, if one is. seconds: that it still takes. saved: a step.

    prepares: no step was begun yet; it is not known then what was saved (None) while another process may still save.
    patience: seconds after which the step is given up, if it is not finished by then.
    """
    kept = (
        "what was saved is kept" if saved is None else f"last save: step {saved}" if saved else "nothing is saved yet"
    )
    if step is None:
        what = "what comes before the first step" if prepares else "what is under way"
        return f"stopping: {what} is {'given up' if gives_up else 'finished first'}; {kept}"
    left = "" if seconds is None else f", about {seconds:.0f} s"
    if not gives_up:
        until = f", or given up in {patience:.0f} s" if patience else ""
        return f"stopping: step {step} is finished first{left}{until}; {kept}"
    return f"stopping: step {step} is given up{left} before its end; " + (
        f"the state after step {step - 1} is kept" if step > 1 else kept
    )


class Follow:
    """Turns the worker's rows into progress, warnings and ledger entries."""

    def __init__(self, run: RunHandle, reporter: Reporter, measure: str = MEASURE) -> None:
        """measure: what the dev score is called."""
        self.done: dict[str, Any] | None = None
        self.wanted = False  # negatives, before training goes on
        self._run, self._reporter, self._measure = run, reporter, measure
        self._stack = ExitStack()
        self._advance: Advance | None = None
        self._step = 0
        self._shown: dict[str, str] = {}  # beside the steps: loss, learning rate

    def __enter__(self) -> Follow:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, row: dict[str, Any]) -> None:
        event = row.get("event")
        if event == "plan":
            self._step = int(row["step"])
            self._stack.close()  # of a start before negatives were mined again
            self._advance = self._stack.enter_context(
                self._reporter.bar("training", row["steps"], self._step, unit="step")
            )
            for used in row.get("inputs", ()):
                self._run.artifact("in", used["kind"], used["path"], sha256=used["sha256"], dim=used.get("dim"))
        elif event == "warn":
            self._reporter.warn(row["message"])
            self._run.event("warning", "training", row["message"])
        elif event == "encoding":
            self._reporter.say(
                f"encoding {counted(row['texts'], 'text')} through the frozen base, once; kept in the cache"
            )
        elif event == "evaluating" and self._advance:
            self._advance(0, note="evaluating on dev")
        elif event == "estimate":
            self._reporter.say(time_line(row["seconds"], row["step"], row["steps"], row["evaluations"]))
        elif event == "stopping":
            words = {key: row[key] for key in ("step", "seconds", "saved", "gives_up", "prepares", "patience")}
            self._reporter.say(stop_line(**words))
        elif event == "regularizers":
            self._reporter.say(regularizer_lines.line(row["shares"]))
        elif event == "done":
            self.done = row
        elif event == "mine":
            self.wanted = True
            self._stack.close()
            self._reporter.say(
                f"step {row['step']}: mining negatives again with the model after {counted(row['epochs'], 'epoch')}"
            )
        elif row.get("name") in SHOWN and self._advance and row["step"] >= self._step:
            self._shown[row["name"]] = SHOWN[row["name"]].format(row["value"])
            self._advance(row["step"] - self._step, note=", ".join(self._shown.values()))
            self._step = row["step"]
        elif row.get("name") == MEASURE and row.get("split"):
            self._reporter.say(f"step {row.get('step') or 0}: {row['split']} {self._measure} {row['value']:.4f}")
            if self._advance:  # it evaluates no longer, and the next step may take minutes
                self._advance(
                    0, note=", ".join(self._shown.values()) or f"step {(row.get('step') or 0) + 1} is under way"
                )
