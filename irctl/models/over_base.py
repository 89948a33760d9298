"""Documents of a model whose base did not change in training: its head, over vectors of the base that are kept.

Models of one frozen base differ in their heads alone, so a corpus goes through the base once for all of them; the next
one's vectors take seconds. The base's lie in the cache under its own key, in float32, which any arithmetic fits in.
Dimension key: N texts, H width of the base, D vector width.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import nn

from irctl.models import arithmetic, heads
from irctl.models.embed import TextList, embed_corpus
from irctl.models.head_settings import FROZEN, HEAD
from irctl.models.transforms.files import hash_texts
from irctl.settings import Encoder as EncoderSettings
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder
    from irctl.models.pieces import Pieces

AT_ONCE = 8192
"""Rows that go through a head at once."""


def is_over_base(encoder: TextEncoder) -> bool:
    """Whether a model's training kept its base as it was, and nothing cuts its vectors after its head."""
    return bool(encoder.about.get(HEAD, {}).get(FROZEN)) and not encoder.module.truncate_dim


class OverBase:
    """An encoder as `embed_corpus` takes one, of the same key as the whole model."""

    def __init__(self, encoder: TextEncoder, settings: EncoderSettings, reporter: Reporter) -> None:
        self._whole, self._reporter = encoder, reporter
        self._settings = dataclasses.replace(settings, store="float32")
        self._head = nn.Sequential(*heads.head_modules(encoder))
        self._base = copy.copy(encoder)
        self._base.module = SentenceTransformer(modules=list(heads.base_modules(encoder)), device=str(encoder.device))
        self._base.dim = int(self._base.module.get_embedding_dimension() or encoder.dim)
        self._base.notices, self._base._hashes = (), {}
        # of the base alone: what its vectors are compared by after the head is no part of them
        self._base.similarity = "dot"
        self.dim, self.similarity, self.dtype = encoder.dim, encoder.similarity, encoder.dtype
        self.batch_tokens, self.notices = encoder.batch_tokens, encoder.notices

    def key(self, side: str) -> dict[str, Any]:
        return self._whole.key(side)

    def encode(
        self,
        texts: Sequence[str],
        side: str = "passage",
        advance: Callable[[int, int], Any] | None = None,
        pieces: Pieces | None = None,
    ) -> NDArray[np.float32]:
        """Vectors [N, D]. The batches of the base are kept by the base's folder, and pieces only count their tokens."""
        rows = TextList([f"{h:016x}" for h in hash_texts(texts).tolist()], texts)
        tokens: list[int] = []
        folder = embed_corpus(self._base, rows, self._settings, self._reporter, side=side, on_computed=tokens.append)
        if pieces:
            pieces.computed += sum(tokens)
        base_NH, found = folder.array(), [np.empty((0, self.dim), np.float32)]
        self._head.eval()
        with torch.inference_mode(), arithmetic.compute_in(self.dtype, self._whole.device):
            for start in range(0, len(base_NH), AT_ONCE):
                x_NH = torch.from_numpy(base_NH[start : start + AT_ONCE]).to(self._whole.device)
                features = {"sentence_embedding": x_NH, "task": "query" if side == "query" else "document"}
                found.append(self._head(features)["sentence_embedding"].float().cpu().numpy())
                if advance:
                    advance(len(x_NH), 0)
        vectors_ND: NDArray[np.float32] = np.concatenate(found)
        return vectors_ND
