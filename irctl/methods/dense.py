"""Dense retrieval: one encoder for queries and passages, trained by a loss over all pairs of a batch.

Every process holds its share of the queries; vectors are gathered, and each process computes the loss of the whole
batch.

Dimension key: B queries that share a loss, N passages of the batch, L rows of this process, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irctl.config import Config
from irctl.data.groups.candidates import View
from irctl.errors import ConfigError
from irctl.settings import Hardware
from irctl.training.groups.batches import GroupBatches, Source, unpack_views
from irctl.training.method import Context, Item, StepOutput
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective
from irctl.training.parallel import gather
from irctl.training.parallel.gradient_cache import forward_chunks
from irctl.training.run_files import refreshed_negatives

if TYPE_CHECKING:
    from irctl.models.encoder import Encoder

DEFAULTS: dict[str, Any] = {}
DATA = "groups"
"""What it trains on: the launcher mines negatives where they are needed."""


class Method(nn.Module):
    """An encoder, a source of groups and an objective."""

    def __init__(
        self,
        encoder: Encoder,
        source: Source,
        objective: Objective,
        *,
        micro: int,
        fingerprint: str,
        settings: Mapping[str, Any] | None = None,
        inbatch_label: float = 0.0,
        weight_decay: float = 0.0,
        dev: Callable[[], dict[str, float]] | None = None,
        guide: Encoder | None = None,
        guide_margin: float = 0.0,
    ) -> None:
        super().__init__()
        self.module = encoder.module  # registered: its parameters are this method's
        self.objective = objective
        self.queries, self.fingerprint, self.can_evaluate = len(source), fingerprint, dev is not None
        self._encoder, self._dev, self._settings, self._decay = encoder, dev, dict(settings or {}), weight_decay
        self._start = encoder.fingerprint("passage")  # before training changes it
        self._guide, self._guide_margin = ([guide] if guide else []), guide_margin  # in a list: frozen, not a submodule
        self._collate = GroupBatches(
            source,
            encoder.features,
            {part.view for part in objective.parts},
            micro=micro,
            inbatch_label=inbatch_label,
            guide=guide.features if guide else None,
        )
        if not self.parameter_groups():
            raise ConfigError(
                "model.freeze_base: nothing is left to train", hint="Add LoRA with --set model.lora_r=16, or drop it"
            )

    @classmethod
    def build(cls, config: Config, profile: Hardware, context: Context) -> Method:
        """Open the encoder, the collection and its groups."""
        from irctl.data.collections.open import open_for
        from irctl.models.encoder import load_encoder, load_guide
        from irctl.models.similarity import check_similarity
        from irctl.training.groups import sources
        from irctl.training.groups.dev_score import DevScore

        collection = open_for(config)
        source = sources.groups_of(config, collection)
        fingerprint = source.fingerprint  # of the data it started with
        if (mined := refreshed_negatives.current(config, context.paths)) is not None:
            source = sources.groups_of(config.replace({"data.negatives": str(mined)}, "mined again"), collection)
        parts = terms.parts(config, source.largest_grade)
        encoder = load_encoder(config)
        check_similarity(config, encoder.similarity, encoder.settings.normalize)
        for line in encoder.notices:
            context.reporter.say(line)
        if config.train.gradient_checkpointing:
            _checkpoint_activations(encoder.module)
        dev = sources.dev_of(config, collection, context.paths)
        return cls(
            encoder,
            source,
            Objective(parts, learn_temperature=config.loss.learn_temperature, warn=context.reporter.warn),
            micro=context.plan.micro,
            fingerprint=fingerprint,
            settings={
                "loss": config.loss.name,
                "positive_threshold": source.threshold or terms.thresholds_used(config, source.largest_grade),
                "run": context.paths.folder.name,
            },
            inbatch_label=config.loss.inbatch_label,
            weight_decay=config.train.weight_decay,
            dev=DevScore(dev, encoder, scorer(encoder.similarity)) if dev else None,
            guide=load_guide(config) if config.loss.guide else None,
            guide_margin=config.loss.guide_margin,
        )

    def collate(self, items: list[Item]) -> dict[str, Any]:
        return self._collate(items)

    def step(self, batch: dict[str, Any]) -> StepOutput:
        scores_BN, views = self._scores(batch)
        total, values = self.objective(scores_BN, views)
        return StepOutput(total, values)

    def prepare(self, batches: list[dict[str, Any]]) -> None:
        was_training = self.training
        self.eval()
        with torch.no_grad():
            seen = []
            for batch in batches:
                scores_BN, views = self._scores(batch)
                seen.append((scores_BN, views))
        self.train(was_training)
        self.objective.prepare(seen)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay on matrices only; learned parts of the loss take none."""
        trained = [p for p in self.module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.dim() >= 2], "weight_decay": self._decay},
            {
                "params": [p for p in trained if p.dim() < 2] + list(self.objective.parameters()),
                "weight_decay": 0.0,
            },
        ]
        return [g for g in groups if g["params"]]

    def evaluate(self) -> dict[str, float]:
        assert self._dev is not None, "asked only where can_evaluate"
        return self._dev()

    def inputs(self) -> list[dict[str, Any]]:
        folder = str(self._encoder.located.folder)
        return [{"kind": "model", "path": folder, "sha256": self._start, "dim": self._encoder.dim}]

    def state(self) -> dict[str, Any]:
        return self.objective.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.objective.restore(state)

    def save(self, folder: Path) -> dict[str, Any]:
        learned = self.objective.learned_settings()
        about = {"temperatures": self.objective.current(), **({"learned": learned} if learned else {})}
        self._encoder.save(folder, {**self._settings, **about})
        return {"dim": self._encoder.dim, "fingerprint": self._encoder.fingerprint("passage")}

    def _scores(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, View]]:
        """Similarities of all queries to all passages, and the views of them."""
        queries_LD, passages_LD = forward_chunks(self._forward, batch["chunks"])
        queries_BD = gather.gather_rows(queries_LD, batch["query_counts"])
        passages_ND = gather.gather_rows(passages_LD, batch["passage_counts"])
        scores_BN = similarities(queries_BD, passages_ND, self._encoder.similarity)
        if not batch["query_counts"][gather.world()[0]]:
            # a placeholder takes part in no score, yet every process must walk back through its parameters
            scores_BN = scores_BN + 0.0 * (queries_LD.sum() + passages_LD.sum()).to(scores_BN.dtype)
        views = unpack_views(batch)
        if self._guide:
            views = self._guided(batch, views)
        return scores_BN, views

    def _forward(self, chunk: dict[str, dict[str, Tensor]]) -> tuple[Tensor, ...]:
        return self._encoder.forward(chunk["query"]), self._encoder.forward(chunk["passage"])

    def _guided(self, batch: dict[str, Any], views: dict[str, View]) -> dict[str, View]:
        """Drop other queries' passages that the guide scores above the query's best own passage, less the margin."""
        guide = self._guide[0]
        guide.module.to(next(self.module.parameters()).device)
        with torch.no_grad():
            pairs = [(guide.forward(c["query"]), guide.forward(c["passage"])) for c in batch["guide"]]
            queries_LD, passages_LD = (torch.cat(column) for column in zip(*pairs, strict=True))
            queries_BD = gather.gather_rows(queries_LD, batch["query_counts"])
            passages_ND = gather.gather_rows(passages_LD, batch["passage_counts"])
            scores_BN = similarities(queries_BD, passages_ND, guide.similarity)
        own, masked = views["own"], views["masked"]
        highest_B1 = own.labels_BN.masked_fill(~own.mask_BN, float("-inf")).argmax(1, keepdim=True)
        limit_B1 = own.scores(scores_BN).gather(1, highest_B1) - self._guide_margin
        assert own.columns_BK is not None
        is_own_BN = torch.zeros_like(masked.mask_BN).scatter_add_(1, own.columns_BK, own.mask_BN)
        keep_BN = is_own_BN | (scores_BN <= limit_B1)
        return {**views, "masked": View(masked.labels_BN, masked.mask_BN & keep_BN)}


def similarities(queries_BD: Tensor, passages_ND: Tensor, kind: str) -> Tensor:
    """Scores [B, N] in full precision, by the encoder's own similarity: dot, cosine or euclid (negative distance)."""
    with torch.autocast(queries_BD.device.type, enabled=False):
        if kind == "cosine":
            queries_BD = nn.functional.normalize(queries_BD, dim=1)
            passages_ND = nn.functional.normalize(passages_ND, dim=1)
        if kind == "euclid":
            return -torch.cdist(queries_BD, passages_ND)
        return queries_BD @ passages_ND.T


def scorer(kind: str) -> Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]:
    """The same over arrays."""

    def score(queries_QD: NDArray[np.float32], passages_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        return similarities(torch.from_numpy(queries_QD), torch.from_numpy(passages_ND), kind).numpy()

    return score


def _checkpoint_activations(module: nn.Module) -> None:
    from transformers import PreTrainedModel

    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            older = getattr(part, "gradient_checkpointing_enable", None)  # its name before transformers 5.22
            getattr(part, "activation_checkpointing_enable", older)({"use_reentrant": False})  # type: ignore[misc]
