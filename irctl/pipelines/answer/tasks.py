"""What is asked of a language model over contexts: the tasks, how their answers are read, and what measures them."""

from __future__ import annotations

from dataclasses import dataclass

from irctl import plugins
from irctl.errors import ConfigError

MEASURES = "metrics/answers"


@dataclass(frozen=True)
class Task:
    """measures: files of metrics/answers, the headline first. new_tokens: at most. is_whole: all of the answer counts,
    not its first line alone.
    """

    measures: tuple[str, ...]
    new_tokens: int
    is_whole: bool = False

    def read(self, text: str) -> str:
        """What counts of an answer."""
        text = text.strip()
        return text if self.is_whole else text.partition("\n")[0].strip()


TASKS = {
    "rag-qa": Task(("em", "f1"), 128),
    "sum": Task(("rouge_l",), 512, is_whole=True),
    "icl": Task(("class_match",), 64),
    "reasoning": Task(("choice",), 128),
}


def find(name: str) -> Task:
    """Raises ConfigError with the nearest legal name."""
    if name not in TASKS:
        raise ConfigError(f"--task {name}: expected {', '.join(TASKS)}", hint=plugins.near(name, list(TASKS)))
    return TASKS[name]


def title(measure: str) -> str:
    """What a measure is called in tables: the first word of its file."""
    return plugins.summary(MEASURES, measure).partition(":")[0]
