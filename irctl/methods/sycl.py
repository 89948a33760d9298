"""SyCL: dense retrieval from several grades of relevance, by default with the loss ws2 over graded groups.

The step is that of `dense`; what differs is its settings.
Source: arXiv 2503.23239.
"""

from __future__ import annotations

from typing import Any

from irctl.methods.dense import Method

DEFAULTS: dict[str, Any] = {"loss.name": "ws2", "data.selection": "spread"}

DATA = "groups"

__all__ = ["DATA", "DEFAULTS", "Method"]
