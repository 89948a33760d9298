"""Permissions that count: root, as whom tests may run, reads and writes everything unless it gives that up."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

VERSION, OVERRIDES = (0x20080522, 0b110)  # of Linux's capset; CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def like_a_user() -> Iterator[None]:
    """This thread, and those it starts, are bound by permissions."""
    header, sets = _Header(VERSION, 0), (_Sets * 2)()
    kernel = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() or kernel.capget(ctypes.byref(header), sets):
        yield
        return
    before = sets[0].effective
    sets[0].effective = before & ~OVERRIDES
    assert kernel.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0].effective = before
        kernel.capset(ctypes.byref(header), sets)
