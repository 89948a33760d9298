"""Which file prepares the data of a method: by the word DATA in the method's own."""

from __future__ import annotations

import pytest

from irctl import config as settings
from irctl import plugins
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.train import dry_run, preparation


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_method_names_a_kind_of_data_that_can_be_prepared(name: str) -> None:
    kind = preparation.kind_of(name)
    assert all(callable(getattr(kind, step)) for step in ("check", "describe", "prepare"))


@pytest.mark.parametrize(("line", "found"), [("DATA = 'vectros'\n", "'vectros'"), ("", "None")])
def test_a_method_of_an_unknown_kind_of_data_is_refused_with_the_kinds_there_are(
    tmp_path, monkeypatch, line: str, found: str
) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/wrong.py").write_text(f'"""A method."""\n{line}')
    kinds = tmp_path / preparation.KINDS
    kinds.mkdir(parents=True)
    (kinds / "groups.py").write_text("")
    for function in (plugins.names, plugins.literal):
        function.cache_clear()
        monkeypatch.setattr(plugins, "HERE", tmp_path)
    with pytest.raises(ConfigError, match=rf"irctl/methods/wrong\.py: DATA: expected groups, found {found}\. Name one"):
        preparation.kind_of("wrong")
    plugins.names.cache_clear()
    plugins.literal.cache_clear()


def test_a_dry_run_asks_the_kind_of_the_method(monkeypatch) -> None:
    class Refusing:
        def check(self, config: settings.Config) -> None:
            raise ConfigError(f"asked for {config.train.method}")

    monkeypatch.setattr(preparation, "kind_of", lambda method: Refusing())
    with pytest.raises(ConfigError, match="asked for sycl"):
        dry_run.describe(settings.resolve({"train.method": ("sycl", derived("test"))}))
