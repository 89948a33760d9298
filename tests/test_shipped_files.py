"""The index of shipped TOML files, over both kinds."""

import pytest

from irctl import shipped_files
from irctl.errors import ConfigError

KINDS = {"recipes": "cranfield-ws2", "profiles": "v100x8"}


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_a_shipped_file_is_found_by_its_name(kind, name):
    assert name in shipped_files.names(kind)
    assert shipped_files.path(kind, name).name == f"{name}.toml"


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_a_file_of_ones_own_stands_for_itself(kind, name, tmp_path):
    (tmp_path / "own.toml").write_text("")
    assert shipped_files.path(kind, str(tmp_path / "own.toml")) == tmp_path / "own.toml"


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_a_wrong_name_is_refused_with_the_nearest(kind, name):
    with pytest.raises(ConfigError, match=rf"no {kind[:-1]} named '{name}x'") as refused:
        shipped_files.path(kind, f"{name}x")
    assert refused.value.hint == f"Did you mean '{name}'?"
