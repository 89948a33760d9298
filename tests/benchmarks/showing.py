"""Lines of a benchmark's report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def label(name: str, settings: Mapping[str, Any]) -> str:
    """pq m=16"""
    return " ".join([name, *(f"{k}={v}" for k, v in settings.items())])


def show(line: str) -> None:
    """A line of the report, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
