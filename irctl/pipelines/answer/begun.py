"""What an evaluation that was stopped has generated already: kept by content, and not generated again.

One file in the cache folder for all that decides an answer beside its prompt; a line a batch and system, appended
whole. It is deleted once the evaluation is recorded, so that another one measures anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths
from irctl.data.files import made_once

if TYPE_CHECKING:
    from irctl.pipelines.answer.opening import Answerer
    from irctl.pipelines.answer.questions import Question
    from irctl.pipelines.answer.request import AskedAnswers
    from irctl.pipelines.answer.systems import ContextSystem, Prompter

KIND, VERSION = "begun-answers", 1


@dataclass(frozen=True)
class Generated:
    """Of a batch and system: texts, tokens of contexts, and chunks that encoders read for them."""

    answers: tuple[str, ...]
    tokens: tuple[int, ...]
    encoded: int


@dataclass
class Begun:
    """file: of this evaluation. taken: answers that were there."""

    file: Path
    taken: int = 0
    _known: dict[str, Generated] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file.is_file():
            for line in self.file.read_bytes().splitlines():
                try:
                    key, answers, tokens, encoded = json.loads(line)
                except ValueError:
                    continue  # half a line: what a killed process was writing
                self._known[key] = Generated(tuple(answers), tuple(tokens), encoded)

    def find(self, system: ContextSystem, batch: Sequence[Question]) -> Generated | None:
        found = self._known.get(_key(system, batch))
        self.taken += len(found.answers) if found else 0
        return found

    def add(self, system: ContextSystem, batch: Sequence[Question], made: Generated) -> None:
        """Raises DataError where the cache folder cannot be written."""
        line = json.dumps([_key(system, batch), made.answers, made.tokens, made.encoded])
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab") as out:  # a line end first: the last line may be half a one
                out.write(f"\n{line}\n".encode())
                out.flush()
                os.fsync(out.fileno())
        except OSError as e:
            raise made_once.cannot_write(self.file, e) from e

    def forget(self) -> None:
        """The evaluation is recorded."""
        self.file.unlink(missing_ok=True)


def open_begun(
    asked: AskedAnswers, answerer: Answerer, prompter: Prompter, every: Sequence[Question], precision: str
) -> Begun:
    """Of these questions, by all that decides an answer."""
    rules = prompter.budgets.rules
    key = made_once.key_of(
        {
            "version": VERSION,
            "encoder": answerer.fingerprint,
            "models": [answerer.lm_identity, answerer.tuned_identity],
            "task": asked.request.task,
            "new tokens": asked.new_tokens,
            "rules": {k: v for k, v in vars(rules).items() if k != "ratios"},
            "instruction": prompter.budgets.instruction_ids,
            "selection": [prompter.selection, asked.own.scoring, asked.own.scorer],
            "attention": answerer.attention,
            "arithmetic": [precision, answerer.lm.device.type],
            "questions": [[q.id, q.row.group] for q in every],  # whose contexts are changed for one another's
        }
    )
    return Begun(paths.cache() / KIND / f"{key[:32]}.jsonl")


def _key(system: ContextSystem, batch: Sequence[Question]) -> str:
    """By the prompts, their contexts and passages."""
    own = [[q.id, q.split.head, q.split.context, q.split.tail, q.row.passages] for q in batch]
    return made_once.key_of({"system": system.label, "questions": own})[:32]
