"""What every command promises: results on stdout, one error line on stderr, the documented exit code, --json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from workspace import Workspace

from irctl import errors

WRONG = [
    (
        "train --probe",
        errors.USAGE,
        "--probe: goes with --dry-run of one training. Add --dry-run, and name one arm",
    ),
    (
        "train --loss infonec",
        errors.USAGE,
        "no loss named 'infonec' (loss.name, from option --loss). Did you mean 'infonce'?",
    ),
    ("train --method dens --dry-run", errors.USAGE, "no method named 'dens'"),
    ("train --set train.lrr=1", errors.USAGE, "Did you mean 'train.lr'?"),
    ("train --profile v100 --dry-run", errors.USAGE, "no profile named 'v100'. Did you mean 'v100x8'?"),
    ("train --recipe sycl", errors.USAGE, "no recipe named 'sycl'"),
    ("train --tiny", errors.USAGE, "--tiny: is an overlay of a recipe"),
    ("train --config none.toml", errors.DATA, "none.toml: no such configuration file"),
    ("train --resume 19990101", errors.DATA, "19990101"),
    ("encode --runner rey", errors.USAGE, "--runner rey: irctl encode has local, slurm, ray"),
    ("train --devices 0,0", errors.USAGE, "each device once"),
    ("train --data nowhere", errors.DATA, "nowhere"),
    ("train --model no/such-model --max-steps 1", errors.DATA, "no/such-model"),
    ("encode --data cranfeild", errors.DATA, "cranfeild"),
    ("compress --method opqq", errors.USAGE, "no compression method named 'opqq'"),
    ("compress --data nowhere.npy", errors.DATA, "nowhere.npy"),
    ("compress --method pq --data synthetic:500,64,0.5 --set pq.m=7", errors.USAGE, "64"),
    ("search --index nowhere", errors.DATA, "nowhere"),
    ("search --split training", errors.DATA, "training"),
    ("eval nowhere.trec", errors.DATA, "nowhere.trec"),
    ("eval --measures nDGC@10 --model sentence-transformers/all-MiniLM-L6-v2", errors.USAGE, "nDGC@10"),
    ("runs show 19990101", errors.DATA, "19990101"),
    ("hardneg --range 9:3", errors.USAGE, "hardneg.range"),
    ("recipes show nothing", errors.USAGE, "no recipe named 'nothing'"),
    ("train --runner ray", errors.USAGE, "--runner ray: irctl train has local, slurm"),
    ("train --runner slurm", errors.ENVIRONMENT, "no sbatch on PATH"),
    ("train --profile v100x8 --batch 100 --dry-run", errors.USAGE, "100"),
]


@pytest.mark.parametrize(("line", "code", "said"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_line_ends_in_one_line_and_its_code(
    line: str, code: int, said: str, place: Workspace, in_process: None
) -> None:
    done = place.run(line)
    assert (done.code, done.out) == (code, ""), done.out + done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("error: ") and said in last, done.err
    assert "Traceback" not in done.err


def test_an_unknown_option_is_a_usage_error(place: Workspace) -> None:
    done = place.run("train --lss ws2")
    assert done.code == errors.USAGE
    assert "--lss" in done.err


def test_an_error_under_json_is_one_object(place: Workspace) -> None:
    done = place.run("train --loss infonec --json")
    assert done.json == {
        "schema": "irctl/error/1",
        "kind": "ConfigError",
        "message": "no loss named 'infonec' (loss.name, from option --loss)",
        "hint": "Did you mean 'infonce'?",
        "exit_code": 2,
    }


def test_results_go_to_stdout_and_the_rest_to_stderr(place: Workspace) -> None:
    done = place.ok("search --retriever bm25 -k 5 --json")
    assert done.json["schema"] == "irctl/search/1"
    assert Path(done.json["run_file"]).is_file()
    assert len(done.out.splitlines()) == 1


def test_quiet_prints_ids_only(place: Workspace) -> None:
    done = place.ok("search --retriever bm25 -k 5 --quiet")
    assert re.fullmatch(r"\S+\n", done.out)
    assert done.err == ""


def test_show_prints_each_setting_with_its_origin(place: Workspace) -> None:
    done = place.ok("train --loss ws2 --set train.lr=1e-5 --show --json")
    assert done.json["config"]["loss.name"] == {"value": "ws2", "origin": "option --loss"}
    assert done.json["config"]["train.lr"] == {"value": 1e-5, "origin": "--set"}
    assert done.json["config"]["train.epochs"]["origin"] == "collection cranfield"
    assert done.json["config"]["train.clip"]["origin"] == "default"


def test_a_dry_run_makes_no_run_folder(place: Workspace) -> None:
    before = set((place.folder / "runs").glob("*"))
    done = place.ok("train --loss ws2 --dry-run --json")
    assert done.json["dry_run"] is True
    assert set((place.folder / "runs").glob("*")) == before


def test_a_fault_of_ours_is_one_line_and_its_traceback_is_in_the_log(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.pipelines.search import bm25

    def broken(*args: object, **given: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(bm25, "search", broken)
    done = place.run("search --retriever bm25")
    assert done.code == errors.RUN_FAILED
    assert "internal error: ZeroDivisionError: oh" in done.err and "Traceback (" not in done.err
    log = next(w for w in re.findall(r"Traceback in (\S+)", done.err))
    assert "ZeroDivisionError" in Path(place.folder, log).read_text()


def test_the_run_folder_holds_the_settings_that_repeat_it(place: Workspace) -> None:
    first = place.ok("search --retriever bm25 -k 7 --json").json
    stored = Path(first["run_dir"]) / "config.json"
    assert json.loads(stored.read_text())["search.k"]["value"] == 7
    again = place.ok(f"search --retriever bm25 --config {stored} --json").json
    assert again["k"] == 7
