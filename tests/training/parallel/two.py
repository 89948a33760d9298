"""A script in two processes that know of each other. As a script itself: it becomes both."""

from __future__ import annotations

import gc
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

TRAINING = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """For child processes: this checkout is importable, one thread each."""
    path = os.pathsep.join([str(TRAINING.parent.parent), str(TRAINING), str(TRAINING / "parallel")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def run_pair(script: Path, *args: str) -> None:
    """Both processes of a script; raises AssertionError with what they said where one fails."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = str(s.getsockname()[1])
    shared = environment(WORLD_SIZE="2", MASTER_ADDR="localhost", MASTER_PORT=port)
    line = [sys.executable, __file__, str(script), *args]
    done = subprocess.run(line, env=shared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-6000:]


def become_both(script: str) -> None:
    """This process is the first of the two, its child the second: what the script imports is imported once."""
    sys.path.insert(0, str(Path(script).parent))  # as where the script itself is run
    runpy.run_path(script)
    gc.freeze()
    child = os.fork()
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if child else "1"
    runpy.run_path(script, run_name="__main__")
    if child:
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    del sys.argv[0]
    become_both(sys.argv[0])
