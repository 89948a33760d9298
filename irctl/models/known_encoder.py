"""The encoder of vectors that lie there, known by their manifest: it finds its own queries in the cache, without torch.

Opening an encoder costs seconds, of which a command that encodes nothing needs none: what its vectors of queries are
called follows from the key of its passages and from the folder's word for how queries are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.index import shards
from irctl.models import arithmetic, folder_facts, reading
from irctl.models.embed import TextList, collect_key_parts, locate_cached
from irctl.models.fingerprints import fingerprint_of
from irctl.models.locate import LocatedModel, find_local

if TYPE_CHECKING:
    from irctl.config import Config


class KnownEncoder:
    """As much of `TextEncoder` as vectors of the cache need. It encodes nothing."""

    def __init__(
        self, about: Mapping[str, Any], how: Mapping[str, Any], located: LocatedModel, dim: int, config: Config
    ) -> None:
        self._passages = {k: v for k, v in about["encoder"].items() if k != "dtype"}
        self._how = how
        self.located, self.dim, self.similarity = located, dim, str(about["similarity"])
        self.about = reading.read_file(located)
        self.batch_tokens = config.encoder.batch_tokens or config.hardware.encode_tokens
        self.dtype = arithmetic.choose_dtype(config.hardware)

    def key(self, side: str) -> dict[str, Any]:
        """As `TextEncoder.key`."""
        return {**self._passages, **(self._how if side == "query" else {})}

    def fingerprint(self, side: str = "passage") -> str:
        """As `TextEncoder.fingerprint` of a model without prompts for single data sets."""
        return fingerprint_of(self.key(side))

    def has(self, ids: Sequence[str], texts: Sequence[str], config: Config) -> bool:
        """Whether the cache holds the vectors of these queries."""
        if not len(texts):
            return True
        content = collect_key_parts(self, TextList(ids, texts), config.encoder.store, "query")
        return (locate_cached(fingerprint_of(content)) / shards.MANIFEST).is_file()

    def encode(
        self,
        texts: Sequence[str],
        side: str = "passage",
        advance: Callable[[int, int], Any] | None = None,
        pieces: Any = None,
    ) -> NDArray[np.float32]:
        """Never called: whoever uses this encoder has asked `has`."""
        raise AssertionError("vectors that the cache does not hold")


def of_vectors(about: Mapping[str, Any], dim: int, config: Config) -> KnownEncoder | None:
    """The encoder of these vectors, for queries that are read as their folder says.

    about: what is known of the vectors. None where that does not tell how queries are read: adapters, models of two
    routes, prompts for single data sets, settings of the encoder that the vectors were not made with.
    """
    name, known = str(about.get("model") or ""), about.get("encoder") or {}
    modules = [m for m in known.get("modules", ()) if m and m[0] == "Router"]
    made_with = about.get("reading") or {}
    chosen = [k for k in config.origins if k.startswith(("encoder.", "model.", "prompts."))]
    others = [k for k in chosen if k not in made_with and k != "model.name"]
    if not name or not known or modules or others or known.get("side") != "passage":
        return None
    if "model.name" in config.origins and config.model.name != name:
        return None
    located = find_local(name)
    says = folder_facts.read_facts(located, config) if located is not None else None
    if located is None or says is None:
        return None
    value, prompts = reading.settle(says, reading.read_file(located), config, located)
    if prompts:
        return None
    how = {
        "side": "query",
        "prompt": value["encoder.query_prompt"] or "",
        "max_len": value["encoder.query_max_len"] or says.own_len,
        "title_join": "",
    }
    return KnownEncoder(about, how, located, dim, config)
