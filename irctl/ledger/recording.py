"""A run as its launcher sees it: the folder is made, kept true while the work goes on, and closed with the right word.

Files come first, the ledger second. A ledger that is locked, full, broken or too new costs one warning, never the run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from irctl import errors, hashing, paths
from irctl.config import Config
from irctl.errors import DataError
from irctl.files import begin_run, end_run
from irctl.ledger import opening
from irctl.ledger.database import indexing, journal_mode
from irctl.ledger.database.publish import hand_home, publish
from irctl.ledger.database.store import PATIENCE_S, log, warn_once
from irctl.ledger.files import identity, places, surroundings
from irctl.ledger.files import run_folder as files
from irctl.ledger.files.peak_memory import PeakMemory
from irctl.ledger.files.run_columns import RUN_COLUMNS, STATUSES
from irctl.ledger.files.secrets import Masker
from irctl.paths import RunPaths

IMPATIENT_S = 5.0  # heartbeats, and everything after a first failure
DEVICE_SAMPLE_BEATS = 3
GROUP = "IRCTL_GROUP"  # set by a run that starts others: its id


UNTOLD = dict.fromkeys(("method", "dataset", "model", "profile"), "") | {"runner": "local", "world_size": 1}
"""Columns of a run of which nothing is told."""


def start_run(
    *, command: str, argv: Sequence[str], config: Config | None, resume: Path | None = None, **columns: Any
) -> RunHandle:
    """Make (or with `resume` reopen) a run folder, write its row, and return the handle that keeps both.

    columns: of the ledger's table `runs`, such as dataset. A resumed run keeps its id, command line and start.
    Raises EnvironmentUnfit if no run folder can be made, DataError if the run to resume is missing or still alive.
    """
    journal_mode.journal_mode(paths.ledger())  # a wrong IRCTL_LEDGER_JOURNAL is refused before there is a folder
    masker = Masker(argv, os.environ)
    given = {"command": command, **UNTOLD, "parent_id": None, "group_id": os.environ.get(GROUP), **columns}
    _check_columns(given)
    if resume is None:
        record = opening.create(given, masker, config)
    else:
        record = opening.reopen(Path(resume), given, masker, config)
    return RunHandle(Path(record.pop("folder")), record, masker)


class RunHandle:
    """One run, from its launcher. As a context manager it beats, and closes the run with what ended the block."""

    def __init__(self, folder: Path, record: dict[str, Any], masker: Masker) -> None:
        begin_run(folder)
        self.id = str(record["id"])
        self.paths = RunPaths(folder)
        self.out = self.paths.out
        self.out.mkdir(exist_ok=True)
        self._record = record
        self._masker = masker
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned = False
        self._dirty: set[str] = set()
        self._clock = time.monotonic()
        self._cpu_s = surroundings.cpu_s()
        self._memory = PeakMemory()
        self._earlier = {k: float(record.get(k) or 0.0) for k in ("duration_s", "cpu_s", "gpu_s")}
        self._uses_gpu = indexing.read_config(self.paths).get("hardware.device_kind", {}).get("value") == "cuda"
        self._save(indexing.PARTS)

    @property
    def model(self) -> str:
        """The encoder that the run is of, as noted; empty where there is none."""
        return str(self._record.get("model") or "")

    def note(self, **columns: Any) -> None:
        """Set columns of the run's row (`dataset_fingerprint=...`). `notes` is text for people."""
        _check_columns(columns)
        if text := columns.pop("notes", ""):
            self.event("info", "note", text)
        with self._lock:
            self._record.update(columns)
            self._save(("run",))

    def event(self, level: str, code: str, msg: str) -> None:
        """One line of what happened. It reaches the ledger with the next heartbeat."""
        row = {"at": files.utc_now(), "level": level, "code": code, "msg": self.scrub(msg)}
        with self._lock:
            files.append_lines(self.paths.events, row)
            self._dirty.add("events")

    def metric(
        self,
        name: str,
        value: float,
        *,
        dataset: str = "",
        split: str = "",
        step: int | None = None,
        epoch: float | None = None,
    ) -> None:
        """One value into metrics.jsonl. It reaches the ledger with the next heartbeat."""
        with self._lock:
            place = {"dataset": self.scrub(dataset), "split": self.scrub(split)}
            files.append_metric(self.paths, self.scrub(name), value, **place, step=step, epoch=epoch)
            self._dirty.add("metrics")

    def artifact(
        self,
        role: Literal["in", "out"],
        kind: str,
        path: Path | str,
        *,
        sha256: str | None = None,
        n_rows: int | None = None,
        dim: int | None = None,
        format: str | None = None,
    ) -> None:
        """A file or folder that the run read or made. An `in` with the hash of another run's `out` links the two.

        sha256: the content's key where the caller has one; both sides must use the same. Else it is computed here.
        Raises DataError if the path does not exist.
        """
        row = {"role": role, "kind": kind, **_describe_file(Path(path), sha256, self.paths.folder)}
        row |= {"n_rows": n_rows, "dim": dim, "format": format}
        with self._lock:
            same = (role, kind, row["path"])
            before = [{**a, "path": places.relative(a["path"], self.id)} for a in self._record["artifacts"]]
            kept = [a for a in before if (a["role"], a["kind"], a["path"]) != same]
            self._record["artifacts"] = [*kept, row]
            self._save(("run", "artifacts"))

    def scrub_value(self, value: Any) -> Any:
        """scrub() for every string in lists and dicts: for files that the run writes about itself."""
        return self._masker.value(value)

    def secrets(self) -> dict[str, str]:
        """Variables for child processes that write into the run folder too."""
        return self._masker.environment()

    def scrub(self, text: str) -> str:
        """The text without the secrets that this process knows of: for logs and tracebacks."""
        return self._masker.text(text)

    def beat(self) -> None:
        """Say that the run is alive, and bring waiting events and metrics into the ledger."""
        with self._lock:
            if self._record["status"] == "running":
                self._record["heartbeat_at"] = files.utc_now()
                self._save(("run", *self._dirty), transient=True)

    def finish(
        self,
        status: str,
        *,
        exit_code: int = 0,
        signal: int | None = None,
        error_kind: str | None = None,
        error_msg: str | None = None,
    ) -> None:
        """Close the run. Only the first call counts: a pipeline may close it with more than __exit__ knows."""
        assert status in STATUSES, status
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
        with self._lock:
            if self._record["status"] != "running":
                return
            self._record.update(status=status, exit_code=exit_code, signal=signal, error_kind=error_kind)
            self._record.update(error_msg=error_msg, heartbeat_at=files.utc_now(), ended_at=files.utc_now())
            self._record.update(self._measure_use())
            if (peak := self._memory.gib()) is not None:
                files.append_metric(self.paths, "peak_memory_gib", peak)
            self.event("info" if status == "completed" else "error", status, error_msg or f"exit code {exit_code}")
            self._save(("run", "events", "metrics", "artifacts"))
            hand_home(self.paths.folder)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        end_run(self.paths.folder)
        message = None if e is None else " ".join(str(e).split()) or type(e).__name__
        if e is None or (isinstance(e, SystemExit) and e.code in (None, 0)):
            self.finish("completed")
        elif isinstance(e, errors.Stopped):
            self.finish(e.status, exit_code=e.exit_code, error_kind=e.kind, error_msg=message)
        elif isinstance(e, KeyboardInterrupt):
            self.finish("interrupted", exit_code=errors.SIGINT, error_kind="KeyboardInterrupt", error_msg=message)
        else:
            code, word = (
                (e.exit_code, e.kind) if isinstance(e, errors.IrctlError) else (errors.RUN_FAILED, type(e).__name__)
            )
            self.finish("failed", exit_code=code, error_kind=word, error_msg=message)

    def _save(self, parts: Iterable[str], *, transient: bool = False) -> None:
        """run.json, then the ledger. Caller holds the lock (or is __init__)."""
        files.write_json(self.paths.run_json, self._masker.value(self._record))
        patience = IMPATIENT_S if transient or self._warned else PATIENCE_S
        reason = publish(self.paths.folder, {*parts, *self._dirty}, patience_s=patience, spool=not transient)
        if not reason:
            self._dirty.clear()
        elif not self._warned:
            self._warned = True
            message = f"ledger not written ({reason}); the run goes on, its folder {self.paths.folder} has everything"
            warn_once(message, paths.ledger())
            self.event("warning", "ledger", message)

    def _measure_use(self) -> dict[str, float | None]:
        seconds = time.monotonic() - self._clock
        devices = int(self._record.get("world_size") or 1)
        return {
            "duration_s": round(self._earlier["duration_s"] + seconds, 3),
            "cpu_s": round(self._earlier["cpu_s"] + surroundings.cpu_s() - self._cpu_s, 3),
            "gpu_s": round(self._earlier["gpu_s"] + devices * seconds, 3) if self._uses_gpu else None,
        }

    def _beat_until_stopped(self) -> None:
        beats = 0
        while not self._stop.wait(identity.HEARTBEAT_S):
            if self._uses_gpu and beats % DEVICE_SAMPLE_BEATS == 0:
                files.append_metrics(self.paths, surroundings.device_use())
                self._dirty.add("metrics")
            beats += 1
            try:
                self.beat()
            except (OSError, errors.IrctlError) as e:  # the run folder itself: a full disk may have room again later
                log.warning("heartbeat not written: %s", e)


def _check_columns(columns: Mapping[str, Any]) -> None:
    wrong = [c for c in columns if c not in RUN_COLUMNS]
    assert not wrong, f"no column {wrong} in the ledger's table runs"


def _describe_file(path: Path, sha256: str | None, folder: Path) -> dict[str, Any]:
    """{path, size, sha256, mtime_ns} of a file or folder; its content is read only where no hash is given.

    A path in the run's `folder` is told relative to it. A name that is no path (a hub model, a built-in collection)
    needs its hash. Raises DataError if it has none.
    """
    if not path.exists():
        if sha256 is None:
            raise DataError(f"{path}: no such file or folder", hint="An artifact that is no path needs its sha256")
        name = path.absolute() if ".." in path.parts else path
        return {"path": str(name), "size": None, "sha256": sha256, "mtime_ns": None}
    at = path.absolute()
    size, mtime_ns = _measure_size(at)
    sha256 = sha256 or hashing.content(at)
    return {"path": places.stored(at, folder), "size": size, "sha256": sha256, "mtime_ns": mtime_ns}


def _measure_size(at: Path) -> tuple[int, int]:
    """(bytes, newest mtime_ns) of a file, or of all below a folder in one walk.

    What vanishes on the way does not count: another process may be finishing the same folder.
    """
    own = at.stat()
    if not stat.S_ISDIR(own.st_mode):
        return own.st_size, own.st_mtime_ns
    size, newest = 0, 0
    for folder, _, names in os.walk(at):
        for name in names:
            if name.endswith(".tmp"):  # half written
                continue
            with contextlib.suppress(OSError):
                inner = Path(folder, name).stat()
                if stat.S_ISREG(inner.st_mode):
                    size, newest = size + inner.st_size, max(newest, inner.st_mtime_ns)
    return size, newest or own.st_mtime_ns
