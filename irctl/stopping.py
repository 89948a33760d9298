"""Being asked to stop: signals set a flag, work looks at it between two steps, and finishes what it has begun.

INT and TERM interrupt (130, 143); USR2 is a scheduler's notice of preemption (75). A second signal stops at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from irctl.errors import PREEMPTED, SIGINT, SIGTERM, Stopped

_EXITS = {signal.SIGINT: SIGINT, signal.SIGTERM: SIGTERM, signal.SIGUSR2: PREEMPTED}
_received: list[int] = []
_listeners: list[Callable[[int], None]] = []


def install() -> None:
    """Take over INT, TERM and USR2 for this process. Forgets earlier signals."""
    _received.clear()
    for number in _EXITS:
        signal.signal(number, _on_signal)


def restore() -> None:
    """Give the signals back to Python's defaults, and forget those that came."""
    _received.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    _listeners.clear()


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
    if _received:
        os._exit(_EXITS[signal.Signals(number)])
    _received.append(number)
    for listener in _listeners:
        listener(number)
