"""`irctl train --resume RUN:checkpoint_epoch_N`: a new run that goes on from a checkpoint of another."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from word_collection import word_collection
from workspace import Workspace

from irctl.pipelines.train import branch

TRAIN = (
    "train --data {} --negatives none --epochs 2 --batch 4 --loss infonce --set train.epoch_models=true "
    "--set encoder.passage_max_len=16 --set data.group_size=2 --json"
)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> str:
    return TRAIN.format(word_collection(tmp_path_factory.mktemp("words") / "words", train=range(8), dev=range(8, 12)))


@pytest.fixture
def first(place: Workspace, line: str, in_process: None, kept: dict) -> dict:
    """The run whose checkpoints are gone on from; trained once."""
    if not kept:
        kept |= place.ok(line).json
    return kept


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


def test_every_kept_folder_opens_in_sentence_transformers(place: Workspace, first: dict) -> None:
    at = place.folder / first["run_dir"] / "checkpoints"
    names = ["best_model", "checkpoint_epoch_1", "checkpoint_epoch_2", "final_model"]
    assert sorted(p.name for p in at.iterdir() if not p.name.startswith("step-")) == names
    vectors = {n: SentenceTransformer(str(at / n), device="cpu").encode("wing") for n in names}
    assert (vectors["final_model"] == vectors["checkpoint_epoch_2"]).all()
    model = SentenceTransformer(str(place.folder / first["run_dir"] / "model"), device="cpu").encode("wing")
    assert (vectors["best_model"] == model).all()


def test_a_new_run_goes_on_from_the_epoch_to_the_same_model_and_leaves_the_old_one(
    place: Workspace, line: str, first: dict
) -> None:
    before = files(place.folder / first["run_dir"])
    done = place.ok(f"{line} --resume {first['run']}:checkpoint_epoch_1").json
    assert done["run"] != first["run"] and done["steps"] == first["steps"] == 4
    assert done["model_fingerprint"] == first["model_fingerprint"] and done["dev_after"] == first["dev_after"]
    assert files(place.folder / first["run_dir"]) == before
    shown = place.ok(f"runs show {done['run']} --json").json
    assert shown["parent_id"] == first["run"]
    taken = next(a for a in shown["artifacts"] if a["kind"] == "checkpoint")
    assert taken["role"] == "in" and "checkpoint_epoch_1/training_state" in taken["path"]


def test_best_and_a_step_can_be_gone_on_from(place: Workspace, line: str, first: dict) -> None:
    for name in ("best", "step-4"):
        dry = place.ok(f"{line} --resume {first['run']}:{name} --dry-run").json
        assert dry["config"]["train.resume_from"]["value"] == f"{first['run']}:{name}"


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(place: Workspace, line: str, first: dict) -> None:
    for more in ("", " --dry-run"):
        done = place.run(f"{line} --resume {first['run']}:checkpoint_epoch_9{more}")
        assert done.code == 3 and "no checkpoint 'checkpoint_epoch_9'" in done.err
        assert "it has step-2, step-4, checkpoint_epoch_1, checkpoint_epoch_2" in done.err
    done = place.run(f"{line} --resume nosuchrun:checkpoint_epoch_1")
    assert done.code == 3 and "nosuchrun" in done.err


def test_other_settings_than_those_of_the_checkpoint_are_refused(place: Workspace, line: str, first: dict) -> None:
    done = place.run(f"{line} --resume {first['run']}:checkpoint_epoch_1 --lr 0.5")
    assert done.code == 2 and "was trained with other settings" in done.err


@pytest.mark.parametrize("option", ["--resume", "--model", "--init"])
def test_a_pickle_is_refused_in_one_line(place: Workspace, line: str, option: str) -> None:
    (place.folder / "checkpoint_epoch_2.pt").write_bytes(b"\x80\x02")
    done = place.run(f"{line} {option} checkpoint_epoch_2.pt")
    assert done.code == 3 and "checkpoint_epoch_2.pt: is a pickle" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_submitted_job_and_a_group_take_no_checkpoint_of_another_run(place: Workspace, line: str) -> None:
    done = place.run(f"{line} --resume latest:checkpoint_epoch_1 --runner slurm")
    assert done.code == 2 and "--set train.resume_from=latest:checkpoint_epoch_1" in done.err
    done = place.run(f"{line} --resume latest:checkpoint_epoch_1 --seeds 1,2")
    assert done.code == 2 and "is of one training" in done.err


@pytest.mark.parametrize(
    ("text", "named"),
    [("abc:checkpoint_epoch_1", True), ("abc:epoch_1", True), ("latest:best", True), ("latest:step-4", True),
     ("latest:dense", False), ("latest:dense:step-4", True), ("abc", False), ("none", False), ("", False)],
)  # fmt: skip
def test_a_name_after_the_run_means_a_checkpoint(text: str, named: bool) -> None:
    assert branch.is_checkpoint(text) is named
