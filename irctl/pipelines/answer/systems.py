"""Everything that answers a question, in the order of the table: what its context is, and at which ratio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from irctl.models.compressive.generation import Prompt
from irctl.pipelines.answer import contexts, questions
from irctl.pipelines.answer.contexts import Budgets, Pruning
from irctl.pipelines.answer.opening import Answerer
from irctl.pipelines.answer.passages import KeptPassages
from irctl.pipelines.answer.questions import Question
from irctl.pipelines.answer.request import ADAPTIVE, AskedAnswers
from irctl.pipelines.answer.scoring import Scorer
from irctl.reports.answers_table import (
    BY_PASSAGE,
    COMPRESSED,
    NONE,
    PRUNED,
    SHUFFLED,
    TRUNCATED,
    TUNED,
    UNTRAINED,
    WHOLE,
    ZEROED,
)
from irctl.training.texts.samples import TextSample

OF_ENCODER = (COMPRESSED, BY_PASSAGE, SHUFFLED, ZEROED)
"""Those that the trained encoder has a part in."""


@dataclass(frozen=True)
class ContextSystem:
    """kind: of the words above. ratio: 0 where there is none."""

    kind: str
    ratio: int = 0

    @property
    def label(self) -> str:
        return f"{self.kind} {self.ratio}x" if self.ratio else self.kind


@dataclass
class Answered:
    """answers: texts by question id. scores: measure -> question id -> value. tokens: of the language model that the
    context takes, by question id.
    """

    answers: dict[str, str] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)


def list_systems(asked: AskedAnswers, *, has_passages: bool) -> list[ContextSystem]:
    """Whole and none first, then each ratio with what it is compared with."""
    found = [ContextSystem(WHOLE), *([ContextSystem(TUNED)] if asked.own.tuned_lm else []), ContextSystem(NONE)]
    for ratio in asked.ratios:
        others = (TRUNCATED, PRUNED) if ratio > 1 else ()  # at 1x they are the whole context
        kinds = [COMPRESSED, *([BY_PASSAGE] if has_passages else []), *others, UNTRAINED]
        kinds += [SHUFFLED, ZEROED] if asked.request.controls else []
        found += [ContextSystem(kind, ratio) for kind in kinds]
    return found


class Prompter:
    """Prompts of questions for each system. encoded: chunks that encoders read, by system."""

    def __init__(
        self,
        answerer: Answerer,
        budgets: Budgets,
        every: Sequence[Question],
        *,
        selection: str,
        scorer: Callable[[], Scorer],
        passages: KeptPassages | None = None,
        controls: bool = False,
    ) -> None:
        self.answerer, self.budgets, self.selection, self.passages = answerer, budgets, selection, passages
        self.pruning = Pruning(answerer.lm, answerer.bos, budgets.rules.most_tokens)
        self._scorer = scorer
        self.encoded: Counter[str] = Counter()
        changed = questions.shuffled(every) if controls else []
        self._other = {q.id: q for q in changed}
        self._kept: dict[tuple[str, ...], list[Prompt]] = {}
        self._scores: dict[tuple[str, tuple[int, ...]], NDArray[np.float32]] = {}

    def make(self, system: ContextSystem, batch: Sequence[Question]) -> list[Prompt]:
        """The prompts of one batch."""
        if system.kind in (WHOLE, TUNED):
            return self.budgets.whole(batch)
        if system.kind == NONE:
            return contexts.without(batch)
        if system.kind == BY_PASSAGE:
            assert self.passages is not None
            prompts, encoded = self.passages.prompts(batch, system.ratio)
            self.encoded[system.label] += encoded
            return prompts
        if system.kind == SHUFFLED:
            batch = [self._other[q.id] for q in batch]
        if system.kind in (COMPRESSED, ZEROED):  # one after the other: encoded once
            prompts = self._compress(system, batch)
            return contexts.zeroed(prompts) if system.kind == ZEROED else prompts
        samples = self._samples(batch, system.ratio)
        if system.kind in (TRUNCATED, PRUNED):
            make = contexts.truncated if system.kind == TRUNCATED else self.pruning
            return make(batch, [s.rows for s in samples])
        encoder = self.answerer.untrained if system.kind == UNTRAINED else self.answerer.encoder
        self.encoded[system.label] += sum(len(s.chunks) for s in samples)
        return contexts.compressed(encoder, batch, samples)

    def _compress(self, system: ContextSystem, batch: Sequence[Question]) -> list[Prompt]:
        key = (str(system.ratio), *(q.id for q in batch))
        if key not in self._kept:
            samples = self._samples(batch, system.ratio)
            if system.kind == COMPRESSED:
                self.encoded[system.label] += sum(len(s.chunks) for s in samples)
            self._kept = {key: contexts.compressed(self.answerer.encoder, batch, samples)}
        return self._kept[key]

    def _samples(self, batch: Sequence[Question], ratio: int) -> list[TextSample]:
        samples = self.budgets.samples(batch, ratio)
        if self.selection != ADAPTIVE:
            return samples
        own = {q.text for q in batch}
        self._scores = {key: scores for key, scores in self._scores.items() if key[0] in own}  # every ratio asks again
        found = []
        for q, sample in zip(batch, samples, strict=True):
            ids = tuple(t for c in sample.chunks for t in c.ids[c.shape.prefix :])
            if ids and (q.text, ids) not in self._scores:
                self._scores[q.text, ids] = self._scorer()(q.text, ids)
            found.append(contexts.adapted(sample, self._scores[q.text, ids], ratio) if ids else sample)
        return found
