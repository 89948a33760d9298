"""Batches of vectors to shards of codes: a reader thread, the encoder in the caller's thread, a writer thread.

Two batches wait between each pair, so memory does not grow with the input. The first failure stops all three and is
raised again with the rows it happened in. A signal ends the work after the batch in hand; finished batches stay.
Dimension key: N rows, D dimensions, C code bytes.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import files, stopping
from irctl.data.vectors import allocator
from irctl.errors import DataError, IrctlError, RunFailed, Stopped, counted
from irctl.index import shards, threads
from irctl.index.arrays import NotFinite
from irctl.index.plan import RowBatch
from irctl.types import Stream, VectorBlock

WAITING = 2  # batches between two stages
_POLL_S = 0.1
_END = object()


@dataclass
class CodeTarget:
    """Where one method's codes go. done: numbers of its finished batches; they are not encoded again."""

    folder: Path
    encode: Callable[[NDArray[np.float32]], NDArray[np.uint8]]
    code_size: int
    file: Callable[[int], str]  # batch number -> name under codes/
    ids_file: Callable[[int], str]
    journal: shards.ShardJournal
    quantizer: str  # hash, kept with every batch
    done: set[int] = field(default_factory=set)


@dataclass
class StageTimes:
    """CPU seconds of each stage, rows that went through, and how often the input was read."""

    reader_s: float = 0.0
    encoder_s: float = 0.0
    writer_s: float = 0.0
    rows: int = 0
    batches: int = 0


class _Line:
    """A queue that gives up when another stage failed."""

    def __init__(self, stop: threading.Event) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(WAITING)
        self._stop = stop

    def put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def get(self) -> Any:
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if self._stop.is_set():
                    return _END


class _Failure:
    """The first exception of any stage, with the batch it was about."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._lock = stop, threading.Lock()
        self.error: BaseException | None = None

    def keep(self, e: BaseException, stage: str, batch: RowBatch | None) -> None:
        with self._lock:
            if self.error is None:
                self.error = _locate(e, stage, batch)
        self._stop.set()


def _locate(e: BaseException, stage: str, batch: RowBatch | None) -> BaseException:
    """The same error, saying which rows; what is not ours becomes RunFailed."""
    if batch is None or not isinstance(e, Exception) or isinstance(e, Stopped):
        return e
    where = f"{batch.file}: " if batch.file else ""
    if isinstance(e, NotFinite):
        located: IrctlError = DataError(
            f"{where}row {batch.file_row0 + e.row}: {e.said}",
            hint="Remove or repair it; finished batches are kept",
        )
    else:
        rows = f"rows {batch.row0}-{batch.row0 + batch.rows - 1}"
        if isinstance(e, IrctlError):
            located = e
            located.message = f"{where}{rows}: {e.message}"
            return located
        located = RunFailed(f"{where}{rows}: {stage}: {type(e).__name__}: {e}")
    located.__cause__ = e
    return located


def run(
    stream: Stream, batches: Sequence[RowBatch], targets: Sequence[CodeTarget], advance: Callable[[int], object]
) -> StageTimes:
    """Encode every batch for every target that lacks it. Each batch is read once.

    Raises the first failure of any stage with its rows, and Stopped after a signal.
    """
    wanted = [b for b in batches if any(b.index not in t.done for t in targets)]
    allocator.keep_freed_memory()
    check_space(targets, wanted, stream.id_bytes() if hasattr(stream, "id_bytes") else 0.0)
    spent, stop = StageTimes(), threading.Event()
    failure = _Failure(stop)
    read, written = _Line(stop), _Line(stop)
    reader = threading.Thread(target=_read, args=(stream, wanted, read, spent, failure), name="reader", daemon=True)
    writer = threading.Thread(
        target=_write, args=(targets, written, spent, failure, advance), name="writer", daemon=True
    )
    reader.start()
    writer.start()
    process_s, own_s = time.process_time(), time.thread_time()
    batch: RowBatch | None = None
    try:
        with threads.leave_cpus(1):
            while not stopping.requested() and (item := read.get()) is not _END:
                batch, block = item
                codes = [None if batch.index in t.done else t.encode(block.vectors_ND) for t in targets]
                if not written.put((batch, block.ids, codes)):
                    break
    except BaseException as e:  # noqa: BLE001  kept and raised below, once the threads have ended
        failure.keep(e, "encoder", batch)
    written.put(_END)
    writer.join()
    stop.set()
    reader.join()
    # the encoder's share includes its pool threads, which only the process clock sees
    spent.encoder_s = max(time.process_time() - process_s - spent.reader_s - spent.writer_s, time.thread_time() - own_s)
    if failure.error is not None:
        raise failure.error
    stopping.check(f"kept: {counted(spent.batches, 'batch')} of this run")
    return spent


def _read(stream: Stream, wanted: Sequence[RowBatch], line: _Line, spent: StageTimes, failure: _Failure) -> None:
    batch: RowBatch | None = None
    started = time.thread_time()
    try:
        for stretch in _group_neighbours(wanted):
            batch = stretch[0]
            last = stretch[-1]
            blocks = stream.blocks(batch.rows, batch.row0, last.row0 + last.rows)
            for batch in stretch:
                block = next(blocks, None)
                _check_block(block, batch)
                if not line.put((batch, block)):
                    return
        line.put(_END)
    except BaseException as e:  # noqa: BLE001  a thread cannot raise into its caller: handed over, raised there
        failure.keep(e, "reader", batch)
    finally:
        spent.reader_s = time.thread_time() - started


def _group_neighbours(batches: Sequence[RowBatch]) -> Iterator[list[RowBatch]]:
    """Neighbouring batches of one file, all but the last of equal size: each stretch is one pass of the stream."""
    stretch: list[RowBatch] = []
    for batch in batches:
        follows = stretch and stretch[-1].row0 + stretch[-1].rows == batch.row0 and stretch[-1].file == batch.file
        if stretch and not (follows and stretch[-1].rows == stretch[0].rows):
            yield stretch
            stretch = []
        stretch.append(batch)
    if stretch:
        yield stretch


def _check_block(block: VectorBlock | None, batch: RowBatch) -> None:
    stretch = None if block is None else (block.start, len(block.vectors_ND))
    if stretch != (batch.row0, batch.rows):
        raise DataError(
            f"expected {batch.rows} rows from row {batch.row0}, found {stretch or 'the end of the input'}",
            hint="The input changed since the plan was made",
        )


def _write(
    targets: Sequence[CodeTarget], line: _Line, spent: StageTimes, failure: _Failure, advance: Callable[[int], object]
) -> None:
    batch: RowBatch | None = None
    started = time.thread_time()
    try:
        while (item := line.get()) is not _END:
            batch, ids, codes = item
            for target, codes_NC in zip(targets, codes, strict=True):
                if codes_NC is not None:
                    _write_one(target, batch, ids, codes_NC)
            spent.batches += 1
            spent.rows += batch.rows
            advance(batch.rows)
    except BaseException as e:  # noqa: BLE001  as in _read
        failure.keep(e, "writer", batch)
    finally:
        spent.writer_s = time.thread_time() - started


def _write_one(target: CodeTarget, batch: RowBatch, ids: Sequence[str] | None, codes_NC: NDArray[np.uint8]) -> None:
    """Codes, ids, then the journal line that proves both."""
    if codes_NC.shape != (batch.rows, target.code_size):
        raise DataError(f"codes: expected shape ({batch.rows}, {target.code_size}), found {codes_NC.shape}")
    file = target.file(batch.index)
    codes = files.write_atomic(target.folder / file, codes_NC)
    line: dict[str, Any] = {
        "index": batch.index,
        "file": file,
        "rows": batch.rows,
        "row0": batch.row0,
        "bytes": codes.bytes,
        "sha256": codes.sha256,
        "quantizer": target.quantizer,
    }
    if ids is not None:
        line |= shards.write_part_ids(target.folder, target.ids_file(batch.index), ids)
        line |= {"first_id": str(ids[0]), "last_id": str(ids[-1])}
    target.journal.add(line)


def check_space(targets: Sequence[CodeTarget], batches: Sequence[RowBatch], id_bytes: float) -> None:
    """RunFailed unless each disk can hold all the codes and ids that are still to come to it.

    id_bytes: about how much an id takes, 0 where there are none.
    """
    disks: dict[int, tuple[Path, float]] = {}  # device -> a folder there and the bytes to come
    for target in targets:
        rows = sum(b.rows for b in batches if b.index not in target.done)
        folder = target.folder
        while not folder.is_dir():
            folder = folder.parent
        device = folder.stat().st_dev
        first, needed = disks.get(device, (folder, 0.0))
        disks[device] = first, needed + rows * (target.code_size + id_bytes)
    for folder, needed in disks.values():
        free = shutil.disk_usage(folder).free
        if needed > free:
            several = f" of {len(targets)} methods" if len(targets) > 1 else ""
            what = f"codes and ids{several}" if id_bytes else f"codes{several}"
            raise RunFailed(
                f"{folder}: {needed / 2**30:.2f} GiB of {what} to come, {free / 2**30:.2f} GiB free on the disk",
                hint="Free some or choose another --out; finished batches are kept",
            )
