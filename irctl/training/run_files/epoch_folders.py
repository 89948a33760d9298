"""Models that a training leaves beside its checkpoints, under the names of ragcun. Imports no torch.

`checkpoint_epoch_N/`, `best_model/` and `final_model/` each open with SentenceTransformer. An epoch's folder also holds
`training_state/`: the files of that step's checkpoint as hard links, so that rotation does not take them, and in its
`best/` the weights of the best step so far, where that is another. Every folder is whole or not there.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from irctl import tables
from irctl.training.run_files import checkpoints
from irctl.training.run_files.checkpoints import MANIFEST, WEIGHTS, Checkpoint

PREFIX = "checkpoint_epoch_"
STATE = "training_state"
BEST = "best"
BEST_MODEL, FINAL_MODEL = "best_model", "final_model"


def folder_of(folder: Path, epoch: int) -> Path:
    """Where the model after so many epochs lies, or will. folder: of the checkpoints."""
    return folder / f"{PREFIX}{epoch}"


def open_staging(folder: Path, name: str) -> Path:
    """Where a folder of this name is made, free of what an earlier attempt left."""
    staged = folder / f".tmp-{name}"
    shutil.rmtree(staged, ignore_errors=True)
    return staged


def publish(staged: Path, target: Path) -> None:
    """Put a finished folder in its place."""
    checkpoints.sync_files(staged)
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    checkpoints.sync(target.parent)


def add_state(staged: Path, checkpoint: Checkpoint, best: Checkpoint | None) -> None:
    """Give a model's folder the state that training goes on from. best: the best step so far, if any."""
    state = staged / STATE
    _link_files(checkpoint.folder, state)
    if best is not None and best.step != checkpoint.step:
        (state / BEST).mkdir()
        link(best.folder / WEIGHTS, state / BEST / WEIGHTS)
        alone = {**best.manifest, "has_state": False}  # it is kept to be chosen, not to train on from
        (state / BEST / MANIFEST).write_text(json.dumps(alone, indent=1, sort_keys=True))


def copy_model(source: Path, folder: Path, name: str) -> None:
    """A second name for a finished model, by links."""
    staged = open_staging(folder, name)
    for file in (p for p in source.rglob("*") if p.is_file() and STATE not in p.relative_to(source).parts):
        link(file, staged / file.relative_to(source))
    publish(staged, folder / name)


def states(folder: Path) -> dict[str, Checkpoint]:
    """{name: what training can go on from} of a run's checkpoints: `step-N`, `checkpoint_epoch_N`, and `best`."""
    steps = checkpoints.whole(folder)
    found = {c.folder.name: c for c in steps}
    epochs = [p for p in folder.glob(f"{PREFIX}*") if (p / STATE / MANIFEST).is_file()]
    for path in sorted(epochs, key=lambda p: int(p.name.removeprefix(PREFIX))):
        found[path.name] = Checkpoint(path / STATE, tables.json_object(path / STATE / MANIFEST))
    best = steps[-1].manifest["best"]["step"] if steps else None
    if best and (named := checkpoints.at(folder, best)):
        found[BEST] = named
    return found


def best_of(checkpoint: Checkpoint) -> Checkpoint | None:
    """The best step at the time of a checkpoint, where its weights are still there and are others."""
    step = checkpoint.manifest["best"]["step"]
    if not step or step == checkpoint.step:
        return None
    kept = checkpoint.folder / BEST
    if (kept / MANIFEST).is_file():
        return Checkpoint(kept, tables.json_object(kept / MANIFEST))
    return checkpoints.at(checkpoint.folder.parent, step)


def adopt(checkpoint: Checkpoint, folder: Path) -> None:
    """Make another run's checkpoint one of this run, and the best step before it too; nothing of the other changes."""
    best = best_of(checkpoint)
    for given in ([best] if best else []) + [checkpoint]:  # last what training goes on from
        staged = checkpoints.staging(folder, given.step)
        shutil.rmtree(staged, ignore_errors=True)
        _link_files(given.folder, staged)
        publish(staged, folder / f"{checkpoints.PREFIX}{given.step}")


def _link_files(source: Path, target: Path) -> None:
    """The files of a folder, without what lies in folders below it."""
    target.mkdir(parents=True)
    for file in (p for p in source.iterdir() if p.is_file()):
        link(file, target / file.name)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
