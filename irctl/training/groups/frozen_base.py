"""A model whose base is frozen under a head: the base's vectors are kept, and training runs on rows of them.

It stands where the whole encoder would: what it forwards are kept vectors, its module is the head alone (so checkpoints
hold no base), and what it saves is the whole model.

Dimension key: N rows, H width of the base, D vector width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from irctl.errors import ConfigError
from irctl.models import heads
from irctl.models.head_settings import HEAD
from irctl.models.reading import normalizes
from irctl.training.groups import kept_texts
from irctl.training.groups.kept_texts import Floats, KeptTexts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from irctl.config import Config
    from irctl.data.groups.group_source import GroupSource
    from irctl.models.encoder import TextEncoder
    from irctl.training.groups.sources import DevData
    from irctl.types import Reporter

VECTORS = "sentence_embedding"
"""Key of sentence-transformers' features."""
ENCODED_AT_ONCE = 8192
"""Rows of the dev split that go through a head at once."""


@dataclass(frozen=True)
class KeptBase:
    """The vectors of a base that does not change, by side."""

    sides: Mapping[str, KeptTexts]
    similarity: str  # of the model as it was loaded
    is_cut: bool = False  # model.normalize_base took the scaling to length 1 away that the model was loaded with

    def of_rows(self, rows: Sequence[int] | NDArray[np.integer], side: str) -> dict[str, Any]:
        """What a head takes of rows of the training's pool."""
        return _features(self.sides[side].of_rows(rows), side)

    def as_loaded(self, rows: Sequence[int] | NDArray[np.integer], side: str) -> dict[str, Any]:
        """The vectors of rows as the model made them when it was loaded."""
        features = self.of_rows(rows, side)
        return {**features, VECTORS: nn.functional.normalize(features[VECTORS], dim=1)} if self.is_cut else features


def keep_base(
    loaded: TextEncoder,
    encoder: TextEncoder,
    source: GroupSource,
    dev: DevData | None,
    config: Config,
    reporter: Reporter,
) -> KeptBase:
    """Every distinct query and passage that the groups or the dev split can hold, through the base once.

    loaded: the model before it had the head that `encoder` has.
    """
    base = copy.copy(loaded)
    base.notices = ()
    base.module = SentenceTransformer(modules=list(heads.base_modules(encoder)), device=str(encoder.device))
    base.dim = int(base.module.get_embedding_dimension() or loaded.dim)  # loaded with a head, it has the head's
    queries, passages = (dev.query_texts, dev.document_texts()) if dev else ([], [])
    sides = {
        "query": (source.query_rows, source.query_texts, queries),
        "passage": (source.passage_rows(), source.passage_texts, passages),
    }
    kept = {side: kept_texts.keep(base, side, *of_side, config, reporter) for side, of_side in sides.items()}
    return KeptBase(kept, loaded.similarity, loaded.settings.normalize and not normalizes(base.module))


def check_teacher(loaded: TextEncoder, encoder: TextEncoder) -> None:
    """ConfigError where vectors of the base do not give what the model compared by when it was loaded.

    loaded, encoder: as in `keep_base`.
    """
    base: Any = heads.base_modules(encoder)
    is_scaled = normalizes(base) and not loaded.settings.normalize
    if is_scaled and loaded.similarity != "cosine":
        raise ConfigError(
            f"model.normalize_base=true: scales the vectors of {loaded.located.name}, which compares them by "
            f"{loaded.similarity} as they are, and its own similarities are to be followed",
            hint="Leave it out, or drop isotropic.teacher",
        )


class FrozenBase:
    """An encoder (irctl/models/encoder.py) as methods over groups use one."""

    def __init__(self, encoder: TextEncoder, kept: KeptBase) -> None:
        parts = heads.head_modules(encoder)
        for part in heads.base_modules(encoder):
            part.cpu()  # it has done its work
        self.encoder, self.kept, self.module = encoder, kept, nn.Sequential(*parts)
        self.about = {**encoder.about, HEAD: {**encoder.about[HEAD], "first": 0}}
        self.located, self.dim, self.similarity = encoder.located, encoder.dim, encoder.similarity
        self.settings = encoder.settings

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        """Vectors [N, D] of kept ones, in float32."""
        vectors_ND: Tensor = self.module(dict(features))[VECTORS]
        return vectors_ND.float()

    def features(self, texts: Sequence[str], side: str = "passage") -> dict[str, Any]:
        """What `forward` takes, of texts that are kept."""
        return _features(self.kept.sides[side].of_texts(texts), side)

    def encode(self, texts: Sequence[str], side: str = "passage") -> Floats:
        """Vectors [N, D] of kept texts, without dropout or gradients."""
        device, was_training = next(self.module.parameters()).device, self.module.training
        base_NH, found = self.kept.sides[side].of_texts(texts), []
        self.module.eval()
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            for start in range(0, len(base_NH), ENCODED_AT_ONCE):
                features = _features(base_NH[start : start + ENCODED_AT_ONCE], side)
                features[VECTORS] = features[VECTORS].to(device)
                found.append(self.forward(features).cpu().numpy())
        self.module.train(was_training)
        return np.concatenate(found) if found else np.empty((0, self.dim), np.float32)

    def fingerprint(self, side: str = "passage") -> str:
        return self.encoder.fingerprint(side)

    def save(self, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
        """The whole model: base and head."""
        self.encoder.save(folder, extra)


def _features(base_NH: Floats, side: str) -> dict[str, Any]:
    """task: read by a Router, if the head begins with one."""
    return {VECTORS: torch.from_numpy(base_NH), "task": "query" if side == "query" else "document"}
