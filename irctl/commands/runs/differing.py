"""What tells runs apart that a listing would show alike: options of their lines, else the content of what they read.

The lines are read as words, `--name value`, without the declaration of their command: a listing has thousands of them.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

FLAGS = frozenset(
    "--cached --checklist --codes --controls --debug --decoded --dry-run --failed --finalize --fix-encoding --follow "
    "--force --fresh --ids --isotropy --issue --json --keep-going --mixed --no-color --no-stream --oracle --overwrite "
    "--page --per-query --preflight --private --probe --quick --quiet --rag --remove --show --stream --texts --tiny "
    "--train-only --trust-rank --verbose --verify --wide".split()
)
"""Options that take no value, so that the word after one is an argument."""
SHORT = {"-f": "--follow", "-k": "--k", "-o": "--out", "-q": "--quiet", "-v": "--verbose"}
SILENT = ("--", "--json", "--quiet", "--verbose", "--debug", "--no-color", "--resume", "--dry-run", "--out", "--name",
          "--seed", "--seeds", "run.seed", "run.name", "--hash", "--baseline", "--export", "--per-query")  # fmt: skip
"""Options that decide nothing of what was measured, or that have a column."""
CONTENT = {"dataset_fingerprint": "data", "model_fingerprint": "model"}
"""Columns -> what they are the content of; told where the lines say the same."""
BEGINNING = 8
"""Characters of a fingerprint."""
MOST = 4
"""As many options as a text holds."""


def find(runs: Sequence[RunRecord], shown: Sequence[Hashable]) -> list[str]:
    """A text a run, such as `query_max_len=6 k=10`: what it does not share with all others that are shown alike.

    shown: what the listing shows of each. Empty for a run that is shown like no other, or whose line says the same.
    """
    alike: dict[Hashable, list[int]] = {}
    for place, key in enumerate(shown):
        alike.setdefault(key, []).append(place)
    told = [""] * len(runs)
    for places in alike.values():
        if len(places) > 1:
            for place, text in zip(places, _compare([runs[p] for p in places]), strict=True):
                told[place] = text
    return told


def _compare(runs: Sequence[RunRecord]) -> list[str]:
    options = [_read(json.loads(run.columns["argv_json"] or "[]")) for run in runs]
    differing = [k for k in dict.fromkeys(k for of in options for k in of) if len({of.get(k) for of in options}) > 1]
    shortened = {k: _shorten({of[k] for of in options if k in of}) for k in differing}
    names = _last_parts(differing)
    told = [[f"{names[k]}={shortened[k][of[k]]}".strip("=") for k in differing if k in of] for of in options]
    for column, name in CONTENT.items():
        contents: dict[str, set[str]] = {}
        for run, words in zip(runs, told, strict=True):
            contents.setdefault(" ".join(words), set()).add(str(run.columns[column] or ""))
        for run, words in zip(runs, told, strict=True):
            is_made = column == "model_fingerprint" and run.columns["command"] == "train"
            if len(contents[" ".join(words)]) > 1 and not is_made:
                words.append(f"{name} [{str(run.columns[column] or '')[:BEGINNING]}]")
    return [" ".join(words[:MOST]) + (f" and {len(words) - MOST} more" if len(words) > MOST else "") for words in told]


def _read(words: Sequence[str]) -> dict[str, str]:
    """Option or setting -> its value, empty for a flag; arguments under the empty name. Without those of SILENT."""
    read: dict[str, str] = {}
    rest = list(reversed(words[2:]))
    while rest:
        word = rest.pop()
        name, value = _split(word)
        takes_one = name not in ("", "--") and name not in FLAGS
        if takes_one and not value and "=" not in word and rest and not rest[-1].startswith("--"):
            value = rest.pop()
        if name == "--set":
            name, _, value = value.partition("=")
        if name not in SILENT:
            key = name.removeprefix("--")
            read[key] = f"{read[key]},{value}" if read.get(key) else value
    return read


def _split(word: str) -> tuple[str, str]:
    """(option under its long name, value given with it) of one word; an argument is a value without a name."""
    if word[:2] in SHORT:
        return SHORT[word[:2]], word[2:]
    name, _, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return name, value


def _shorten(values: set[str]) -> dict[str, str]:
    """Paths by as many of their last parts as tell them apart."""
    parts = {v: v.rstrip("/").split("/") for v in values}
    depth = next((n for n in range(1, 9) if len({tuple(p[-n:]) for p in parts.values()}) == len(parts)), 0)
    return {v: "/".join(p[-depth:]) for v, p in parts.items()}


def _last_parts(keys: Sequence[str]) -> dict[str, str]:
    """Settings by their last word where that names one alone: query_max_len."""
    last = [k.rpartition(".")[2] for k in keys]
    return {k: short if last.count(short) == 1 else k for k, short in zip(keys, last, strict=True)}
