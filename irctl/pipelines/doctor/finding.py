"""What a check of the environment says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check. level: ok, warning or error. fix: what to do; empty only where nothing is wrong."""

    check: str
    level: str
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        assert self.level == "ok" or self.fix, f"{self.check}: a finding has a fix"
