"""Opening what a training of a compressive encoder is made of: language model, encoder, rows, and rules."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from irctl.config import Config
from irctl.data.contexts import prompts
from irctl.models import arithmetic
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.language_model import dtype_of, open_language_model, open_tokenizer
from irctl.models.compressive.located import locate_language_model
from irctl.models.locate import LocatedModel
from irctl.training import precision
from irctl.training.activations import checkpoint_activations
from irctl.training.method import Context
from irctl.training.texts import rows as row_files
from irctl.training.texts import settings
from irctl.training.texts.compressive_method import CompressiveMethod, TextTraining, check_device
from irctl.training.texts.rows import RowPlan
from irctl.training.texts.samples import Rules, TextSample, joined, text_sample, tuning_sample
from irctl.training.texts.settings import Compression
from irctl.training.texts.teacher import AnsweringTeacher

REPEAT = "\nThe text again:\n"
"""What asks the language model to repeat the rows it has read."""


def open_training(config: Config, context: Context) -> CompressiveMethod:
    """Raises ConfigError or DataError where settings, models and data make no training."""
    check_device(config.hardware.zero_stage)
    compression = settings.read(config)
    own = compression.own
    located = locate_language_model(own.lm, config.model.revision, context.reporter)
    tokenizer = open_tokenizer(located)
    attention = precision.attention(config.model, config.hardware)
    lm = open_language_model(located, dtype=dtype_of(config.hardware.precision), attention=attention).to(
        arithmetic.choose_device(config.hardware)
    )
    described = folders.describe_language_model(own.lm, located.revision, located.folder, tokenizer)
    encoder, stages = _open_encoder(config, own, located, described, attention, context)
    if config.train.gradient_checkpointing:
        checkpoint_activations(lm)
        checkpoint_activations(encoder)
    plan = plan_of(config, compression, tokenizer)
    if own.targets == "teacher":
        plan = AnsweringTeacher(config, located, tokenizer).teach(plan, context.reporter)
    words = prompts.read(own.instructions)
    rules = rules_of(config, compression, tokenizer, lm)
    make = SampleMaker(
        plan, rules, own.stage, {s.dataset: _instruction(tokenizer, words, s.dataset) for s in plan.stored}
    )
    about = folders.About(
        lm=described,
        layers=encoder.layers,
        ratios=compression.ratios,
        selection=own.selection,
        grid=own.grid,
        chunk_tokens=own.chunk_tokens,
        window=own.window if own.stage == "pt" else 0,
        instructions={s.dataset: words.instruction(s.dataset) for s in plan.stored} if own.stage == "ft" else {},
        stages=(*stages, {"stage": own.stage, "run": context.paths.folder.name, "irctl": version("irctl")}),
    )
    return CompressiveMethod(
        TextTraining(
            encoder=encoder,
            lm=lm,
            tokenizer=tokenizer,
            rows=plan.units,
            make=make.training,
            held_out=cache(partial(make.held_out, selection="mean" if own.selection == "mean" else "stride")),
            ratios=compression.ratios,
            fingerprint=plan.fingerprint,
            about=about,
            inputs=(
                {"kind": "model", "path": str(located.folder), "sha256": described["weights"], "dim": encoder.dim},
            ),
            weight_decay=config.train.weight_decay,
            micro=context.plan.micro,
        )
    )


def plan_of(config: Config, compression: Compression, tokenizer: Any) -> RowPlan:
    """The rows of the settings: tokenised on the first call, mapped afterwards."""
    own = compression.own
    files = row_files.find_files(compression, config.data.root)
    words = prompts.read(own.instructions)
    stored = row_files.open_rows(files, tokenizer, words, stage=own.stage, chat_template=own.chat_template)
    return row_files.plan_rows(stored, compression, config.run.seed)


def rules_of(config: Config, compression: Compression, tokenizer: Any, lm: Any) -> Rules:
    """How rows are compressed."""
    own = compression.own
    longest = int(getattr(lm.config, "max_position_embeddings", 0)) or own.lm_tokens
    return Rules(
        ratios=compression.ratios,
        selection=own.selection,
        grid=own.grid,
        shuffle_rows=own.shuffle_rows,
        chunk_tokens=own.chunk_tokens,
        window=own.window,
        most_tokens=longest if own.stage == "pt" else min(own.lm_tokens, longest),
        reconstruction=own.reconstruction,
        bos=tokenizer.bos_token_id,
        repeat_ids=tuple(tokenizer(REPEAT, add_special_tokens=False)["input_ids"]) if own.reconstruction else (),
        seed=config.run.seed,
    )


class SampleMaker:
    """Samples of the rows of a plan. It is copied to loader workers: arrays stay mapped."""

    def __init__(self, plan: RowPlan, rules: Rules, stage: str, instructions: dict[str, tuple[int, ...]]) -> None:
        self.plan, self.rules, self.stage, self.instructions = plan, rules, stage, instructions

    def training(self, unit: int, epoch: int) -> TextSample:
        """Rows of one context are drawn for as the first of them, so that they have one ratio and one encoding."""
        (first, *_), *_ = rows = self.plan.unit(unit)
        drawn_for = int(self.plan.stored[first].row_ids_N[rows[0][1]])
        return joined([self._make(file, row, epoch, self.rules, None, drawn_for) for file, row in rows])

    def held_out(self, ratio: int | None, *, selection: str) -> list[TextSample]:
        """All that is held out, at one ratio; nothing of it is drawn."""
        from dataclasses import replace

        rules = replace(self.rules, selection=selection, reconstruction=0.0, shuffle_rows=False)
        return [self._make(file, number, 0, rules, ratio) for file, number in self.plan.held_out_M2.tolist()]

    def _make(
        self, file: int, number: int, epoch: int, rules: Rules, ratio: int | None, drawn_for: int | None = None
    ) -> TextSample:
        stored = self.plan.stored[file]
        split = stored.split(number)
        row_id = int(stored.row_ids_N[number]) if drawn_for is None else drawn_for
        where = f"{stored.dataset}:{int(stored.lines_N[number])}"
        if self.stage == "pt":
            return text_sample(split.context, rules, row_id=row_id, epoch=epoch, where=where, ratio=ratio)
        instruction_ids = self.instructions[stored.dataset]
        return tuning_sample(
            split, rules, instruction_ids=instruction_ids, row_id=row_id, epoch=epoch, where=where, ratio=ratio
        )


def _open_encoder(
    config: Config, own: Any, located: LocatedModel, lm: dict[str, str], attention: str, context: Context
) -> tuple[CompressiveEncoder, tuple[dict[str, str], ...]]:
    """(the encoder to begin with, the stages that it has behind it)."""
    if not config.train.init:
        return CompressiveEncoder.cut(located, own.layers, attention=attention), ()
    folder, passed = folders.find(Path(config.train.init))
    for line in passed:
        context.reporter.warn(f"passed over: {line}")
    about = folders.read(folder)
    folders.check_language_model(folder, about, lm)
    for assumed in about.assumed:
        context.reporter.warn(f"{folder}: says nothing of its training; assumed: {assumed}")
    return CompressiveEncoder.load(folder, attention=attention), about.stages


def _instruction(tokenizer: Any, words: prompts.Words, dataset: str) -> tuple[int, ...]:
    return tuple(tokenizer(words.instruction(dataset), add_special_tokens=False)["input_ids"])
