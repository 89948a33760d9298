"""The plan of a compression: which rows make which batch, fixed before any work and the same for every worker.

A batch is a stretch of rows of one input file; its number counts through the whole input. plan.json is written first,
once, with its own hash; a later command that would cut otherwise is refused.
Dimension key: N rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing, tables
from irctl.errors import ConfigError, DataError
from irctl.index import shards

FILE, FORMAT, VERSION = "plan.json", "irctl-plan", 1
_RUN = 500  # consecutive rows of a sparse sample
_REACH = 40  # places for such runs in a large row group, from its beginning; more where its runs would fill half
ROW_BLOCK = 500  # dense products are cut into blocks of so many rows: batches of whole blocks do not change bytes


@dataclass(frozen=True)
class RowBatch:
    """Rows row0 .. row0 + rows - 1 of the input, all from one file."""

    index: int
    file: str
    row0: int
    rows: int
    file_row0: int  # row0 counted in the file


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of the codes. files: (name, rows) in order. batch 0: one batch a file."""

    source: str
    fingerprint: str
    key: str  # hash of the input in the ledger
    files: tuple[tuple[str, int], ...]
    dim: int
    batch: int
    method: str
    metric: str
    settings: Mapping[str, Any]
    seed: int
    train_rows: int
    probe: int
    workers: int
    quantizer: str = ""  # hash of a quantizer that is reused, else empty
    about: Mapping[str, Any] = field(default_factory=dict)  # facts about the vectors: encoder, similarity, corpus
    transform: Mapping[str, Any] = field(default_factory=dict)  # name, settings and key; empty: vectors as they come

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.files)

    @property
    def trained_rows(self) -> int:
        """Rows that training sees: those of the probe are never among them."""
        return min(self.train_rows, self.rows - _count_held(self.rows, self.probe))

    def batches(self) -> list[RowBatch]:
        """Every batch, in order."""
        found: list[RowBatch] = []
        first = 0
        for name, rows in self.files:
            step = self.batch or max(rows, 1)
            for at in range(0, rows, step):
                found.append(RowBatch(len(found), name, first + at, min(step, rows - at), at))
            first += rows
        return found

    def take_share(self, worker: int, limit: int = 0) -> list[RowBatch]:
        """The contiguous share of one worker; of the first `limit` batches if that is not 0."""
        batches = self.batches()[: limit or None]
        return batches[len(batches) * worker // self.workers : len(batches) * (worker + 1) // self.workers]

    def name(self, index: int, count: int) -> str:
        """Number of a batch in its file name: four digits, more if the last needs them."""
        return f"{index:0{max(4, len(str(max(count - 1, 0))))}d}"

    def as_dict(self) -> dict[str, Any]:
        parts = asdict(self)
        if not self.transform:  # plans of earlier versions keep their hash
            del parts["transform"]
        return {"format": FORMAT, "version": VERSION, **parts, "files": [list(f) for f in self.files]}

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def check_batch(batch: int) -> None:
    """ConfigError unless a batch is made of whole blocks: only then are bytes the same for every batch size."""
    if batch % ROW_BLOCK:
        near = max(ROW_BLOCK, round(batch / ROW_BLOCK) * ROW_BLOCK)
        raise ConfigError(
            f"compress.batch: expected a multiple of {ROW_BLOCK} rows, found {batch}", hint=f"The nearest is {near}"
        )


def write_or_match(folder: Path, plan: Plan) -> bool:
    """Write plan.json, or check that the one there is the same; True if it was there.

    Raises ConfigError naming the first value that differs: codes of two plans must not share a folder.
    """
    path = folder / FILE
    if not path.is_file():
        shards.write_json(path, {**plan.as_dict(), "sha256": plan.sha256})
        return False
    found = read(folder)
    if found.sha256 != plan.sha256:
        old, new = found.as_dict(), plan.as_dict()
        key = next(k for k in {**new, **old} if old.get(k) != new.get(k))
        before, now = old.get(key), new.get(key)
        raise ConfigError(
            f"{path}: this folder was begun with {key} = {_shorten(before)}, now it is {_shorten(now)}",
            hint=_suggest_remedy(before, now) if key == "fingerprint" else "Use another --out, or the old settings",
        )
    return True


def read(folder: Path) -> Plan:
    """The plan of a folder. Raises DataError when it is missing, torn or altered."""
    path = folder / FILE
    try:
        stored = tables.json_object(path)
        kept = {k: v for k, v in stored.items() if k not in ("format", "version", "sha256")}
        plan = Plan(**{**kept, "files": tuple((str(n), int(r)) for n, r in kept["files"])})
    except FileNotFoundError:
        raise DataError(f"{folder}: no {FILE}", hint="irctl compress --train-only writes it") from None
    except (ValueError, KeyError, TypeError) as e:
        raise DataError(f"{path}: cannot be read ({e})", hint=f"Remove {folder} and run again") from e
    if plan.sha256 != stored.get("sha256"):
        raise DataError(f"{path}: its hash does not fit its content", hint=f"Remove {folder} and run again")
    return plan


def _suggest_remedy(old: object, new: object) -> str:
    return hashing.hint_if_otherwise(str(old), str(new)) or "The input has changed: use another --out"


def _shorten(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else text[:77] + "..."


def draw(rows: int, wanted: int, seed: int, groups: Iterable[tuple[int, int]] = ()) -> NDArray[np.int64]:
    """Sorted numbers of about `wanted` rows, uniform over the input by seed: inputs are ordered, a beginning is biased.

    Where few of many are wanted they come in runs of 500, because single rows of a remote or packed file cost as much
    as their whole row group. groups: (start, stop) of rows that are read from the first of them on, as the row
    groups of parquet files. Each gets as many runs as it would without that, but a large one among its first rows: of
    53 million rows in groups of a million, a sample of 100,000 would take reading two thirds of all; so it is 2 in 100.
    """
    rng = np.random.default_rng(seed)
    if wanted * 4 > rows:
        return np.sort(rng.permutation(rows)[:wanted]).astype(np.int64)
    runs = np.sort(rng.choice(-(-rows // _RUN), -(-wanted // _RUN), replace=False)) * _RUN
    for start, stop in groups:
        inside = slice(*np.searchsorted(runs, (start, stop)))
        count = inside.stop - inside.start
        reach = max(_REACH, 2 * count)
        # runs lie on a grid of the whole input, so the first one of a group may begin in the group before
        if count and (stop - start) // _RUN > reach + 1:
            first = -(-start // _RUN)
            runs[inside] = (first + np.sort(rng.choice(reach, count, replace=False))) * _RUN
    drawn_N = (runs[:, None] + np.arange(_RUN)).ravel()
    return drawn_N[drawn_N < rows][:wanted].astype(np.int64)


def draw_samples(
    rows: int, train: int, probe: int, seed: int, groups: Iterable[tuple[int, int]] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(probe rows, training rows): disjoint, each sorted. At most a tenth of the input is set apart as probe."""
    held = _count_held(rows, probe)
    drawn_N = draw(rows, min(rows, held + train), seed, groups)
    apart = np.zeros(len(drawn_N), bool)
    apart[np.random.default_rng(seed + 1).permutation(len(drawn_N))[:held]] = True
    return drawn_N[apart], drawn_N[~apart]


def _count_held(rows: int, probe: int) -> int:
    return min(probe, rows // 10)


def list_row_groups(stream: object) -> list[tuple[int, int]]:
    """The row groups of a stream that has some."""
    found: list[tuple[int, int]] = stream.groups() if hasattr(stream, "groups") else []
    return found


def parse_shard(text: str, environment: Mapping[str, str], workers: int) -> tuple[int | None, int]:
    """(worker, workers) of `i/n`, else of a Slurm array task; worker None: this process does them all.

    Where the settings name the number of workers it holds: resubmitting two tasks alone changes Slurm's count, not the
    split.
    """
    if text:
        worker, slash, count = text.partition("/")
        if not slash or not worker.isdigit() or not count.isdigit() or not int(worker) < int(count):
            raise ConfigError(f"--shard {text}: expected i/n with 0 <= i < n, such as 3/16")
        return int(worker), int(count)
    task = environment.get("SLURM_ARRAY_TASK_ID", "")
    if not task.isdigit():
        return None, workers
    tasks = workers if workers > 1 else int(environment.get("SLURM_ARRAY_TASK_COUNT", "1"))
    if int(task) >= tasks:
        raise ConfigError(
            f"array task {task}: there are {tasks} workers, numbered from 0", hint=f"Submit --array=0-{tasks - 1}"
        )
    return int(task), tasks


def find_missing(plan: Plan, done: Sequence[int], limit: int = 0) -> list[RowBatch]:
    """Batches not done yet; of the first `limit` if that is not 0."""
    have = set(done)
    wanted = plan.batches()[: limit or None]
    return [b for b in wanted if b.index not in have]
