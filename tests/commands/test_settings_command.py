"""`irctl settings`: every setting once, as a table, explained, or as a JSON Schema that the shipped recipes fit."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from workspace import Workspace

from irctl import config, origins, shipped_files
from irctl.commands import settings_schema
from irctl.errors import ConfigError

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return settings_schema.make_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_setting_is_in_it_once_with_its_default(schema: dict[str, Any]) -> None:
    parts = dict(settings_schema.list_settings(schema))
    assert sorted(parts) == sorted(config.known_keys())
    assert [key for key, part in parts.items() if not part["description"]] == []
    for key, value in config.resolve().flat().items():
        assert parts[key]["default"] == value and parts[key]["x-section"] == key.rpartition(".")[0]
    assert (
        parts["loss.ws2.scale"]["x-section"] == "loss.ws2"
        if "loss.ws2.scale" in parts
        else parts["pq.m"]["default"] == 16
    )


def test_the_defaults_and_every_shipped_recipe_fit_it(validator: Any) -> None:
    nested: dict[str, Any] = {}
    for key, value in config.resolve().flat().items():
        section, _, leaf = key.partition(".")
        nested.setdefault(section, {})[leaf] = value
    assert not list(validator.iter_errors(nested))
    for name in shipped_files.names("recipes"):
        recipe = tomllib.loads(shipped_files.path("recipes", name).read_text())
        assert [f"{name} {e.json_path}: {e.message}" for e in validator.iter_errors(recipe)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", -1.0), ("train.warmup_ratio", 1.5), ("train.schedule", "cubic"), ("run.seed", -1),
        ("train.max_steps", 2**31), ("batch.global", 0), ("loss.temperature", "warm"), ("data.binary", "maybe"),
        ("train.method", "sickle"), ("train.learning_rate", 1e-5), ("pq.clusters", 4), ("model.freeze_base", 3),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_settings_refuse_too(key: str, value: Any, validator: Any) -> None:
    section, _, leaf = key.partition(".")
    assert list(validator.iter_errors({section: {leaf: value}}))
    with pytest.raises(ConfigError):
        config.resolve({key: (value, origins.SET)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss.temperature", 0.05), ("loss.temperature", "auto"), ("hardneg.min_score", None), ("train.save", 0.25),
        ("data.binary", True), ("model.output_dim", 64), ("pq.m", 24),
    ],
)  # fmt: skip
def test_what_the_schema_takes_the_settings_take_too(key: str, value: Any, validator: Any) -> None:
    section, _, leaf = key.partition(".")
    assert not list(validator.iter_errors({section: {leaf: value}}))
    config.resolve({key: (value, origins.SET)})


def test_one_setting_is_explained_and_a_section_listed(place: Workspace) -> None:
    assert place.ok("settings train.lr").out.splitlines() == [
        "train.lr: peak learning rate",
        "  default: 2e-05",
        "  values: number, 0 or more",
        "  set it by --set train.lr=VALUE",
    ]
    assert place.ok("settings pq --quiet").out.split()[:2] == ["pq.m", "pq.bits"]
    assert "one of linear, constant, cosine" in place.ok("settings train").out
    assert place.ok("settings prompts.scifact.query").out.startswith("prompts.DATASET.query: text put before")
    (part,) = place.ok("settings train.lr --json").json["settings"].values()
    assert (part["type"], part["minimum"], part["default"]) == ("number", 0, 2e-05)
    printed = place.ok("settings --json").json
    assert printed["$schema"].endswith("2020-12/schema") and printed["schema"] == "irctl/settings/1"
    done = place.run("settings train.lrr")
    assert done.code == 2 and "no setting named 'train.lrr' (from irctl settings). Did you mean 'train.lr'?" in done.err


def test_the_minimum_of_a_whole_number_is_the_least_that_a_command_takes(schema: dict[str, Any]) -> None:
    parts = dict(settings_schema.list_settings(schema))
    assert parts["pq.m"]["minimum"] == 1 and parts["run.seed"]["minimum"] == 0
    for key in ("pq.m", "sq.bits", "jpq.k", "regularizer.sigreg.knots"):
        least = parts[key]["minimum"]
        config.resolve(config.from_sets([f"{key}={least}"]))
        with pytest.raises(ConfigError):
            config.resolve(config.from_sets([f"{key}={least - 1}"]))


def test_a_section_may_end_in_the_dot_that_errors_write(place: Workspace) -> None:
    assert place.ok("settings sq.").out == place.ok("settings sq").out
    assert "Did you mean" not in place.run("settings nope").err
