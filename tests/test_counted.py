"""Numbers in lines for people."""

from __future__ import annotations

import pytest

from irctl.errors import counted


@pytest.mark.parametrize(
    ("number", "word", "said"),
    [
        (1, "query", "1 query"),
        (0, "query", "0 queries"),
        (2, "held-out query", "2 held-out queries"),
        (1400, "document", "1,400 documents"),
        (3, "batch", "3 batches"),
        (2, "key", "2 keys"),
        (1, "step", "1 step"),
        (None, "row", "an unknown number of rows"),
    ],
)
def test_one_of_a_thing_has_no_plural(number: int | None, word: str, said: str) -> None:
    assert counted(number, word) == said
