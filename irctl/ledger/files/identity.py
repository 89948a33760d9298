"""Who a run is: sortable ids, the process that owns it, and whether that process still lives."""

from __future__ import annotations

import getpass
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEARTBEAT_S = 10.0
DEAD_AFTER_S = 3 * HEARTBEAT_S
ID_PATTERN = re.compile(r"\d{8}-\d{9}-[0-9a-z]{4}")

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_last_ms = 0


def new_id() -> str:
    """'20260731-142233417-k3f9': UTC to the millisecond, then random. Ids of one process sort as they were made."""
    global _last_ms
    while (now_ms := time.time_ns() // 1_000_000) == _last_ms:
        time.sleep(0.0005)
    _last_ms = now_ms
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return f"{moment:%Y%m%d-%H%M%S}{now_ms % 1000:03d}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def created_at(run_id: str) -> str:
    """The time inside an id, as the ledger writes times."""
    day, clock, _ = run_id.split("-")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}.{clock[6:]}Z"


def owner() -> dict[str, Any]:
    """Columns that name this process for good: a pid alone is used again by others."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "pid_start_ticks": start_ticks(os.getpid()),
        "boot_id": boot_id(),
        "user": _user(),
    }


def boot_id() -> str:
    """This boot of this machine, and the pid namespace: containers of one machine share the first, not the second."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is no such process (or no /proc)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and parentheses
    if fields[0] in ("Z", "X"):  # dead, only not yet waited for
        return None
    return int(fields[19])


def is_alive(run: Mapping[str, Any], *, now: float | None = None) -> bool:
    """Whether the process of a running run lives, `now` in seconds since 1970.

    On the same boot and pid namespace the process table decides at once; elsewhere a heartbeat younger than three
    intervals does.
    """
    if run.get("boot_id") and run.get("boot_id") == boot_id() and run.get("host") == platform.node():
        ticks = start_ticks(int(run["pid"]))
        return ticks is not None and ticks == run.get("pid_start_ticks")
    beat = run.get("heartbeat_at") or run.get("started_at")
    if not beat:
        return False
    age = (time.time() if now is None else now) - datetime.fromisoformat(beat).timestamp()
    return age < DEAD_AFTER_S


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return str(os.getuid())
