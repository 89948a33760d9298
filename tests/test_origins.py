"""Origins of settings: their text is what people and stored files have, their kind is what decisions ask."""

import pytest

from irctl import origins
from irctl.origins import Kind, Origin

TEXTS = {
    "default": origins.DEFAULT,
    "--set": origins.SET,
    "measured": origins.MEASURED,
    "mined": origins.MINED,
    "method sycl": Origin(Kind.METHOD, "sycl"),
    "collection cranfield": Origin(Kind.COLLECTION, "cranfield"),
    "profile v100x8": Origin(Kind.PROFILE, "v100x8"),
    "option --lr": Origin(Kind.OPTION, "--lr"),
    "recipe cranfield-ws2.toml:12": Origin(Kind.RECIPE, "cranfield-ws2.toml", 12),
    "recipe cranfield-ws2.toml:12 [tiny]": Origin(Kind.RECIPE, "cranfield-ws2.toml", 12, tiny=True),
    "recipe sycl-compare.toml [ws2]": Origin(Kind.RECIPE, "sycl-compare.toml", arm="ws2"),
    "recipe sycl-compare.toml [tiny]": Origin(Kind.RECIPE, "sycl-compare.toml", arm="tiny"),
    "my recipes/own.toml:3": Origin(Kind.FILE, "my recipes/own.toml", 3),
    "run 20260731-142233417-k3f9": origins.derived("run 20260731-142233417-k3f9"),
    "the index": origins.derived("the index"),
    "train.lr_scaling=sqrt": origins.derived("train.lr_scaling=sqrt"),
}


@pytest.mark.parametrize(("text", "origin"), TEXTS.items())
def test_an_origin_is_read_back_from_its_text(text, origin):
    assert str(origin) == text
    assert origins.parse(text) == origin


def test_a_file_that_is_called_like_a_recipe_is_none():
    assert origins.parse("recipe.toml:3").kind is Kind.FILE
    assert origins.parse("--settings.toml:3").kind is Kind.FILE
