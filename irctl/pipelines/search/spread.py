"""One search in several processes: each scans a contiguous share of the rows, and their best are merged here.

The merge has the order of the scan (score down, row up), so the number of processes changes neither ids nor scores.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from irctl.errors import DataError, RunFailed
from irctl.index import scan
from irctl.ledger import stored
from irctl.models.transforms import files as transform_files
from irctl.pipelines.search import opened_index
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.workers import local, spread, worker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config

SHARE = "irctl.pipelines.search.spread:search_share"
QUERIES = "queries.npy"


def count_processes(rows: int, devices: int, block: int) -> int:
    """How many scan: one a device, but none for less than a block."""
    return max(1, min(devices, -(-rows // block)))


def _count_threads() -> int:
    """CPU threads that this process scans by, as its libraries have it."""
    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def _threads_of_each(processes: int) -> int | None:
    """The scan is the CPU's also where the devices are GPUs, so the processes part its cores; None: as they are set."""
    return None if "OMP_NUM_THREADS" in os.environ else max(1, local.count_cores() // processes)


def search(
    searched: Searched, queries_QD: NDArray[np.float32], k: int, config: Config, place: Path, reporter: Reporter
) -> tuple[scan.ScanResult, int]:
    """(the k best rows of each query, CPU threads), by as many processes as there are devices.

    place: folder of the processes' logs. The threads are those of all processes together, as each found them.

    Raises what `workers.spread` raises: RunFailed with the last line of a process that failed, Stopped after a signal.
    """
    block = searched.choose_block(k, config.search.block)
    count = count_processes(searched.rows, config.hardware.devices, block)
    if count == 1:
        with reporter.bar("searching", searched.rows) as advance:
            return searched.search(queries_QD, k, block, advance), _count_threads()
    searched.check()
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".search-", dir=place) as name:
        folder = Path(name).absolute()
        np.save(folder / QUERIES, queries_QD)
        job = {
            "config": config.to_json(),
            "index": searched.reference,
            "fingerprint": searched.fingerprint,
            "k": k,
            "block": block,
            "folder": str(folder),
        }
        if searched.bundle is None and searched.transform is not None:
            transform_files.save(folder / transform_files.FOLDER, searched.transform)

        def done() -> int:
            return sum(int(np.fromfile(path, np.int64).sum()) for path in folder.glob("*.rows"))

        progress = worker.Progress("searching", searched.rows, done)
        answers = spread.spread(SHARE, job, count, config.hardware, place, progress, reporter)
        if len(answers) < count:  # one was asked to stop by someone else
            raise RunFailed(f"{count - len(answers)} of {count} search processes were ended", hint="Search again")
        shares = [tuple(np.load(folder / f"{part}-{i}.npy") for part in ("scores", "rows")) for i in range(count)]
        best = scan.join([(scores, rows) for scores, rows in shares], min(k, searched.rows))
        return best, sum(answer["threads"] for answer in answers)


def search_share(job: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """One process's share. job: config (as config.json has it), index and its fingerprint, k, rows a block, folder of
    the queries and of the transform of vectors, if they have one.

    Writes scores-I.npy and rows-I.npy [Q, k'], k' up to k + 1. Raises DataError if the index is no longer the same.
    """
    from irctl import config as settings

    config = settings.resolve(settings.from_json(job["config"]))
    stored.trust()  # the process that started these has hashed everything
    folder = Path(job["folder"])
    fitted = folder / transform_files.FOLDER
    searched = opened_index.open_index(job["index"], config, transform=fitted if fitted.is_dir() else None)
    if searched.fingerprint != job["fingerprint"]:
        raise DataError(f"{job['index']}: changed while it was searched", hint="Search again")
    queries_QD = np.load(folder / QUERIES)
    share = scan.share(searched.rows, job["block"], index, count)
    with threadpool_limits(_threads_of_each(count)), (folder / f"{index}.rows").open("wb", buffering=0) as seen:
        # one result more than asked for, so that ties at the cut are counted as by one process
        best = searched.search(
            queries_QD, job["k"] + 1, job["block"], lambda rows: seen.write(np.int64(rows).tobytes()), rows=share
        )
        threads = _count_threads()
    np.save(folder / f"scores-{index}.npy", best.scores_Qk)
    np.save(folder / f"rows-{index}.npy", best.rows_Qk)
    return {"rows": share[1] - share[0], "threads": threads}
