"""Peak memory is of the run, not of what its process or a child of it did before."""

from __future__ import annotations

import mmap
from types import SimpleNamespace

import pytest

from irctl.ledger.files import peak_memory
from irctl.ledger.files.peak_memory import PeakMemory

BLOCK = 32 * 2**20


def test_what_was_freed_before_a_run_is_not_its_own() -> None:
    outer = PeakMemory()
    with mmap.mmap(-1, BLOCK) as large:  # what malloc gave may stay with the process
        large.write(b"x" * BLOCK)
        before = peak_memory.of_process()
    inner = PeakMemory().gib()
    whole = outer.gib()
    if inner is None or whole is None:
        pytest.skip("this system does not set back the largest size of a process")
    assert inner < before - 0.5 * BLOCK / 2**30 and whole >= round(before, 3)


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
