"""Workers as actors of Ray Data: the same shares and the same files as local ones, on any number of machines.

Machines share the file system of the output. An actor writes its share itself and returns only what it counted, so no
vector passes Ray's object store. RAY_ADDRESS names a cluster; without it Ray runs on this machine alone.
Source: the Ray Data reference, `Dataset.map_batches` and `ActorPoolStrategy`.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths, stopping
from irctl.errors import EnvironmentUnfit, IrctlError, RunFailed
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.pipelines.workers.worker import Progress
    from irctl.settings import Hardware

LOOK_EVERY_S = 1.0
PASSED = ("IRCTL_", "HF_", "TOKENIZERS_")
"""Variables that actors on other machines get too, by their beginnings."""


class Worker:
    """An actor. Takes batches of one row {"share": [index]} and returns {"share", "answer", "error"}."""

    def __init__(self, task: str, job: str, count: int, folder: str) -> None:
        self.task, self.job, self.count = task, json.loads(job), count
        os.chdir(folder)  # names of files are relative to it

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        from irctl.pipelines.workers.worker import perform

        index = int(batch["share"][0])
        answer, error = {}, ""
        try:
            answer = perform(self.task, self.job, index, self.count)
        except IrctlError as e:
            error = str(e)
        return {"share": [index], "answer": [json.dumps(answer)], "error": [error]}


def spread(
    task: str, job: Mapping[str, Any], count: int, hardware: Hardware, progress: Progress, reporter: Reporter
) -> list[dict[str, Any]]:
    """Do every share in an actor and return the answers by share. See spread.py.

    Raises EnvironmentUnfit without Ray, RunFailed with the first share's error.
    """
    ray = _start_ray()
    is_gpu = hardware.device_kind == "cuda"
    each = {"num_gpus": 1} if is_gpu else {"num_cpus": max(1, int(_find_smallest(ray)) // count)}
    pool = max(1, min(count, int(ray.cluster_resources().get("GPU" if is_gpu else "CPU", 1)) // max(each.values())))
    stopping.on_stop(lambda number: ray.shutdown())
    try:
        shares = ray.data.from_items([{"share": i} for i in range(count)], override_num_blocks=count)
        mapped = shares.map_batches(
            Worker,
            fn_constructor_args=(task, json.dumps(job), count, str(Path.cwd())),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=pool),
            **each,
        )
        with _Shown(progress, pool, reporter):
            rows = mapped.take_all()
    except Exception as e:
        stopping.check("finished batches are kept")  # Ray was ended by the signal: its own error says nothing
        raise RunFailed(f"Ray: {type(e).__name__}: {str(e).strip().splitlines()[-1]}") from e
    finally:
        ray.shutdown()
    rows.sort(key=lambda row: int(row["share"]))
    if failed := next((row for row in rows if row["error"]), None):
        raise RunFailed(f"share {failed['share']} of {count}: {failed['error']}")
    return [json.loads(row["answer"]) for row in rows]


def _find_smallest(ray: Any) -> float:
    """Cores of the smallest machine of the cluster, so that an actor fits on every one of them."""
    cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return min((n for n in cpus if n), default=1.0)


def _start_ray() -> Any:
    """Ray, started or joined. Raises EnvironmentUnfit where it is not installed or not reachable."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings are for writers of actors
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise EnvironmentUnfit("--runner ray: Ray is not installed", hint="pip install 'irctl[ray]'") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    passed = {k: v for k, v in os.environ.items() if k.startswith(PASSED)}
    try:
        # Ray puts the current folder first on its actors' sys.path: let that be the one irctl itself is imported from
        with chdir(paths.PACKAGE.parent), stopping.kept_from_others():
            ray.init(address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, logging_level=logging.ERROR,
                     log_to_driver=False, runtime_env={"env_vars": passed})  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise EnvironmentUnfit(
            f"--runner ray: {str(e).splitlines()[0]}", hint="RAY_ADDRESS names the cluster; unset it for this machine"
        ) from e
    return ray


class _Shown:
    """The bar, moved by a thread that looks into the journals: Ray itself only knows whole shares."""

    def __init__(self, progress: Progress, workers: int, reporter: Reporter) -> None:
        self._progress, self._ended = progress, threading.Event()
        self._before = progress.done()
        self._bar = reporter.bar(f"{progress.title}, {workers} Ray actors", progress.rows, self._before)

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._follow, args=(self._bar.__enter__(),), daemon=True)
        self._thread.start()

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.__exit__(*error)

    def _follow(self, advance: Callable[[int], object]) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(LOOK_EVERY_S)
            now = self._progress.done()
            advance(now - self._before)
            self._before = now
