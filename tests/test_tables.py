"""JSON and TOML from files: whatever is wrong is one line with the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from irctl import tables
from irctl.errors import ConfigError, DataError

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not valid JSON"),
        (b'{"a":', "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (DEEP.encode(), "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b"[]", "expected a JSON object, found a list"),
        (b"null", "expected a JSON object, found null"),
        (b"5", "expected a JSON object, found 5"),
    ],
)
def test_what_is_no_json_object_is_one_line_with_the_file(text: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(DataError, match=said) as e:
        tables.json_object(tmp_path / "x.json")
    assert str(e.value).startswith(f"{tmp_path / 'x.json'}: ") and "\n" not in str(e.value) and len(str(e.value)) < 500


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert tables.json_object(tmp_path / "x.json") == {"a": "\U0001f600"}


@pytest.mark.parametrize("text", [b"a = [", b"a = " + DEEP.encode(), b"a = '\xff'", b"a = " + b"9" * 5000])
def test_what_is_no_toml_is_one_line_with_the_file(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"x\.toml: not valid TOML: "):
        tables.toml_table(tmp_path / "x.toml")


@pytest.mark.parametrize("read", [tables.json_object, tables.toml_table])
@pytest.mark.parametrize("name", ["none", ".", "x" * 5000])
def test_a_file_that_cannot_be_read_is_named(read: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError), match=r"no such file|found a folder|File name too long"):
        read(tmp_path / name)


SHAPE = {
    "metric?": frozenset({"l2", "ip"}),
    "rows": int,
    "dim?": float,
    "parts": [{"file": str}],
    "names?": {"*": str, "own?": int},
}
FITS = {"rows": 3, "dim": 2, "parts": [{"file": "a", "more": []}], "names": {"x": "y", "own": 1}, "further": None}


def test_what_has_the_shape_passes() -> None:
    tables.check(FITS, SHAPE, "m")
    tables.check({"rows": 0, "dim": None, "parts": []}, SHAPE, "m")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": "3"}, "m: rows: expected a whole number, found '3'"),
        ({"rows": True}, "m: rows: expected a whole number, found true"),
        ({"rows": 2**63}, "m: rows: expected a whole number, found 9223372036854775808"),
        ({"rows": 1.5}, "m: rows: expected a whole number, found 1.5"),
        ({"dim": []}, "m: dim: expected a number, found a list"),
        ({"parts": {}}, "m: parts: expected a list, found an object"),
        ({"parts": [5]}, "m: parts[0]: expected an object, found 5"),
        ({"parts": [{}]}, "m: parts[0]: no key 'file'"),
        ({"metric": "l3"}, "m: metric: expected one of ip, l2, found 'l3'"),
        ({"names": {"x": 5}}, "m: names: x: expected a text, found 5"),
    ],
)
def test_the_first_place_of_another_shape_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as e:
        tables.check(FITS | change, SHAPE, "m")
    assert e.value.message == said
