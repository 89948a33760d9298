"""A method is a file: finding plug-ins (losses, quantizers, regularizers, methods, metrics) by file name.

Names and settings are read without running the file, so that help, completion and --dry-run import no torch or faiss.
Files whose name starts with an underscore are helpers.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from irctl import errors

HERE = Path(__file__).parent


@cache
def names(package: str) -> tuple[str, ...]:
    """File names of irctl/PACKAGE without importing them, sorted."""
    return tuple(sorted(p.stem for p in (HERE / package).glob("*.py") if not p.stem.startswith("_")))


MOST_KEYS = 4
"""Keys of one question."""


def nearest(wrong: str, legal: tuple[str, ...] | list[str], otherwise: str = "") -> str:
    """'Did you mean ...?' for a wrong name; where none is near `otherwise`, by default the list of legal ones."""
    return near(wrong, legal) or otherwise or f"Known: {', '.join(legal)}"


def near(wrong: str, legal: tuple[str, ...] | list[str]) -> str:
    """'Did you mean ...?', or nothing: for messages that list the legal names themselves."""
    close = difflib.get_close_matches(wrong, legal, n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else ""


def near_keys(wrong: str, legal: Sequence[str]) -> list[str]:
    """Keys that somebody may have meant by a wrong one, the likeliest first; none where nothing is near.

    A key that ends in what was typed (`lr`, `infonce.temperature`); a near one of the section, where there is such a
    section; a near one of the whole; the same last part, or a near one, anywhere. What a section adds to the likeness
    of two keys says nothing: train.optimiser is not train.base_lr.
    """
    section, _, leaf = wrong.rpartition(".")
    by_leaf: dict[str, list[str]] = {}
    for key in sorted(legal, key=lambda k: k.count(".")):
        by_leaf.setdefault(key.rpartition(".")[2], []).append(key)
    inside = [k.rpartition(".")[2] for k in legal if k.rpartition(".")[0] == section]
    if ending := [k for k in legal if k.endswith(f".{wrong}")]:
        return sorted(ending, key=lambda k: k.count("."))
    if inside and section:
        return [f"{section}.{near}" for near in difflib.get_close_matches(leaf, inside)] or by_leaf.get(leaf, [])
    whole = difflib.get_close_matches(wrong, legal, cutoff=0.75) if section else []
    near_leaves = difflib.get_close_matches(leaf, by_leaf, cutoff=0.75)
    return whole or [k for near in near_leaves for k in by_leaf[near]]


def ask_keys(near: Sequence[str]) -> str:
    """'Did you mean ...?' for one or several keys, not for dozens."""
    shown = ", ".join(f"'{key}'" for key in near[:MOST_KEYS])
    more = f" or one of {len(near) - MOST_KEYS} more of that name" if len(near) > MOST_KEYS else ""
    return f"Did you mean {shown}{more}?"


def check(package: str, name: str) -> str:
    """The name itself if irctl/PACKAGE/NAME.py exists. Raises ConfigError with the nearest legal name."""
    kinds = {"losses": "loss", "quantizers": "compression method", "metrics/ranking/measures": "measure"}
    kind = kinds.get(package, package.rstrip("s"))
    if name not in names(package):
        raise errors.ConfigError(f"no {kind} named '{name}'", hint=nearest(name, names(package)))
    return name


def load(package: str, name: str) -> ModuleType:
    """Import irctl/PACKAGE/NAME.py. Raises ConfigError if there is none."""
    return importlib.import_module(f"irctl.{package.replace('/', '.')}.{check(package, name)}")


@cache
def config_class(package: str, name: str) -> type[Any] | None:
    """The file's `Config` dataclass, or None, compiled alone: the file's imports do not run.

    Such a class may use dataclasses, typing names in annotations, and irctl.errors; a contract test holds it to that.
    """
    body = ast.parse((HERE / package / f"{check(package, name)}.py").read_text()).body
    classes = [n for n in body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    if not classes:
        return None
    scope: dict[str, Any] = {
        "__name__": __name__,  # dataclasses look their module up
        "dataclass": dataclasses.dataclass,
        "field": dataclasses.field,
        "errors": errors,
        "ConfigError": errors.ConfigError,
    }
    tree = ast.parse("from __future__ import annotations")
    tree.body += classes
    exec(compile(tree, f"irctl/{package}/{name}.py", "exec"), scope)
    return scope["Config"]  # type: ignore[no-any-return]


@cache
def literal(package: str, name: str, variable: str) -> Any:
    """A module-level constant of the file, read without importing it; None if there is none."""
    for node in ast.parse((HERE / package / f"{check(package, name)}.py").read_text()).body:
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        else:
            continue
        if any(isinstance(t, ast.Name) and t.id == variable for t in targets) and node.value is not None:
            return ast.literal_eval(node.value)
    return None


@cache
def comments(package: str, name: str) -> dict[str, str]:
    """What the source says of each field of the file's `Config`: the comment beside it or above it, else empty."""
    text = (HERE / package / f"{check(package, name)}.py").read_text()
    lines = text.splitlines()
    fields = (n for c in ast.parse(text).body if isinstance(c, ast.ClassDef) and c.name == "Config" for n in c.body)
    return {
        n.target.id: lines[(n.end_lineno or n.lineno) - 1].partition("  # ")[2].strip() or _above(lines[: n.lineno - 1])
        for n in fields
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }


def _above(lines: Sequence[str]) -> str:
    """The comment that these lines end in."""
    said = takewhile(lambda line: line.lstrip().startswith("# "), reversed(lines))
    return " ".join(line.strip().removeprefix("# ") for line in reversed(list(said)))


@cache
def summary(package: str, name: str) -> str:
    """First line of the file's docstring: what `ls` commands print."""
    doc = ast.get_docstring(ast.parse((HERE / package / f"{check(package, name)}.py").read_text())) or ""
    return doc.splitlines()[0] if doc else ""
