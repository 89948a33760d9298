"""`irctl report --figure curves`: which trainings and steps are drawn, and what they are called."""

from __future__ import annotations

import csv
from pathlib import Path

from recorded_evaluations import irctl, step

from irctl.config import from_sets, resolve
from irctl.ledger.recording import start_run
from irctl.training.run_files.journal import TrainingJournal


def test_curves_show_the_steps_of_the_newest_training_with_its_group(own_folders: Path) -> None:
    for seed in (1, 2):
        config = resolve(from_sets(["loss.name=ws2", f"run.seed={seed}"]))
        run = start_run(command="train", argv=["irctl", "train"], config=config, seed=seed, group_id="arms")
        with run:
            for at in (1, 2, 4):
                run.metric("loss", seed / at, step=at)
                run.metric("lr", 1e-5, step=at)
            run.metric("nDCG@10", 0.3 + seed / 10, dataset="cranfield", split="dev", step=4)
    step("train", "loss.name=infonce", seed=3)
    assert irctl("--figure", "curves", "-o", "old").exit_code == 3  # the newest measured no step
    folder = own_folders / "figures"
    result = irctl("--figure", "curves", "--run", run.id, "-o", str(folder))
    assert result.exit_code == 0, result.stderr
    with (folder / "curves.csv").open() as f:
        points = list(csv.DictReader(f))
    assert {(p["system"], p["measure"]) for p in points} == {
        ("dense ws2 seed 2", "loss"),
        ("dense ws2 seed 2", "nDCG@10"),
    }
    assert [float(p["value"]) for p in points if p["measure"] == "loss"] == [2.0, 1.0, 0.5]


def test_trainings_that_differ_in_the_seed_alone_are_one_line_of_the_curves(own_folders: Path) -> None:
    for loss, lr, seed in (("ws2", 1e-4, 1), ("ws2", 1e-4, 2), ("ws2", 1e-3, 3), ("infonce", 1e-4, 1)):
        config = resolve(from_sets([f"loss.name={loss}", f"train.lr={lr}", f"run.seed={seed}"]))
        with start_run(command="train", argv=["irctl", "train"], config=config, seed=seed, group_id="arms") as run:
            run.metric("loss", float(seed), step=1)
    folder = own_folders / "figures"
    assert irctl("--figure", "curves", "-o", str(folder)).exit_code == 0
    with (folder / "curves.csv").open() as f:
        groups = [(p["system"].partition(" seed ")[0], p["value"], p["group"]) for p in csv.DictReader(f)]
    (shared,) = {group for _, value, group in groups if group}
    assert shared.startswith("dense ws2")
    assert sorted((value, group == shared) for name, value, group in groups if name == "dense ws2") == [
        ("1.0", True),
        ("2.0", True),
        ("3.0", False),
    ]


def test_curves_leave_out_the_smaller_last_batch_of_an_epoch(own_folders: Path) -> None:
    with start_run(command="train", argv=["irctl", "train"], config=resolve({})) as run:
        epochs = {"steps": 3, "even": 2, "logged": 1}
        TrainingJournal(run.paths).event("plan", steps=6, step=0, epochs=epochs, inputs=[])
        for at, value in enumerate((4.0, 3.0, 0.1, 2.0, 1.0, 0.1), 1):
            run.metric("loss", value, step=at)
    folder = own_folders / "figures"
    assert irctl("--figure", "curves", "--run", run.id, "-o", str(folder)).exit_code == 0
    with (folder / "curves.csv").open() as f:
        assert [float(p["value"]) for p in csv.DictReader(f)] == [4.0, 3.0, 2.0, 1.0]
