"""Being asked to stop: signals set a flag, work looks at it between two steps, and finishes what it has begun.
Work without steps is ended where it is (`at_once`).

INT and TERM interrupt (130, 143); USR2 is a scheduler's notice of preemption (75). A second signal stops at once, but
not the same one within half a second: `timeout` and others signal a process and its whole group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from irctl.errors import PREEMPTED, SIGINT, SIGTERM, Stopped

_EXITS = {signal.SIGINT: SIGINT, signal.SIGTERM: SIGTERM, signal.SIGUSR2: PREEMPTED}
TWICE_S = 0.5
_received: list[int] = []
_first_at = 0.0  # monotonic seconds
_before: dict[int, Any] = {}  # handlers of whoever called: a program that imports irctl has its own
_listeners: list[Callable[[int], None]] = []
_at_once: list[str] = []  # what is kept where a signal does not wait for the next check


def install() -> None:
    """Take over INT, TERM and USR2 for this process, in its main thread: others may not. Forgets earlier signals."""
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _EXITS:
        _before.setdefault(number, signal.signal(number, _on_signal))


def restore() -> None:
    """Give the signals back to who had them, and forget those that came."""
    _received.clear()
    _listeners.clear()
    if threading.current_thread() is threading.main_thread():
        while _before:
            number, handler = _before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def kept_from_others() -> Iterator[None]:
    """The signals go where they went before, whatever a library in here does with them: ray.init takes TERM."""
    before = {number: signal.getsignal(number) for number in _EXITS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def forget() -> None:
    """Take a signal as answered: it came when the work was done already, and nothing is left to stop."""
    _received.clear()


def on_stop(listener: Callable[[int], None]) -> None:
    """Call `listener(signal number)` at the first signal, from the handler: keep it short."""
    _listeners.append(listener)


def requested() -> bool:
    """True once a signal came."""
    return bool(_received)


def check(done: str = "finished work is kept") -> None:
    """Raise Stopped if a signal came; to be called between two pieces of work, with what was kept."""
    if _received:
        raise stopped(_received[0], done)


@contextlib.contextmanager
def at_once(done: str) -> Iterator[None]:
    """Meanwhile a signal raises Stopped wherever it finds the main thread, for work that has no steps to look between.

    Such as a library's long call: faiss's k-means looks for it in every round. Nothing in there may be left half done
    by an error. done: what is kept.
    """
    check(done)
    _at_once.append(done)
    try:
        yield
    finally:
        _at_once.pop()
    check(done)  # one that came where Python lets no error out


def stopped(number: int, done: str) -> Stopped:
    """The error that ends a run after this signal."""
    name = signal.Signals(number).name
    status = "preempted" if number == signal.SIGUSR2 else "interrupted"
    return Stopped(
        f"stopped by {name}: {done}",
        exit_code=_EXITS[signal.Signals(number)],
        status=status,
        hint="The same command continues",
    )


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _first_at
    if _received:
        if number == _received[0] and time.monotonic() - _first_at < TWICE_S:
            return
        os._exit(_EXITS[signal.Signals(number)])
    _received.append(number)
    _first_at = time.monotonic()
    for listener in _listeners:
        listener(number)
    if _at_once:
        raise stopped(number, _at_once[-1])
