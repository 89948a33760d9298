"""`irctl eval --task`: what a language model answers by compressed contexts, beside the same questions otherwise.

One result a system (how the context was made, at which ratio) and measure; every question's value is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from irctl import plugins, stopping
from irctl.data.contexts import prompts
from irctl.errors import ConfigError, DataError
from irctl.models.compressive.generation import generate
from irctl.pipelines.answer import contexts, opening, questions, results, tasks
from irctl.pipelines.answer.begun import Begun, Generated, open_begun
from irctl.pipelines.answer.contexts import make_budgets
from irctl.pipelines.answer.passages import KeptPassages
from irctl.pipelines.answer.questions import Question, Questions
from irctl.pipelines.answer.request import AnswerRequest, AskedAnswers
from irctl.pipelines.answer.scoring import open_scorer
from irctl.pipelines.answer.systems import Answered, ContextSystem, Prompter, list_systems
from irctl.pipelines.evaluate import paired_tests
from irctl.reports.answers_table import TUNED
from irctl.training.texts.loss import READ_AT_ONCE, split_by_tokens

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.answer.opening import Answerer
    from irctl.types import Advance, Reporter


def evaluate(config: Config, run: RunHandle, reporter: Reporter, request: AnswerRequest) -> dict[str, Any]:
    """Answer every question by every system, and measure; the payload of --json."""
    asked = request.check(config)
    baseline = paired_tests.find_baseline(request.baseline, run) if request.baseline else None
    answerer = opening.open_answerer(config, asked.own, str(request.model), reporter)
    every = questions.read(config, asked, answerer.words, answerer.tokenizer)
    check_measurable(asked, every, reporter)
    run.artifact("in", "model", answerer.folder, sha256=answerer.fingerprint, dim=answerer.encoder.dim)
    for file in every.files:
        run.artifact("in", "texts", file)
    prompter = make_prompter(config, asked, answerer, every)
    systems = list_systems(asked, has_passages=prompter.passages is not None)
    reporter.say(
        f"{len(every.all)} questions of {every.dataset}, {len(systems)} ways to give their contexts; rows kept by "
        f"{results.tell_selection(asked, answerer, prompter)}"
    )
    begun = open_begun(asked, answerer, prompter, every.all, config.hardware.precision)
    with reporter.bar("answering", len(systems) * len(every.all), unit="question") as advance:
        found = answer_all(answerer, asked, prompter, systems, every.all, begun, advance)
    if begun.taken:
        reporter.say(f"{begun.taken} answers were there from an evaluation that was stopped")
    payload = results.record(config, run, asked, answerer, every, prompter, found, baseline)
    begun.forget()
    return payload


def check_measurable(asked: AskedAnswers, every: Questions, reporter: Reporter) -> None:
    """DataError where no answer to a question could be right; a warning where nearly any could."""
    for name in asked.task.measures:
        measure = plugins.load(tasks.MEASURES, name)
        for q in every.all:
            if hasattr(measure, "find_fault") and (fault := measure.find_fault(q.row.answers)):
                where = f"{every.files[0]}:{q.row.line}" if q.row.line else f"question {q.id}"
                raise DataError(f"{where}: --task {asked.request.task} measures {tasks.title(name)}, and {fault}")
    bare = sum(not q.row.classes for q in every.all)
    if bare and "class_match" in asked.task.measures:
        reporter.warn(
            f"{bare} of {len(every.all)} questions have no all_classes: an answer that holds a right one counts 1, "
            "however many other names it holds"
        )


def make_prompter(config: Config, asked: AskedAnswers, answerer: Answerer, every: Questions) -> Prompter:
    """What makes the prompts, by the settings and by how the encoder was trained."""
    own, selection = asked.own, answerer.selection(asked.selection)
    positions = int(getattr(answerer.lm.config, "max_position_embeddings", 0)) or own.lm_tokens
    reads = min(own.lm_tokens, positions)
    most = reads - asked.new_tokens
    if most < 1:
        whose = "" if own.new_tokens else f" of --task {asked.request.task}"
        raise ConfigError(
            f"acerag.new_tokens={asked.new_tokens}{whose}: leaves no room for a prompt in the {reads} tokens that "
            f"{answerer.lm_located.name} reads",
            hint=f"Use acerag.new_tokens below {reads}",
        )
    budgets = make_budgets(own, asked.given, answerer, selection, every.words_of, most)
    has_passages = asked.request.cached and all(q.row.passages for q in every.all)
    return Prompter(
        answerer,
        budgets,
        every.all,
        selection=selection,
        scorer=cache(lambda: open_scorer(config, own, answerer.tokenizer)),
        passages=KeptPassages(answerer, budgets) if has_passages else None,
        controls=asked.request.controls,
    )


def answer_all(
    answerer: Answerer,
    asked: AskedAnswers,
    prompter: Prompter,
    systems: Sequence[ContextSystem],
    every: Sequence[Question],
    begun: Begun,
    advance: Advance,
) -> dict[ContextSystem, Answered]:
    """Answers, their values and the tokens that contexts took, of each system. begun: keeps each batch's."""
    found = {system: Answered() for system in systems}
    measures = {m: plugins.load(tasks.MEASURES, m).score for m in asked.task.measures}
    for batch in batches(every):
        for system in systems:
            stopping.check("what was answered is kept")
            had = begun.find(system, batch)
            if had is None:
                had = _generate(answerer, asked, prompter, system, batch)
                begun.add(system, batch, had)
            else:
                prompter.encoded[system.label] += had.encoded
            for q, text, tokens in zip(batch, had.answers, had.tokens, strict=True):
                found[system].answers[q.id] = text
                found[system].tokens[q.id] = tokens
                for name, score in measures.items():
                    value = score(text, q.row.answers, q.row.classes)
                    found[system].scores.setdefault(name, {})[q.id] = value
            advance(len(batch), note=system.label)
    return found


def _generate(
    answerer: Answerer, asked: AskedAnswers, prompter: Prompter, system: ContextSystem, batch: Sequence[Question]
) -> Generated:
    before = prompter.encoded[system.label]
    made = prompter.make(system, batch)
    lm = answerer.tuned.lm if system.kind == TUNED and answerer.tuned else answerer.lm
    given = generate(lm, made, most=asked.new_tokens, end=answerer.tokenizer.eos_token_id)
    texts = [asked.task.read(answerer.tokenizer.decode(ids, skip_special_tokens=True)) for ids in given]
    tokens = [contexts.context_tokens(prompt, q) for q, prompt in zip(batch, made, strict=True)]
    return Generated(tuple(texts), tuple(tokens), prompter.encoded[system.label] - before)


def batches(every: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions of like lengths together, the longest first, as many as fit when padded."""
    lengths = {q.id: len(q.split.head) + len(q.split.context) + len(q.split.tail) for q in every}
    ordered = sorted(every, key=lambda q: (-lengths[q.id], q.id))
    return split_by_tokens(ordered, [lengths[q.id] for q in ordered], READ_AT_ONCE)


def describe(config: Config, request: AnswerRequest) -> dict[str, Any]:
    """What --dry-run prints. Raises for settings and models that are not there; reads no weights."""
    asked = request.check(config)
    if request.baseline:
        paired_tests.find_baseline(request.baseline)
    folder, _ = opening.find_encoder(str(request.model))
    if request.run is None:
        questions.check_here(config.data.source)
    systems = list_systems(asked, has_passages=request.cached)
    prompts.read(asked.own.instructions)
    return {
        "answer": {
            "task": request.task,
            "encoder": str(folder),
            "measures": ", ".join(tasks.title(m) for m in asked.task.measures),
            "systems": [s.label for s in systems],
            "new tokens": asked.new_tokens,
        }
    }
