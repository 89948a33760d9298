"""Every error a user can meet, and the exit code that goes with it: the one table of both; and how lines count.

A message is one line: what, where (file:line), expected, found; `hint` is the next step.
"""

from __future__ import annotations

from typing import Self

OK = 0
RUN_FAILED = 1
USAGE = 2
DATA = 3
ENVIRONMENT = 4
PARTLY_DONE = 5
PREEMPTED = 75
SIGINT = 130
SIGTERM = 143

EXIT_CODES: dict[int, str] = {
    OK: "ok",
    RUN_FAILED: "the run failed",
    USAGE: "usage or configuration",
    DATA: "data or model missing or malformed",
    ENVIRONMENT: "environment unfit",
    PARTLY_DONE: "partly done",
    PREEMPTED: "preempted and requeued",
    SIGINT: "interrupted (SIGINT)",
    SIGTERM: "terminated (SIGTERM)",
}


class IrctlError(Exception):
    """A failure that a user can act on. `kind` is stable; the text is for people, and nothing is read from it.

    A finer class elsewhere is for whoever catches it; its kind stays that of the class here.
    """

    exit_code = RUN_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.reason = self.message
        self.hint = " ".join(hint.split())

    @classmethod
    def of(cls, thing: object, reason: str, *, hint: str = "") -> Self:
        """THING: REASON; what several things have in common is read from `reason`, not out of the message."""
        error = cls(f"{thing}: {reason}", hint=hint)
        error.reason = " ".join(reason.split())
        return error

    @property
    def kind(self) -> str:
        return next(c.__name__ for c in type(self).__mro__ if c.__module__ == __name__)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class RunFailed(IrctlError):
    """The work itself went wrong: a loss turned NaN, a worker died, the disk filled up."""

    exit_code = RUN_FAILED


class ConfigError(IrctlError):
    """A key, an option or a combination of them that cannot be."""

    exit_code = USAGE


class DataError(IrctlError):
    """Data, a model, an index or a run folder that is missing, malformed or does not fit."""

    exit_code = DATA


class EnvironmentUnfit(IrctlError):
    """This machine, its packages or its folders cannot do what was asked."""

    exit_code = ENVIRONMENT


class PartlyDone(IrctlError):
    """Some of the work is done and kept; the rest is named in the message."""

    exit_code = PARTLY_DONE


class Stopped(IrctlError):
    """A signal asked the run to stop; what was finished is kept and the same command continues.

    status: the ledger's word for it (interrupted or preempted).
    """

    def __init__(self, message: str, *, exit_code: int, status: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
        self.status = status


def counted(number: int | float | None, word: str) -> str:
    """How many, as lines say it: `1 query`, `1,400 documents`. word: one of them."""
    if number is None:
        return f"an unknown number of {_plural(word)}"
    return f"{number:,} {word if number == 1 else _plural(word)}"


def _plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    is_consonant = word.endswith("y") and word[-2:-1] not in tuple("aeiou")
    return f"{word[:-1]}ies" if is_consonant else f"{word}s"
