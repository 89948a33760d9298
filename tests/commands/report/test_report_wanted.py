"""What of the records a report was asked for: names with blanks and commas, widths that are numbers."""

from __future__ import annotations

import pytest
from report_records import record

from irctl.commands.report import output
from irctl.errors import ConfigError, DataError
from irctl.pipelines.report.report import Wanted, narrow


@pytest.mark.parametrize(
    ("asked", "found"), [("a b", ["a b"]), ("c,d", ["c,d"]), ("a b,e", ["a b", "e"]), ("e  f", ["e", "f"])]
)
def test_a_data_set_may_have_blanks_and_commas_in_its_name(asked: str, found: list[str]) -> None:
    records = [record("a", 0.5, dataset=name) for name in ("a b", "c,d", "e", "f")]
    assert [r.dataset for r in narrow(records, Wanted(datasets=asked))] == found
    with pytest.raises(DataError, match="no evaluation on 'b'"):
        narrow(records, Wanted(datasets="e b"))


def test_a_split_that_fronts_alone_have_names_their_table() -> None:
    records = [record("a", 0.5), record("a", 0.6, split="dev+test", part="none")]
    with pytest.raises(DataError, match=r"no evaluation on split 'test\+dev' in --table main") as e:
        narrow(records, Wanted(split="test+dev"))
    assert "--table isotropy" in e.value.hint
    with pytest.raises(DataError) as e:
        narrow(records, Wanted(split="train"))
    assert "--table isotropy" not in e.value.hint


@pytest.mark.parametrize("width", [float("nan"), float("inf"), -3.0])
def test_a_width_is_a_number_of_points(width: float) -> None:
    with pytest.raises(ConfigError, match=f"--width {width:g}: expected points of a column"):
        output.check_lines("latex", is_wide=False, width=width)
