"""The plan: which rows make which batch and which worker's, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irctl.errors import ConfigError, DataError
from irctl.index import plan as planning
from irctl.index.plan import Plan, draw_samples, parse_shard

PLAN = Plan(
    source="a.npy", fingerprint="f", key="f", files=(("a", 2500), ("b", 700)), dim=8, batch=1000, method="pq",
    metric="ip", settings={"m": 4}, seed=42, train_rows=100, probe=10, workers=2,
)  # fmt: skip


def test_batches_stay_inside_files_and_number_through_them() -> None:
    assert [(b.index, b.file, b.row0, b.rows, b.file_row0) for b in PLAN.batches()] == [
        (0, "a", 0, 1000, 0),
        (1, "a", 1000, 1000, 1000),
        (2, "a", 2000, 500, 2000),
        (3, "b", 2500, 700, 0),
    ]


def test_without_streaming_a_file_is_one_batch() -> None:
    assert [b.rows for b in replace(PLAN, batch=0).batches()] == [2500, 700]


def test_sixty_files_make_more_batches_than_rows_over_batch() -> None:
    files = tuple((str(i), 886_667) for i in range(60))
    assert len(replace(PLAN, files=files, batch=10_000).batches()) == 60 * 89  # not 53.2M / 10K = 5,320


@pytest.mark.parametrize(("workers", "count"), [(1, 4), (2, 4), (3, 10), (16, 100), (7, 5)])
def test_workers_cover_all_batches_once_and_contiguously(workers: int, count: int) -> None:
    plan = replace(PLAN, files=(("a", count * 1000),), workers=workers)
    found = [[b.index for b in plan.take_share(w)] for w in range(workers)]
    assert [i for part in found for i in part] == list(range(count))


def test_workers_share_the_first_batches_alone_and_keep_their_numbers() -> None:
    plan = replace(PLAN, files=(("a", 10_000),), workers=2)
    assert [[b.index for b in plan.take_share(w, 4)] for w in range(2)] == [[0, 1], [2, 3]]
    assert [[b.index for b in plan.take_share(w, 99)] for w in range(2)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_names_are_four_digits_and_wider_for_more_batches() -> None:
    assert PLAN.name(0, 4) == "0000" and PLAN.name(9, 11_353) == "00009"


def test_a_plan_is_written_once_and_read_back(tmp_path: Path) -> None:
    assert not planning.write_or_match(tmp_path, PLAN)
    assert planning.write_or_match(tmp_path, PLAN)
    assert planning.read(tmp_path) == PLAN
    assert json.loads((tmp_path / "plan.json").read_text())["sha256"] == PLAN.sha256


@pytest.mark.parametrize("change", [{"batch": 500}, {"dim": 9}, {"method": "sq"}, {"fingerprint": "g"}, {"seed": 1}])
def test_a_folder_begun_otherwise_is_refused_with_both_values(tmp_path: Path, change: dict[str, object]) -> None:
    planning.write_or_match(tmp_path, PLAN)
    other = replace(PLAN, **change)  # type: ignore[arg-type]
    key, value = next(iter(change.items()))
    with pytest.raises(ConfigError) as e:
        planning.write_or_match(tmp_path, other)
    assert key in e.value.message and json.dumps(value) in e.value.message
    assert json.dumps(getattr(PLAN, key)) in e.value.message


def test_an_altered_plan_is_refused(tmp_path: Path) -> None:
    planning.write_or_match(tmp_path, PLAN)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace("1000", "2000"))
    with pytest.raises(DataError, match="hash"):
        planning.read(tmp_path)


def test_batches_are_whole_blocks() -> None:
    planning.check_batch(10_000)
    with pytest.raises(ConfigError, match=r"multiple of 500 rows, found 1200\. The nearest is 1000"):
        planning.check_batch(1200)


@pytest.mark.parametrize(("rows", "train", "probe"), [(100, 1000, 1000), (1400, 500, 1000), (100_000, 3000, 1000)])
def test_probe_and_training_rows_are_disjoint_sorted_and_drawn_by_seed(rows: int, train: int, probe: int) -> None:
    held, drawn = draw_samples(rows, train, probe, 1)
    assert not set(held) & set(drawn) and len(held) == min(probe, rows // 10)
    assert len(drawn) == min(train, rows - len(held))
    for part in (held, drawn):
        assert (np.diff(part) > 0).all() and part.min() >= 0 and part.max() < rows
    again = draw_samples(rows, train, probe, 1)
    assert (again[0] == held).all() and (again[1] == drawn).all()
    assert (draw_samples(rows, train, probe, 2)[0] != held).any()


def test_a_sparse_sample_is_spread_over_the_whole_input() -> None:
    held, drawn = draw_samples(10_000_000, 20_000, 1000, 3)
    tenths = np.bincount(np.concatenate([held, drawn]) // 1_000_000, minlength=10)
    assert tenths.min() > 0 and len(np.unique(drawn // 500)) <= 42


@pytest.mark.parametrize("size", (1000, 10_000, 100_000, 1_000_000))
def test_a_sample_of_many_rows_reads_a_bounded_part_of_large_row_groups(size: int) -> None:
    rows, wanted = 53_200_300, 100_000
    groups = [(start, min(start + size, rows)) for start in range(0, rows, size)]
    drawn = planning.draw(rows, wanted, 42, groups)
    plain = planning.draw(rows, wanted, 42)
    assert len(drawn) == wanted and (np.diff(drawn) > 0).all() and drawn[-1] < rows
    if size <= 20_000:
        assert (drawn == plain).all()  # small groups are no reason to choose other rows
    counted = [np.bincount(d // size, minlength=len(groups)) for d in (drawn, plain)]
    assert abs(counted[0] - counted[1]).max() <= 1000  # a group keeps its share, up to the runs across its ends
    inside = drawn % size + 1
    read = sum(inside[drawn // size == g].max() for g in np.unique(drawn // size))
    assert read / rows < {1000: 0.005, 10_000: 0.03}.get(size, 0.08)


def test_many_runs_in_one_group_do_not_meet() -> None:
    drawn = planning.draw(1_000_000, 200_000, 7, [(0, 1_000_000)])
    assert len(np.unique(drawn)) == 200_000
    odd = planning.draw(
        1_000_000, 100_000, 7, [(0, 333_333), (333_333, 1_000_000)]
    )  # ends that are no multiples of 500
    assert len(np.unique(odd)) == 100_000 and odd.max() < 1_000_000


def test_a_shard_comes_from_the_option_or_the_array_task() -> None:
    assert parse_shard("3/16", {}, 1) == (3, 16)
    assert parse_shard("", {}, 4) == (None, 4)
    assert parse_shard("", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2"}, 16) == (7, 16)
    for wrong in ("3", "4/4", "a/b", "-1/3"):
        with pytest.raises(ConfigError, match="expected i/n"):
            parse_shard(wrong, {}, 1)
    with pytest.raises(ConfigError, match=r"task 9: there are 4 workers.*--array=0-3"):
        parse_shard("", {"SLURM_ARRAY_TASK_ID": "9"}, 4)
