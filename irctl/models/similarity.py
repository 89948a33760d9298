"""By what a model's vectors are compared: dot, cosine or euclid, by its folder's word and the settings.

normalize: encoder.normalize as it was set: true, false, or empty. asked: search.similarity, or empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl import tables
from irctl.errors import ConfigError, DataError
from irctl.models.locate import ADAPTER, LocatedModel

if TYPE_CHECKING:
    from irctl.config import Config

SIMILARITIES = {"dot": "dot", "cosine": "cosine", "euclidean": "euclid"}


def name_similarity(similarity: str) -> str:
    """sentence-transformers' name of dot, cosine or euclid."""
    return next(name for name, own in SIMILARITIES.items() if own == similarity)


UNKNOWN = "the model's own, known when it is opened"


def describe_similarity(asked: str, normalize: str, located: LocatedModel | None) -> str:
    """What a dry run says of the similarity: asked for, or the model's own, whose folder is read without torch."""
    own = read_similarity(located, normalize) if located is not None else ""
    return asked or own or UNKNOWN


def describe_training(located: LocatedModel | None, config: Config) -> str:
    """What a dry run says a training compares by."""
    own = of_training(located, config)[0] if located is not None else config.model.similarity
    return config.search.similarity or own or UNKNOWN


def read_similarity(located: LocatedModel, normalize: str, normalizes: bool | None = None) -> str:
    """The similarity that `resolve` finds, from the folder's files alone; empty for adapters, whose model says it.

    normalizes: whether its vectors are of length 1, where something comes after its modules.
    """
    if (located.folder / ADAPTER).is_file():
        return ""
    if not located.is_sentence_transformers:
        return "dot"
    path = located.folder / "config_sentence_transformers.json"
    name = tables.json_object(path).get("similarity_fn_name") if path.is_file() else None
    had = _has_normalize(located) if normalizes is None else normalizes
    return settle_similarity(str(name or "cosine"), located, normalize, had)


def of_training(located: LocatedModel, config: Config) -> tuple[str, bool]:
    """(by what a training of this model compares, empty where only its opening tells; whether vectors are of length 1).

    A head is compared as the folder says, but by no shortcut of vectors of length 1.
    """
    has_head, asked = bool(config.model.output_dim), config.model.similarity
    normalize = config.encoder.normalize
    if has_head:
        return asked or read_similarity(located, normalize, normalizes=False), False
    return asked or read_similarity(located, normalize), makes_unit_vectors(located, normalize)


def makes_unit_vectors(located: LocatedModel, normalize: str) -> bool:
    """Whether the model normalises, from its folder's files and the settings."""
    if normalize:
        return normalize == "true"
    return _has_normalize(located)


def _has_normalize(located: LocatedModel) -> bool:
    return normalizes_last(located, read_modules(located))


def normalizes_last(located: LocatedModel, entries: list[dict[str, str]]) -> bool:
    """Whether the last module scales vectors to length 1: those of a head after a Normalize are not of length 1.

    entries: of modules.json.
    """
    kept = [entry for entry in entries if not entry["type"].endswith(".Dropout")]
    if not kept or not kept[-1]["type"].endswith(".Router"):
        return bool(kept) and kept[-1]["type"].endswith(".Normalize")
    path = located.folder / kept[-1]["path"] / "router_config.json"
    routes = tables.json_object(path)
    tables.check(routes, {"structure": {"*": [str]}}, str(path))
    return all(route and route[-1].endswith("_Normalize") for route in routes["structure"].values())


def read_modules(located: LocatedModel) -> list[dict[str, str]]:
    """modules.json of a folder: type and path of each module; empty if there is none."""
    path = located.folder / "modules.json"
    if not path.is_file():
        return []
    entries: list[dict[str, str]] = tables.parse_json(path.read_bytes(), str(path))
    tables.check(entries, [{"type": str, "path": str}], str(path))
    return entries


def settle_similarity(name: str, located: LocatedModel, normalize: str, had: bool) -> str:
    """had: the folder normalises. Where encoder.normalize=false is set, vectors are compared as they are: by dot.

    Also those of a folder that does not normalise and names no similarity, whose default is the cosine: ANCE's.
    """
    if name not in SIMILARITIES:
        raise DataError(f"{located.folder}: no search by similarity '{name}'", hint="Known: dot, cosine, euclid")
    is_normalized = normalize == "true" or (had and normalize != "false")
    if name == "cosine" and not is_normalized and (had or normalize == "false"):
        return "dot"
    # of unit vectors the cosine is the dot product, and is cheaper so
    return "dot" if is_normalized and name == "cosine" else SIMILARITIES[name]


def check_similarity(asked: str, own: str, is_normalized: bool) -> None:
    """ConfigError where training is asked for another similarity than the model's own, by which it compares."""
    same = {own, *(("dot", "cosine") if is_normalized and own == "dot" else ())}
    if asked and own and asked not in same:
        raise ConfigError(
            f"search.similarity={asked}: training compares by the model's own similarity, {own}",
            hint="Leave it out; encoder.normalize=false compares by the dot product of vectors as they are",
        )
