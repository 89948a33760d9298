"""What cards are written with: tables in Markdown, the inputs and the settings of a run, names that the hub takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irctl import origins
from irctl.data.files import hub
from irctl.ledger import query, taken
from irctl.ledger.query import RunRecord
from irctl.pipelines.lineage.run_settings import NOT_SCIENCE, short_name

FILE = "README.md"
ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")
"""OWNER/NAME."""


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


def list_inputs(run: RunRecord) -> list[dict[str, object]]:
    """Everything that a run read: what it is, its name, its rows and its hash. Folders of this machine stay out."""
    model = str(run.columns.get("model") or "")
    return [
        {
            "what": a["kind"],
            "name": without_folder(model) if a["kind"] == "model" and model else short_name(a["path"]),
            "rows": a["n_rows"] or "",
            "sha256": f"`{a['sha256']}`",
        }
        for a in query.artifacts(run, role="in")
    ]


def without_folder(value: str) -> str:
    """A value with no more of a path of this machine than its last part."""
    return short_name(value) if Path(value).is_absolute() else value


def list_settings(run: RunRecord) -> list[dict[str, object]]:
    """Settings of the science that are not the defaults, with where they came from; of a training alone, its own."""
    stored: dict[str, Any] = json.loads(run.columns.get("config_json") or "{}")
    left_out = {origins.Kind.DEFAULT, origins.Kind.MINED, origins.Kind.TAKEN}
    if run.columns["command"] != "train":
        left_out.add(origins.Kind.COLLECTION)
    return [
        {"setting": f"`{k}`", "value": f"`{without_folder(str(v['value']))}`", "from": v["origin"]}
        for k, v in sorted(stored.items())
        if origins.parse(v["origin"]).kind not in left_out and not k.startswith(NOT_SCIENCE)
    ]


def command(run: RunRecord) -> str:
    """The command line of a run without secrets, with what it took where nothing was named."""
    return code(taken.line_of(run))


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


def name_on_hub(model: str) -> str:
    """The model's name where the hub may know it; empty for a folder or a run."""
    return model if ON_HUB.fullmatch(model) and not Path(model).exists() else ""
