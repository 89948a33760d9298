"""Training on judgements against codes that stay: candidates are what the codes retrieve now, by the centroids as they
are now.

What is trained are the query side's centroids and, as asked, a linear map of kept query vectors or the query encoder.
Dimension key: T training queries, Q held-out queries, L queries of this process, D vector width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irctl.config import Config
from irctl.data.vectors.open import open_vectors
from irctl.index.arrays import as_rows
from irctl.index.bundle import Bundle, open_bundle
from irctl.models.transforms import files as transform_files
from irctl.quantizers.shared import opening
from irctl.training.index import saving
from irctl.training.index.fixed_index import CodeIndex
from irctl.training.index.judged import open_queries, open_split
from irctl.training.index.query_sides import Adapter, Frozen
from irctl.training.index.query_texts import QueryTexts
from irctl.training.index.retrieving_method import Judged, RetrievingMethod, launched, objective_of
from irctl.training.index.trained_codes import TrainedCodes
from irctl.training.method import Context
from irctl.training.objective.regularization import have_unit_length
from irctl.training.scored_method import optimizer_groups, regularization_of

CENTROID_RATIO = 20.0
"""Of the centroids' learning rate to the encoder's: the source's 1e-4 and 5e-6."""
CENTROID_STEP = 0.02
"""Where no encoder is trained, Adam's step in root mean squares of the centroids' entries: judgements are few, and six
times as much forgot the index (built-in collection, dev queries).
"""
ADAPTER_SHARE = 0.05
"""Of that, for a linear map of queries."""


class KeptVectors(nn.Module):
    """A query side of vectors that are kept, and of a map that may be trained. kept_TD, held_out_QD: raw."""

    kept_TD: Tensor
    held_out_QD: Tensor

    def __init__(self, kept_TD: Tensor, held_out_QD: Tensor, mapped: Adapter | Frozen) -> None:
        super().__init__()
        self.mapped = mapped
        self.register_buffer("kept_TD", kept_TD, persistent=False)
        self.register_buffer("held_out_QD", held_out_QD, persistent=False)

    @property
    def is_unit(self) -> bool:
        """Whether the vectors have length 1, before a map."""
        return have_unit_length(self.kept_TD)

    def collate(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(list(numbers))

    def forward(self, numbers: Tensor) -> Tensor:
        mapped_LD: Tensor = self.mapped(self.kept_TD[numbers])
        return mapped_LD

    def held_out(self) -> Tensor:
        mapped_QD: Tensor = self.mapped(self.held_out_QD)
        return mapped_QD


class JudgedCodes(RetrievingMethod):
    """A method (irctl/training/method.py). own: the settings of irctl/methods/jpq.py."""

    def __init__(self, own: Any, config: Config, context: Context) -> None:
        named = launched(context.paths)["judged"]
        bundle = open_bundle(Path(named["bundle"]), opening.load)
        codes = TrainedCodes(bundle)
        judged = _judged(config, context, bundle)
        encoder = _open_encoder(config, context) if own.query == "encoder" else None
        side: QueryTexts | KeptVectors
        if encoder is not None:
            held_out = judged.held_out.texts if judged.held_out else []
            side = QueryTexts(encoder, judged.queries.texts, held_out, context.plan.micro)
        else:
            start_DD = getattr(bundle.quantizer, "query_map_DD", None)
            mapped = Adapter(bundle.dim, start_DD) if own.query == "adapter" else Frozen(start_DD)
            side = KeptVectors(_vectors(named["queries"], bundle), _vectors(named["held_out"], bundle), mapped)
        index = CodeIndex(codes, bundle.metric)
        is_unit = bundle.metric == "cosine" or side.is_unit
        regularization = regularization_of(config, context, is_unit=is_unit, dim=bundle.dim)
        super().__init__(judged, side, index, k=own.k, mask_positives=own.mask_positives, regularization=regularization)
        self.codes, self.bundle, self.own, self.config, self.paths = codes, bundle, own, config, context.paths
        self.encoder, self._documents = encoder, named["documents"]
        self._start = encoder.fingerprint("passage") if encoder is not None else ""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Centroids, map and encoder by rates of their own; decay on the encoder's matrices alone."""
        own = CENTROID_RATIO * self.config.train.lr if self.encoder is not None else CENTROID_STEP * self.codes.size
        lr = self.own.centroid_lr or own
        groups: list[dict[str, Any]] = [{"params": [self.codes.layer.centroids], "lr": lr, "weight_decay": 0.0}]
        if isinstance(self.side, KeptVectors):
            groups += self.side.mapped.parameter_groups(self.codes.adapter_lr(self.own.adapter_lr, ADAPTER_SHARE, lr))
        if self.encoder is not None:
            groups += optimizer_groups(self.encoder.module.parameters(), self.config.train.weight_decay)
        return groups + optimizer_groups(self.objective.parameters(), 0.0)

    def inputs(self) -> list[dict[str, Any]]:
        folder, sha256 = str(self.bundle.folder), self.bundle.fingerprint
        used = [{"kind": "bundle", "path": folder, "sha256": sha256, "dim": self.bundle.dim}]
        if self.encoder is None:
            return used
        model = {"kind": "model", "path": str(self.encoder.located.folder), "sha256": self._start}
        return [*used, {**model, "dim": self.encoder.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        """The bundle beside the run's other files, and the query encoder in `folder`, never where it was read."""
        about = {"method": self.config.train.method, "run": self.paths.folder.name, "loss": self.config.loss.name}
        about["query"] = self.own.query
        if self.encoder is not None:
            more = {**self._documents, **self.about()}
            bundle, quantizer = self.paths.bundle, self.codes.quantizer()
            self.encoder.note_fitted(self.judged.queries.hashes())
            return saving.write_encoder(folder, self.encoder, bundle, self.bundle, quantizer, about, **more)
        assert isinstance(self.side, KeptVectors)
        quantizer = self.codes.quantizer(self.side.mapped.query_map())
        rows = self.judged.queries.hashes() if self.own.query == "adapter" else None
        return saving.write_kept(folder, self.config, self.paths.bundle, self.bundle, quantizer, about, fitted_on=rows)


def _judged(config: Config, context: Context, bundle: Bundle) -> Judged:
    are_rows = bundle.ids.are_rows
    queries, held_out = open_queries(config, None if are_rows else bundle.ids, bundle.rows)
    return Judged(
        queries=queries,
        held_out=held_out,
        ids=open_split(config).collection.corpus.ids if are_rows else bundle.ids,  # type: ignore[arg-type]
        objective=objective_of(config, context, queries),
        seed=config.run.seed,
        fingerprint=hashlib.sha256(f"{queries.fingerprint} {bundle.fingerprint}".encode()).hexdigest(),
    )


def _open_encoder(config: Config, context: Context) -> Any:
    from irctl.models.encoder import load_encoder

    encoder = load_encoder(config)
    for line in encoder.notices:
        context.reporter.say(line)
    return encoder


def _vectors(folder: str, bundle: Bundle) -> Tensor:
    """The rows of a folder, through the query side of the bundle's transform; none where there is no folder."""
    if not folder:
        return torch.empty(0, bundle.dim)
    stream, fitted = open_vectors(folder), transform_files.of_bundle(bundle)
    width = fitted.transform.dim if fitted else bundle.dim
    raw_QD = as_rows(stream.take(np.arange(stream.rows)), width, folder)
    return torch.from_numpy(np.array(fitted.transform.queries(raw_QD) if fitted else raw_QD))
