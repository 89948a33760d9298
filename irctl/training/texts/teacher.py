"""Answers of the language model itself, reading the whole context, in place of the labels of training rows.

An encoder trained on them learns to compress, not to answer better than the model it compresses for. Rows held out keep
their labels, so that losses compare with those of a training on labels. Made once, before a training.
Source: PISCO (Louis et al. 2025, arXiv 2501.16075).

Dimension key: B prompts of one batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from irctl.config import Config
from irctl.data.contexts.split import Split
from irctl.data.contexts.stored import StoredRows, find_stored, store
from irctl.errors import DataError
from irctl.models import arithmetic
from irctl.models.compressive import folder as folders
from irctl.models.compressive.language_model import dtype_of, open_language_model
from irctl.models.locate import LocatedModel
from irctl.models.modules import silence
from irctl.training import precision
from irctl.training.texts import settings
from irctl.training.texts.loss import READ_AT_ONCE, split_by_tokens
from irctl.training.texts.rows import RowPlan
from irctl.training.texts.samples import fit_context
from irctl.types import Advance, Reporter

MOST_NEW = 512
"""Tokens of an answer at the most, and no more than a quarter of acerag.lm_tokens or of what the model can read at all;
one that is cut there ends open."""


@dataclass(frozen=True)
class _Taught:
    """What is stored beside the ids: the hashes and the line of the row that the answer is for."""

    id: str
    group: str
    line: int


@dataclass(frozen=True)
class AnsweringTeacher:
    """The language model that answers, opened where an answer is not made yet."""

    config: Config
    located: LocatedModel
    tokenizer: Any

    @property
    def _most_new(self) -> int:
        from transformers import AutoConfig

        reads = int(AutoConfig.from_pretrained(str(self.located.folder), local_files_only=True).max_position_embeddings)
        return min(MOST_NEW, int(settings.read(self.config).own.lm_tokens) // 4, reads // 4)

    def is_made(self, plan: RowPlan) -> bool:
        """Whether the answers for every file of a plan are here."""
        return all(find_stored(self._key(plan, i)) for i in range(len(plan.stored)))

    def teach(self, plan: RowPlan, reporter: Reporter) -> RowPlan:
        """The plan, the answers of its training rows replaced."""
        lm: list[Any] = []
        taught = []
        for i, rows in enumerate(plan.stored):
            wanted = sorted({n for file, n in plan.taken_N2.tolist() if file == i})

            def answered(rows: StoredRows = rows, wanted: Sequence[int] = wanted) -> Iterator[tuple[Any, Split]]:
                if not lm:
                    lm.append(self._open())
                with reporter.bar(f"{self.located.name} answers {rows.dataset}", len(wanted)) as advance:
                    answers = answer(lm[0], self.tokenizer, [rows.split(n) for n in wanted], self._most_new, advance)
                of = dict(zip(wanted, answers, strict=True))
                for n in range(len(rows)):
                    split = rows.split(n)
                    row_id, group = (f"{int(h[n]):x}" for h in (rows.row_ids_N, rows.groups_N))
                    yield _Taught(row_id, group, int(rows.lines_N[n])), replace(split, answer=of.get(n, split.answer))

            taught.append(store(self._key(plan, i), rows.dataset, answered))
        return replace(plan, stored=tuple(taught))

    def _key(self, plan: RowPlan, file: int) -> dict[str, Any]:
        taken = plan.taken_N2[plan.taken_N2[:, 0] == file, 1]
        described = folders.describe_language_model(self.located.name, "", self.located.folder, self.tokenizer)
        return {
            "rows": plan.stored[file].fingerprint,
            "taken": sorted(set(taken.tolist())),
            "weights": described["weights"],
            "precision": self.config.hardware.precision,
            "most new": self._most_new,
        }

    def _open(self) -> Any:
        attention = precision.attention(self.config.model, self.config.hardware)
        dtype = dtype_of(self.config.hardware.precision)
        lm = open_language_model(self.located, dtype=dtype, attention=attention)
        return lm.to(arithmetic.choose_device(self.config.hardware)).eval()


def answer(lm: Any, tokenizer: Any, prompts: Sequence[Split], new: int, advance: Advance) -> list[tuple[int, ...]]:
    """Greedy answers of up to `new` tokens to whole prompts, in order, each with the token that ends it unless cut.

    A context that the model cannot take keeps its first and last half.
    """
    fitted = [_fit(split, int(lm.config.max_position_embeddings) - new) for split in prompts]
    order = sorted(range(len(fitted)), key=lambda i: len(fitted[i]))
    found: dict[int, tuple[int, ...]] = {}
    for batch in split_by_tokens(order, [len(fitted[i]) + new for i in order], READ_AT_ONCE):
        answers = _generate(lm, tokenizer, [fitted[i] for i in batch], new)
        found |= dict(zip(batch, answers, strict=True))
        advance(len(batch))
    return [found[i] for i in range(len(prompts))]


def _fit(split: Split, most: int) -> tuple[int, ...]:
    room = most - len(split.head) - len(split.tail)
    if room < 1 and split.context:  # an answer without its context would be taught as the truth
        raise DataError(
            f"acerag.targets=teacher: a prompt of {len(split.head) + len(split.tail)} tokens leaves no room for its "
            f"context in the {most} that the language model reads before its answer",
            hint="Shorter prompts, or --set acerag.targets=labels",
        )
    context = fit_context(split.context, 1, room, max(len(split.context), 1))
    return (*split.head, *context, *split.tail)


@torch.no_grad()
def _generate(lm: Any, tokenizer: Any, prompts: Sequence[tuple[int, ...]], new: int) -> list[tuple[int, ...]]:
    width = max(map(len, prompts))
    end = tokenizer.eos_token_id
    ids_BT = torch.full((len(prompts), width), end if end is not None else 0)
    mask_BT = torch.zeros_like(ids_BT)
    for b, ids in enumerate(prompts):
        ids_BT[b, width - len(ids) :] = torch.tensor(ids)
        mask_BT[b, width - len(ids) :] = 1
    with silence():  # a chat model's file asks for sampling, which greedy decoding has no use for
        made_BT = lm.generate(
            input_ids=ids_BT.to(lm.device),
            attention_mask=mask_BT.to(lm.device),
            do_sample=False,
            num_beams=1,
            max_new_tokens=new,
            eos_token_id=end,
            pad_token_id=end if end is not None else 0,
        )
    answers = []
    for ids in made_BT[:, width:].tolist():
        answers.append(tuple(ids[: ids.index(end) + 1] if end in ids else ids))
    return answers
