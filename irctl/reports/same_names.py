"""Data sets of one name that are not one: told apart where some system was measured on both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from irctl.reports.records import Record

Identity = tuple[str, str]
"""(hash of the judgements, hash of the documents or empty)."""

HASH = 8
"""Digits of a hash that tell a data set from others of its name."""


def tell_apart(records: Iterable[Record]) -> list[Record]:
    """The records with a longer name for each of several data sets of one name: their folder, else a hash.

    Only where a newer evaluation would replace one of other judgements or documents as if it were the same. Of
    different systems on different data, tables say what differs. `Record.called` keeps the name in the run's files.
    """
    shown = list(records)
    of_place: dict[tuple[str, str], list[Record]] = {}
    for r in shown:
        of_place.setdefault((r.dataset, r.split), []).append(r)
    names: dict[int, str] = {}
    for (dataset, _), mine in of_place.items():
        known = _identities(mine)
        if _collide(mine, known):
            of = _name(dataset, mine, known)
            names |= {key: of[identity] for key, identity in known.items()}
    return [replace(r, dataset=names[id(r)], called=r.dataset) if id(r) in names else r for r in shown]


def describe(records: Sequence[Record]) -> tuple[str, ...]:
    """A note for each name that several of these data sets have."""
    named: dict[tuple[str, str], dict[str, Record]] = {}
    for r in records:
        if r.called:
            named.setdefault((r.called, r.split), {})[r.dataset] = r
    return tuple(
        f"{len(of)} data sets are called {name} ({split}): "
        + "; ".join(
            f"{d}: {r.n_queries} {'query' if r.n_queries == 1 else 'queries'}, judgements {r.qrels_sha256[:HASH]}"
            for d, r in of.items()
        )
        + "."
        for (name, split), of in named.items()
        if len(of) > 1
    )


def _identities(records: Sequence[Record]) -> dict[int, Identity]:
    """id(record) -> which data set it is of; an evaluation that did not record its documents is of the only known."""
    documents: dict[str, set[str]] = {}
    for r in records:
        documents.setdefault(r.qrels_sha256, set()).update({r.documents} - {""})
    return {id(r): (r.qrels_sha256, r.documents if len(documents[r.qrels_sha256]) > 1 else "") for r in records}


def _collide(records: Sequence[Record], known: Mapping[int, Identity]) -> bool:
    """Whether some system was measured on several of these data sets."""
    of_row: dict[tuple[object, ...], set[Identity]] = {}
    for r in records:
        of_row.setdefault((r.system, r.variant, *r.seeds, r.measure), set()).add(known[id(r)])
    return any(len(of) > 1 for of in of_row.values())


def _name(dataset: str, records: Sequence[Record], known: Mapping[int, Identity]) -> dict[Identity, str]:
    """By as much of the path as tells the folders apart; by hashes where that is not known, or changed in place."""
    paths: dict[Identity, set[str]] = {}
    for r in records:
        paths.setdefault(known[id(r)], set()).add(r.data_path)
    folders = {identity: next(iter(of)) for identity, of in paths.items() if len(of) == 1 and "" not in of}
    if len(set(folders.values())) == len(paths):
        parts = {identity: PurePath(folder).parts for identity, folder in folders.items()}
        for depth in range(2, max(map(len, parts.values())) + 1):
            tails = {identity: "/".join(p[-depth:]) for identity, p in parts.items()}
            if len(set(tails.values())) == len(tails):
                return tails
    is_by_documents = len({qrels for qrels, _ in paths}) < len(paths)
    told = {(q, d): " ".join([q[:HASH], *([d[:HASH] or "unknown"] if is_by_documents else [])]) for q, d in paths}
    return {identity: f"{dataset} [{words}]" for identity, words in told.items()}
