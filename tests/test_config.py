"""The layers of settings: precedence, origins, refusals, and feeding a stored configuration back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irctl import config, plugins, profiles, shipped_files
from irctl.errors import ConfigError, DataError
from irctl.origins import SET

WITH_SETTINGS = ", ".join(
    f"{name}."
    for package in ("quantizers", "methods")
    for name in plugins.names(package)
    if getattr(plugins.config_class(package, name), "__dataclass_fields__", None)
)
"""Sections that plug-in files bring, as an error lists them."""


def test_later_layers_win_and_each_value_keeps_its_origin(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text("[train]\nlr = 1e-4\nepochs = 2\n")
    options = config.from_options({"train.lr": 3e-5, "loss.name": None}, {"train.lr": "--lr"})
    made = config.resolve(config.from_file(recipe), options, config.from_sets(["train.epochs=7"]))
    assert (made.train.lr, made.train.epochs, made.loss.name) == (3e-5, 7.0, "infonce")
    assert str(made.origin("train.lr")) == "option --lr"
    assert made.origin("train.epochs") == SET
    assert str(config.resolve(config.from_file(recipe)).origin("train.epochs")) == f"{recipe}:3"


def test_a_method_sets_its_own_defaults_below_everything_else() -> None:
    assert config.resolve(config.from_sets(["train.method=sycl"])).loss.name == "ws2"
    assert config.resolve(config.from_sets(["train.method=sycl", "loss.name=kl"])).loss.name == "kl"


def test_the_stored_configuration_gives_the_same_hash_when_fed_back(tmp_path: Path) -> None:
    first = config.resolve(
        profiles.layer("v100x8", "sycl"), config.from_sets(["train.method=sycl", "pq.m=8", "search.k=5"])
    )
    stored = tmp_path / "config.json"
    stored.write_text(json.dumps(first.to_json()))
    again = config.resolve(config.from_file(stored))
    assert again.sha256() == first.sha256()
    assert again.hardware.precision == "fp16"
    assert again.plugin("pq") == {"m": 8}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("train.lrr=1", "no setting named 'train.lrr' (from --set). Did you mean 'train.lr'?"),
        (
            "foo.bar=1",
            "no setting named 'foo.bar' (from --set). Known: run., hardware., data., model., encoder., batch., train., "
            f"loss., eval., search., hardneg., compress., transform., prompts., {WITH_SETTINGS}, regularizer.",
        ),
        (
            "pq.zzzz=1",
            "no setting named 'pq.zzzz' (from --set). Known: pq.m, pq.bits, pq.iterations, pq.points_per_centroid",
        ),
        ("lr=1", "no setting named 'lr' (from --set). Did you mean 'train.lr'?"),
        ("trian.lr=1", "no setting named 'trian.lr' (from --set). Did you mean 'train.lr'?"),
        ("loss.nme=1", "no setting named 'loss.nme' (from --set). Did you mean 'loss.name'?"),
        (
            "bits=1",
            "no setting named 'bits' (from --set). "
            "Did you mean 'learned.bits', 'opq.bits', 'pq.bits', 'rabitq.bits' or one of 3 more of that name?",
        ),
        ("tran.x=1", "no setting named 'tran.x' (from --set). Did you mean 'train.'?"),
        (
            "infonce.temperature=1",
            "no setting named 'infonce.temperature' (from --set). Did you mean 'loss.infonce.temperature'?",
        ),
        (
            "warmup_step=1",
            "no setting named 'warmup_step' (from --set). Did you mean 'train.warmup_steps', 'train.warmup_shape'?",
        ),
        ("train.lr=fast", "train.lr: expected float (finite), found 'fast' (from --set)"),
        ("train.lr=-1", "train.lr: expected 0 to inf, found '-1' (from --set). The nearest legal value is 0"),
        ("batch.global=2.5", "batch.global: expected int, found '2.5' (from --set)"),
        (
            "loss.inbatch=al",
            "loss.inbatch: expected one of all, own, masked, found 'al' (from --set). Did you mean 'all'?",
        ),
        ("data.fix_encoding=yes", "data.fix_encoding: expected bool, found 'yes' (from --set)"),
        ("loss.name=infonec", "no loss named 'infonec' (loss.name, from --set). Did you mean 'infonce'?"),
        (
            "compress.method=opqq",
            "no compression method named 'opqq' (compress.method, from --set). Did you mean 'opq'?",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_with_key_value_origin_and_nearest(pair: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(config.from_sets([pair]))
    assert str(error.value) == message


def test_a_section_does_not_make_two_settings_alike() -> None:
    with pytest.raises(ConfigError, match=r"no setting named 'nope' \(from --set\)\. Known: run\., hardware\."):
        config.resolve(config.from_sets(["nope=1"]))
    with pytest.raises(ConfigError, match=r"no setting named 'train.optimiser' .*\. Known: train.method, train.index,"):
        config.resolve(config.from_sets(["train.optimiser=adam"]))


def test_a_set_without_an_equals_sign_says_how_to_write_it() -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        config.from_sets(["train.lr"])


def test_a_missing_file_is_a_data_error_and_broken_toml_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such configuration file"):
        config.from_file(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("[train\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.from_file(tmp_path / "x.toml")


def test_the_tiny_overlay_lies_over_its_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text("[train]\nlr = 1e-4\n[tiny.train]\nmax_steps = 3\n")
    made = config.resolve(config.from_file(recipe, tiny=True))
    assert (made.train.lr, made.train.max_steps) == (1e-4, 3)
    assert str(made.origin("train.max_steps")).endswith(":4 [tiny]")


@pytest.mark.parametrize("name", shipped_files.names("profiles"))
def test_a_shipped_profile_holds_hardware_keys_only(name: str) -> None:
    assert all(k.startswith("hardware.") for k in profiles.layer(name, "dense"))


def test_a_profile_that_touches_the_science_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[hardware]\ndevices = 2\nlr = 1e-3\n")
    with pytest.raises(ConfigError, match=r"'hardware\.lr' is not a hardware key"):
        profiles.layer(str(file), "dense")


def test_two_profiles_differ_in_nothing_but_hardware() -> None:
    made = [config.resolve(profiles.layer(name, "dense")) for name in shipped_files.names("profiles")]
    science = [{k: v for k, v in c.flat().items() if not k.startswith("hardware.")} for c in made]
    assert all(s == science[0] for s in science)


def test_every_known_key_has_a_help_text_or_belongs_to_a_plugin() -> None:
    for key in config.known_keys():
        section = key.rpartition(".")[0]
        assert section not in config.SECTIONS or config.schema(key).metadata["help"]
