"""A training without judgements in which the query encoder follows too: its texts go through it at every step.

The teacher keeps the vectors that the encoder made before, whose products with the documents' are what is followed.
Pseudo-queries have no text: they are compared as they are, and teach the centroids alone.
Dimension key: B queries, the first S of them texts, D vector width.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from irctl.config import Config
from irctl.training.index import opening, saving
from irctl.training.index.distilling import Distilling
from irctl.training.index.kept_queries import QueryBatch
from irctl.training.index.query_texts import QueryTexts
from irctl.training.method import Context, Item
from irctl.training.parallel import gather
from irctl.training.scored_method import Scored, optimizer_groups


class DistillingEncoder(Distilling):
    """A method (irctl/training/method.py). Each process embeds its share of the texts; all score the whole batch."""

    def __init__(self, named: opening.NamedIndex, own: Any, config: Config, context: Context) -> None:
        from irctl.models.encoder import load_encoder

        super().__init__(named, own, config, context)
        texts: list[str] = json.loads(Path(named.text_file).read_text())
        self.encoder = load_encoder(config)
        self.texts = QueryTexts(self.encoder, lambda numbers: [texts[n] for n in numbers], [], context.plan.micro)
        self._start = self.encoder.fingerprint("passage")  # before training changes it
        # asked here: a data loader worker does not belong to the process group
        self._rank, self._processes = gather.world()

    def collate(self, items: list[Item]) -> dict[str, Any]:
        numbers = self.kept.text_numbers(items)
        shares = [gather.share(len(numbers), rank, self._processes) for rank in range(self._processes)]
        mine = [numbers[i] for i in shares[self._rank]] or [0]  # a process without texts waits for the others
        return {**self.kept(items), "texts": self.texts.collate(mine), "text_counts": [len(rows) for rows in shares]}

    def score(self, batch: dict[str, Any]) -> Scored:
        kept = QueryBatch(batch["queries"], batch["own"])
        texts_SD = gather.gather_rows(self.texts(batch["texts"]), batch["text_counts"])
        with torch.autocast(texts_SD.device.type, enabled=False):
            if self.bundle.metric == "cosine":
                texts_SD = nn.functional.normalize(texts_SD, dim=1)
            queries_BD = torch.cat([texts_SD, kept.queries_BD[len(texts_SD) :]])
            return self._scored(kept, queries_BD, self.candidates(kept))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The encoder by train.lr, with decay on its matrices."""
        encoder = optimizer_groups(self.encoder.module.parameters(), self.config.train.weight_decay)
        return [*super().parameter_groups(), *encoder]

    def inputs(self) -> list[dict[str, Any]]:
        model = {"kind": "model", "path": str(self.encoder.located.folder), "sha256": self._start}
        return [*super().inputs(), {**model, "dim": self.encoder.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        about = {"method": self.config.train.method, "run": self.paths.folder.name, "loss": self.config.loss.name}
        about["query"] = self.own.query
        self.encoder.note_fitted(self.named.text_hashes())
        bundle, quantizer = self.paths.bundle, self.codes.quantizer()
        return saving.write_encoder(folder, self.encoder, bundle, self.bundle, quantizer, about, **self.named.pair)
