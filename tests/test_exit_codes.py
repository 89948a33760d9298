"""Every exit code of the table in errors.py, provoked by a command line; and what a signal leaves behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner
from workspace import Workspace

from irctl import cli, errors
from irctl.pipelines.search import bm25

SEARCH = "search --retriever bm25 -k 3"


def tool(folder: Path, name: str, script: str) -> None:
    """A program of that name, first on PATH where the caller put the folder there."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def worker(then: Callable[[], None]) -> Callable[..., dict[str, object]]:
    def work(*args: object, **given: object) -> dict[str, object]:
        then()
        return {}

    return work


PROVOKED = {
    errors.OK: "recipes ls --quiet",
    errors.RUN_FAILED: "train --runner slurm",  # to an sbatch that refuses
    errors.USAGE: "train --loss infonec",
    errors.DATA: "eval nowhere.trec",
    errors.ENVIRONMENT: "doctor --profile v100x8",
    errors.PARTLY_DONE: "runs reindex",  # with a folder that cannot be read
}
SIGNALS = {errors.PREEMPTED: signal.SIGUSR2, errors.SIGINT: signal.SIGINT, errors.SIGTERM: signal.SIGTERM}


def test_every_code_of_the_table_is_provoked_here() -> None:
    assert {*PROVOKED, *SIGNALS} == set(errors.EXIT_CODES)


@pytest.mark.parametrize("code", PROVOKED)
def test_a_line_ends_with_its_code(
    code: int, place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tool(tmp_path, "sbatch", "echo no such partition >&2; exit 1")
    torn = place.folder / "runs" / "torn" / "run.json"
    torn.parent.mkdir(parents=True)
    torn.write_text("{")
    try:
        done = place.run(PROVOKED[code])
    finally:
        shutil.rmtree(torn.parent)
    assert done.code == code, done.out + done.err


@pytest.mark.parametrize("code", SIGNALS)
def test_a_signal_ends_a_run_with_its_code_and_the_same_command_continues_it(
    code: int, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{SEARCH} --seed {code}"
    with monkeypatch.context() as patched:
        patched.setattr(bm25, "search", worker(lambda: signal.raise_signal(SIGNALS[code])))
        done = place.run(line)
    assert done.code == code and "The same command continues" in done.err
    run = place.ok("runs show latest --json").json
    assert (run["status"], run["exit_code"]) == ("preempted" if code == 75 else "interrupted", code)
    again = place.ok(f"{line} --json")
    assert again.json["run"] == run["id"] and f"continuing {run['id']}" in again.err


@pytest.mark.parametrize(("restarts", "asked"), [("0", True), ("2", True), ("3", False)])
def test_a_preempted_job_asks_for_its_requeue_three_times(
    restarts: str, asked: bool, place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "scontrol", f'echo "$*" >> {tmp_path}/asked')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    monkeypatch.setattr(bm25, "search", worker(lambda: signal.raise_signal(signal.SIGUSR2)))
    assert place.run(f"{SEARCH} --seed 9{restarts}").code == errors.PREEMPTED
    made = tmp_path / "asked"
    assert (made.read_text() if made.is_file() else "") == ("requeue 77\n" if asked else "")


def test_a_second_signal_stops_at_once() -> None:
    code = (
        "import signal, time; from irctl import stopping; stopping.install()\n"
        "for _ in range(2): signal.raise_signal(signal.SIGTERM); time.sleep(stopping.TWICE_S)\n"
        "print('not reached')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (errors.SIGTERM, "")


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, errors.RUN_FAILED, "No space left on device. Free some space"),
        (errno.EDQUOT, errors.RUN_FAILED, "Disk quota exceeded. Free some space"),
        (errno.EACCES, errors.ENVIRONMENT, "Permission denied. See its rights"),
        (errno.EROFS, errors.ENVIRONMENT, "Read-only file system. Name a place"),
    ],
)
def test_a_disk_that_is_full_or_closed_is_one_line_and_in_the_ledger(
    number: int, code: int, said: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "out/run.trec")

    monkeypatch.setattr(bm25, "search", worker(refuse))
    done = place.run(f"{SEARCH} --seed {number}")
    assert done.code == code and f"error: out/run.trec: {said}" in done.err
    run = place.ok("runs show latest --json").json
    assert (run["status"], run["exit_code"]) == ("failed", code)


def test_a_usage_error_shows_a_secret_of_its_line_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["irctl", "doctor", "https://me:s3cretpw@host/x", "--json"])
    with pytest.raises(SystemExit) as e:
        cli.main()
    said = capsys.readouterr()
    assert e.value.code == errors.USAGE and json.loads(said.out)["message"].endswith("found https://***@host/x")
    assert "https://***@host/x" in said.err and "s3cret" not in said.out + said.err


@pytest.mark.parametrize("words", [["train", "--lss", "ws2"], ["train", "--max-steps", "x"], ["nosuch"]])
def test_a_usage_error_under_json_is_one_object(words: list[str]) -> None:
    argv = [sys.executable, "-m", "irctl.cli", *words, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == errors.USAGE
    assert (found["schema"], found["kind"]) == ("irctl/error/1", "UsageError")
    assert (
        done.stderr == f"error: {found['message']}. {found['hint']}\n"
        and words[1 if len(words) > 1 else 0] in found["message"]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "no command 'trian'. Did you mean 'train'? irctl --help lists the commands"),
        ("search --retriever foo", "--retriever: expected dense or bm25, found 'foo'. irctl search --help"),
        (
            "train --max-steps x",
            "--max-steps: expected a whole number, found 'x'. irctl train --help lists the options",
        ),
        ("runs diff latest", "irctl runs diff A B: expected B, found nothing. Such as: irctl runs diff latest:search"),
        (
            "runs sql",
            "irctl runs sql STATEMENT: expected STATEMENT, found nothing. Such as: irctl runs sql "
            "\"SELECT * FROM runs WHERE dataset='msmarco-streaming'\" --format csv",
        ),
        ("runs ls --limit -3", "--limit: expected 0 or more, found '-3'. irctl runs ls --help lists the options"),
        ("report --width=abc", "--width: expected a number, found 'abc'. irctl report --help lists the options"),
        ("report --figure", "--figure: expected a value, found nothing. irctl report --help lists the options"),
        ("runs export X -o F", "irctl runs export: no option -o. irctl runs export --help lists the options"),
        ("search --retreiver x", "irctl search: no option --retreiver. Did you mean --retriever, --recipe?"),
        ("doctor x", "irctl doctor: expected no more, found x. irctl doctor --help lists the options"),
        ("encode --json=x", "--json: expected no value. irctl encode --help lists the options"),
        ("runs gc --older-than inf", "--older-than: expected a finite number, found inf. irctl runs gc --help"),
    ],
)
def test_a_usage_error_is_one_line_with_what_was_expected_found_and_comes_next(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["irctl", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == errors.USAGE and line.startswith(f"error: {said}")


def test_other_lines_under_json_end_as_they_do_without(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "irctl.cli"]
    done = subprocess.run([*argv, "profiles", "ls", "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["schema"]) == (0, "irctl/profiles/1")
    done = subprocess.run([*argv, "profiles", "show", "v100", "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["kind"]) == (2, "ConfigError")


def test_verbose_says_where_the_run_is_and_which_settings_are_not_defaults(place: Workspace) -> None:
    done = place.ok(f"{SEARCH} --seed 5 --verbose --json")
    assert f"run folder {done.json['run_dir']}" in done.err
    assert "run.seed = 5  (option --seed)" in done.err
    assert "run folder" not in place.ok(f"{SEARCH} --seed 6").err


@pytest.mark.parametrize(
    "line",
    [
        "train --set train.report_to=foo",
        "train --set train.report_to=none,mlflow",
        "export --to hub --repo foo",
        "encode --side both",
        "compress --train-only --finalize",
        "eval --trust-rank",
        "eval --task rag-qa",
    ],
)
def test_what_options_alone_show_to_be_wrong_leaves_no_failed_run(line: str, place: Workspace) -> None:
    before = place.ok("runs ls --json").json["runs"]
    assert place.run(line).code == errors.USAGE
    assert place.ok("runs ls --json").json["runs"] == before


@pytest.mark.parametrize("line", ["settings --json", "--version", "--help"])
def test_results_that_cannot_be_printed_are_one_line(line: str) -> None:
    script = "from irctl.cli import main; main()"
    words = [sys.executable, "-c", script, *line.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: standard output: No space left on device")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("line", ["settings --json", "settings", "recipes show sycl-compare", "recipes ls"])
def test_a_reader_that_leaves_early_is_no_error(line: str) -> None:
    words = [sys.executable, "-c", "from irctl.cli import main; main()", *line.split()]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_ledger_that_cannot_be_made_again_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / "ledger.db").mkdir(parents=True)
    done = CliRunner().invoke(cli.app, ["runs", "reindex"])
    assert done.exit_code == 4 and f"{tmp_path}/runs/ledger.db: cannot be written" in done.stderr
