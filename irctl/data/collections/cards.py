"""What is known about a collection: headline measure and split, self-match rule, sizes, where to fetch it.

Built-in cards are TOML files in irctl/collections/; a user's card lies beside the data as card.toml.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from irctl import paths, plugins, tables
from irctl.errors import DataError

FILE = "card.toml"
FORMATS = ("beir", "msmarco", "trec")
BUILT_IN = "cranfield"
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One collection. Tuples are empty and texts blank where nothing is known."""

    name: str
    format: str = "beir"
    headline_measure: str = "nDCG@10"
    headline_split: str = ""  # the split of the headline number, and the default of search and eval
    splits: tuple[str, ...] = ()
    measures: Mapping[str, str] = field(default_factory=dict)  # split -> preset of measures
    top_grades: Mapping[str, int] = field(default_factory=dict)  # split -> highest grade of its scale, given or not
    self_match: str = ""  # keep or drop: documents whose id is the query's id; empty: self_match.py looks
    ids_shared: bool = False  # query and document ids name the same things
    text: str = 'title + " " + text, stripped'
    license: str = ""
    public: bool = True
    queries: int = 0  # of the headline split
    passages: int = 0
    relevant_per_query: float = 0.0
    url: str = ""
    md5: str = ""
    files: tuple[Mapping[str, str], ...] = ()  # several downloads: {url, md5} each
    source: str = ""  # where the data lies if it need not be fetched: hf://datasets/...
    same_as: str = ""  # the card whose folder this one shares
    extra_splits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # split -> {queries, qrels} elsewhere
    parts: tuple[str, ...] = ()  # sub-collections; the number of the whole is the unweighted mean
    groups: tuple[str, ...] = ()
    note: str = ""


SHAPE: dict[str, Any] = {
    **{f"{f.name}?": type(f.default) for f in dataclasses.fields(Card) if isinstance(f.default, (str, int, float))},
    "name?": str,
    "headline?": {"*": str},
    **{f"{key}?": [str] for key in ("splits", "parts", "groups")},
    "measures?": {"*": str},
    "top_grades?": {"*": int},
    "files?": [{"*": str}],
    "extra_splits?": {"*": {"*": str}},
}
"""What a card's values are (tables.check)."""


def card_from(table: Mapping[str, Any], where: str, *, name: str = "") -> Card:
    """A card from TOML. Raises DataError naming an unknown key or a value that cannot be."""
    tables.check(table, SHAPE, where)
    values = dict(table)
    headline = values.pop("headline", {})
    if not set(headline) <= {"measure", "split"}:
        raise DataError(f"{where}: headline: expected {{ measure = ..., split = ... }}, found {headline}")
    values |= {f"headline_{k}": v for k, v in headline.items()}
    legal = [f.name for f in dataclasses.fields(Card)]
    for key, value in values.items():
        if key not in legal:
            shown = ["headline", *(n for n in legal if not n.startswith("headline_"))]
            raise DataError(f"{where}: no key named '{key}'", hint=plugins.nearest(key, shown))
        if isinstance(value, list):
            values[key] = tuple(value)
    for key in ("queries", "passages", "relevant_per_query"):
        if not (tables.is_number(value := values.get(key, 0)) and value >= 0):
            raise DataError(f"{where}: {key}: expected 0 or more, found {tables.shown(value)}")
    card = Card(**({"name": name} | values))
    if card.self_match not in ("", "keep", "drop"):
        raise DataError(f"{where}: self_match: expected keep or drop, found {tables.shown(card.self_match)}")
    if wrong := {s: g for s, g in card.top_grades.items() if g < 1}:
        raise DataError(f"{where}: top_grades: expected grades of at least 1, found {wrong}")
    if card.format not in FORMATS:
        raise DataError(f"{where}: format: expected {', '.join(FORMATS)}, found {tables.shown(card.format)}")
    return card


def read_card(folder: Path) -> Card | None:
    """The card beside the data, or None."""
    path = folder / FILE
    if not path.is_file():
        return None
    return card_from(tables.toml_table(path, error=DataError), str(path), name=folder.name)


@cache
def built_in() -> dict[str, Card]:
    """Every card that ships with irctl, by the name that --data takes."""
    folder = paths.shipped("collections")
    card_of: dict[str, Card] = {}
    for path in sorted(folder.glob(f"*/{FILE}")):
        card = read_card(path.parent)
        assert card is not None
        card_of[card.name] = card
    for name, table in _tables(folder / "beir.toml")["beir"].items():
        # BEIR's msmarco has another folder and other splits than the collection of that name.
        card = card_from(table, f"beir.toml [{name}]", name="beir/msmarco" if name == "msmarco" else name)
        card_of[f"beir/{name}"] = card
        for part in card.parts:
            one = dataclasses.replace(card, name=f"{name}/{part}", parts=(), groups=(), queries=0, passages=0, note="")
            card_of[f"beir/{name}/{part}"] = dataclasses.replace(one, same_as=f"beir/{name}")
    for name, table in _tables(folder / "msmarco.toml").items():
        card_of[name] = card_from(table, f"msmarco.toml [{name}]")
    for name, table in _tables(folder / "sycl-eval.toml")["sycl-eval"].items():
        card_of[f"sycl-eval/{name}"] = card_from(table, f"sycl-eval.toml [{name}]", name=f"sycl-eval/{name}")
    # What ships is known: its texts are not looked at.
    return {name: dataclasses.replace(c, self_match=c.self_match or "keep") for name, c in card_of.items()}


def _tables(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def key_of(name: str) -> str | None:
    """The built-in name a user means: `scifact` is `beir/scifact`; None if there is no such card."""
    return next((n for n in (name, f"beir/{name}") if n in built_in()), None)


def load_card(name: str) -> Card:
    """A built-in card. Raises DataError with the nearest name."""
    key = key_of(name)
    if key is None:
        raise DataError(f"no collection named '{name}'", hint=plugins.nearest(name, list(built_in())))
    return built_in()[key]


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Group name -> names of its collections, in the order of the shipped tables."""
    names_of: dict[str, list[str]] = {}
    for name, card in built_in().items():
        for group in card.groups:
            names_of.setdefault(group, []).append(name)
    return {g: tuple(members) for g, members in sorted(names_of.items())}


def expand(sources: Sequence[str], is_here: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Sources with groups and collections of parts replaced by what they stand for, without repetition.

    `all` stands for every public collection that is_here.
    """
    out: list[str] = []
    for source in sources:
        members = groups().get(source, (source,))
        if source == ALL:
            public = [n for n, c in built_in().items() if c.public and "/" not in c.same_as]
            members = tuple(n for n in public if is_here(n))
        for member in members:
            key = key_of(member)
            parts = built_in()[key].parts if key else ()
            out += [f"{key}/{p}" for p in parts] if parts else [member]
    return list(dict.fromkeys(out))
