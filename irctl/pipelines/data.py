"""Listing, fetching, checking and converting collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from irctl.data.collections import cards
from irctl.data.collections.open import is_present, open_collection
from irctl.data.contexts import entities, entity_files, released
from irctl.errors import DataError
from irctl.types import Reporter


def listing(group: str = "", *, root: str = "") -> list[dict[str, Any]]:
    """One row a known collection, or those of a group. Raises DataError for an unknown group."""
    if group and group not in cards.groups():
        from irctl import plugins

        raise DataError(f"no group named '{group}'", hint=plugins.nearest(group, list(cards.groups())))
    wanted = cards.groups()[group] if group else tuple(n for n, c in cards.built_in().items() if "/" not in c.same_as)
    return [_row(name, cards.built_in()[name], root) for name in wanted]


def _row(name: str, card: cards.Card, root: str) -> dict[str, Any]:
    return {
        "name": name,
        "split": card.headline_split,
        "measure": card.headline_measure,
        "queries": card.queries or None,
        "passages": card.passages or None,
        "self_match": card.self_match,
        "here": "yes" if is_present(name, root=root) else "no" if card.public else "not public",
        "groups": " ".join(card.groups),
    }


def fetch(name: str, reporter: Reporter, *, root: str = "") -> dict[str, Any]:
    """Fetch one collection, or each of a group; returns their folders, and the closed members that are not here."""
    from irctl.data.collections.fetch import fetch_collection

    if name == entities.NAME:
        return {"folders": {name: str(entity_files.folder())}}
    if name == released.NAME:
        return {"folders": {name: str(released.find(released.SOURCES, root)[0].parent)}}
    names = cards.groups().get(name, (name,))
    private = [] if name in names else [n for n in names if not cards.built_in()[n].public]
    private = [n for n in private if not is_present(n, root=root)]
    closed = {n: f"not to be downloaded ({cards.built_in()[n].license})" for n in private}
    folders = {n: str(fetch_collection(n, reporter, root=root)) for n in names if n not in closed}
    return {"folders": folders, **({"left_out": closed} if closed else {})}


def check(path: str, *, max_len: int = 0, model: str = "", limit: int = 10, root: str = "") -> dict[str, Any]:
    """Everything that is wrong with a folder or a known collection."""
    from irctl.data.collections.check import check_folder

    folder = Path(path)
    if not folder.is_dir() and cards.key_of(path):
        folder = open_collection(path, root=root).folder
    report = check_folder(folder, max_len=max_len, count_tokens=_counter(model) if max_len else None, limit=limit)
    return {
        "folder": str(folder),
        "errors": report.errors,
        "warnings": report.warnings,
        "counts": report.counts,
        "kinds": report.kinds(),
        "findings": report.findings,
    }


def _counter(model: str) -> Callable[[Sequence[str]], Sequence[int]]:
    """Tokens of each text, special ones included, by an encoder's own tokenizer."""
    from irctl.config import from_sets, resolve
    from irctl.models.encoder import load_encoder

    config = resolve(from_sets([f"model.name={model}"] if model else []))
    tokenizer: Any = load_encoder(config).module.tokenizer

    def count(texts: Sequence[str]) -> list[int]:
        encoded = tokenizer(list(texts), truncation=False, padding=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]

    return count


def convert(
    source: str, out: str, to: str, *, root: str = "", fix_encoding: bool = False, **pairs: Any
) -> dict[str, Any]:
    """Write a collection in another layout. pairs: fields of PairOptions."""
    from irctl.data.collections.convert import convert_collection
    from irctl.data.collections.to_pairs import PairOptions

    collection = open_collection(source, root=root, fix_encoding=fix_encoding)
    return convert_collection(collection, Path(out), to, PairOptions(**pairs))
