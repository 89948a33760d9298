"""Vectors whose folder has moved: found beside their bundle or where the user says, else one line that says how."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from workspace import Workspace

SEARCH = "search --index bundles/sq --queries q.npy -k 5 --set search.rerank=20"


@pytest.fixture
def here(place: Workspace) -> Iterator[Workspace]:
    rng = np.random.default_rng(0)
    for name in ("in", "moved", "bundles"):
        (place.folder / name).mkdir(exist_ok=True)
    np.save(place.folder / "in/x.npy", rng.standard_normal((200, 8)).astype(np.float32))
    np.save(place.folder / "q.npy", rng.standard_normal((3, 8)).astype(np.float32))
    if not (place.folder / "bundles/sq").exists():
        place.ok("compress --data in/x.npy --method sq --out bundles/sq")
    yield place
    for left in ("moved/x.npy", "bundles/x.npy"):
        (place.folder / left).unlink(missing_ok=True)


def test_vectors_that_have_moved_are_found_where_the_hint_says_to_name_them(here: Workspace) -> None:
    here.ok(SEARCH)
    (here.folder / "in/x.npy").rename(here.folder / "moved/x.npy")
    lost = here.run(SEARCH)
    assert lost.code == 3 and "are not here any more" in lost.err and lost.err.count("\n") == 1
    assert "where they have moved: --set compress.source=PLACE" in lost.err
    here.ok(f"{SEARCH} --set compress.source=moved/x.npy")
    other = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    np.save(here.folder / "moved/x.npy", other)  # others of that name are not taken for them
    assert here.run(f"{SEARCH} --set compress.source=moved/x.npy").code == 3


def test_vectors_that_moved_beside_their_bundle_are_found(here: Workspace) -> None:
    (here.folder / "in/x.npy").rename(here.folder / "bundles/x.npy")
    here.ok(SEARCH)


def test_a_run_whose_vectors_have_moved_says_where_they_were(here: Workspace) -> None:
    run = here.ok("encode --out vec --set encoder.passage_max_len=8 --set encoder.override=true --json").json["run"]
    (here.folder / "vec").rename(here.folder / "moved/vec")
    lost = here.run(f"compress --data {run} --method sq")
    assert lost.code == 3 and f"its vectors are not at {here.folder / 'vec'} any more" in lost.err
    assert "Name the folder where they are now" in lost.err
    here.ok("compress --data moved/vec --method sq")
