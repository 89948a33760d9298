"""Short names of systems and columns, by what tells them apart; a legend has them whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

LONGEST_WORD = 7
"""Letters of a word of a header that stays whole."""
_CUT = 5
_HEADERS = {
    "Bytes a vector": "Bytes",
    "p, Holm-corrected": "p Holm",
    "p, Bonferroni-corrected": "p Bonf.",
    "IsoScore (debiased)": "Iso",
    "Difference [95 %]": "Diff. [95 %]",
}
_RECOVERY = re.compile(r".* recovery %")
_SEPARATOR = re.compile(r", | \+ ")


def shorten_systems(labels: Sequence[str]) -> list[str]:
    """Names as distinct as the labels: without the encoder that is behind all, and settings that tell nothing apart.

    A setting, such as bits=4, stays where another system differs from this one in settings alone.
    """
    bare = _drop_shared_head(labels)
    skeletons = [_without(name, {w for w in _words(name) if "=" in w}) for name in bare]
    names = []
    for name, skeleton in zip(bare, skeletons, strict=True):
        alike = [set(_words(n)) for n, s in zip(bare, skeletons, strict=True) if s == skeleton]
        shared = set.intersection(*alike)
        names.append(_without(name, {w for w in shared if "=" in w}) if skeleton else name)
    return _keep_distinct(names, labels)


def shorten_headers(headers: Sequence[str]) -> list[str]:
    """Headers with long words cut, as distinct as they were."""
    return _keep_distinct([_shorten_header(h) for h in headers], headers)


def break_header(header: str) -> list[str]:
    """A header on one or two lines, broken where the longer of them is shortest: at a space, or by one of - / @."""
    places = [m.start() for m in re.finditer(r" (?!%)|@|/", header)] + [m.end() for m in re.finditer(r"[-_]", header)]
    halves = [[header[:i].strip(), header[i:].strip()] for i in places if header[:i].strip() and header[i:].strip()]
    return min([[header], *halves], key=lambda lines: max(map(len, lines)))


def _shorten_header(header: str) -> str:
    if _RECOVERY.fullmatch(header):
        return "Kept %"
    cut = lambda m: m[0] if len(m[0]) <= LONGEST_WORD else f"{m[0][:_CUT]}."  # noqa: E731
    return _HEADERS.get(header) or re.sub(r"[^\W\d_]+", cut, header)


def _drop_shared_head(labels: Sequence[str]) -> list[str]:
    """Labels without what stands before the first `+` or comma, where that is the same of all that have one."""
    cut = [_SEPARATOR.split(label, maxsplit=1) for label in labels]
    heads = {parts[0] for parts in cut if len(parts) > 1}
    return [parts[-1] for parts in cut] if len(heads) == 1 else list(labels)


def _words(name: str) -> list[str]:
    return [word.strip(",") for word in name.split()]


def _without(name: str, words: set[str]) -> str:
    """The name without some words; a comma after one of them stays."""
    kept = [(w if w.strip(",") not in words else "," if w.endswith(",") else "") for w in name.split()]
    return re.sub(r" ,", ",", " ".join(filter(None, kept))).strip(" +,")


def _keep_distinct(short: Sequence[str], whole: Sequence[str]) -> list[str]:
    """The short names, the whole ones of those that would be one or nothing."""
    counts = Counter(short)
    mixed = [s if s and counts[s] == 1 else w for s, w in zip(short, whole, strict=True)]
    return mixed if len(set(mixed)) == len(set(whole)) else list(whole)
