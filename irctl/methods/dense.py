"""Dense retrieval: one encoder for queries and passages, trained by a loss over all pairs of a batch.

Every process holds its share of the queries; vectors are gathered, and each process computes the loss of the whole
batch.
"""

from __future__ import annotations

from typing import Any

from irctl.training.groups.group_method import GroupMethod as Method

DEFAULTS: dict[str, Any] = {}
DATA = "groups"
"""What it trains on: a file of irctl/pipelines/train/data_kinds prepares it."""

__all__ = ["DATA", "DEFAULTS", "Method"]
