"""Peak memory is of the run, not of what its process or a child of it did before."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from irctl.ledger.files import peak_memory
from irctl.ledger.files.peak_memory import PeakMemory

MIB = 2**20
MEASURED = f"""
import mmap
from irctl.ledger.files import peak_memory
outer = peak_memory.PeakMemory()
with mmap.mmap(-1, 256 * {MIB}) as large:
    for _ in range(256):
        large.write(bytes({MIB}))
    before = peak_memory.of_process()
print(before, peak_memory.PeakMemory().gib(), outer.gib())
"""


def test_what_was_freed_before_a_run_is_not_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    before, inner, whole = done.stdout.split()
    if "None" in (inner, whole):
        pytest.skip("this system does not set back the largest size of a process")
    # the kernel counts pages by processor and adds them up now and then: a few hundred are within its rounding
    assert float(inner) < float(before) - 0.2 and float(whole) > float(before) - 0.01


@pytest.mark.parametrize(("before", "after", "known"), [(0, 2**30, 1024.0), (2**30, 2**30, None)])
def test_a_child_counts_where_it_is_the_largest_and_is_unknown_where_an_earlier_one_hides_it(
    monkeypatch: pytest.MonkeyPatch, before: int, after: int, known: float | None
) -> None:
    used = iter([(before, 5.0), (after, 9.0)])

    def usage(_: int) -> SimpleNamespace:
        kib, seconds = next(used)
        return SimpleNamespace(ru_maxrss=kib, ru_utime=seconds, ru_stime=0.0)

    monkeypatch.setattr(peak_memory.resource, "getrusage", usage)
    monkeypatch.setattr(peak_memory, "_set_back", lambda: True)
    assert PeakMemory().gib() == known
