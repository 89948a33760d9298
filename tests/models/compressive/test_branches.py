"""Questions about one context in one sequence: what sees what, by hand."""

from __future__ import annotations

import pytest

from irctl.models.compressive.branches import branched_length, lay_out_branches
from irctl.models.compressive.soft_context import IGNORED, Parts

ONE = [Parts(head=(5,), rows=2, tail=(7,), answer=(8,)), Parts(head=(5,), rows=2, tail=(9, 10), answer=(11,))]
OTHER = [Parts(rows=1, tail=(7,), answer=(8, 9))]


def test_branches_see_their_context_and_themselves_and_count_on_from_it() -> None:
    assert [branched_length(u) for u in (ONE, OTHER)] == [8, 4]
    read = lay_out_branches([ONE, OTHER])
    assert read.input_ids_BT.tolist() == [[5, 0, 0, 7, 8, 9, 10, 11], [0, 7, 8, 9, 0, 0, 0, 0]]
    assert read.is_slot_BT.int().tolist() == [[0, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert read.position_ids_BT.tolist() == [[0, 1, 2, 3, 4, 3, 4, 5], [0, 1, 2, 3, 0, 0, 0, 0]]
    assert read.labels_BT[0].tolist() == [IGNORED] * 4 + [8, IGNORED, IGNORED, 11]
    assert read.labels_BT[1].tolist() == [IGNORED] * 2 + [8, 9] + [IGNORED] * 4
    sees = read.mask_BT[0].int().tolist()
    assert sees[2] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert sees[4] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert sees[7] == [1, 1, 1, 0, 0, 1, 1, 1]  # nothing of the first question
    assert read.mask_BT[1, 6].int().tolist() == [0, 0, 0, 0, 0, 0, 1, 0]  # padding: itself alone


def test_a_question_that_begins_with_its_answer_cannot_share_a_sequence() -> None:
    with pytest.raises(AssertionError):
        lay_out_branches([[Parts(rows=1, answer=(8,)), Parts(rows=1, answer=(9,))]])
