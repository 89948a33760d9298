"""kill -9 at any point of a compression, the same command again: the bytes of an uninterrupted run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compressing import compressed, save_vectors, tree

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from compressing import compressed
print("imported", flush=True)
compressed({source!r}, {out!r}, compress__method="pq,sq", pq__iterations=10)
"""


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    code = SCRIPT.format(tests=str(Path(__file__).parents[1]), source=str(source), out=str(out))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def killed_again_and_again(tmp_path: Path, kills: int, seed: int, rows: int = 60_000) -> None:
    source = save_vectors(tmp_path / "x.npy", rows)
    began = time.monotonic()
    compressed(source, tmp_path / "whole", compress__method="pq,sq", pq__iterations=10)
    takes_s = time.monotonic() - began
    chance, out = random.Random(seed), tmp_path / "killed"
    died = 0
    for number in range(kills):
        process = start(source, out)
        assert process.stdout is not None and process.stdout.readline() == "imported\n"
        if number:
            time.sleep(chance.uniform(0, 1.2 * takes_s))
        else:  # a machine's speed changes: the first kill waits for a batch, so that at least one is in the middle
            while process.poll() is None and not list(out.rglob("*_batch_*.npy")):
                time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        died += process.returncode == -signal.SIGKILL
    finish(start(source, out))
    assert died > 0 and tree(out) == tree(tmp_path / "whole")
    assert not list(out.rglob(".*tmp*"))


@pytest.mark.slow
def test_killed_twice_leaves_the_bytes_of_a_whole_run(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 2, seed=1, rows=15_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_twenty_times_leaves_the_bytes_of_a_whole_run(tmp_path: Path, seed: int) -> None:
    killed_again_and_again(tmp_path, 5, seed=10 + seed)


def test_a_torn_journal_line_and_a_cut_file_cost_one_batch_each(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 3000)
    compressed(source, tmp_path / "whole")
    compressed(source, tmp_path / "a", compress__workers=2, train_only=True)
    compressed(source, tmp_path / "a", compress__workers=2, shard="0/2")
    journal = next((tmp_path / "a" / "journal").glob("manifest.*"))
    journal.write_text(journal.read_text()[:-20])  # the third line is torn
    cut = tmp_path / "a" / "codes" / "pq_compressed_batch_0000.npy"
    cut.write_bytes(cut.read_bytes()[:-100])
    compressed(source, tmp_path / "a", compress__workers=2, shard="0/2")
    compressed(source, tmp_path / "a", compress__workers=2, shard="1/2")
    compressed(source, tmp_path / "a", compress__workers=2, finalize=True)
    assert tree(tmp_path / "a" / "codes") == tree(tmp_path / "whole" / "codes")
