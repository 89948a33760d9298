"""`irctl report --checklist GROUP`: a row an arm and seed, with what is missing and the command for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import Workspace

from irctl.config import from_sets, resolve
from irctl.files import write_atomic
from irctl.index.shards import write_json
from irctl.ledger.query import RunRecord, find_run
from irctl.ledger.recording import GROUP, RunHandle, start_run
from irctl.pipelines.arms import group_checklist, members
from irctl.pipelines.arms.chains import RUN, Chain, DoneLines

RECIPE = """
[meta]
title = "arms"
source = "a test"
command = "irctl train --recipe arms.toml"
sets = "scifact"

[[arms]]
name = "a"
"""
TRAIN = [("train", "--seed", str(n)) for n in range(3)]
EVAL = ("eval", "--model", RUN, "--data", "cranfield")


def started(words: tuple[str, ...], *sets: str) -> RunHandle:
    return start_run(command=words[0], argv=["irctl", *words, "--json"], config=resolve(from_sets(sets)))


def evaluated(words: tuple[str, ...], *datasets: str) -> str:
    with started(words, f"data.source={','.join(datasets)}") as run:
        told = {"split": "test", "measure": "nDCG@10", "value": 0.5, "n_queries": 1, "n_missing": 0}
        told |= {"self_match": "keep", "qrels_sha256": "q"}
        write_json(run.out / "eval.json", {"results": [{"dataset": d, **told} for d in datasets]})
    return run.id


def trained(words: tuple[str, ...]) -> str:
    with started(words) as run:
        run.paths.model.mkdir(parents=True)
        write_atomic(run.paths.model / "modules.json", '[{"idx": 0, "name": "0", "path": "", "type": "T"}]')
        header = b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
        (run.paths.model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return run.id


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """Seed 0 was trained and evaluated, seed 1 was trained and cut short, seed 2 failed; one arm only measures."""
    (tmp_path / "arms.toml").write_text(RECIPE)
    recipe = str(tmp_path / "arms.toml")
    argv = ["irctl", "train", "--recipe", recipe]
    handle = start_run(command="arms", argv=argv, config=resolve())
    with handle:
        monkeypatch.setenv(GROUP, handle.id)
        chains = [Chain(f"a-seed{n}", (TRAIN[n], EVAL)) for n in range(3)]
        base = ("eval", "--model", "some/base", "--data", "cranfield")
        chains.append(Chain("untouched", (base,)))
        chains.append(Chain("codes", (("compress",), ("eval", "--index", RUN))))
        members.keep_plan(handle.out, chains)
        memory = DoneLines(handle.out / members.DONE, handle.paths.folder.parent)
        with started(("compress",)) as packed:
            pass
        memory.keep(("compress",), packed.id)
        memory.keep(own := ("eval", "--index", packed.id), evaluated(own, "cranfield"))
        for n in (0, 1):
            memory.keep(TRAIN[n], model := trained(TRAIN[n]))
            memory.keep(own := ("eval", "--model", model, "--data", "cranfield"), evaluated(own, "cranfield"))
            if n == 0:
                evaluated(("eval", "--model", model, "--data", "scifact,fiqa"), "scifact", "fiqa")
            else:
                weights = find_run(model).paths.model / "model.safetensors"
                weights.write_bytes(weights.read_bytes()[:-1])
        with pytest.raises(RuntimeError), started(TRAIN[2]):
            raise RuntimeError
        memory.keep(base, evaluated(base, "cranfield"))
    return find_run(handle.id)


def test_every_arm_and_seed_has_its_status_its_checkpoint_its_sets_and_the_command_for_the_rest(
    group: RunRecord, tmp_path: Path
) -> None:
    whole, cut, failed, base, codes = group_checklist.members_of(group)
    assert (whole.status, whole.checkpoint, whole.missing, whole.command) == ("completed", "whole", (), "")
    assert whole.sets == ("cranfield test", "scifact test", "fiqa test")
    assert (cut.status, cut.checkpoint) == ("completed", "model.safetensors is cut short")
    assert set(cut.missing) == {"scifact", "fiqa"} and cut.command.endswith(" --data scifact,fiqa")
    assert (failed.status, failed.checkpoint, failed.sets) == ("train failed", "none", ())
    assert failed.command == f"irctl train --recipe {tmp_path}/arms.toml"
    assert base.command == "irctl eval --model some/base --data scifact,fiqa" and base.checkpoint == ""
    # codes are of one corpus: nothing of other data is missing
    assert (codes.sets, codes.missing, codes.command) == (("cranfield test",), (), "")


def test_the_command_prints_a_line_an_arm_and_refuses_what_is_no_group(place: Workspace) -> None:
    (place.folder / "arms.toml").write_text(RECIPE)
    with start_run(command="arms", argv=["irctl", "train", "--recipe", "arms.toml"], config=resolve()) as run:
        members.keep_plan(run.out, [Chain("a-seed0", (TRAIN[0], EVAL))])
    said = place.ok("report --checklist arms.toml").out.splitlines()
    assert said[0] == "no   a-seed0: train not started, model none; evaluated: nothing"
    assert said[1].strip() == "missing: train not started: irctl train --recipe arms.toml"
    told = place.ok(f"report --checklist {run.id} --json").json
    assert [a["arm"] for a in told["arms"]] == ["a-seed0"] and told["checklist"] == []
    assert "no group of that recipe" in place.run("report --checklist nothing").err
    assert place.run("report nothing").code == 2
