"""The vectors of a whole loss batch, on every process: each embeds its share in chunks, and all shares are gathered.

Dimension key: B queries that share a loss, N passages of the batch, L rows of this process, D vector width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from irctl.training.parallel.gather import gather_rows
from irctl.training.parallel.gradient_cache import forward_chunks


class Embeds(Protocol):
    """An encoder, or a layer over vectors that are kept."""

    def forward(self, features: Any) -> Tensor: ...


class BatchVectors(NamedTuple):
    """float32 or wider; the gradient flows to the rows of this process."""

    queries_BD: Tensor
    passages_ND: Tensor


def embed_batch(encoder: Embeds, batch: Mapping[str, Any], chunks: str = "chunks") -> BatchVectors:
    """The vectors of a batch. chunks: its entry with this process's features, by side (query, passage)."""

    def forward(chunk: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return encoder.forward(chunk["query"]), encoder.forward(chunk["passage"])

    queries_LD, passages_LD = forward_chunks(forward, batch[chunks])
    return BatchVectors(
        gather_rows(queries_LD, batch["query_counts"]), gather_rows(passages_LD, batch["passage_counts"])
    )
