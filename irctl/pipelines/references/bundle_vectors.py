"""The float vectors whose codes a bundle holds: for re-ranking, and for trainings against an index.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing, paths
from irctl.errors import DataError
from irctl.index.bundle import Bundle
from irctl.index.faiss_import import ENDINGS
from irctl.index.joined_stream import JoinedStream
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.stream import TransformedStream
from irctl.types import Stream

if TYPE_CHECKING:
    from irctl.config import Config


TEXTS = "texts of "
"""What the name of a source begins with whose vectors were never stored (`encode --codes`)."""


MOVED = "Put them back, or say where they have moved: --set compress.source=PLACE"
"""How a user says it."""


def open_source(bundle: Bundle, config: Config) -> Stream:
    """The vectors that a bundle was made of, then those appended to it: row i is that of code row i.

    Where it has a transform they come through it, as its quantizer saw them. Looked for where compress.source says, by
    the names that the manifest keeps, beside the bundle, among what runs wrote, and in the cache of encoded corpora;
    opened only if it is the same content. DataError naming the command that makes them again where they are gone.
    """
    streams = [stream for stream, _ in _find_all(bundle, config)]
    raw = JoinedStream(streams) if len(streams) > 1 else streams[0]
    fitted = transform_files.of_bundle(bundle)
    return raw if fitted is None else TransformedStream(raw, fitted)


def name_source(bundle: Bundle, config: Config) -> list[str]:
    """Names that open these vectors, one after the other, in another process (data.vectors.open).

    They are raw there: the bundle's transform is still to come.
    """
    return [name for _, name in _find_all(bundle, config)]


def _find_all(bundle: Bundle, config: Config) -> list[tuple[Stream, str]]:
    root, about = config.data.root, bundle.manifest.get("about", {})
    sources = [bundle.manifest.get("source", {}), *(a["source"] for a in bundle.manifest.get("appended", ()))]
    fitted = transform_files.of_bundle(bundle)
    dim = bundle.dim if fitted is None else fitted.transform.dim
    named = config.compress.source if "compress.source" in config.origins else ""
    found = [_find(bundle.folder, source, about, root, named) for source in sources]
    for (stream, _), source in zip(found, sources, strict=True):
        rows = int(source.get("rows", stream.rows))
        if (stream.rows, stream.dim) != (rows, dim):
            raise DataError(
                f"{bundle.folder}: expected {rows} vectors of {dim} dimensions behind its codes, "
                f"found {stream.rows} of {stream.dim} in {source.get('name')}"
            )
    return found


def _find(
    folder: Path, source: Mapping[str, Any], about: Mapping[str, Any], root: str, named: str
) -> tuple[Stream, str]:
    """One input by name, ledger or cache, and how it was found; the same content, or DataError.

    named: where the user says that they are now.
    """
    from irctl.data.vectors.open import is_remote_name, open_vectors, split_columns
    from irctl.ledger import query
    from irctl.ledger.files import places

    name, expected, key = (str(source.get(k, "")) for k in ("name", "fingerprint", "key"))
    if Path(name).suffix in ENDINGS:
        raise DataError(
            f"{folder}: its codes came from {name}: there are no vectors behind them",
            hint="Encode the corpus and compress it here",
        )
    texts = name.removeprefix(TEXTS) if name.startswith(TEXTS) else ""
    candidates: list[str] = [] if texts else [str(places.here_of(name)) if name.startswith("/") else name]
    if name.startswith("/"):  # moved together with the bundle
        candidates.append(str(folder.absolute().parent / Path(name).name))
    candidates = [named, *candidates] if named else candidates
    if key:
        candidates += map(str, query.outputs("embeddings", key))
        candidates.append(str(paths.cache() / "emb" / key[:16]))
    with hashing.like(expected):
        for candidate in candidates:
            if is_remote_name(candidate) or Path(split_columns(candidate)[0]).exists():
                stream = open_vectors(candidate, root=root)
                # codes of texts know the key of their vectors, which whoever encodes them later gives the folder
                if expected in (stream.fingerprint, stream.about.get("key")):
                    return stream, candidate if is_remote_name(candidate) else _absolute(candidate)
    raise DataError(
        f"{folder}: the vectors behind its codes ({name}) are not here"
        + (": they were never stored" if texts else " any more, or have changed"),
        hint=_again({**about, "data": texts} if texts else about, never=bool(texts)),
    )


def _absolute(name: str) -> str:
    """A path that means the same in another folder, its #COLUMN kept."""
    return str(Path(name).absolute())


def _again(about: Mapping[str, Any], *, never: bool) -> str:
    """The command that makes them again, where they were an encoding; and how to say where they are. never: stored."""
    model, data = about.get("model"), about.get("data") or about.get("collection")
    if model and data:
        return f"irctl encode --model {shlex.quote(model)} --data {shlex.quote(data)} makes them again" + (
            "" if never else f". {MOVED}"
        )
    return MOVED
