"""What is added to a loss besides the losses themselves, and the vectors that it is of.

Dimension key: X gathered vectors of one kind, N of them that count, L of this process, D vector width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Term(NamedTuple):
    """What is added to the loss, weight times value; the value is what is logged."""

    weight: float
    value: Tensor


class Rows(NamedTuple):
    """The vectors of a population of a loss batch, equal on every process and with their gradient.

    vectors_XD: as gathered, float32 or wider. kept_N: places of those that belong to the population, all where None.
    They stand apart, for the gradient of the whole loss is known with respect to what was gathered alone. local_LD: of
    this process, where scores are of these and not of what was gathered. owner_N: of passages, the place of the query
    whose they are.
    """

    vectors_XD: Tensor
    kept_N: Tensor | None = None
    local_LD: Tensor | None = None
    owner_N: Tensor | None = None

    def taken(self) -> Tensor:
        """The population [N, D]."""
        return self.vectors_XD if self.kept_N is None else self.vectors_XD[self.kept_N]
