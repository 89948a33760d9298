"""The context of a question at each budget: compressed, whole, none, and as many tokens of it chosen otherwise.

Whatever is compared at a ratio takes as many tokens of the language model as the rows of the compressive encoder.
Dimension key: R rows of a context, H hidden width, S tokens of a context.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irctl.data.contexts.split import Split
from irctl.errors import DataError
from irctl.models.compressive import row_selection
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.generation import Prompt
from irctl.models.compressive.soft_context import Parts
from irctl.models.compressive.surprisal import prune, surprisals
from irctl.pipelines.answer.opening import Answerer
from irctl.pipelines.answer.questions import Question
from irctl.pipelines.answer.request import ADAPTIVE
from irctl.training.texts.loss import encode_samples
from irctl.training.texts.samples import Rules, TextSample, fit_context, tuning_sample


@dataclass(frozen=True)
class Budgets:
    """rules: how an encoder compresses; their most_tokens leave room for the answer."""

    rules: Rules
    instruction_ids: tuple[int, ...]

    def samples(self, questions: Sequence[Question], ratio: int) -> list[TextSample]:
        return [
            tuning_sample(
                q.split, self.rules, instruction_ids=self.instruction_ids, row_id=int(q.row.id, 16), epoch=0,
                where=f"question {q.id}", ratio=ratio,
            )
            for q in questions
        ]  # fmt: skip

    def whole(self, questions: Sequence[Question]) -> list[Prompt]:
        """The context as it is, or as much of its beginning and end as the language model takes."""
        return [_with_tokens(q.split, self._fitting(q)) for q in questions]

    def _fitting(self, question: Question) -> tuple[int, ...]:
        split = question.split
        room = self.rules.most_tokens - len(split.head) - len(split.tail)
        if split.context and room < 1:
            raise DataError(
                f"question {question.id}: its prompt alone takes {len(split.head) + len(split.tail)} of "
                f"{self.rules.most_tokens} tokens",
                hint="Raise acerag.lm_tokens, or lower acerag.new_tokens",
            )
        return fit_context(split.context, 1, room, self.rules.most_tokens)


def make_budgets(
    own: Any, given: Collection[str], answerer: Answerer, selection: str, dataset: str, most_tokens: int
) -> Budgets:
    """As the encoder was trained, but for the settings in `given`. dataset: whose instruction the encoder is given.
    selection: adaptive begins as the stride's. most_tokens: of the language model, without the answer.
    """
    rules = Rules(
        ratios=(1,),  # of each prompt its own
        selection="stride" if selection == ADAPTIVE else selection,
        grid=own.grid if "grid" in given else answerer.about.grid,
        chunk_tokens=own.chunk_tokens if "chunk_tokens" in given else answerer.about.chunk_tokens,
        most_tokens=most_tokens,
        bos=answerer.bos,
    )
    return Budgets(rules, answerer.instruction_ids(dataset))


def without(questions: Sequence[Question]) -> list[Prompt]:
    """No context."""
    return [_with_tokens(q.split, ()) for q in questions]


def compressed(
    encoder: CompressiveEncoder, questions: Sequence[Question], samples: Sequence[TextSample]
) -> list[Prompt]:
    """The rows that an encoder gives for the samples of the questions."""
    with torch.inference_mode():
        rows = encode_samples(encoder, samples)
    return [with_rows(q.split, own) for q, own in zip(questions, rows, strict=True)]


def zeroed(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The same prompts with nothing in their rows."""
    return [replace(p, rows_RH=None if p.rows_RH is None else torch.zeros_like(p.rows_RH)) for p in prompts]


def truncated(questions: Sequence[Question], counts: Sequence[int]) -> list[Prompt]:
    """The first and last tokens of each context, so many together."""
    return [_with_tokens(q.split, cut(q.split.context, n)) for q, n in zip(questions, counts, strict=True)]


def cut(context: Sequence[int], count: int) -> tuple[int, ...]:
    """The first and last tokens, `count` together, one more of the first where it is odd."""
    if count >= len(context):
        return tuple(context)
    last = count // 2
    return (*context[: count - last], *context[len(context) - last :])


class Pruning:
    """The tokens that surprise the language model most. Scores of a context are kept: every ratio asks for them."""

    def __init__(self, lm: Any, bos: int | None, most_tokens: int) -> None:
        self.lm, self.bos, self.most_tokens = lm, bos, most_tokens
        self._last: dict[str, NDArray[np.float32]] = {}

    def __call__(self, questions: Sequence[Question], counts: Sequence[int]) -> list[Prompt]:
        groups = {q.row.group for q in questions}
        self._last = {g: s for g, s in self._last.items() if g in groups}
        prompts = []
        for q, n in zip(questions, counts, strict=True):
            context = q.split.context
            scores_S = self._last.get(q.row.group)
            if scores_S is None or len(scores_S) != len(context):
                scores_S = surprisals(self.lm, context, bos=self.bos, most_tokens=self.most_tokens)
                self._last[q.row.group] = scores_S
            prompts.append(_with_tokens(q.split, prune(context, scores_S, n)))
        return prompts


def adapted(sample: TextSample, scores_S: NDArray[np.floating], ratio: int) -> TextSample:
    """The sample with rows kept by the scores of its content's tokens: ceil(S / ratio) of all its chunks together."""
    kept_R = row_selection.select_adaptive(scores_S, ratio)
    own, start = [], 0
    for chunk in sample.chunks:
        size = chunk.shape.length - chunk.shape.prefix
        here = kept_R[(kept_R >= start) & (kept_R < start + size)]
        own.append(here - start + chunk.shape.prefix)
        start += size
    return replace(sample, kept=tuple(own))


def with_rows(split: Split, rows_RH: Tensor) -> Prompt:
    return Prompt(Parts(head=split.head, rows=len(rows_RH), tail=split.tail), rows_RH)


def _with_tokens(split: Split, context: Sequence[int]) -> Prompt:
    return Prompt(Parts(head=(*split.head, *context), tail=split.tail))


def context_tokens(prompt: Prompt, question: Question) -> int:
    """Tokens of the language model that the context takes."""
    return prompt.parts.length - len(question.split.head) - len(question.split.tail)
