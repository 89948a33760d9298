"""The query side that is trained: texts through the encoder, without dropout, so that search and scores see one vector.

Dimension key: L queries of this process, Q queries, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irctl.training.parallel.gradient_cache import forward_chunks


class QueryTexts(nn.Module):
    """texts: of training queries, by number. held_out: texts to measure by. micro: queries forwarded at once."""

    def __init__(
        self, encoder: Any, texts: Callable[[Sequence[int]], list[str]], held_out: Sequence[str], micro: int
    ) -> None:
        super().__init__()
        self.encoder, self._texts, self._held_out, self.micro = encoder, texts, held_out, micro
        self.module = encoder.module  # registered: its parameters are trained

    @property
    def is_unit(self) -> bool:
        """Whether the encoder makes vectors of length 1."""
        return bool(self.encoder.settings.normalize)

    def train(self, mode: bool = True) -> QueryTexts:
        """Without dropout in training too."""
        return super().train(False)

    def collate(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Features of these queries, `micro` at once."""
        texts = self._texts(numbers)
        return [
            dict(self.encoder.features(texts[i : i + self.micro], "query")) for i in range(0, len(texts), self.micro)
        ]

    def forward(self, chunks: Sequence[dict[str, Any]]) -> Tensor:
        """Vectors [L, D] of collated queries, with gradient."""
        assert not self.module.training
        return forward_chunks(lambda chunk: (self.encoder.forward(chunk),), chunks)[0]

    def held_out(self) -> Tensor:
        """Vectors [Q, D] of the held-out queries as the encoder makes them now, on its device."""
        return torch.from_numpy(self.encoder.encode(self._held_out, "query")).to(self.encoder.device)
