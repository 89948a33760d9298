"""What is encoded, kept and scored of a row: by hand for small ones, and what holds for all."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from irctl.data.contexts.split import Split
from irctl.errors import DataError
from irctl.training.texts.samples import Rules, fit_context, joined, text_sample, tuning_sample, without_context

RULES = Rules(ratios=(1, 2, 4, 8), selection="random", chunk_tokens=12, window=16, most_tokens=64, bos=1, seed=3)
ROW = Split(head=(5, 6), context=tuple(range(10, 30)), tail=(7,), answer=(8, 9))


def tuned(row_id: int, epoch: int = 0, **changes: object):
    rules = Rules(**{**vars(RULES), **changes})
    return tuning_sample(ROW, rules, instruction_ids=(3, 4), row_id=row_id, epoch=epoch, where="nq:1")


def test_a_row_is_head_rows_tail_and_answer_and_nothing_of_its_context() -> None:
    sample = tuned(7, ratios=(4,))
    assert [c.ids[:3] for c in sample.chunks] == [(1, 3, 4)] * 3  # 9 tokens of context each, then 2
    assert [len(k) for k in sample.kept] == [3, 3, 1] and sample.rows == 7
    (only,) = sample.sequences
    assert (only.parts.head, only.parts.rows, only.parts.tail, only.parts.answer) == ((5, 6), 7, (7,), (8, 9))
    assert (only.first, only.end) == (0, 7) and not sample.is_cut
    assert all((k >= 3).all() for k in sample.kept)  # BOS and instruction are never kept


def test_ratios_are_uniform_and_fresh_in_every_epoch_and_the_same_for_every_reader() -> None:
    counts = Counter(tuned(row, epoch).rows for row in range(500) for epoch in (0, 1))
    assert set(counts) == {20, 11, 7, 5}  # of 9, 9 and 2 tokens at ratios 1, 2, 4 and 8
    chi_square = sum((n - 250) ** 2 / 250 for n in counts.values())
    assert chi_square < 16.3  # p .001 at three degrees of freedom
    assert any(tuned(1, e).rows != tuned(1, 0).rows for e in range(1, 6))
    again = tuned(7, 3)
    assert all((a == b).all() for a, b in zip(tuned(7, 3).kept, again.kept, strict=True))


def test_a_context_too_long_keeps_its_first_and_last_half_up_to_the_last_row() -> None:
    for ratio, room, content in ((1, 7, 5), (4, 3, 9), (8, 2, 20), (3, 5, 7)):
        context = list(range(100))
        kept = fit_context(context, ratio, room, content)
        full, rest = divmod(len(kept), content)
        assert full * -(-content // ratio) + -(-rest // ratio) <= room
        longer = len(kept) + 1
        full, rest = divmod(longer, content)
        assert full * -(-content // ratio) + -(-rest // ratio) > room  # not one token more
        assert kept == (*context[: -(-len(kept) // 2)], *context[100 - len(kept) // 2 :])
    assert fit_context(range(5), 2, 40, 9) == (0, 1, 2, 3, 4)
    sample = tuned(1, ratios=(1,), most_tokens=10)
    assert sample.is_cut and sample.sequences[0].parts.length == 10
    with pytest.raises(DataError, match="nq:1: prompt and answer take 5 of 5 tokens"):
        tuned(1, most_tokens=5)


def test_windows_follow_the_rows_of_those_before_them_and_every_token_of_them_is_scored() -> None:
    rules = Rules(ratios=(4,), chunk_tokens=32, window=16, most_tokens=256)
    sample = text_sample(list(range(58)), rules, row_id=1, epoch=0, where="redpajama:1")
    assert [len(c.ids) for c in sample.chunks] == [32, 16]  # the last window is not encoded
    assert [k.tolist() for k in sample.kept] == [[3, 7, 11, 15, 19, 23, 27, 31], [3, 7, 11, 15]]
    assert [(s.first, s.end, s.parts.answer) for s in sample.sequences] == [
        (0, 4, tuple(range(16, 32))), (0, 8, tuple(range(32, 48))), (0, 12, tuple(range(48, 58)))
    ]  # fmt: skip


def test_rows_of_the_oldest_windows_give_way_where_the_model_cannot_take_all() -> None:
    rules = Rules(ratios=(1,), chunk_tokens=32, window=16, most_tokens=40)
    sample = text_sample(list(range(64)), rules, row_id=1, epoch=0, where="t:1")
    assert [(s.first, s.end) for s in sample.sequences] == [(0, 16), (8, 32), (24, 48)] and sample.is_cut


def test_each_window_draws_its_own_ratio_and_a_share_repeats_the_window_before() -> None:
    sizes = {"chunk_tokens": 64, "window": 16, "most_tokens": 512}
    rules = Rules(ratios=(1, 2, 4, 8), **sizes, reconstruction=0.2, repeat_ids=(99,))
    repeated, kept = 0, Counter()
    for row in range(300):
        sample = text_sample(list(range(64)), rules, row_id=row, epoch=0, where="t:1")
        for w, s in enumerate(sample.sequences, 1):
            if s.parts.tail:
                repeated += 1
                assert s.parts.answer == tuple(range(16 * (w - 1), 16 * w)) and s.parts.tail == (99,)
        ends = np.searchsorted(sample.kept[0], (16, 32, 48))
        kept.update(np.diff([0, *ends]).tolist())
    assert abs(repeated / 900 - 0.2) < 0.05
    assert set(kept) == {16, 8, 4, 2} and min(kept.values()) > 160


def test_means_and_no_context_at_all() -> None:
    sample = tuned(1, selection="mean", ratios=(4,))
    assert sample.kept[0].tolist() == [[3, 7], [7, 11], [11, 12]] and sample.rows == 7
    bare = without_context(sample)
    assert not bare.chunks and bare.sequences[0].parts.length == 5


def test_released_random_rows_may_be_shuffled_as_they_were() -> None:
    rules = Rules(ratios=(1,), selection="random", grid="released", shuffle_rows=True, window=16, chunk_tokens=16)
    sample = text_sample(list(range(32)), rules, row_id=1, epoch=0, where="t:1")
    assert sorted(sample.kept[0].tolist()) == list(range(16)) != sample.kept[0].tolist()


def test_questions_about_one_context_are_one_sample_whose_rows_are_encoded_once() -> None:
    rules = Rules(**{**vars(RULES), "ratios": (4,)})
    other = Split(head=(), context=tuple(range(40, 46)), tail=(7,), answer=(9,))
    first, second, third = (
        tuning_sample(split, rules, instruction_ids=(3,), row_id=1, epoch=0, where=f"nq:{line}")
        for line, split in enumerate((ROW, Split((5, 6), ROW.context, (17, 18), (19,)), other), 1)
    )
    made = joined([first, second, third])
    assert made.chunks == (*first.chunks, *third.chunks) and made.rows == first.rows + third.rows
    assert [(s.first, s.end) for s in made.sequences] == [(0, first.rows)] * 2 + [(first.rows, made.rows)]
    assert [s.parts for s in made.sequences] == [s.sequences[0].parts for s in (first, second, third)]
    assert joined([first]) is first
