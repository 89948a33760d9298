"""The query side that is trained: texts through the encoder, without dropout, so that search and scores see one vector.

Dimension key: L queries of this process, Q queries, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from irctl.training.parallel import gather
from irctl.training.parallel.gradient_cache import forward_chunks

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder


class QueryTexts:
    """Collates and embeds. micro: queries forwarded at once."""

    def __init__(self, encoder: TextEncoder, micro: int) -> None:
        self.encoder, self.micro = encoder, micro
        # asked here: a data loader worker does not belong to the process group
        self.rank, self.processes = gather.world()

    def mine(self, count: int) -> range:
        """The queries of this process among `count`; the first one where it has none, for collectives wait."""
        return gather.share(count, self.rank, self.processes) or range(1)

    def counts(self, count: int) -> list[int]:
        """Queries of each process."""
        return [len(gather.share(count, rank, self.processes)) for rank in range(self.processes)]

    def collate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Features of this process's texts, `micro` at once."""
        chunks = [list(texts[i : i + self.micro]) for i in range(0, len(texts), self.micro)]
        return [dict(self.encoder.features(chunk, "query")) for chunk in chunks]

    def embed(self, chunks: Sequence[dict[str, Any]]) -> Tensor:
        """Vectors [L, D] of collated texts, with gradient."""
        assert not self.encoder.module.training, "the query encoder runs without dropout"
        return forward_chunks(lambda chunk: (self.encoder.forward(chunk),), chunks)[0]

    def embed_all(self, texts: Sequence[str]) -> Tensor:
        """Vectors [Q, D] of texts, without gradient, on the encoder's device."""
        return torch.from_numpy(self.encoder.encode(texts, "query")).to(self.encoder.device)
