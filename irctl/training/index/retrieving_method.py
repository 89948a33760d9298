"""Training a query encoder against an index that stays: texts are embedded, candidates retrieved and judged, compared.

A method says by `index_of` what is searched. Parameters of that index are trained where it registers them as attributes
and adds them to `parameter_groups`.

Dimension key: L queries of this process, D vector width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from irctl.config import Config
from irctl.paths import RunPaths
from irctl.training.index import full_index_score
from irctl.training.index.fixed_index import FixedIndex
from irctl.training.index.judged import HeldOut, JudgedQueries
from irctl.training.index.query_texts import QueryTexts
from irctl.training.index.retrieved import Retrieved, with_views
from irctl.training.method import Context, Item
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective
from irctl.training.scored_method import Scored, ScoredMethod, optimizer_groups

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a training on judged queries against an index is made of. ids: documents by row of the index."""

    encoder: TextEncoder
    queries: JudgedQueries
    held_out: HeldOut | None
    ids: Sequence[str]
    objective: Objective
    micro: int
    seed: int
    weight_decay: float
    fingerprint: str
    about: Mapping[str, Any]  # what the saved encoder says of its training


def objective_of(config: Config, context: Context, queries: JudgedQueries) -> Objective:
    """The losses over retrieved candidates."""
    return Objective(
        with_views(terms.parts(config, queries.labels.largest)),
        learn_temperature=config.loss.learn_temperature,
        warn=context.reporter.warn,
    )


def launched(paths: RunPaths) -> dict[str, Any]:
    """What the launcher wrote down for its workers."""
    return dict(json.loads(paths.launch.read_text())) if paths.launch.is_file() else {}


class RetrievingMethod(ScoredMethod):
    """A method (irctl/training/method.py) over retrieved candidates. k: retrieved for each query."""

    def __init__(self, judged: Judged, index: FixedIndex, *, k: int, mask_positives: bool = True) -> None:
        super().__init__(judged.objective)
        self.judged, self.index, self.encoder = judged, index, judged.encoder
        self.module = judged.encoder.module  # registered: its parameters are this method's
        self.side = QueryTexts(judged.encoder, judged.micro)
        self.candidates = Retrieved(index, judged.queries, k=k, seed=judged.seed, mask_positives=mask_positives)
        self.queries, self.fingerprint = len(judged.queries), judged.fingerprint
        self.can_evaluate = judged.held_out is not None
        self._start = judged.encoder.fingerprint("query")  # before training changes it

    def train(self, mode: bool = True) -> Self:
        """Without dropout in the encoder, in training too."""
        super().train(mode)
        self.module.eval()
        return self

    def collate(self, items: list[Item]) -> dict[str, Any]:
        texts = self.judged.queries.texts(items[i][0] for i in self.side.mine(len(items)))
        return {"chunks": self.side.collate(texts), "items": items, "query_counts": self.side.counts(len(items))}

    def score(self, batch: dict[str, Any]) -> Scored:
        self.module.eval()
        return self.candidates.score(self.side.embed(batch["chunks"]), batch["items"], batch["query_counts"])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay on the encoder's matrices only; learned parts of the loss take none."""
        return optimizer_groups([*self.module.parameters(), *self.objective.parameters()], self.judged.weight_decay)

    def evaluate(self) -> dict[str, float]:
        held_out = self.judged.held_out
        assert held_out is not None, "asked only where can_evaluate"
        return full_index_score.measure(held_out, self.side.embed_all(held_out.texts), self.index, self.judged.ids)

    def inputs(self) -> list[dict[str, Any]]:
        folder = str(self.encoder.located.folder)
        return [{"kind": "model", "path": folder, "sha256": self._start, "dim": self.encoder.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        learned = self.objective.learned_settings()
        about = {"temperatures": self.objective.current(), **({"learned": learned} if learned else {})}
        self.encoder.save(folder, {**self.judged.about, **about})
        return {"dim": self.encoder.dim, "fingerprint": self.encoder.fingerprint("passage")}
