"""The folders are the truth: rebuilding, labels, carrying runs, comparing, repeating, cleaning up, watching."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from ledger_runs import dump, finished, start
from workspace import line_of

from irctl import paths
from irctl.errors import ConfigError, DataError
from irctl.ledger import query
from irctl.ledger.database import reindex
from irctl.ledger.runs import cleanup, compare, follow, reproduce, tags_and_notes, transfer


def several() -> list[str]:
    """A little history with everything in it; ids oldest first."""
    train = start("train", ("train.lr=1e-5", "loss.name=infonce"), name="teacher", seed=3)
    train.metric("loss", 1.5, step=1, epoch=0.5)
    (train.out / "model").write_text("weights")
    train.artifact("out", "model", train.out / "model")
    train.note(global_batch=32, negatives_per_query=31)
    train.finish("completed")
    encode = start("encode")
    encode.artifact("in", "model", train.out / "model")
    encode.finish("failed", exit_code=3, error_kind="DataError", error_msg="no corpus")
    evaluate = finished("eval", {"RR@10": 0.25, "nDCG@10": 0.5}, negatives_per_query=7)
    for tag in ("paper", "old"):
        tags_and_notes.tag(query.find_run(train.id), tag)
    tags_and_notes.untag(query.find_run(train.id), "old")
    tags_and_notes.note(query.find_run(evaluate.id), "baseline, first try")
    return [train.id, encode.id, evaluate.id]


def test_a_rebuilt_ledger_equals_the_live_one() -> None:
    several()
    running = start("compress")
    running.beat()
    live = dump(paths.ledger())
    assert reindex.reindex() == (4, [])
    assert dump(paths.ledger()) == live
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()
    assert reindex.reindex() == (4, [])
    assert dump(paths.ledger()) == live
    running.finish("completed")


def test_rebuilding_names_a_folder_that_cannot_be_read_and_keeps_the_rest() -> None:
    several()
    broken = paths.runs() / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    count, skipped = reindex.reindex()
    assert count == 3
    assert len(skipped) == 1 and "broken/run.json: not valid JSON" in skipped[0]


def test_rebuilding_keeps_runs_of_another_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_LEDGER", str(tmp_path / "shared.db"))
    finished()
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "more"))
    finished()
    live = dump(paths.ledger())
    assert reindex.reindex() == (2, [])
    assert dump(paths.ledger()) == live


def test_tags_and_notes_live_in_the_folder() -> None:
    train, _, evaluate = several()
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()
    assert query.find_run(train).tags == ("paper",)
    assert query.find_run(evaluate).columns["notes"] == "baseline, first try"


@pytest.mark.parametrize("tag", ["", "two words", "latest", "a/b", "-x"])
def test_a_tag_that_could_not_be_typed_is_refused(tag: str) -> None:
    run = finished()
    with pytest.raises(ConfigError, match=r"expected letters|means the newest run"):
        tags_and_notes.tag(query.find_run(run.id), tag)


def test_carrying_runs_elsewhere_twice_gives_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = several()
    here = str(paths.runs().resolve())
    before = dump(paths.ledger())
    file = tmp_path / "runs.jsonl"
    assert transfer.export_runs(query.list_runs(sort="created_at"), file) == 3
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "there"))
    own = finished("eval")
    assert transfer.import_runs(file) == (ids, [])
    assert transfer.import_runs(file) == ([], ids)
    after = [row for row in dump(paths.ledger()) if own.id not in row]
    # Only the place of the run itself is new; paths of artifacts stay those of the machine that wrote them.
    there = str(paths.runs().resolve())
    assert after == [row.replace(here, there) if row.startswith("runs") else row for row in before]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":1: not valid JSON"),
        ('{"format": "other"}', ":1: expected a line of format irctl-run/1"),
        ('{"format": "irctl-run/1", "id": "../../etc", "files": {}}', ":1: expected a run id"),
        (
            '{"format": "irctl-run/1", "id": "20260101-120000000-aaaa", "files": {"run.json": "{}", "../x": ""}}',
            ":1: expected files among run.json",
        ),
        (
            '{"format": "irctl-run/1", "id": "20260101-120000000-aaaa", "files": {"run.json": "[]"}}',
            ":1: its run.json is not one of run",
        ),
    ],
)
def test_a_file_that_is_no_export_is_refused(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        transfer.import_runs(tmp_path / "x.jsonl")
    assert not list(paths.runs().glob("*")) if paths.runs().exists() else True


def test_two_runs_side_by_side() -> None:
    a = finished("train", {"RR@10": 0.25}, sets=("train.lr=1e-5",), negatives_per_query=31, seed=1)
    b = finished("train", {"RR@10": 0.40}, sets=("train.lr=3e-5",), negatives_per_query=7, seed=1)
    found = compare.diff(query.find_run(a.id), query.find_run(b.id))
    assert found["config"] == [
        {"name": "train.lr", "a": 1e-5, "b": 3e-5, "a_origin": "--set", "b_origin": "--set"},
    ]
    assert found["facts"] == [{"name": "negatives_per_query", "a": 31, "b": 7}]
    assert found["packages"] == []
    measure = next(m for m in found["measures"] if m["name"] == "RR@10")
    assert measure["delta"] == pytest.approx(0.15)
    assert found["warnings"] == [  # nothing of the data: neither says what it read
        "negatives per query differ (31 and 7): losses and measures are not comparable as they are"
    ]


def test_repeating_a_run_names_its_settings_file_and_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished("train", argv=["irctl", "train", "--recipe", "sycl", "--tiny", "--loss", "ws2"])
    found = reproduce.recipe(query.find_run(run.id), line_of)
    assert found["command"] == f"irctl train --loss ws2 --config {run.paths.config.resolve()}"
    assert found["original"] == "irctl train --recipe sycl --tiny --loss ws2"
    assert all(check["same"] for check in found["checks"])
    monkeypatch.chdir(run.paths.folder)  # outside of the checkout
    checks = {c["what"]: c["same"] for c in reproduce.recipe(query.find_run(run.id), line_of)["checks"]}
    assert checks["python"] and checks["git_commit"] == (query.find_run(run.id).columns["git_commit"] is None)


def test_a_line_that_irctl_has_no_more_is_shown_with_what_is_wrong_in_it() -> None:
    run = finished("train", argv=["irctl", "train", "--gone", "1"])
    with pytest.raises(DataError, match=r"its command line is none any more: irctl train: no option.* ran: irctl"):
        reproduce.recipe(query.find_run(run.id), line_of)


def test_cleaning_up_takes_checkpoints_of_completed_runs_and_keeps_what_is_tagged() -> None:
    runs = [finished("train") for _ in range(2)]
    for run in runs:
        run.paths.model.mkdir()
        (run.paths.checkpoints / "step-1").mkdir(parents=True)
        (run.paths.checkpoints / "step-1" / "optimizer.bin").write_bytes(b"x" * 1000)
    (runs[0].out / ".shard.tmp").write_bytes(b"y" * 10)
    (runs[0].out / ".part-0.npy.tmp.host.12").write_bytes(b"z" * 20)
    (runs[0].paths.folder / ".tmp-model").mkdir()
    (runs[0].paths.folder / ".tmp-model" / "model.safetensors").write_bytes(b"w" * 30)
    tags_and_notes.tag(query.find_run(runs[1].id), "paper")
    waste = cleanup.find()
    assert sorted(((w.run_id, w.size) for w in waste), reverse=True) == [(runs[0].id, n) for n in (1000, 30, 20, 10)]
    assert cleanup.remove(waste) == 1060
    assert not runs[0].paths.checkpoints.exists() and runs[0].paths.model.exists()
    assert runs[1].paths.checkpoints.exists()
    assert cleanup.find() == []


def test_old_failures_go_only_when_asked_and_only_if_nothing_stands_on_them() -> None:
    alone, used = start("train"), start("train")
    used.artifact("out", "model", "m", sha256="ab")
    for run in (alone, used):
        run.finish("failed", exit_code=1)
    reader = start("encode")
    reader.artifact("in", "model", "m", sha256="ab")
    reader.finish("completed")
    assert cleanup.find() == []
    assert cleanup.find(failed=True) == []  # younger than 30 days
    waste = cleanup.find(failed=True, older_than_days=0)
    assert [w.run_id for w in waste] == [alone.id]
    cleanup.remove(waste)
    assert {r.id for r in query.list_runs()} == {used.id, reader.id}
    live = dump(paths.ledger())
    reindex.reindex()
    assert dump(paths.ledger()) == live


def test_watching_a_run_ends_with_it() -> None:
    run = start()
    run.paths.log.write_text("epoch 1\nepo")
    run.metric("loss", 0.5, step=1)
    lines: list[str] = []
    watcher = threading.Thread(target=lambda: lines.extend(follow.follow(query.find_run(run.id), poll_s=0.02)))
    watcher.start()
    with run.paths.log.open("a") as f:
        f.write("ch 2\n")
    run.finish("completed")
    watcher.join(20)
    assert not watcher.is_alive()
    assert [line for line in lines if line.startswith("epoch")] == ["epoch 1", "epoch 2"]
    assert any(line.endswith("step 1 loss = 0.5") for line in lines)
    assert any("completed: exit code 0" in line for line in lines)


def test_values_of_evaluations_are_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished("eval")
    (run.out / "eval.json").write_text('{"results": []}')
    (run.out / "per_query.parquet").write_bytes(bytes(range(256)))
    (run.out / "codes.npy").write_bytes(b"large")
    transfer.export_runs([query.find_run(run.id)], tmp_path / "x.jsonl")
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "there"))
    transfer.import_runs(tmp_path / "x.jsonl")
    there = paths.runs() / run.id / "out"
    assert sorted(p.name for p in there.iterdir()) == ["eval.json", "per_query.parquet"]
    assert (there / "per_query.parquet").read_bytes() == bytes(range(256))


def test_an_exported_file_is_plain_json(tmp_path: Path) -> None:
    run = finished()
    transfer.export_runs([query.find_run(run.id)], tmp_path / "x.jsonl")
    row = json.loads((tmp_path / "x.jsonl").read_text())
    assert row["id"] == run.id and json.loads(row["files"]["run.json"])["status"] == "completed"


def test_other_data_are_warned_of_where_both_runs_read_some() -> None:
    def warnings(*fingerprints: str) -> list[str]:
        a, b = (finished("eval", dataset_fingerprint=f) for f in fingerprints)
        return compare.diff(query.find_run(a.id), query.find_run(b.id))["warnings"]

    assert warnings("one", "two") == ["the data sets differ in content"]
    assert warnings("one", "") == []
