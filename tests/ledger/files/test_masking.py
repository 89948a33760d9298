"""Secrets, by the names of what holds them and by what they are, stay out of everything that a run writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspace import Workspace, workspace

from irctl.ledger.files.secrets import SECRET_NAME, Masker
from irctl.paths import RunPaths
from irctl.training.run_files import journal

SECRET = "hunter2hunter2"


def test_names_that_hold_secrets_are_known_and_those_that_only_sound_like_it_are_not() -> None:
    held = (
        "DB_PASS PASSPHRASE SSHPASS PGPASSWORD REGISTRY_AUTH AUTH GH_PAT MYSQL_PWD HF_TOKEN api-key --db-pass".split()
    )
    plain = "PWD OLDPWD PATH PATTERN GIT_AUTHOR_NAME COMPASSES passage encoder.passage_max_len".split()
    assert [n for n in held if not SECRET_NAME.search(n)] == []
    assert [n for n in plain if SECRET_NAME.search(n)] == []


def test_secret_parameters_of_urls_are_masked_and_the_rest_of_the_url_stays() -> None:
    masker = Masker(["irctl", "encode", "--data", "https://h/x?split=test&api_key=abcdefghijk#a"], {})
    assert masker.argv[-1] == "https://h/x?split=test&api_key=***#a"
    assert masker.text("of abcdefghijk: https://h/y?sig=1234&n=2") == "of ***: https://h/y?sig=***&n=2"


def test_short_secrets_are_masked_where_they_stand_and_spoil_no_other_text() -> None:
    masker = Masker(["irctl", "encode", "--data", "https://h/x?token=2", "--hub-pass=k3f9"], {})
    assert masker.argv[2:] == ["--data", "https://h/x?token=***", "--hub-pass=***"]
    # each would be no id and no time with a part of it masked, and its run none
    record = {"id": "20261128-142233417-k3f9", "created_at": "2026-11-28T14:22:33.417Z"}
    assert masker.value(record) == record and masker.text("https://h/y?token=2&n=2") == "https://h/y?token=***&n=2"


def test_child_processes_know_the_secrets_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Masker(["irctl", "train", f"--hub-pass={SECRET}"], {}).environment().items():
        monkeypatch.setenv(name, value)
    paths = RunPaths(tmp_path)
    told = journal.TrainingJournal(paths, dataset=f"of {SECRET}")
    told.event("error", kind="DataError", message=f"{SECRET}: refused", hint="", exit_code=3)
    told.dev(1, 0.5, {"nDCG@10": 0.5}, "dev")
    assert SECRET not in paths.metrics.read_text() and "***: refused" in paths.metrics.read_text()


@pytest.fixture
def secretive(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DB_PASS", SECRET)
    with workspace(tmp_path, tiny_encoder) as place:
        yield place


def test_evaluations_and_reports_hide_known_secrets(secretive: Workspace) -> None:
    from pyarrow import parquet

    secretive.ok(f"search --retriever bm25 --set run.dataset=of-{SECRET}")
    secretive.ok(f"eval latest --set run.dataset=of-{SECRET} --export repconc")
    shown = [secretive.ok(line).out for line in ("report", "report --format csv --ids", "runs ls", "runs show latest")]
    assert not [text for text in shown if SECRET in text]
    secretive.ok("report --format html -o table.html")
    written = [p for p in (*(secretive.folder / "runs").rglob("*"), secretive.folder / "table.html") if p.is_file()]
    assert not [p for p in written if SECRET.encode() in p.read_bytes()]
    tables = [p for p in written if p.suffix == ".parquet"]
    assert tables and not [p for p in tables if SECRET in str(parquet.read_table(p).to_pydict())]


def test_a_job_script_hides_secrets_and_the_job_has_them(secretive: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch = secretive.folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f"#!/bin/sh\n[ -t 0 ] || cat > {secretive.folder}/given\necho 41\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:/usr/bin:/bin")
    done = secretive.ok(f"encode --set run.name=of-{SECRET} --runner slurm --json").json
    stored = Path(done["script"]).read_text()
    assert SECRET not in stored and "run.name=of-***" in stored
    assert f"run.name=of-{SECRET}" in (secretive.folder / "given").read_text()
    run = secretive.folder / "runs" / done["run"]
    assert not [p for p in run.rglob("*") if p.is_file() and SECRET in p.read_text()]
    assert json.loads((run / "run.json").read_text())["slurm_job_id"] == "41"
