"""From the name of a collection to the collection: the one place that knows every layout.

Sources: a built-in name, a BEIR or MS MARCO folder, beir/NAME (after `irctl data fetch`), irds:NAME,
hf://datasets/OWNER/NAME[@REVISION][/PATH], FILE.json:NAME (one entry of an evaluation configuration), a
JSON file of {query, positive, negative} pairs, and recipe:FILE.json (a configuration that ships with the recipes).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths, plugins
from irctl.data.collections import cards, pairs
from irctl.data.collections.beir import BeirFolder
from irctl.data.collections.cards import Card
from irctl.data.collections.collection import Collection, Layout
from irctl.data.collections.mqrel_config import read_config
from irctl.data.collections.msmarco import TRACK_MEASURES, TRACK_TOP_GRADE, MsMarcoFolder
from irctl.data.files import hub
from irctl.data.judgements.qrels import ERROR
from irctl.errors import DataError

if TYPE_CHECKING:
    from irctl.config import Config

SHIPPED = "recipe:"


class NotHere(DataError):
    """A collection that irctl knows and nobody fetched."""


class NotPublic(DataError):
    """A known collection that nobody can fetch for the user, and that does not lie here."""


def open_for(config: Config, source: str = "") -> Collection:
    """The collection that data.source (or `source`) names, read as the configuration says."""
    d = config.data
    return open_collection(
        source or d.source,
        root=d.root,
        title_join=d.title_join,
        fix_encoding=d.fix_encoding,
        on_conflict=config.eval.on_conflict,
    )


def open_collection(
    source: str,
    *,
    root: str = "",
    title_join: str = "space",
    fix_encoding: bool = False,
    on_conflict: str = ERROR,
) -> Collection:
    """The collection that `data.source` names. Raises DataError with the next step if it is not here.

    root: folder that stands for hf:// repositories. fix_encoding: repair double-encoded characters (MS MARCO).
    on_conflict: which grade counts of a pair judged twice (qrels.py).
    """
    if path := mqrel_file(source):
        count = len(read_config(path).sources)
        raise DataError(
            f"{path.stem}: a training configuration of {count} sources has no one corpus; only irctl train reads it",
            hint="Name one data set with --data: a BEIR folder, a collection, or FILE.json:NAME of an evaluation file",
        )
    card, layout = _find(_shipped(source), root, fix_encoding)
    return Collection(
        card, layout, root=root, title_join=title_join, fix_encoding=fix_encoding, on_conflict=on_conflict
    )


def check_named(source: str, root: str = "") -> None:
    """DataError where no data set is called so; one that is known need not be on this machine."""
    is_elsewhere = source.startswith("irds:") or hub.is_hub(source)
    if not (is_elsewhere or cards.key_of(source) or mqrel_file(source)):
        _find(_shipped(source), root, fix_encoding=False)


def mqrel_file(source: str) -> Path | None:
    """The training configuration that a source names (training_source.py opens it); None for a collection."""
    path = Path(_shipped(source))
    is_table = path.suffix in (".json", ".toml") and path.is_file()
    return path if is_table and not pairs.is_pairs(path) else None


def _shipped(source: str) -> str:
    """The path behind recipe:FILE.json, wherever irctl is installed; any other source as it is."""
    if not source.startswith(SHIPPED):
        return source
    folder = paths.shipped("recipes") / "data"
    name, colon, entry = source.removeprefix(SHIPPED).partition(":")
    known = sorted(p.name for p in folder.glob("*.json"))
    if name not in known:
        raise DataError(f"{source}: no such file among the recipes", hint=plugins.nearest(name, known))
    return f"{folder / name}{colon}{entry}"


def _find(source: str, root: str, fix_encoding: bool) -> tuple[Card, Layout]:
    if source.startswith("irds:"):
        from irctl.data.collections.irds import IrdsLayout, measures_of

        layout = IrdsLayout(source.removeprefix("irds:"))
        measures = measures_of(layout.name)
        top_grades = {split: TRACK_TOP_GRADE for split, preset in measures.items() if preset == TRACK_MEASURES}
        return replace(_default_card(layout.name, layout), measures=measures, top_grades=top_grades), layout
    if hub.is_hub(source):
        return _folder(
            hub.find_beir_folder(source, root), fix_encoding, name=hub.parse_source(source).repo.split("/")[1]
        )
    key = cards.key_of(source)
    if key is not None and not source.startswith((".", "/")):
        return _built_in(key, root, fix_encoding)
    path, _, entry = source.rpartition(":")
    if Path(path).suffix in (".json", ".toml") and Path(path).is_file():
        from irctl.data.collections.suites import suite_layout

        return suite_layout(Path(path), entry, root)
    if Path(source).is_dir():
        return _folder(Path(source), fix_encoding)
    if Path(source).is_file():
        return pairs.pairs_layout(Path(source))
    if source in cards.groups():
        raise DataError(
            f"{source}: a group of {len(cards.groups()[source])} collections", hint="irctl eval takes groups"
        )
    hint = plugins.nearest(source, list(cards.built_in()), "irctl data ls lists the known collections")
    raise DataError(f"data.source: no collection, folder or file '{source}'", hint=hint)


def _built_in(name: str, root: str, fix_encoding: bool) -> tuple[Card, Layout]:
    card = cards.built_in()[name]
    if card.parts:
        raise DataError.of(
            name, f"stands for {len(card.parts)} collections", hint=f"Use one, such as {name}/{card.parts[0]}"
        )
    if card.source:
        layout = find_layout(hub.find_beir_folder(card.source, root), fix_encoding=fix_encoding)
        return _with_tracks(card, layout), layout
    folder = folder_of(name)
    if not folder.is_dir():
        if not card.public:
            raise NotPublic.of(name, f"not public ({card.license})", hint=f"Put a BEIR folder at {folder}")
        raise NotHere.of(name, "not on this machine", hint=f"irctl data fetch {card.same_as or name}")
    layout = find_layout(folder, fix_encoding=fix_encoding)
    return _with_tracks(card, layout), layout


def folder_of(name: str) -> Path:
    """Where a built-in collection lies, or is fetched to."""
    card = cards.built_in()[name]
    if name == cards.BUILT_IN:
        return paths.shipped("collections") / name
    base = paths.cache() / "collections"
    if card.same_as.startswith("beir/"):
        return base / name  # a part of the archive it shares
    return base / (card.same_as or name)


def is_present(source: str, *, root: str = "") -> bool:
    """Whether a collection can be opened without fetching it."""
    key = cards.key_of(source)
    if key is None:
        return Path(_shipped(source)).exists()
    card = cards.built_in()[key]
    if card.source:
        return bool(root) and (Path(root) / hub.parse_source(card.source).repo).is_dir()
    return is_fetched(key)


def is_fetched(name: str) -> bool:
    """Whether the folder of a built-in collection, or of each of its parts, is there."""
    parts = cards.built_in()[name].parts
    return all(folder_of(n).is_dir() for n in ([f"{name}/{part}" for part in parts] or [name]))


def find_layout(
    folder: Path, *, fix_encoding: bool = False, hint: str = "irctl data check says what is missing"
) -> BeirFolder | MsMarcoFolder:
    """How the files of a folder are named. Raises DataError, with this hint, where it is neither layout."""
    if BeirFolder.is_one(folder):
        return BeirFolder(folder, fix_encoding=fix_encoding)
    if MsMarcoFolder.is_one(folder):
        return MsMarcoFolder(folder, fix_encoding=fix_encoding)
    raise DataError.of(folder, "neither corpus.jsonl nor collection.tsv there", hint=hint)


def _folder(folder: Path, fix_encoding: bool, name: str = "") -> tuple[Card, Layout]:
    layout = find_layout(folder, fix_encoding=fix_encoding)
    card = cards.read_card(folder) or _default_card(name or folder.resolve().name, layout)
    return _with_tracks(card, layout), layout


def _with_tracks(card: Card, layout: Layout) -> Card:
    """The card with measures and scale of the TREC Deep Learning tracks that the folder holds, where it is silent."""
    tracks = layout.tracks() if isinstance(layout, MsMarcoFolder) else ()
    return replace(
        card,
        measures={**dict.fromkeys(tracks, TRACK_MEASURES), **card.measures},
        top_grades={**dict.fromkeys(tracks, TRACK_TOP_GRADE), **card.top_grades},
    )


def _default_card(name: str, layout: Layout) -> Card:
    """A card for data without one: nDCG@10 on test, else on dev, else on its first split."""
    splits = layout.splits()
    headline = next((s for s in ("test", "dev") if s in splits), splits[0] if splits else "test")
    return Card(name=name, format=layout.format, headline_split=headline, splits=splits)
