"""The most memory that a run took: not what its process, or one that started it, had taken before.

A process keeps the largest size that it ever had, and of its children the largest of all that ended: several runs of
one process would share those. Linux sets back the first, and nobody the second.
"""

from __future__ import annotations

import resource
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HELPER_S = 1.0
"""CPU seconds of children below which they were but helpers, such as git."""

_open: list[PeakMemory] = []


def of_process() -> float:
    """GiB that this program held at the most, since it began or was last set back.

    ru_maxrss, which a process takes over from the one that started it, only where there is no /proc.
    """
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    known = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    kib = known[0] if known else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 2**20


class PeakMemory:
    """Watches from now on."""

    def __init__(self) -> None:
        self._before = 0.0
        earlier = of_process()
        for outer in _open:  # whose process it is too
            outer._before = max(outer._before, earlier)
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._is_set_back = _set_back()
        _open.append(self)

    def gib(self) -> float | None:
        """The most of this process and its children until now, in GiB; None where that cannot be known."""
        if self in _open:
            _open.remove(self)
        if not self._is_set_back:
            return None
        own = max(of_process(), self._before)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        if now.ru_maxrss > self._children.ru_maxrss:
            return round(max(own, now.ru_maxrss / 2**20), 3)
        spent = now.ru_utime + now.ru_stime - self._children.ru_utime - self._children.ru_stime
        # an earlier child was larger than those of this run, which hides them
        is_hidden = spent > HELPER_S and self._children.ru_maxrss / 2**20 > own
        return None if is_hidden else round(own, 3)


def _set_back() -> bool:
    try:
        RESET.write_text("5")
    except OSError:  # no Linux, or a sandbox
        return False
    return True
