"""Recovery, overlap and gap closed: references by lineage, numbers a person can follow, and when there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from report_records import record

from irctl.reports.equal_bytes import add_gap, add_overlap, compare_gaps
from irctl.reports.records import Record, compute_kept, index_wholes
from irctl.reports.significance import bootstrap_ratio

SHAPE = {"m": 24.0, "slice_bits": 4.0}


def codes(system: str, compression: str, value: float, size: float = 12, **more: Any) -> Record:
    return record(system, value, compression=compression, bytes_per_vector=size, base="v", **more)


def opq(value: float, seed: int, **more: Any) -> Record:
    facts = more.pop("facts", SHAPE)
    return codes(
        more.pop("system", "MiniLM opq"), "opq", value, code_seed=seed, facts=facts, run_id=f"opq{seed}", **more
    )


DENSE = record("MiniLM", 0.50, base="v", bytes_per_vector=1536)
STARTS = [opq(0.40, 1), opq(0.42, 2), opq(0.44, 3)]  # mean .42


def gaps(*records: Record) -> dict[str, float | None]:
    return {r.system: r.facts.get("gap") for r in add_gap(records, "nDCG@10")}


def test_the_gap_is_the_share_of_the_way_from_the_mean_opq_to_the_uncompressed_vectors() -> None:
    learned = codes("MiniLM jpq", "jpq", 0.46, facts=SHAPE)  # (.46 - .42) / (.50 - .42)
    found = gaps(DENSE, *STARTS, learned, codes("MiniLM pq", "pq", 0.34, facts=SHAPE), codes("sign", "binary", 0.50))
    assert found["MiniLM jpq"] == pytest.approx(0.5) and found["MiniLM pq"] == pytest.approx(-1.0)
    assert found["sign"] == pytest.approx(1.0)  # no slices: as many bytes
    assert found["MiniLM"] is None
    of_starts = [r.facts["gap"] for r in add_gap([DENSE, *STARTS], "nDCG@10") if r.compression]
    assert of_starts == pytest.approx([-0.25, 0, 0.25])  # whose mean is 0


def test_codes_of_other_slices_bytes_vectors_data_or_rerank_have_no_gap() -> None:
    others = [
        codes("slices", "jpq", 0.46, facts={"m": 12.0, "slice_bits": 8.0}),  # 12 bytes too, but other slices
        codes("bytes", "binary", 0.46, size=48),
        record("vectors", 0.46, compression="jpq", bytes_per_vector=12, base="other", facts=SHAPE),
        codes("split", "jpq", 0.46, facts=SHAPE, split="dev"),
        codes("reranked", "jpq", 0.46, facts=SHAPE, rerank=100),
        codes("queries", "jpq", 0.46, facts=SHAPE, qrels_sha256="of fewer queries"),
    ]
    found = gaps(DENSE, *STARTS, *others)
    assert [r.system for r in others if found[r.system] is not None] == []
    assert gaps(*STARTS, codes("jpq", "jpq", 0.46, facts=SHAPE))["jpq"] is None  # no uncompressed run
    assert gaps(DENSE, codes("jpq", "jpq", 0.46, facts=SHAPE))["jpq"] is None  # no OPQ


def test_where_opq_loses_less_than_a_hundredth_there_is_no_gap_to_close() -> None:
    near, far = opq(0.4901, 1), opq(0.49, 1)
    assert gaps(DENSE, near, codes("jpq", "jpq", 0.60, facts=SHAPE))["jpq"] is None
    assert gaps(DENSE, far, codes("jpq", "jpq", 0.495, facts=SHAPE))["jpq"] == pytest.approx(0.5)


def test_of_several_opqs_the_best_is_the_reference_and_a_transformed_one_never() -> None:
    weak = opq(0.30, 9, system="MiniLM opq iterations=1", variant="weak")
    transformed = opq(0.48, 8, system="MiniLM opq, soft_whiten", transform="soft_whiten")
    found = gaps(DENSE, weak, *STARTS, transformed, codes("jpq", "jpq", 0.46, facts=SHAPE))
    assert found["jpq"] == pytest.approx(0.5)
    assert found["MiniLM opq, soft_whiten"] == pytest.approx(0.75)  # (.48 - .42) / .08, over the vectors as encoded


def test_recovery_of_transformed_vectors_is_over_those_as_encoded() -> None:
    whitened = record("MiniLM, soft_whiten", 0.55, base="v", transform="soft_whiten")
    shown = [DENSE, whitened, codes("pq", "pq", 0.25)]
    assert [compute_kept(r, index_wholes(shown)) for r in shown] == pytest.approx([1.0, 1.1, 0.5])
    assert compute_kept(whitened, index_wholes([whitened])) is None


BEST = {
    "MiniLM": {"q1": [f"d{i}" for i in range(10)], "q2": ["a", "b", "c", "d"]},
    "pq": {"q1": ["d9", "d0", "x", "y", "z", "d1", "d2", "u", "v", "w"], "q2": ["d", "e", "a", "b", "g"]},
    "other": {"q1": ["d0"]},
}


def test_the_overlap_is_the_mean_share_of_the_uncompressed_best_ten() -> None:
    def best(r: Record) -> Mapping[str, list[str]] | None:
        return BEST.get(r.system)

    shown = [DENSE, codes("pq", "pq", 0.4), codes("other", "sq", 0.4), codes("none", "saq", 0.4)]
    found = {r.system: r.facts.get("overlap@10") for r in add_overlap(shown, best)}
    assert found["MiniLM"] == 1.0
    assert found["pq"] == pytest.approx((4 / 10 + 3 / 4) / 2)
    assert found["other"] is None and found["none"] is None  # other queries; a ranking that was not kept


def values(r: Record) -> Mapping[str, float] | None:
    """Per-query values around the record's mean, the same wave for all: differences are the same for every query."""
    return {str(q): r.value + 0.01 * ((q % 5) - 2) for q in range(20)}


def test_the_interval_resamples_queries_in_pairs_and_says_how_many_starts() -> None:
    learned = [codes("jpq", "jpq", v, facts=SHAPE, seed=s, run_id=f"j{s}") for s, v in ((1, 0.45), (2, 0.47))]
    (gap,) = compare_gaps([DENSE, *STARTS, *learned], "nDCG@10", values)
    assert (gap.system, gap.reference, gap.starts, gap.n) == ("jpq", "MiniLM opq", 3, 20)
    assert (gap.value, gap.opq, gap.dense, gap.gap) == pytest.approx((0.46, 0.42, 0.50, 0.5))
    assert (gap.low, gap.high) == pytest.approx((0.5, 0.5))  # every resample has the same two differences
    assert "jpq closes 50 % [50 %, 50 %], n 20 of the gap between MiniLM opq (0.4200, mean of 3 starts, " in gap.line
    (without,) = compare_gaps([DENSE, *STARTS, learned[0]], "nDCG@10", lambda r: None if r is DENSE else values(r))
    assert without.n == 0 and without.low is None and "[" not in without.line


def test_codes_trained_from_some_starts_are_compared_with_those_starts_alone() -> None:
    # the mean of all starts is .42: it said 75 % and -25 % of what was .04 above the very codes it began with
    starts = [opq(v, n, start=f"s{n}") for n, v in ((1, 0.40), (2, 0.42), (3, 0.44))]
    better = codes("jpq", "jpq", 0.48, facts=SHAPE, start="s3")
    worse = codes("jpq mse", "jpq", 0.40, facts=SHAPE, start="s1")
    found = gaps(DENSE, *starts, better, worse, codes("sign", "binary", 0.46, start="its own"))
    assert found["jpq"] == pytest.approx((0.48 - 0.44) / (0.50 - 0.44))
    assert found["jpq mse"] == pytest.approx(0.0)
    assert found["sign"] == pytest.approx(0.5)  # began with no OPQ: the mean of all
    told = {g.system: g for g in compare_gaps([DENSE, *starts, better, worse], "nDCG@10", values)}
    assert (told["jpq"].pairs, told["jpq"].starts, told["jpq"].opq) == (1, 1, 0.44)
    assert "(0.4400, the start that it began with, run opq3)" in told["jpq"].line
    assert told["jpq"].low == pytest.approx(2 / 3)  # the interval is of the same pairs


def test_a_start_whose_opq_was_not_evaluated_is_left_out_of_the_gap_and_the_pairs_are_counted() -> None:
    learned = [codes("jpq", "jpq", v, facts=SHAPE, start=s, seed=n, run_id=f"j{n}")
               for n, s, v in ((1, "s1", 0.45), (2, "s2", 0.47), (9, "s9", 0.30))]  # fmt: skip
    starts = [opq(0.40, 1, start="s1"), opq(0.42, 2, start="s2")]
    (gap,) = compare_gaps([DENSE, *starts, *learned], "nDCG@10", values)
    assert (gap.value, gap.opq, gap.pairs) == pytest.approx((0.46, 0.41, 2))
    assert "(0.4100, mean of the 2 starts that it began with, runs opq1 opq2)" in gap.line
    shown = {r.run_id: r.facts.get("gap") for r in add_gap([DENSE, *starts, *learned], "nDCG@10")}
    assert shown["j9"] is None and shown["j1"] == pytest.approx(0.04 / 0.09)


def test_an_interval_is_unbounded_where_the_gap_itself_may_be_none() -> None:
    low, high = bootstrap_ratio(np.array([1.0, 1.0, 1.0, 1.0]), np.array([1.0, 0.8, 0.4, -1.0]))
    assert low is not None and high is None
    rng = np.random.default_rng(0)
    below = 2 + rng.standard_normal(400)
    low, high = bootstrap_ratio(0.5 * below + 0.1 * rng.standard_normal(400), below)
    assert low is not None and high is not None and 0.48 < low < 0.5 < high < 0.52


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_difference_count_as_0_whatever_the_denominator() -> None:
    # 0 x inf was computed first, with a warning of numpy in the report
    assert bootstrap_ratio(np.zeros(4), np.array([1.0, 0.0, 0.0, -1.0])) == (0.0, 0.0)
    low, high = bootstrap_ratio(np.array([1.0, 0.0]), np.array([1.0, 0.0]))  # a quarter of resamples: 0 of 0
    assert (low, high) == (0.0, 1.0)
