"""What a user asks of `irctl eval --task`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError
from irctl.models.compressive import row_selection
from irctl.pipelines.answer import tasks
from irctl.training.texts.settings import METHOD, read_ratios, refuse_unread

if TYPE_CHECKING:
    from irctl.config import Config

ADAPTIVE = "adaptive"
READ = ("lm", "ratios", "selection", "grid", "chunk_tokens", "lm_tokens", "instructions", "chat_template",
        "rows_per_file", "new_tokens", "tuned_lm", "scoring", "scorer")  # fmt: skip
"""Settings of acerag that an evaluation reads; layers and whatever else made the encoder are in its folder."""


@dataclass(frozen=True, kw_only=True)
class AnswerRequest:
    """run: of a collection, whose best passages are the context. answers: FILE.json {query id: [answers]} to it.

    controls: contexts of other questions, and rows of zeros, are measured too. cached: each passage is compressed
    alone too, and taken from the cache where it is there.
    """

    task: str
    model: str | None = None
    run: str | None = None
    answers: str | None = None
    split: str | None = None
    baseline: str | None = None
    controls: bool = False
    cached: bool = False
    per_query: bool = False

    def check(self, config: Config) -> AskedAnswers:
        """The request with its settings read. ConfigError for words that are none, and what goes ill together."""
        task = tasks.find(self.task)
        if not self.model:
            raise ConfigError("--task: names no model", hint="--model RUN, or a folder of a compressive encoder")
        if "data.source" not in config.origins:
            raise ConfigError("--task: names no data", hint="--data FILE, recall-test, or a collection with --run")
        if (self.run is None) != (self.answers is None):
            one, other = ("--run", "--answers FILE.json") if self.run else ("--answers", "--run RUNFILE")
            raise ConfigError(f"{one}: of a collection both the run and the answers are needed", hint=f"Add {other}")
        if self.run is None and self.split:
            raise ConfigError(
                f"--split {self.split}: a file of questions has none",
                hint="Drop it, or name a collection with --run RUNFILE --answers FILE.json",
            )
        refuse_unread(config, READ, "irctl eval --task")
        cls: Any = plugins.config_class("methods", METHOD)
        own = cls(**config.plugin(METHOD))
        ratios = tuple(sorted({*read_ratios(own), 1}))
        selection = own.selection if f"{METHOD}.selection" in config.origins else ""
        legal = (*row_selection.SELECTIONS, ADAPTIVE)
        if selection and selection not in legal:
            raise ConfigError(f"acerag.selection={selection}: expected {', '.join(legal)}")
        given = {key.partition(".")[2] for key in config.origins if key.startswith(f"{METHOD}.")}
        return AskedAnswers(self, task, own, ratios, selection, frozenset(given))


@dataclass(frozen=True)
class AskedAnswers:
    """own: the settings of acerag; given: those that somebody chose. ratios: ascending, 1 among them. selection: empty
    for the encoder's own.
    """

    request: AnswerRequest
    task: tasks.Task
    own: Any
    ratios: tuple[int, ...]
    selection: str
    given: frozenset[str] = frozenset()

    @property
    def new_tokens(self) -> int:
        return int(self.own.new_tokens) or self.task.new_tokens
