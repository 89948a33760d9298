"""What cards are written with: tables in Markdown, the inputs and the settings of a run, names that the hub takes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irctl import config, hashing, origins, tables
from irctl.data.files import hub
from irctl.errors import ConfigError, DataError
from irctl.files import Written, expand, write_atomic
from irctl.index import shards
from irctl.ledger import query, taken
from irctl.ledger.query import RunRecord
from irctl.models import fingerprints, reading
from irctl.pipelines.lineage.run_settings import NOT_SCIENCE, concerns, short_name

FILE = "README.md"
ON_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")
"""OWNER/NAME."""
LOCAL = re.compile(r"(^|[=,]|:(?!//))((?:file:(?://)?|~|\.{1,2})?/(?!/)(?:[^,]|,(?=\s))*)")
"""A path of this machine: at the beginning, or after a sign that parts values. No list has a blank after its comma."""
WITHIN = re.compile(r"(?<= )(?:file:(?://)?|~|\.{1,2})?/(?![/\s]).*", re.DOTALL)
"""A path of this machine after a word that says what it is."""


MARK = re.compile(r"\n<!-- card by irctl, ([0-9a-f]{64}) -->\n\Z")
"""The last line of a card in a folder: the hash of what stands above, by which a card that was edited is known."""


def put(folder: Path, card: str) -> Written:
    """Write the card into a folder, over the one that irctl wrote there. DataError for a README.md of somebody else."""
    path, text = folder / FILE, f"{card.rstrip()}\n"
    if read_edited(folder):
        raise DataError(
            f"{path}: changed by hand, or not by this irctl, since it was written; it stays as it is",
            hint="--out FILE writes the card elsewhere, or move this one away",
        )
    return write_atomic(path, f"{text}\n<!-- card by irctl, {_hash(text)} -->\n")


def read(folder: Path) -> str:
    """The card that irctl wrote into a folder and nobody changed; empty where there is none."""
    path = folder / FILE
    before = path.read_text(errors="replace") if path.is_file() else ""
    mark = MARK.search(before)
    return before[: mark.start()] if mark is not None and _hash(before[: mark.start()]) == mark[1] else ""


def read_edited(folder: Path) -> bytes:
    """The README.md of a folder that somebody wrote or changed, as it is; empty where there is none, or irctl's own."""
    path = folder / FILE
    return path.read_bytes() if path.is_file() and not read(folder) else b""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of equal keys; empty for none."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(v) for v in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def sections(*parts: tuple[str, str]) -> str:
    """Titles with their text, those without text left out."""
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text) + "\n"


def code(text: str, language: str = "sh") -> str:
    return f"```{language}\n{text}\n```"


def title(text: str) -> str:
    """In one line."""
    return " ".join(text.split())


def list_inputs(run: RunRecord) -> list[dict[str, object]]:
    """Everything that a run read: what it is, its name, its rows, irctl's key of it, sha256 of files where known."""
    model = str(run.columns.get("model") or "")
    return [
        {
            "what": a["kind"],
            "name": without_folders(model) if a["kind"] == "model" and model else _name_of(a),
            "rows": a["n_rows"] or "",
            "key in the ledger": f"`{a['sha256']}`",
            "sha256": ", ".join(f"`{name}` `{sha256}`" for name, sha256 in _files_of(run, a).items()),
        }
        for a in query.artifacts(run, role="in")
    ]


def _name_of(artifact: Mapping[str, Any]) -> str:
    """What an input is called; of a bundle what its codes are, for its folder is called alike in every run."""
    about = shards.read_any_manifest(Path(artifact["path"])) if artifact["kind"] == "bundle" else {}
    if not about:
        return short_name(artifact["path"])
    of = about.get("about", {}).get("collection") or without_folders(
        str(about.get("source", {}).get("name", "vectors"))
    )
    return f"{about['method']}, {about['code_size']} bytes a vector, of {of}"


def _files_of(run: RunRecord, artifact: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of an input's files, as far as it is known to be still what was read."""
    path = Path(artifact["path"])
    if artifact["kind"] == "model":
        saved = run.paths.model / reading.FILE
        files = tables.json_object(saved).get(fingerprints.BEGAN_WITH, {}) if saved.is_file() else {}
        return {name: sha256 for name, sha256 in files.items() if hashing.mode_of(sha256) == "full"}
    small = path.is_file() and path.stat().st_size <= hashing.WHOLE_UP_TO
    is_same = small and hashing.sha256_file(path) == artifact["sha256"]
    return {path.name: artifact["sha256"]} if is_same else {}


def list_weights(folder: Path) -> dict[str, str]:
    """sha256 of a model's files of weights by name, of every byte."""
    return {name: hashing.sha256_file(folder / name) for name in fingerprints.name_files(folder)}


def is_here(path: Path) -> bool:
    """Whether it exists: where one may not look, and under a name that is too long, nothing does."""
    return os.path.exists(path)  # noqa: PTH110  pathlib's raises for both


def without_folders(text: str) -> str:
    """A value or a word of a command line with no more of paths of this machine than their last parts."""
    if text[:1] in (".", "/", "~") and is_here(expand(text)):  # whole: a folder's name may hold a comma
        return short_name(text)
    return LOCAL.sub(lambda m: m[1] + short_name(m[2]), text)


def say_without_folders(text: str) -> str:
    """As without_folders, for what irctl says, such as an origin: `profile /home/me/p.toml`."""
    return WITHIN.sub(lambda m: without_folders(m[0]), without_folders(text))


def list_settings(run: RunRecord) -> list[dict[str, object]]:
    """Settings of the science that are not the defaults, with where they came from; of a training alone, its own."""
    stored: dict[str, Any] = json.loads(run.columns.get("config_json") or "{}")
    left_out, command = {origins.Kind.DEFAULT, origins.Kind.MINED, origins.Kind.TAKEN}, str(run.columns["command"])
    return [
        {
            "setting": f"`{k}`",
            "value": f"`{without_folders(_typed(v['value']))}`",
            "from": say_without_folders(v["origin"]),
        }
        for k, v in sorted(stored.items())
        if origins.parse(v["origin"]).kind not in left_out
        and not k.startswith(NOT_SCIENCE)
        and concerns(command, k, v["origin"])
        and not _is_default(k, v)
    ]


def _typed(value: object) -> str:
    """A setting as it is typed: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_default(key: str, stored: Mapping[str, Any]) -> bool:
    """Whether somebody chose what holds anyway; settings that this version does not have are shown."""
    try:
        return bool(config.default(key) == stored["value"])
    except ConfigError:
        return False


def command(run: RunRecord) -> str:
    """The command line of a run, with what it took where nothing was named; no secrets, no folders of this machine."""
    return code(shlex.join(map(without_folders, shlex.split(taken.line_of(run)))))


def made_by(run: RunRecord) -> str:
    """The program with its commit, the run, and the commit of the folder that it ran in, in one line."""
    c = run.columns
    commit = f", in a checkout at {c['git_commit'][:12]}" if c["git_commit"] else ""
    commit += " with changes" if c["git_commit"] and c["git_dirty"] else ""
    return f"irctl {c['irctl_version']}{commit}, run `{run.id}`, {str(c['started_at'])[:10]}."


def data_on_hub(run: RunRecord) -> list[str]:
    """OWNER/NAME of the data sets that a run read from the hub."""
    stored: dict[str, Any] = json.loads(run.columns.get("config_json") or "{}")
    sources = str(stored.get("data.source", {}).get("value", "")).split(",")
    return [hub.parse_source(source).repo for source in sources if hub.is_hub(source)]


def name_on_hub(model: str, cwd: str) -> str:
    """The model's name where the hub may know it; empty for a folder or a run."""
    return model if ON_HUB.fullmatch(model) and not is_here(Path(cwd, model)) else ""
