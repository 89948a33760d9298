"""An evaluation that a number was computed with, beside the one that it is of: recovery over it, the gap up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from irctl.reports.records import Record


@dataclass(frozen=True)
class Reference:
    """A value and where it is from."""

    system: str
    measure: str
    value: float
    run: str

    @classmethod
    def of(cls, r: Record) -> Self:
        return cls(r.system, r.measure, r.value, r.run_id)

    @property
    def line(self) -> str:
        return f"{self.system}: {self.measure} {self.value:.4f}, run {self.run}"
