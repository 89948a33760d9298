"""Texts and prompts with a context, for a compressive encoder: tokenised once, filtered, mixed, a part held out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.data.contexts import prompts
from irctl.errors import ConfigError
from irctl.files import expand
from irctl.origins import derived
from irctl.pipelines.train.data_kinds import _texts_memory
from irctl.pipelines.train.method_settings import is_asked
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.batch_plan import GroupSizes
from irctl.training.texts import settings
from irctl.training.texts.settings import Compression
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.train.memory import ModelMemory
    from irctl.training.texts.rows import RowPlan
    from irctl.training.texts.teacher import AnsweringTeacher

NOT_READ = ("loss", "encoder", "search", "hardneg", "transform", "data", "prompts", "compress")
"""Sections of settings that such a training reads nothing of; of `data` it reads the root."""
READ = ("data.root", "run.dataset")
NOT_READ_KEYS = ("train.index", "train.regularizer", "train.epoch_models", "model.name", "model.freeze_base",
                 "model.lora_r", "model.output_dim", "eval.patience")  # fmt: skip


def settle(config: Config) -> Config:
    """The configuration with the encoder that train.init means by its folder, so that a resume means the same one.

    Raises ConfigError for one that this training cannot go on with.
    """
    from irctl.models.compressive import folder as folders

    own = settings.read(config).own
    if config.train.init:
        folder = find_init(config.train.init)
        config = config.replace({"train.init": str(folder)}, config.origin("train.init"))
        settings.check_chain(config, own, folders.count_layers(folder), folders.read(folder).stages)
    if own.stage == "pt" and not config.batch.micro:
        config = config.replace({"batch.micro": 1}, derived("stage pt: a text is many sequences"))
    return config


def find_init(name: str) -> Path:
    """The encoder's folder of a run, a recipe's newest run (latest:NAME) or a folder. Raises DataError."""
    from irctl.ledger import query
    from irctl.ledger.database.store import warn_once
    from irctl.ledger.files import run_json
    from irctl.models.compressive import folder as folders

    place = expand(name)
    if not place.is_dir() or run_json.is_run(place):
        place = query.find_run(name, completed=True, made=("model",)).folder
    found, passed = folders.find(place)
    for line in passed:
        warn_once(f"passed over: {line}")
    return found


def check(config: Config) -> None:
    """Refuse settings that contradict each other, those that nothing reads, and a device that is too small."""
    for key in config.origins:
        section = key.split(".")[0]
        unread = key in NOT_READ_KEYS or (section in NOT_READ and key not in READ)
        if unread and is_asked(config, key):
            raise ConfigError(
                f"{key} (from {config.origins[key]}): a training of a compressive encoder does not read it",
                hint="Its data are acerag.data_files, its models acerag.lm and train.init"
                if section != "loss"
                else "Drop it",
            )
    compression = settings.read(config)
    _texts_memory.check(config, compression)
    prompts.read(compression.own.instructions)


def memory_of(config: Config) -> ModelMemory | None:
    """What the training takes in memory and on disk; None where nothing is known of the language model."""
    return _texts_memory.of_training(config, settings.read(config))


def describe(config: Config) -> Described:
    """What a training would find; files are tokenised where the language model's tokenizer is here."""
    compression = settings.read(config)
    memory = _texts_memory.lines(config, compression)
    facts = _facts(compression)
    found = _plan(config, compression, None)
    if isinstance(found, str):
        return Described(facts, {"not on this machine": [found]}, None, memory=memory)
    notices = _notices(compression, found)
    if compression.own.targets == "teacher" and not _teacher(config, compression).is_made(found):
        notices.append(f"{compression.own.lm} answers every training row first: acerag.targets=teacher")
    lists = {"files": [s.line() for s in found.shares], "notices": notices}
    facts |= {"rows trained on": len(found.taken_N2), "rows held out": len(found.held_out_M2)}
    facts |= {"contexts trained on": found.units} if compression.own.by_context else {}
    return Described(facts, {k: v for k, v in lists.items() if v}, GroupSizes(found.units, 0), memory=memory)


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Tokenise what is not yet, and say what is taken of each file."""
    compression = settings.read(config)
    found = _plan(config, compression, reporter)
    assert not isinstance(found, str)
    if compression.own.targets == "teacher":
        found = _teacher(config, compression).teach(found, reporter)
    for share in found.shares:
        reporter.say(share.line())
    for line in _notices(compression, found):
        reporter.say(line)
    names = ",".join(s.dataset for s in found.stored)
    run.note(
        dataset=dataset_name(config.run.dataset, names), dataset_fingerprint=found.fingerprint, model=compression.own.lm
    )
    for path, stored in zip(_files(config, compression), found.stored, strict=True):
        run.artifact("in", "rows", path, sha256=stored.fingerprint, n_rows=len(stored))
    if config.train.init:
        run.artifact("in", "model", Path(config.train.init), sha256="")
    config = config.replace({"run.dataset": dataset_name(config.run.dataset, names)}, derived("acerag.data_files"))
    return Prepared(config, GroupSizes(found.units, 0))


def _plan(config: Config, compression: Compression, reporter: Reporter | None) -> RowPlan | str:
    """The rows; without a reporter only what is here is wanted: what is missing."""
    from irctl.errors import DataError
    from irctl.models.compressive import folder as folders
    from irctl.models.compressive.language_model import open_tokenizer
    from irctl.models.compressive.located import find_language_model, locate_language_model
    from irctl.training.texts.opening import plan_of

    own = compression.own
    if reporter is None:
        located = find_language_model(own.lm, config.model.revision)
        if located is None:
            return f"{own.lm}, whose tokenizer counts the rows"
        try:
            _files(config, compression)
        except DataError as e:
            return e.message
    else:
        _files(config, compression)  # before a small language model is made, which takes half a minute
        located = locate_language_model(own.lm, config.model.revision, reporter)
    tokenizer = open_tokenizer(located)
    if config.train.init:
        init = Path(config.train.init)
        lm = folders.describe_language_model(own.lm, located.revision, located.folder, tokenizer)
        folders.check_language_model(init, folders.read(init), lm)
    return plan_of(config, compression, tokenizer)


def _teacher(config: Config, compression: Compression) -> AnsweringTeacher:
    from irctl.models.compressive.language_model import open_tokenizer
    from irctl.models.compressive.located import locate_language_model
    from irctl.training.texts.teacher import AnsweringTeacher

    located = locate_language_model(compression.own.lm, config.model.revision)
    return AnsweringTeacher(config, located, open_tokenizer(located))


def _files(config: Config, compression: Compression) -> list[Path]:
    from irctl.training.texts.rows import find_files

    return find_files(compression, config.data.root)


def _facts(compression: Compression) -> dict[str, Any]:
    own = compression.own
    return {
        "stage": own.stage,
        "language model": own.lm,
        "encoder": f"its first {own.layers} layers",
        "ratios": " ".join(map(str, compression.ratios)),
        "rows kept": f"{own.selection}, grid {own.grid}",
    }


def _notices(compression: Compression, found: RowPlan) -> list[str]:
    if compression.own.stage == "pt":
        return []
    unknown = [s.dataset for s in found.stored if not prompts.is_known(s.dataset)]
    return [f"{name}: no instruction is known for it, so chunks have none" for name in unknown]
