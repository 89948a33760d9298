"""The ids of --json: each names one shape, and every id of the code is in the table here."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from workspace import Workspace

PACKAGE = Path(__file__).parent.parent / "irctl"
SITE = re.compile(r'"schema": f?"(irctl/[^"]+/1)"')
OF_FAMILIES = {"irctl/{command}/1": 1, "irctl/{schema}/1": 1}
"""Written for the command that asks, one shape each: a list's rows; `say` of runs."""
SITES = {
    **dict.fromkeys(
        "error show dry-run submitted data-fetch data-check data-convert recipes-show recipes-cp recipes-check "
        "reproductions reproduced demo-plan "
        "profiles-show demo demo-rag doctor report report-figure report-checklist runs runs-show runs-diff runs-sql "
        "settings settings-of help eval-file answers-file answers comparisons searches compress-train compress-shard "
        "export-model arms-eval".split(),
        1,
    ),
    "search-file": 2,  # of a search and of a fusion: {searches}
}
"""id -> places that write it."""


def test_every_id_of_the_code_is_written_in_one_place() -> None:
    found = Counter(i for p in PACKAGE.rglob("*.py") for i in SITE.findall(p.read_text()))
    expected = {f"irctl/{name}/1": count for name, count in SITES.items()} | OF_FAMILIES
    others = {i: n for i, n in found.items() if i not in expected}
    assert not others, f"ids that are not in the table of this test: {others}"
    assert found == expected


@pytest.mark.parametrize(
    ("line", "schema", "keys"),
    [
        ("data ls", "data", "data"),
        ("data check cranfield --limit 1", "data-check", ""),
        ("recipes ls", "recipes", "recipes"),
        ("recipes show stream-pq", "recipes-show", "name meta"),
        ("recipes cp stream-pq mine.toml", "recipes-cp", "name file command"),
        ("demo --dry-run", "demo-plan", "lines"),
        ("profiles ls", "profiles", "profiles"),
        ("profiles show cpu", "profiles-show", "name meta hardware"),
        ("train --show", "show", "config sha256"),
        ("train --dry-run", "dry-run", "command dry_run config plan"),
        ("compress --dry-run --data none.npy", "error", "kind message hint exit_code"),
        ("search --retriever bm25 -k 10 --split dev,test", "searches", "run run_dir searches run_files"),
        ("search --retriever bm25 -k 10 --split test", "search", "run run_dir run_file dataset split queries"),
        ("runs ls", "runs", "runs"),
        ("runs show latest", "runs-show", "id config artifacts lineage events measures"),
    ],
)
def test_an_id_has_the_keys_of_its_shape(line: str, schema: str, keys: str, place: Workspace) -> None:
    found = place.run(f"{line} --json").json
    assert found["schema"] == f"irctl/{schema}/1"
    assert set(keys.split()) <= found.keys()
