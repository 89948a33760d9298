"""Settings, profiles, recipes and site files that cannot be read: one line with the file, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from irctl import config, profiles, recipes_index, slurm
from irctl.errors import ConfigError

TORN = "x = [\n"


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (lambda f: profiles.read(str(f)), TORN, "profile file.toml: not valid TOML"),
        (lambda f: profiles.read(str(f)), "micro_batch = 3\n", "micro_batch: expected an object, found 3"),
        (lambda f: profiles.read(str(f)), "hardware = 'gpu'\n", "hardware: expected an object, found 'gpu'"),
        (lambda f: profiles.read(str(f)), "[train]\nlr = 1\n", "'train' is not a hardware key"),
        (lambda f: recipes_index.layer(str(f)), TORN, "file.toml: not valid TOML"),
        (lambda f: recipes_index.layer(str(f), tiny=True), "train.lr = 1\n", "has no [tiny] overlay"),
        (config.from_file, TORN, "file.toml: not valid TOML"),
    ],
)
def test_a_file_that_does_not_fit_is_named(read, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read(tmp_path / "file.toml")
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ['{"a":', "[1, 2]", '{"train.lr": 5}', '{"train.lr": {"origin": "x"}}'])
def test_a_json_file_that_no_run_wrote_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json: expected settings as a run's config\.json has them"):
        config.from_file(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TORN, "not valid TOML"),
        ("modules = 'cuda'\n", "modules: expected a list, found 'cuda'"),
        ("partition = 3\n", "partition: expected a text, found 3"),
        ("price_per_hour = '2'\n", "price_per_hour: expected a number, found '2'"),
    ],
)
def test_a_site_file_that_does_not_fit_is_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.toml").write_text(text)
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "site.toml"))
    with pytest.raises(ConfigError, match=r"site\.toml: ") as raised:
        slurm.site()
    assert said in raised.value.message


def test_a_site_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        slurm.site()


def test_a_number_may_be_whole_in_a_site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text("price_per_hour = 2\nmodules = ['cuda']\n")
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "site.toml"))
    assert slurm.site() == slurm.Site(price_per_hour=2, modules=("cuda",))
