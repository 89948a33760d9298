"""The passages of a corpus as a stream of vectors that are encoded when they are asked for, and never stored.

A block is encoded by itself, in the same model batches whenever it is asked for, and rounded as `encode` stores it: a
batch has the same codes after a kill, and those of encode and compress where both cut alike (their defaults do).
Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.errors import RunFailed
from irctl.models import embed
from irctl.models.fingerprints import fingerprint_of
from irctl.models.locate import resolve_run_name
from irctl.pipelines.references.bundle_vectors import TEXTS
from irctl.pipelines.references.vectors import STORED, Input
from irctl.types import VectorBlock

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.data.texts.corpus import Corpus
    from irctl.models.encoder import TextEncoder

_SAMPLE = 1000  # ids looked at to guess their width
_KEPT = "finished batches are kept"


class TextStream:
    """A types.Stream. fingerprint: the key under which `encode` would keep these vectors. tokens: encoded so far."""

    def __init__(self, encoder: TextEncoder, corpus: Corpus, store: str) -> None:
        """store: float32 or float16, as encoder.store."""
        self.encoder, self.corpus, self.store = encoder, corpus, store
        self.content = embed.collect_key_parts(encoder, corpus, store, "passage")
        self.fingerprint = fingerprint_of(self.content)
        self.rows, self.dim, self.tokens = len(corpus), encoder.dim, 0

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Rows start .. stop. After a signal Stopped is raised between two model batches."""
        stop = self.rows if stop is None else min(stop, self.rows)
        for first in range(start, stop, size):
            rows = slice(first, min(first + size, stop))
            yield VectorBlock(first, list(self.corpus.ids[rows]), self._encode(self.corpus.texts(rows)))

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        return self._encode(self.corpus.texts([int(r) for r in rows_N]))

    def document_ids(self) -> Any:
        return self.corpus.ids

    def id_bytes(self) -> float:
        """About how many bytes an id takes where it is stored."""
        ids = list(self.corpus.ids[: min(_SAMPLE, self.rows)])
        return 4 + sum(len(i.encode()) for i in ids) / max(1, len(ids))

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        def note(count: int, tokens: int) -> None:
            self.tokens += tokens
            stopping.check(_KEPT)

        vectors_ND = self.encoder.encode(texts, "passage", note)
        if self.store == "float32":
            return vectors_ND
        with np.errstate(over="ignore"):  # looked for below
            stored_ND = vectors_ND.astype(self.store)
        if not np.isfinite(stored_ND).all():
            raise RunFailed("values above 65504 do not fit float16", hint="Use --set encoder.store=float32")
        return stored_ND.astype(np.float32)


def of_texts(encoder: TextEncoder, collection: Collection, config: Config, **about: Any) -> Input:
    """The passages of a collection as vectors to compress. about: further facts that the bundle is to keep."""
    stream = TextStream(encoder, collection.corpus, config.encoder.store)
    known = {
        "similarity": encoder.similarity,
        "corpus": collection.corpus.fingerprint,
        "encoder": {k: v for k, v in stream.content.items() if k not in STORED},
        "model": resolve_run_name(config.model.name),
        "collection": collection.name,
        "data": config.data.source,
    }
    reopen = {"config": config.to_json()}
    return Input(stream, f"{TEXTS}{config.data.source}", key=stream.fingerprint, about={**known, **about}, texts=reopen)


def reopen(texts: Mapping[str, Any]) -> TextStream:
    """The stream of `of_texts` in another process, by what that left in Input.texts."""
    from irctl import config as settings
    from irctl.data.collections.open import open_for
    from irctl.models.encoder import load_encoder

    config = settings.resolve(settings.from_json(texts["config"]))
    return TextStream(load_encoder(config).freeze(), open_for(config).corpus, config.encoder.store)
