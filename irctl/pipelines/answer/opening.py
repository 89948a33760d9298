"""Opening what answers: the encoder of a run or folder, and the language model that it was trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.contexts import prompts
from irctl.errors import DataError
from irctl.files import expand
from irctl.models import arithmetic
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.language_model import dtype_of, open_language_model, open_tokenizer
from irctl.models.compressive.located import locate_language_model
from irctl.models.locate import LocatedModel
from irctl.training import precision

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.types import Reporter

SELECTED = {"random": "stride"}
"""How rows are kept of an encoder that was trained otherwise: of random ones those of the stride."""


@dataclass(frozen=True)
class Tuned:
    """A language model that was tuned on the task without compression. identity: hash of its weights."""

    located: LocatedModel
    lm: Any
    identity: str


@dataclass(frozen=True)
class Answerer:
    """fingerprint: of the encoder's weights. lm: frozen, in evaluation mode. words: of prompts and instructions.

    lm_identity: hash of its weights. tuned: where the user names one.
    """

    encoder: CompressiveEncoder
    about: folders.About
    folder: Path
    fingerprint: str
    lm: Any
    lm_located: LocatedModel
    tokenizer: Any
    words: prompts.Words
    attention: str
    lm_identity: str
    tuned: Tuned | None = None

    @property
    def tuned_identity(self) -> str:
        return self.tuned.identity if self.tuned else ""

    @property
    def bos(self) -> int | None:
        found: int | None = self.tokenizer.bos_token_id
        return found

    @cached_property
    def untrained(self) -> CompressiveEncoder:
        """An encoder as it is before training: cut from the language model."""
        cut = CompressiveEncoder.cut(self.lm_located, self.encoder.layers, attention=self.attention)
        return cut.to(self.lm.device).eval()

    def selection(self, asked: str) -> str:
        """How rows are kept: as asked, else as the encoder was trained."""
        return asked or SELECTED.get(self.about.selection, self.about.selection)

    def instruction_ids(self, dataset: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(self.words.instruction(dataset), add_special_tokens=False)["input_ids"])


def find_encoder(model: str) -> tuple[Path, list[str]]:
    """(the encoder's folder, what was passed over) of a run or a folder. Raises DataError."""
    from irctl.ledger import query

    path = expand(model)
    if path.is_dir() and not (path / "run.json").is_file():
        return folders.find(path)
    run = query.newest("train") if model == "latest" else query.find_run(model, completed=True, made=("model",))
    return folders.find(
        run.paths.model if run is not None and run.paths.model.is_dir() else (run.folder if run else path)
    )


def open_answerer(config: Config, own: Any, model: str, reporter: Reporter, *, reads: bool = True) -> Answerer:
    """reads: whether the language model is opened too; compressing alone needs its tokenizer only.

    Raises DataError where encoder and language model do not belong together, or are not here."""
    from irctl.models.fingerprints import fingerprint_state

    folder, passed = find_encoder(model)
    for line in passed:
        reporter.warn(f"passed over: {line}")
    about = folders.read(folder)
    for assumed in about.assumed:
        reporter.warn(f"{folder}: says nothing of its training; assumed: {assumed}")
    name = own.lm or about.lm["name"]
    located = locate_language_model(name, "" if own.lm else about.lm["revision"], reporter)
    reporter.say(f"loading model {model} and {name}")
    tokenizer = open_tokenizer(located)
    described = folders.describe_language_model(name, located.revision, located.folder, tokenizer)
    folders.check_language_model(folder, about, described)
    attention, device = precision.attention(config.model, config.hardware), arithmetic.choose_device(config.hardware)
    dtype = dtype_of(config.hardware.precision)

    def open_lm(place: LocatedModel) -> Any:
        return open_language_model(place, dtype=dtype, attention=attention).to(device).eval()

    encoder = CompressiveEncoder.load(folder, attention=attention).to(device).eval()
    return Answerer(
        encoder=encoder,
        about=about,
        folder=folder,
        fingerprint=fingerprint_state(encoder.state_dict()),
        lm=open_lm(located) if reads else None,
        lm_located=located,
        tokenizer=tokenizer,
        words=_words(own.instructions, about),
        attention=attention,
        lm_identity=described["weights"],
        tuned=_open_tuned(own.tuned_lm, tokenizer, open_lm) if reads and own.tuned_lm else None,
    )


def _open_tuned(name: str, tokenizer: Any, open_lm: Callable[[LocatedModel], Any]) -> Tuned:
    """Raises DataError for one that has other tokens than the frozen model: it would read other prompts."""
    try:
        located = locate_language_model(name)
    except DataError as e:
        raise type(e)(e.message.replace("acerag.lm:", "acerag.tuned_lm:"), hint=e.hint) from e
    own = open_tokenizer(located)
    if own.get_vocab() != tokenizer.get_vocab():
        raise DataError(
            f"acerag.tuned_lm={name}: has {len(own.get_vocab())} tokens, expected the {len(tokenizer.get_vocab())} of "
            "the language model of the encoder",
            hint="Name one that was tuned from it",
        )
    described = folders.describe_language_model(name, located.revision, located.folder, own)
    return Tuned(located, open_lm(located), described["weights"])


def _words(file: str, about: folders.About) -> prompts.Words:
    """Those of a file; without one, what the encoder was told of each data set when it was trained."""
    return prompts.read(file) if file else prompts.Words(encoder=about.instructions)
