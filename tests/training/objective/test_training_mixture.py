"""Sums of losses: read from one string, and refused where they could not mean what they say."""

from __future__ import annotations

import pytest
import tiny_training as tiny
import torch

from irctl import config as settings
from irctl.data.groups.candidates import View
from irctl.errors import ConfigError
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective


def parts(**values) -> tuple[terms.Part, ...]:
    return terms.parts(tiny.configuration(**values), 3.0)


def test_weights_settings_and_views_of_each_term() -> None:
    ws2, margin = parts(
        **{"loss.name": "ws2:1, marginmse:0.1", "loss.inbatch": "all", "loss.ws2.label_temperature": 0.5}
    )
    assert (ws2.name, ws2.weight, ws2.view, ws2.settings) == ("ws2", 1.0, "all", {"label_temperature": 0.5})
    assert (margin.name, margin.weight, margin.view) == ("marginmse", 0.1, "own")


def test_a_loss_can_have_its_own_temperature() -> None:
    ws2, infonce = parts(**{"loss.name": "ws2,infonce", "loss.temperature": "auto", "loss.infonce.temperature": 0.05})
    assert (ws2.temperature, infonce.temperature) == (None, 0.05)


def test_one_label_temperature_serves_all_losses_that_take_one() -> None:
    ws2, infonce, kl = parts(
        **{"loss.name": "ws2,infonce,kl", "loss.label_temperature": 0.5, "loss.kl.label_temperature": 2.0}
    )
    assert ws2.settings["label_temperature"] == 0.5 and kl.settings["label_temperature"] == 2.0
    assert "label_temperature" not in infonce.settings


def test_threshold_is_half_the_largest_grade_rounded_up() -> None:
    config = tiny.configuration(**{"loss.name": "infonce"})
    assert [terms.parts(config, grade)[0].settings["positive_threshold"] for grade in (1, 2, 3, 4)] == [1, 1, 2, 2]
    assert terms.parts(tiny.configuration(**{"loss.name": "bixse"}), 4.0)[0].settings["max_label"] == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss.name": "ws2", "loss.inbatch": "own"}, "ws2 needs the same passage in a column of every query"),
        ({"loss.name": "marginmse", "loss.inbatch": "all"}, "own passages only; loss.inbatch=all"),
        ({"loss.name": "ws2:0"}, "expected a weight above 0 after 'ws2:', found '0'"),
        ({"loss.name": "ws2:x"}, "found 'x'"),
        ({"loss.name": "ws2,ws2"}, "each loss once"),
        ({"loss.name": "ws2", "loss.learn_temperature": True}, "loss.learn_temperature: ws2"),
        ({"loss.name": "listmle", "loss.listmle.position_weights": True}, "Set loss.inbatch=own"),
        ({"loss.name": "infonce", "loss.kl.label_temperature": 2.0}, "the run uses infonce, not kl"),
        ({"loss.name": "infonce", "loss.inbatch": "own", "loss.inbatch_label": -3.0}, "does something only with"),
        ({"loss.name": "infonce", "loss.guide_margin": 0.1}, "does something only with loss.guide"),
        ({"loss.name": "infonce", "loss.label_temperature": 0.5}, "infonce takes no softmax of grades"),
        (
            {"loss.name": "kl", "loss.label_temperature": 0.0},
            "loss.label_temperature: kl: temperatures must be above 0",
        ),
        ({"loss.name": "infonce", "loss.temperature": "warm"}, "expected a finite number or auto, found 'warm'"),
        ({"loss.name": "infonce", "loss.temperature": -1.0}, "found -1.0"),
        ({"loss.name": "infonce", "loss.positive_threshold": 4.0}, "the largest grade is 3"),
        ({"loss.name": "listnet", "loss.label_temperature": 0.5}, "loss.listnet.target=softmax"),
        ({"loss.name": "listnet", "loss.listnet.label_temperature": 0.5}, "gain of grades, not their softmax"),
        ({"loss.name": "marginmse", "loss.guide": "m"}, "marginmse compares by own"),
        ({"loss.name": "marginmse", "loss.inbatch_label": -1.0}, "use loss.inbatch=all or masked and a loss that"),
    ],
)
def test_misuse_is_refused_with_its_reason(values, message) -> None:
    with pytest.raises(ConfigError) as raised:
        parts(**values)
    assert message in str(raised.value)


def objective(config: settings.Config, warn=print) -> Objective:
    return Objective(terms.parts(config, 3.0), learn_temperature=config.loss.learn_temperature, warn=warn)


def batch(scale: float) -> tuple[torch.Tensor, dict[str, View]]:
    """Two queries with two passages each; own scores are +-scale: their standard deviation is scale."""
    scores_BN = torch.tensor([[1.0, -1.0, 9.0, 9.0], [9.0, 9.0, 1.0, -1.0]]) * scale
    own = View(
        torch.tensor([[3.0, 0.0], [2.0, 0.0]]), torch.ones(2, 2, dtype=torch.bool), torch.tensor([[0, 1], [2, 3]])
    )
    wide_BN = torch.tensor([[3.0, 0, 0, 0], [0, 0, 2.0, 0]])
    return scores_BN, {"own": own, "masked": View(wide_BN, torch.ones(2, 4, dtype=torch.bool))}


def test_auto_temperature_gives_own_scores_the_spread_that_a_loss_wants() -> None:
    made = objective(tiny.configuration(**{"loss.name": "ws2,infonce,marginmse", "loss.temperature": "auto"}))
    made.prepare([batch(6.0), batch(6.0)])
    assert made.current() == pytest.approx({"ws2": 6.0, "infonce": 2.0, "marginmse": 1.0})
    restored = objective(tiny.configuration(**{"loss.name": "ws2,infonce,marginmse", "loss.temperature": "auto"}))
    restored.restore(made.state())
    assert restored.current() == made.current()


def test_equal_scores_leave_the_temperature_at_1() -> None:
    made = objective(tiny.configuration(**{"loss.name": "ws2", "loss.temperature": "auto"}))
    made.prepare([batch(0.0)])
    assert made.current() == {"ws2": 1.0}


def test_a_fixed_temperature_out_of_range_warns_once() -> None:
    said: list[str] = []
    made = objective(tiny.configuration(**{"loss.name": "infonce", "loss.temperature": 0.01}), said.append)
    made.prepare([batch(1.0)])
    for _ in range(2):
        made(*batch(1.0))
    assert len(said) == 1 and "spread by 100" in said[0]


def test_terms_are_weighed_and_logged_by_themselves() -> None:
    made = objective(tiny.configuration(**{"loss.name": "kl:2,ranknet:0.5"}))
    total, values = made(*batch(1.0))
    assert total.item() == pytest.approx(2 * values["kl"].item() + 0.5 * values["ranknet"].item())


def test_learned_temperature_starts_at_the_measured_one_and_is_a_parameter() -> None:
    config = tiny.configuration(**{"loss.name": "infonce", "loss.temperature": "auto", "loss.learn_temperature": True})
    made = objective(config)
    made.prepare([batch(6.0)])
    assert made.current()["infonce"] == pytest.approx(2.0)
    total, _ = made(*batch(1.0))
    total.backward()
    (parameter,) = made.parameters()
    assert parameter.grad is not None and parameter.grad != 0
    copy = objective(config)
    copy.load_state_dict(made.state_dict())
    copy.restore(made.state())
    assert copy.current() == made.current()


def test_a_batch_that_teaches_nothing_is_refused_and_one_idle_term_is_said() -> None:
    scores_BN, views = batch(1.0)
    flat = {name: View(torch.ones_like(v.labels_BN), v.mask_BN, v.columns_BK) for name, v in views.items()}
    with pytest.raises(ConfigError, match="marginmse: no query of the first 1 loss batches counts: nothing would be"):
        objective(tiny.configuration(**{"loss.name": "marginmse"})).prepare([(scores_BN * 0, flat)])
    said: list[str] = []
    both = objective(tiny.configuration(**{"loss.name": "infonce,marginmse"}), said.append)
    both.prepare([(scores_BN, flat)])
    assert said == ["infonce: no query of the first 1 loss batches counts: only the other losses teach the model"]


def test_what_was_learned_is_told_with_the_model() -> None:
    config = tiny.configuration(**{"loss.name": "bixse", "loss.learn_temperature": True})
    made = objective(config)
    made.prepare([batch(1.0)])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.25
    learned = made.learned_settings()["bixse"]["bias"]
    assert made.state()["learned"] == {"bixse": {"bias": learned}} and made.current() != made.state()["temperatures"]
    assert learned == pytest.approx(float(made.state_dict()["learned.bixse_bias"]))


def test_the_threshold_that_is_recorded_is_the_one_that_was_used() -> None:
    assert terms.thresholds_used(tiny.configuration(**{"loss.name": "infonce"}), 3.0) == 2.0
    own = {"loss.name": "infonce", "loss.infonce.positive_threshold": 3.0}
    assert terms.thresholds_used(tiny.configuration(**own), 3.0) == 3.0


def test_bixse_bias_is_learned_from_a_start_that_fits_the_first_batch() -> None:
    made = objective(tiny.configuration(**{"loss.name": "bixse"}))
    made.prepare([batch(1.0)])
    (bias,) = made.parameters()
    # mean score (1 - 1 + 9 + 9) / 4 = 4.5; mean target (3 + 2) / 3 / 8 = 5/24, whose logit is ln(5/19)
    assert bias.item() == pytest.approx(4.5 - torch.log(torch.tensor(5 / 19)).item())


def test_triplet_sees_a_querys_own_negatives_and_the_batch_only_where_it_has_none() -> None:
    """Query 0 has passages 0 (positive), 1, 2; query 1 a positive alone, column 3. The own view is padded."""
    objective = Objective(parts(**{"loss.name": "triplet"}), learn_temperature=False, warn=print)
    own = View(
        torch.tensor([[3.0, 0, 0], [3, 0, 0]]),
        torch.tensor([[True, True, True], [True, False, False]]),
        torch.tensor([[0, 1, 2], [3, 0, 0]]),
    )
    labels_BN = torch.tensor([[3.0, 0, 0, 0], [0, 0, 0, 3]])
    views = {"own": own, "masked": View(labels_BN, torch.ones(2, 4, dtype=torch.bool))}
    scores_BN = torch.tensor([[-1.0, -1.5, -1.25, -0.1], [-3.0, -0.5, -9.0, -1.0]], requires_grad=True)
    total, values = objective(scores_BN, views)
    # query 0: relu(-1.5 + 1 + 1) = .5 and .75, mean .625; query 1: the nearest of the batch, relu(-.5 + 1 + 1) = 1.5
    assert total.item() == values["triplet"].item() == pytest.approx((0.625 + 1.5) / 2)
    total.backward()
    assert (scores_BN.grad != 0).tolist() == [[True, True, True, False], [False, True, False, True]]
