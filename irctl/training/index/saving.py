"""What a training against an index leaves: a bundle of the same codes, and the query encoder as a model of its own.

Dimension key: D vector width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from irctl.config import Config
from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import ENCODER, write_learned
from irctl.quantizers.learned import Quantizer


def write_bundle(
    folder: Path, parent: Bundle, quantizer: Quantizer, about: Mapping[str, Any], query_encoder: Path | None = None
) -> dict[str, Any]:
    """The learned bundle; the artifact as the ledger records it. query_encoder: None: the parent's, if it has one."""
    own = parent.folder / ENCODER
    query_encoder = query_encoder or (own if own.is_dir() else None)
    sha256 = write_learned(folder, parent, quantizer, about={"trained": dict(about)}, query_encoder=query_encoder)
    made = {"kind": "bundle", "path": str(folder), "sha256": sha256, "n_rows": parent.rows, "dim": parent.dim}
    return {"artifacts": [{**made, "format": "irctl-bundle"}]}


def write_model(folder: Path, config: Config, quantizer: Quantizer, about: Mapping[str, Any]) -> dict[str, Any]:
    """The encoder of queries for other programs: that of the documents, and the query map as a dense layer after it."""
    from sentence_transformers.sentence_transformer.modules import Dense

    from irctl.models.encoder import load_encoder

    encoder = load_encoder(config)
    if quantizer.query_map_DD is not None:
        dim = quantizer.dim
        layer = Dense(dim, dim, bias=False, activation_function=torch.nn.Identity())
        layer.linear.weight.data.copy_(torch.from_numpy(quantizer.query_map_DD))
        encoder.module.append(layer.to(encoder.device))
    encoder.save(folder, dict(about))
    return {"dim": encoder.dim, "fingerprint": encoder.fingerprint("query")}
