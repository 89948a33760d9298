"""Where a language model lies: a folder, a hub id, or a small one, which is made when it is first named."""

from __future__ import annotations

from irctl.data.files import made_once
from irctl.errors import ConfigError, DataError
from irctl.models.locate import LocatedModel, find_local, locate
from irctl.types import Reporter, Silent

SMALL = {
    "recall-llama": ("recall", "llama", 2),
    "recall-qwen3": ("recall", "qwen3", 2),
    "recall-llama-4": ("recall", "llama", 4),
    "entities-llama": ("entities", "llama", 2),
}
"""Names of small models, the tasks that they learn, their shapes and layers."""
VERSION, SEED = 1, 1


def locate_language_model(name: str, revision: str = "", reporter: Reporter | None = None) -> LocatedModel:
    """Its folder. Raises ConfigError where none is named, DataError where it is not here."""
    check_named(name)
    if name in SMALL:
        return _small(name, reporter or Silent())
    try:
        return locate(name, revision)
    except DataError as e:
        raise type(e)(f"acerag.lm: {e.message}", hint="Give a folder, or fetch it where the hub can be reached") from e


def find_language_model(name: str, revision: str = "") -> LocatedModel | None:
    """Its folder if it is here already; nothing is fetched or made."""
    check_named(name)
    if name in SMALL:
        folder = made_once.find_made(KIND, _key(name))
        return LocatedModel(folder, name, "", "made") if folder else None
    return find_local(name, revision)


def check_named(name: str) -> None:
    """ConfigError where no language model is named."""
    if not name:
        raise ConfigError(
            "acerag.lm: names no language model", hint=f"--set acerag.lm=FOLDER, a hub id, or {' or '.join(SMALL)}"
        )


KIND = "language-models"


def _key(name: str) -> str:
    return made_once.key_of({"name": name, "version": VERSION, "seed": SEED})


def _small(name: str, reporter: Reporter) -> LocatedModel:
    from irctl.models.compressive import tiny_lm

    task, shape, layers = SMALL[name]
    folder = made_once.make_once(
        KIND,
        _key(name),
        lambda work: tiny_lm.make(work, shape, task=tiny_lm.TASKS[task], seed=SEED, layers=layers, reporter=reporter),
    )
    return LocatedModel(folder, name, "", "made")
