"""Sizes of codes in the steps of a group, from vectors that an arm before them encoded: `{vectors.m/16}` and the like.

{ARM.bits}   bits a sub-vector: 4 below 39 vectors for each of 256 centroids, else 8
{ARM.m/16}   sub-vectors of a product code of a byte for each 16 dimensions, at those bits; it divides the dimensions
{ARM.bytes/16}  a byte for each 16 dimensions
{ARM.saq/16} saq.bits of so many bytes with the factors of a segment in them
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from irctl.errors import DataError
from irctl.ledger.files import run_json

SIZE = re.compile(r"(?P<arm>[A-Za-z0-9][\w.-]*)\.(?P<what>bits|(?:m|bytes|saq)/[1-9]\d*)")
STAND_IN = "4"
"""A value that every setting of a size takes, while nothing is encoded."""
FACTORS = 8
"""Bytes of a norm and a factor, which SAQ stores with a segment."""


def arm_of(brace: str) -> str:
    """The arm whose run a word in braces reads; the word itself where it is no size."""
    found = SIZE.fullmatch(brace)
    return found["arm"] if found else brace


def stand_in(words: Sequence[str]) -> tuple[str, ...]:
    """Words with a number in place of every size, for a check of the settings before anything is encoded."""
    braced = re.compile(rf"\{{{SIZE.pattern}\}}")
    return tuple(braced.sub(STAND_IN, word) for word in words)


def size_of(brace: str, run: Path) -> str:
    """What stands for a size, by the vectors in a run's folder. Raises DataError where the run encoded none."""
    found = SIZE.fullmatch(brace)
    made = [a for a in run_json.read(run)["artifacts"] if a["role"] == "out" and a.get("dim") and a.get("n_rows")]
    if found is None or not made:
        raise DataError(f"{run}: no vectors with a width there", hint="Name the run of irctl encode")
    rows, dim = int(made[0]["n_rows"]), int(made[0]["dim"])
    what, _, per_byte = found["what"].partition("/")
    if what == "bits":
        return str(bits_for(rows))
    if what == "m":
        return str(slices(dim, int(per_byte), bits_for(rows)))
    if what == "bytes":
        return str(max(dim // int(per_byte), 1))
    rest = max(dim / int(per_byte) - FACTORS, 0) * 8 / dim
    return f"{math.ceil(rest * 10_000) / 10_000:g}"  # short, and not a bit below


def bits_for(rows: int) -> int:
    """Bits of a sub-vector whose centroids so many rows can train."""
    from irctl.quantizers.shared.product import POINTS_WANTED

    return 8 if rows >= POINTS_WANTED * 256 else 4


def slices(dim: int, per_byte: int, bits: int) -> int:
    """The divisor of dim that comes nearest to a byte for each per_byte dimensions, in ratio; of two the smaller."""
    wanted = 8 * dim / (per_byte * bits)
    divisors = [m for m in range(1, dim + 1) if dim % m == 0]
    return min(divisors, key=lambda m: (abs(math.log(m / wanted)), m))
