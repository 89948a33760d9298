"""What a run ran on and from: processor, memory, devices, packages, and the state of the git checkout."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from irctl import paths

PROBE_TIMEOUT_S = 10.0


def machine() -> dict[str, Any]:
    """{packages, cpu, ram_gib, gpus, driver, cuda} of this machine and environment."""
    return {"packages": packages(), "cpu": _cpu(), "ram_gib": _ram_gib(), **_devices()}


def packages() -> dict[str, str]:
    """Installed distributions and their versions, sorted by name; irctl's with the commit of its checkout.

    Read from folder names: to parse a few hundred METADATA files takes a third of a second.
    """
    installed: dict[str, str] = {}
    for place in sys.path:
        try:
            entries = os.listdir(place or ".")  # noqa: PTH208  half the cost, and one place to fail
        except OSError:  # an archive, or a folder that is not ours to read
            continue
        for entry in entries:
            if not entry.endswith(".dist-info"):
                continue
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            # the first on the path wins, as in an import
            installed.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    installed["irctl"] = versions()["irctl_version"]
    return dict(sorted(installed.items()))


def versions() -> dict[str, str]:
    """Columns with the versions of irctl, with the commit that it runs from, and Python."""
    try:
        own = metadata.version("irctl")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        own = "unknown"
    return {"irctl_version": own + own_commit(paths.PACKAGE.resolve()), "python": platform.python_version()}


def git(folder: Path) -> dict[str, Any]:
    """Columns with the commit, branch and uncommitted changes of the checkout around a folder; empty outside of one."""
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _output("git", "-C", str(folder), "status", "--porcelain")
    diff = _output("git", "-C", str(folder), "diff", "HEAD") if changes else ""
    return {
        "git_commit": commit.strip(),
        "git_branch": _output("git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD").strip(),
        "git_dirty": int(bool(changes.strip())),
        "git_diff_sha256": hashlib.sha256(diff.encode()).hexdigest() if diff else None,
    }


@cache
def own_commit(package: Path) -> str:
    """`+g<commit>` of the checkout that irctl runs from, with `.changed` for uncommitted changes; or that it was
    installed from; empty where that is unknown.

    Asked once in a process, which runs what it imported.
    """
    here = str(package)
    if not _output("git", "-C", here, "ls-files", "__init__.py"):  # an environment inside another checkout
        return _installed_commit()
    commit = _output("git", "-C", here, "rev-parse", "--short=12", "HEAD").strip()
    changed = _output("git", "-C", here, "status", "--porcelain", "--untracked-files=no", ".").strip()
    return f"+g{commit}{'.changed' if changed else ''}" if commit else ""


def _installed_commit() -> str:
    """Of `pip install git+URL`, which writes it beside the package; of a wheel none is known."""
    try:
        told = json.loads(metadata.distribution("irctl").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, json.JSONDecodeError):
        return ""
    commit = told.get("vcs_info", {}).get("commit_id", "")
    return f"+g{commit[:12]}" if commit else ""


def device_use() -> dict[str, float]:
    """Utilisation and memory of the devices now, as metric values; empty without nvidia-smi."""
    text = _nvidia("utilization.gpu,memory.used")
    rows = [[float(x) for x in re.findall(r"[\d.]+", line)] for line in text.splitlines()]
    rows = [row for row in rows if len(row) == 2]
    if not rows:
        return {}
    return {
        "gpu_utilization": sum(row[0] for row in rows) / len(rows) / 100,
        "gpu_memory_gib": sum(row[1] for row in rows) / 1024,
    }


def cpu_s() -> float:
    """CPU seconds of this process and its finished children."""
    uses = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in uses)


def _devices() -> dict[str, Any]:
    text = _nvidia("name,memory.total,driver_version,compute_cap")
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines() if line.count(",") == 3]
    gpus = [{"name": name, "memory": memory, "capability": capability} for name, memory, _, capability in rows]
    return {"gpus": gpus, "driver": rows[0][2] if rows else None, "cuda": _cuda() if rows else None}


def _cuda() -> str | None:
    """The CUDA version that the driver offers, from the head of nvidia-smi's page."""
    match = re.search(r"CUDA Version:\s*([\d.]+)", _output("nvidia-smi"))
    return match.group(1) if match else None


def _nvidia(fields: str) -> str:
    return _output("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader") if shutil.which("nvidia-smi") else ""


def _cpu() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    name = match.group(1).strip() if match else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _ram_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 2)


def _output(*command: str) -> str:
    """What a command prints, or '' where it is missing, fails or takes too long: facts are never worth a run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
