"""A script in two processes that know of each other."""

from __future__ import annotations

import os
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
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    children = [
        subprocess.Popen(
            [sys.executable, str(script), *args],
            env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **shared),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [child.communicate(timeout=240)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], said[0][-3000:] + said[1][-3000:]
