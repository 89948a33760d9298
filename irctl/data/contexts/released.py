"""AceRAG-Data, the files that its recipes train on: in the hub's cache, or below a folder that somebody filled.

Their folder was renamed when the encoder was: both names are read. `data.root` may stand for the hub, or be the folder
into which the data set was put.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from irctl.data.files import hub
from irctl.errors import DataError

NAME, REPO = "acerag", "wcyno23/AceRAG-Data"
FOLDERS = ("train/compressive_encoder", "train/context_compressor")
"""What the folder is called, and what it was called later."""
FILES = "redpajama longalpaca hotpotqa nq multi_news gov_report trec_fine banking77 arc_easy arc_challenge".split()
SOURCES = tuple(f"{hub.PREFIX}datasets/{REPO}/{FOLDERS[0]}/{name}.json" for name in FILES)


def is_of(source: str) -> bool:
    """Whether a source is a training file of this data set, by either name of its folder."""
    place = hub.parse_source(source) if hub.is_hub(source) else None
    return place is not None and place.repo == REPO and str(PurePosixPath(place.path).parent) in FOLDERS


def find(sources: Sequence[str], root: str = "") -> list[Path]:
    """The files, fetched if they are not here and no root is given.

    Raises DataError that names all that are missing, and where they were looked for.
    """
    found = {source: _find_here(source, root) for source in sources}
    missing = [source for source, path in found.items() if path is None]
    if missing and root:
        raise _missing(missing, f"looked for {' and '.join(map(str, _below(missing[0], root)))}")
    for source in missing:
        try:
            found[source] = _fetch(source)
        except DataError as e:
            raise _missing([s for s in missing if found[s] is None], e.message) from e
    return [path for path in found.values() if path is not None]


def _find_here(source: str, root: str) -> Path | None:
    if root:
        return next((p for p in _below(source, root) if p.is_file()), None)
    named = next((name for name in _names(source) if hub.is_here(name)), None)
    return hub.find_file(named) if named else None


def _fetch(source: str) -> Path:
    first, second = _names(source)
    try:
        return hub.find_file(first)
    except DataError as e:
        if not _is_absent(e):
            raise
        return hub.find_file(second)


def _is_absent(error: DataError) -> bool:
    """Whether the hub answered, and has no such file."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cause = error.__cause__
    return isinstance(cause, EntryNotFoundError) and not isinstance(cause, LocalEntryNotFoundError)


def _names(source: str) -> list[str]:
    """The source by the names of its folder, its own first."""
    place = hub.parse_source(source)
    path = PurePosixPath(place.path)
    folders = sorted(FOLDERS, key=lambda folder: folder != str(path.parent))
    return [str(place._replace(path=f"{folder}/{path.name}")) for folder in folders]


def _below(source: str, root: str) -> list[Path]:
    """Where the file may lie below a root: as on the hub, or as the data set was unpacked."""
    inside = [hub.parse_source(name).path for name in _names(source)]
    return [*(Path(root) / REPO / path for path in inside), *(Path(root) / path for path in inside)]


def _missing(sources: Sequence[str], why: str) -> DataError:
    names = ", ".join(PurePosixPath(s).stem for s in sources)
    return DataError(
        f"AceRAG-Data: not here: {names} ({why})",
        hint=f"irctl data fetch {NAME} where the hub can be reached, and copy HF_HOME here; or put the files at "
        f"DIR/{FOLDERS[0]}/NAME.json and give --set data.root=DIR (irctl data fetch: --root DIR)",
    )
