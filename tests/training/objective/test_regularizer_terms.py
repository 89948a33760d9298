"""train.regularizer: read from one string as losses are, and refused where it could not mean what it says."""

from __future__ import annotations

import pytest
import tiny_training as tiny

from irctl import config as settings
from irctl import origins, plugins
from irctl.data.groups.merged_sources import Labels
from irctl.errors import ConfigError
from irctl.origins import Kind, Origin
from irctl.training.objective import regularizer_terms


def test_weights_and_settings_of_each_term() -> None:
    config = tiny.configuration(**{"train.regularizer": "gor:.1, sigreg", "regularizer.sigreg.slices": 8})
    gor, sigreg = regularizer_terms.regularizers(config)
    assert (gor.name, gor.weight, gor.settings) == ("gor", 0.1, {})
    assert (sigreg.name, sigreg.weight, sigreg.settings) == ("sigreg", 1.0, {"slices": 8})
    assert regularizer_terms.regularizers(tiny.configuration()) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train.regularizer": "gro:.1"}, "Did you mean 'gor'?"),
        ({"train.regularizer": "gor:0"}, "train.regularizer: expected a weight above 0 after 'gor:', found '0'"),
        ({"train.regularizer": "gor:-1"}, "found '-1'"),
        ({"train.regularizer": "gor:x"}, "found 'x'"),
        ({"train.regularizer": "gor:inf"}, "found 'inf'"),
        ({"train.regularizer": "gor,gor:.1"}, "train.regularizer=gor,gor:.1: each regularizer once"),
        ({"train.regularizer": "gor:1e300"}, "expected a weight of at most 1000000 after 'gor:', found '1e300'"),
        ({"train.regularizer": "gor,"}, "train.regularizer (from test): a name is empty"),
        ({"train.regularizer": ","}, "train.regularizer (from test): a name is empty"),
        ({"regularizer.nope.x": 1}, "no regularizer named 'nope' (regularizer.nope.x, from test)"),
        ({"train.regularizer": "gor", "regularizer.sigreg.slices": 8}, "the run uses gor, not sigreg"),
        ({"regularizer.sigreg.slices": 8}, "train.regularizer is empty"),
        ({"train.regularizer_rows": "joint"}, "train.regularizer_rows=joint (from test): train.regularizer is empty"),
        ({"train.regularizer": "gor", "batch.global": 8, "batch.loss": 4}, "cuts a step of 8 queries into 2 losses"),
        ({"train.regularizer": "gor", "batch.global": 2}, "needs 3 rows or more, and batch.global=2"),
        ({"train.regularizer": "gor", "train.method": "adore", "train.regularizer_rows": "separate"}, "rows=queries"),
        ({"train.regularizer": "gor", "train.method": "jpq", "train.regularizer_rows": "passages"}, "rows=queries"),
    ],
)
def test_misuse_is_refused_with_its_reason(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        regularizer_terms.regularizers(tiny.configuration(**values))
    assert message in f"{raised.value} {raised.value.hint}"


def test_what_a_recipe_set_for_its_regularizer_does_not_stand_in_the_way_of_another() -> None:
    recipe = {"train.regularizer": "sigreg:.02", "regularizer.sigreg.slices": 8, "train.regularizer_rows": "joint"}
    of_recipe = {key: (value, Origin(Kind.RECIPE, "r")) for key, value in recipe.items()}
    for typed, names in (("gor:.1", ["gor"]), ("", [])):
        config = settings.resolve(of_recipe, {"train.regularizer": (typed, origins.SET)})
        assert [term.name for term in regularizer_terms.regularizers(config)] == names
    with pytest.raises(ConfigError, match="the run uses sigreg, not gor"):
        more = {"regularizer.gor.mean_weight": (2.0, origins.SET)}
        regularizer_terms.regularizers(settings.resolve(of_recipe, more))


def test_shown_settings_name_the_defaults_of_the_regularizers_in_use() -> None:
    shown = tiny.configuration(**{"train.regularizer": "gor:.1"}).shown()
    assert shown["regularizer.gor.mean_weight"] == {"value": 1.0, "origin": "default"}
    assert not any(key.startswith("regularizer.sigreg") for key in shown)


@pytest.mark.parametrize("method", plugins.names("methods"))
def test_every_method_takes_a_regularizer_without_further_settings(method: str) -> None:
    config = tiny.configuration(**{"train.regularizer": "gor:.1", "train.method": method})
    assert [term.name for term in regularizer_terms.regularizers(config)] == ["gor"]


def test_a_regularizer_has_no_name_of_a_loss() -> None:
    """Both are logged as loss.NAME."""
    assert not set(plugins.names("losses")) & set(plugins.names("regularizers"))


def test_positives_are_those_of_the_losses() -> None:
    config = tiny.configuration(**{"train.regularizer": "gor:.1"})
    assert regularizer_terms.positive_from(config, Labels(0, 3, True), False) == 2.0
    assert regularizer_terms.positive_from(config, Labels(0, 3, True), True) == 1.0
    own = tiny.configuration(**{"train.regularizer": "gor", "loss.infonce.positive_threshold": 3.0})
    assert regularizer_terms.positive_from(own, Labels(0, 3, True), False) == 3.0
    distilled = tiny.configuration(**{"train.regularizer": "gor:.1", "loss.name": "distill", "loss.inbatch": "own"})
    with pytest.raises(ConfigError, match="are a teacher's scores"):
        regularizer_terms.positive_from(distilled, Labels(-4.2, 7.1, False), False)
