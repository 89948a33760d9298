"""Peak memory is of the run, not of what its process or a child of it did before."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from irctl.ledger.files import peak_memory
from irctl.ledger.files.peak_memory import PeakMemory

BLOCK = 200 * 2**20


def test_what_was_freed_before_a_run_is_not_its_own() -> None:
    outer = PeakMemory()
    large = bytearray(b"x" * BLOCK)
    before = peak_memory.of_process()
    del large
    inner = PeakMemory().gib()
    whole = outer.gib()
    if inner is None or whole is None:
        pytest.skip("this system does not set back the largest size of a process")
    assert inner < before - 0.9 * BLOCK / 2**30 and whole >= round(before, 3)


def test_a_child_of_the_run_counts_and_one_before_it_does_not() -> None:
    line = [sys.executable, "-c", f"x = b'x' * {3 * BLOCK}"]
    first = PeakMemory()
    subprocess.run(line, check=True)
    with_child, alone = first.gib(), PeakMemory().gib()
    if with_child is None or alone is None:
        pytest.skip("this system does not set back the largest size of a process")
    assert with_child >= 0.58
    assert alone == pytest.approx(peak_memory.of_process(), abs=0.01)


def test_children_that_a_larger_one_before_hides_leave_the_peak_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([(2**30, 5.0), (2**30, 9.0)])

    def usage(_: int) -> SimpleNamespace:
        kib, seconds = next(used)
        return SimpleNamespace(ru_maxrss=kib, ru_utime=seconds, ru_stime=0.0)

    monkeypatch.setattr(peak_memory.resource, "getrusage", usage)
    assert PeakMemory().gib() is None
