"""The training of a compressive encoder: what a step is, what is measured, and what is saved.

The language model is no part of this module: it is frozen, and would otherwise lie in every checkpoint.
Dimension key: L samples of this process, B samples of the loss batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from irctl.errors import ConfigError
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.training.method import Item, StepOutput
from irctl.training.parallel import gather
from irctl.training.parallel.gradient_cache import forward_chunks
from irctl.training.scored_method import optimizer_groups
from irctl.training.texts import loss
from irctl.training.texts.samples import TextSample, without_context

PREFIX = "encoder.model."
"""What the names of the encoder's weights begin with in this module."""


@dataclass(frozen=True, kw_only=True)
class TextTraining:
    """A training on texts, opened and checked.

    make: samples of training rows. held_out: samples that the loss is measured on, by ratio. inputs: for the ledger.
    """

    encoder: CompressiveEncoder
    lm: Any
    tokenizer: Any
    rows: int
    make: Callable[[int, int], TextSample]
    held_out: Callable[[int | None], Sequence[TextSample]]
    ratios: tuple[int, ...]
    fingerprint: str
    about: folders.About
    inputs: tuple[dict[str, Any], ...]
    weight_decay: float
    micro: int


class CompressiveMethod(nn.Module):
    """A method (irctl/training/method.py) over rows with contexts."""

    measured_on = "held out"

    def __init__(self, training: TextTraining) -> None:
        super().__init__()
        self.encoder = training.encoder
        self._frozen = [training]  # in a list: its language model must not become a module of this one
        self.queries, self.fingerprint = training.rows, training.fingerprint
        self.can_evaluate = bool(training.held_out(1))
        # asked here: a data loader worker does not belong to the process group
        self._rank, self._processes = gather.world()

    @property
    def training_on(self) -> TextTraining:
        return self._frozen[0]

    @property
    def lm(self) -> Any:
        """The frozen language model, on the encoder's device."""
        lm, device = self.training_on.lm, next(self.encoder.parameters()).device
        return lm if lm.device == device else lm.to(device)

    def collate(self, items: list[Item]) -> dict[str, Any]:
        """samples: chunks of at most `micro` of this process's share. counts: samples of every process."""
        shares = [gather.share(len(items), rank, self._processes) for rank in range(self._processes)]
        # a process without samples in a small last batch forwards one all the same: collectives wait for everyone
        mine = [items[i] for i in shares[self._rank]] or items[:1]
        made = [self.training_on.make(row, epoch) for row, epoch in mine]
        micro = self.training_on.micro
        return {
            "samples": [made[i : i + micro] for i in range(0, len(made), micro)],
            "counts": [len(share) for share in shares],
        }

    def prepare(self, batches: list[dict[str, Any]]) -> None:
        """Nothing is measured before the first step."""

    def step(self, batch: dict[str, Any]) -> StepOutput:
        lm = self.lm

        def forward(samples: Sequence[TextSample]) -> tuple[Tensor]:
            return (loss.sample_losses(self.encoder, lm, samples)[:, None],)

        (losses_L1,) = forward_chunks(forward, batch["samples"])
        losses_B = gather.gather_rows(losses_L1, batch["counts"])[:, 0]
        total = losses_B.mean()
        rows = [(s.rows, sum(len(c.ids) for c in s.chunks), s.is_cut) for chunk in batch["samples"] for s in chunk]
        device = losses_B.device
        kept, read, cut = (gather.total(float(sum(column)), device) for column in zip(*rows, strict=True))
        measures = {"rows_per_token": torch.tensor(kept / max(read, 1.0)), "contexts_cut": torch.tensor(cut)}
        return StepOutput(total, {"answer": total.detach()}, measures)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return optimizer_groups(self.encoder.parameters(), self.training_on.weight_decay)

    def evaluate(self) -> dict[str, float]:
        """Mean loss over what is held out, at each ratio, at 1, and without any context."""
        found = {f"loss.{r}x": self._mean(self.training_on.held_out(r)) for r in sorted({1, *self.training_on.ratios})}
        bare = [without_context(s) for s in self.training_on.held_out(1)]
        # a text without what came before it has no place from which its first token could be predicted
        if all(s.parts.head or s.parts.tail for sample in bare for s in sample.sequences):
            found["loss.closed"] = self._mean(bare)
        return found

    def _mean(self, samples: Sequence[TextSample]) -> float:
        micro, lm = self.training_on.micro, self.lm
        parts = [samples[i : i + micro] for i in range(0, len(samples), micro)]
        values = [loss.sample_losses(self.encoder, lm, part).double().sum() for part in parts]
        return float(torch.stack(values).sum()) / len(samples)

    def inputs(self) -> list[dict[str, Any]]:
        return list(self.training_on.inputs)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Rows and ratios are drawn by seed and epoch: nothing else is kept."""

    def save(self, folder: Path) -> dict[str, Any]:
        from irctl.models.fingerprints import fingerprint_state

        folder.mkdir(parents=True, exist_ok=True)
        folders.save(folder / folders.NAME, self.encoder, self.training_on.tokenizer, self.training_on.about)
        return {
            "dim": self.encoder.dim,
            "fingerprint": fingerprint_state(self.encoder.state_dict()),
            "format": folders.FORMAT,
        }

    def write_checkpoint(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """FOLDER/compressive_encoder, where other programs look for it. weights: of this module, by their names."""
        own = {k.partition(PREFIX)[2]: v for k, v in weights.items() if PREFIX in k}
        on = self.training_on
        folders.save(folder / folders.NAME, self.encoder, on.tokenizer, on.about, weights=own)


def check_device(stage: int) -> None:
    """ConfigError for ZeRO-3, which would slice a language model that is no part of what trains."""
    if stage == 3:
        raise ConfigError(
            "hardware.zero_stage=3: slices what trains, and the frozen language model is no part of it",
            hint="Use hardware.zero_stage=2, which shares out the optimizer",
        )
