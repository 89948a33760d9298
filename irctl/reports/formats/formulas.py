"""Cells of CSV that a spreadsheet would run as a formula: names and notes are other people's text.

Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

from typing import Any

STARTS = ("=", "+", "-", "@", "\t", "\r")


def make_inert(value: Any) -> Any:
    """Text that begins like a formula, with an apostrophe before it; numbers, also as text, stay as they are."""
    if not isinstance(value, str) or not value.startswith(STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
