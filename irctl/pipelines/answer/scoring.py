"""Scores of a context's tokens by the sentence they stand in: how near an encoder of irctl puts it to the question.

Sentences end at a full stop, question or exclamation mark, or line end, and after 40 tokens at the latest. Any context
has scores, with or without an instruction.
Dimension key: S tokens, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.models.encoder import TextEncoder

LONGEST = 40
"""Tokens of a sentence."""
ENDS = (".", "?", "!", "\n")


def split_sentences(tokenizer: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Where each sentence begins and ends (excluded), over all tokens."""
    found, start = [], 0
    for i, token in enumerate(ids):
        if i + 1 - start == LONGEST or i + 1 == len(ids) or any(e in tokenizer.decode([token]) for e in ENDS):
            found.append((start, i + 1))
            start = i + 1
    return found


class SentenceScorer:
    """Scores by one encoder. calls: texts encoded."""

    def __init__(self, encoder: TextEncoder, tokenizer: Any) -> None:
        self.encoder, self.tokenizer, self.calls = encoder, tokenizer, 0

    def __call__(self, question: str, ids: Sequence[int]) -> NDArray[np.float32]:
        """Cosine of the question and each token's sentence [S]."""
        sentences = split_sentences(self.tokenizer, ids)
        texts = [self.tokenizer.decode(list(ids[a:b])) for a, b in sentences]
        self.calls += len(texts) + 1
        vectors_ND = _normalized(self.encoder.encode(texts))
        query_1D = _normalized(self.encoder.encode([question], side="query"))
        values = vectors_ND @ query_1D[0]
        return np.repeat(values, [b - a for a, b in sentences]).astype(np.float32)


def open_scorer(config: Config, name: str, tokenizer: Any) -> SentenceScorer:
    """By the encoder of acerag.scorer, or irctl's default one."""
    from irctl.models.encoder import load_encoder
    from irctl.models.locate import DEFAULT_NAMES

    return SentenceScorer(load_encoder(config, name or DEFAULT_NAMES[0]).freeze(), tokenizer)


def _normalized(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    normalized_ND: NDArray[np.float32] = vectors_ND / np.maximum(
        np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12
    )
    return normalized_ND
