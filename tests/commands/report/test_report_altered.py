"""Evaluations whose files are not what their run wrote, or are gone: no number of them passes as traced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from recorded_evaluations import evaluation, irctl
from typer.testing import CliRunner, Result

from irctl import hashing
from irctl.commands.runs import upkeep
from irctl.commands.runs.runs import app
from irctl.config import resolve
from irctl.ledger import altered
from irctl.ledger.files import run_folder
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import files as store
from irctl.pipelines.report import records

Row = dict[str, Any]
EDITED = "out/eval.json is not what the run wrote: expected sha256 "


@pytest.fixture
def two(own_folders: Path) -> tuple[RunHandle, RunHandle]:
    """An untouched evaluation of .4, and one of .3 that a test spoils."""
    return evaluation(None, 0.4, model="sound"), evaluation(None, 0.3, model="spoilt")


def runs(*argv: str) -> Result:
    return CliRunner().invoke(app, list(argv))


def edit_means(run: RunHandle) -> None:
    file = run.out / store.EVAL
    text = file.read_text()
    assert '"value": 0.3,' in text or '"value": 0.3}' in text
    file.write_text(text.replace('"value": 0.3', '"value": 0.98765'))


def cut_values(run: RunHandle) -> None:
    file = run.out / store.PER_QUERY
    file.write_bytes(file.read_bytes()[:200])


def forge_values(run: RunHandle) -> None:
    rows = [r | {"value": 1.0} for r in store.read_rows(run.out / store.PER_QUERY)]
    store.write_per_query(run.out / store.PER_QUERY, rows)


def test_an_edited_evaluation_is_left_out_of_a_report_and_refused_where_it_is_named(two: tuple[RunHandle, ...]) -> None:
    sound, spoilt = two
    edit_means(spoilt)
    assert runs("reindex").exit_code == 0
    told = irctl("--json")
    (table,) = json.loads(told.stdout)["tables"]
    assert [row["cells"]["nDCG@10"]["value"] for row in table["rows"]] == [0.4]
    (note,) = [n for n in table["notes"] if n.startswith("Left out")]
    assert f"run {spoilt.id}: {EDITED}" in note and ", found " in note
    assert f"run {spoilt.id}: {EDITED}" in irctl("--format", "csv").stderr
    named = irctl("--run", sound.id, "--run", spoilt.id)
    assert named.exit_code == 3 and named.stderr.count("\n") == 1 and f"run {spoilt.id}: {EDITED}" in named.stderr


def test_reindex_and_show_say_what_was_edited_and_show_nothing_of_it(two: tuple[RunHandle, ...]) -> None:
    sound, spoilt = two
    edit_means(spoilt)
    done = runs("reindex", "--json")
    (line,) = json.loads(done.stdout)["altered"]
    assert line.startswith(f"run {spoilt.id}: {EDITED}") and f"warning: {line}" in done.stderr
    shown = runs("show", spoilt.id).stdout
    assert line in shown and "Result on" not in shown
    assert json.loads(runs("show", spoilt.id, "--json").stdout)["altered"] == [line]
    assert json.loads(runs("show", sound.id, "--json").stdout)["altered"] == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (forge_values, "out/per_query.parquet is not what the run wrote: expected sha256 "),
        (cut_values, "out/per_query.parquet is not what the run wrote: expected sha256 "),
        (lambda run: (run.out / store.PER_QUERY).unlink(), "out/per_query.parquet: no per-query values there"),
    ],
)
def test_values_by_query_that_are_spoilt_or_gone_are_said_and_test_nothing(
    spoil: object, why: str, two: tuple[RunHandle, ...]
) -> None:
    sound, spoilt = two
    spoil(spoilt)  # type: ignore[operator]
    compared = runs("diff", sound.id, spoilt.id, "--json")
    found = json.loads(compared.stdout)
    assert found["tests"] == [] and any(
        f"nothing is tested: run {spoilt.id}" in w and why in w for w in found["warnings"]
    )
    tested = irctl("--baseline", "sound")
    assert tested.exit_code == 3 and tested.stderr.count("\n") == 1 and why in tested.stderr
    page = irctl("--format", "html")
    assert page.exit_code == 0, page.output
    (said,) = [line for line in page.stdout.splitlines() if "Values by query left out:" in line]
    assert why in said and said.count(spoilt.id) >= 1 and sound.id not in said


def test_values_of_a_run_that_recorded_no_hash_of_them_must_have_the_mean_that_was_written_with_them(
    two: tuple[RunHandle, ...],
) -> None:
    _, spoilt = two
    told = json.loads(spoilt.paths.run_json.read_text())
    told["artifacts"] = [a for a in told["artifacts"] if a["kind"] != "per_query"]
    spoilt.paths.run_json.write_text(json.dumps(told))
    assert runs("reindex").exit_code == 0 and irctl("--baseline", "sound").exit_code == 0
    forge_values(spoilt)
    tested = irctl("--baseline", "sound")
    assert (
        tested.exit_code == 3 and "cranfield test nDCG@10: expected the mean 0.300000, found 1.000000" in tested.stderr
    )


def no_text(rows: list[Row]) -> list[Row]:
    return [rows[0] | {"query_id": None}, *rows[1:]]


def as_text(rows: list[Row]) -> list[Row]:
    return [r | {"value": str(r["value"])} for r in rows]


def as_number(rows: list[Row]) -> list[Row]:
    return [r | {"query_id": i} for i, r in enumerate(rows)]


def not_finite(rows: list[Row]) -> list[Row]:
    return [r | {"value": float("nan")} for r in rows]


def twice(rows: list[Row]) -> list[Row]:
    return rows + rows


def other_means(rows: list[Row]) -> list[Row]:
    return [r | {"value": r["value"] / 2} for r in rows]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_text, "query_id: expected texts, found rows without one"),
        (as_text, "value: expected finite numbers, found string"),
        (as_number, "query_id: expected texts, found int64"),
        (not_finite, "value: expected finite numbers, found rows without one"),
        (twice, "expected one value, found two"),
        (other_means, "expected the mean 0.300000, found 0.150000"),
    ],
)
def test_values_rewritten_by_another_program_are_named_and_test_nothing(
    spoil: Callable[[list[Row]], list[Row]], said: str, two: tuple[RunHandle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(altered, "refuse", lambda run, kind: None)  # as of a run that recorded no hash of them
    sound, spoilt = two
    file = spoilt.out / store.PER_QUERY
    rows = spoil(store.read_rows(file))
    parquet.write_table(pa.Table.from_pylist(rows), file)
    told = irctl("--baseline", "sound")
    assert told.exit_code == 3 and f"run {spoilt.id}: out/per_query.parquet" in told.stderr and said in told.stderr
    differ = runs("diff", sound.id, spoilt.id)
    assert differ.exit_code == 0 and "nothing is tested" in differ.output and said in differ.output


def test_two_runs_side_by_side_say_that_one_was_edited(two: tuple[RunHandle, ...]) -> None:
    sound, spoilt = two
    edit_means(spoilt)
    found = json.loads(runs("diff", sound.id, spoilt.id, "--json").stdout)
    assert any(w.startswith(f"run {spoilt.id}: {EDITED}") for w in found["warnings"])


def test_means_that_were_edited_where_listings_read_them_are_named_too(two: tuple[RunHandle, ...]) -> None:
    sound, spoilt = two
    for run in two:
        value = 0.4 if run is sound else 0.99
        run_folder.append_metric(run.paths, "nDCG@10", value, dataset="cranfield", split="test")
    said = f"run {spoilt.id}: metrics.jsonl is not what the run wrote: cranfield test nDCG@10: expected 0.300000 "
    assert [line.startswith(said) for line in json.loads(runs("reindex", "--json").stdout)["altered"]] == [True]
    assert any(w.startswith(said) for w in json.loads(runs("diff", sound.id, spoilt.id, "--json").stdout)["warnings"])
    assert said in runs("show", spoilt.id).stdout and "metrics.jsonl" not in runs("show", sound.id).stdout


def test_a_mean_whose_line_is_gone_from_where_listings_read_it_is_named(two: tuple[RunHandle, ...]) -> None:
    _, spoilt = two
    lines = spoilt.paths.metrics.read_text().splitlines(keepends=True)
    spoilt.paths.metrics.write_text("".join(line for line in lines if '"nDCG@10"' not in line))
    (said,) = json.loads(runs("reindex", "--json").stdout)["altered"]
    assert said.endswith("cranfield test nDCG@10: expected 0.300000 (out/eval.json), found no such line")


def test_names_that_are_hidden_as_secrets_where_listings_read_them_accuse_nobody(
    own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_API_TOKEN", "cranfield")
    run = evaluation(None, 0.3)
    assert '"***"' in run.paths.metrics.read_text()
    assert json.loads(runs("reindex", "--json").stdout)["altered"] == []


def test_where_all_is_left_out_a_report_is_one_line_and_a_card_has_no_results(own_folders: Path) -> None:
    run = evaluation(None, 0.3)
    edit_means(run)
    done = irctl("--format", "csv")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1].startswith(f"error: no evaluation to report: run {run.id}: {EDITED}")
    assert records.gather(required=False) == []
    (run.out / store.EVAL).unlink()
    gone = f"no evaluation to report: values are not in their run folders any more: {run.id}"
    assert gone in irctl("--format", "csv").stderr and records.gather(required=False) == []


def test_a_card_of_a_ledger_without_evaluations_has_no_results(own_folders: Path) -> None:
    assert records.gather(required=False) == []


def forget_hashes(run: RunHandle) -> None:
    told = json.loads(run.paths.run_json.read_text())
    run.paths.run_json.write_text(json.dumps(told | {"artifacts": []}))


@pytest.mark.parametrize(
    ("text", "why"),
    [("{broken", "not valid JSON: "), ('{"schema": "x"}', "no key 'results'"), ("[]", "expected a JSON object")],
)
def test_one_evaluation_of_no_recorded_hash_that_cannot_be_read_leaves_the_others_as_they_are(
    text: str, why: str, two: tuple[RunHandle, ...]
) -> None:
    _, spoilt = two
    forget_hashes(spoilt)
    (spoilt.out / store.EVAL).write_text(text)
    done = runs("reindex", "--json")
    assert done.exit_code == 0, done.output
    (line,) = json.loads(done.stdout)["altered"]
    assert line.startswith(f"run {spoilt.id}: out/eval.json: ") and why in line
    assert line in runs("show", spoilt.id).stdout
    (table,) = json.loads(irctl("--json").stdout)["tables"]
    assert len(table["rows"]) == 1 and f"Left out: {line}." in table["notes"]


def test_a_file_that_may_not_be_read_is_a_line_of_its_run(
    two: tuple[RunHandle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spoilt = two
    read = hashing.compute_sha256

    def refuse(path: Path) -> str:
        if path == spoilt.out / store.EVAL:
            raise PermissionError(13, "")
        return read(path)

    monkeypatch.setattr(hashing, "compute_sha256", refuse)
    (line,) = altered.find_all()
    assert line.startswith(f"run {spoilt.id}: ") and "cannot be read (Permission denied)" in line
    done = runs("reindex", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["altered"] == [line]


def test_the_remedy_is_one_for_the_command_and_large_outputs_are_read_once(
    own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_run(command="search", argv=["irctl", "search"], config=resolve({})) as search:
        (search.out / "run.trec").write_text("1 Q0 d 1 2.0 a\n")
        search.artifact("out", "run_file", search.out / "run.trec")
    (search.out / "run.trec").write_text("1 Q0 d 1 9.0 a\n")
    os.utime(search.out / "run.trec", (1, 1))  # files of the last seconds are always read
    read, whole = [], hashing.compute_sha256
    monkeypatch.setattr(hashing, "compute_sha256", lambda path: read.append(path.name) or whole(path))
    for _ in range(2):
        shown = runs("show", search.id).stdout
        assert f"Restore the file, or do it again: irctl runs reproduce {search.id}" in shown
    assert read.count("run.trec") == 1


def test_reindex_names_so_many_on_stderr_and_all_as_json(
    two: tuple[RunHandle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for run, mean in zip(two, ("0.4", "0.3"), strict=True):
        (run.out / store.EVAL).write_text((run.out / store.EVAL).read_text().replace(mean, "0.9"))
    monkeypatch.setattr(upkeep, "NAMED", 1)
    done = runs("reindex", "--json")
    assert len(json.loads(done.stdout)["altered"]) == 2
    assert done.stderr.count("out/eval.json is not what") == 1
    assert "warning: and 1 more: irctl runs reindex --json has all" in done.stderr
