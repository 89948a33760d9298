"""Losses that would do nothing with the labels of the data, or not what they say: refused with the reason."""

from __future__ import annotations

import pytest
import tiny_training as tiny

from irctl.data.groups.merged_sources import Labels
from irctl.errors import ConfigError
from irctl.training.groups import label_checks
from irctl.training.objective import terms

OWN = {"loss.inbatch": "own"}
GRADES, BINARY, TEACHER = Labels(0, 3), Labels(0, 1), Labels(-4.5, 11.25, are_whole=False)


def check(found: Labels, **values) -> None:
    config = tiny.configuration(**values)
    label_checks.check(config, terms.parts(config, found.largest), found)


@pytest.mark.parametrize(
    ("found", "values", "reason"),
    [
        (BINARY, {"loss.name": "distill"}, "follows the scores of a teacher; the labels are only 0 and 1"),
        (TEACHER, {"loss.name": "infonce"}, "labels from -4.5 to 11.25, not whole numbers, are a teacher's scores"),
        (TEACHER, {"loss.name": "lambdaloss"}, "weighs a passage by 2^grade - 1"),
        (
            TEACHER,
            {"loss.name": "kl,approxndcg:0.1", "loss.inbatch": "own"},
            "approxndcg weighs a passage by 2^grade - 1",
        ),
        (Labels(0, 98), {"loss.name": "listnet"}, "are scores, not grades"),
        (TEACHER, {"loss.name": "bixse"}, "a label as a share of the largest one"),
        (Labels(0, 0), {"loss.name": "infonce"}, "no passage is positive: labels reach 0, positives start at 1"),
        (Labels(0, 0), {"loss.name": "lambdaloss"}, "no label is above 0"),
        (Labels(1, 1), {"loss.name": "infonce", "loss.inbatch": "own"}, "every label is 1"),
        (Labels(1, 1), {"loss.name": "marginmse"}, "every label is 1"),
        (Labels(2, 3), {"loss.name": "infonce", "loss.inbatch": "own"}, "no passage is negative: labels start at 2"),
        (GRADES, {"loss.name": "bixse", "loss.bixse.max_label": 2.0}, "labels reach 3, more than loss.bixse.max_label"),
        (TEACHER, {"loss.name": "ranknet"}, "other queries' passages would have the label 0"),
        (GRADES, {"loss.name": "infonce", "loss.inbatch_label": 2.0}, "take other queries' passages for positives"),
    ],
)
def test_a_loss_is_refused_where_labels_are_not_what_it_reads_into_them(found, values, reason) -> None:
    with pytest.raises(ConfigError) as raised:
        check(found, **values)
    assert reason in str(raised.value) and raised.value.hint


@pytest.mark.parametrize(
    ("found", "values"),
    [
        *(
            (GRADES, {"loss.name": name})
            for name in ("infonce", "ws2", "kl", "lambdaloss", "bixse", "marginmse", "distill")
        ),
        *((BINARY, {"loss.name": name}) for name in ("infonce", "ws2", "listnet", "marginmse", "bixse")),
        *((TEACHER, {"loss.name": name, **OWN}) for name in ("distill", "marginmse", "kl", "ranknet", "listmle")),
        (TEACHER, {"loss.name": "kl", "loss.inbatch_label": -4.5}),
        (TEACHER, {"loss.name": "infonce", "loss.positive_threshold": 5.0}),
        (TEACHER, {"loss.name": "listnet", "loss.listnet.target": "softmax", **OWN}),
        (Labels(1, 1), {"loss.name": "infonce"}),  # other queries' passages are its negatives
        (GRADES, {"loss.name": "infonce", "loss.inbatch_label": -3.0}),
    ],
)
def test_labels_that_a_loss_can_use_pass(found, values) -> None:
    check(found, **values)


def test_an_order_of_other_queries_passages_above_judged_ones_is_said() -> None:
    config = tiny.configuration(**{"loss.name": "ranknet"})
    found = label_checks.notices(config, terms.parts(config, 3.0), Labels(-2, 3))
    assert found == [
        "ranknet: other queries' passages have the label 0 (loss.inbatch_label) and so rank above a query's own of "
        "label -2"
    ]
    assert label_checks.notices(config, terms.parts(config, 3.0), GRADES) == []


def test_a_temperature_that_divides_margins_is_said() -> None:
    config = tiny.configuration(**{"loss.name": "infonce,marginmse", "loss.temperature": 0.02})
    (line,) = label_checks.notices(config, terms.parts(config, 3.0), GRADES)
    assert "marginmse follows margins" in line and "loss.marginmse.temperature=1" in line
