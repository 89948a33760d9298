"""`irctl data` on the terminal: what goes to stdout, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from irctl.commands.data import app
from irctl.data.collections.open import open_collection


def irctl(*argv: str) -> Result:
    return CliRunner().invoke(app, list(argv))


def test_ls_lists_collections_with_what_is_here() -> None:
    rows = {r["name"]: r for r in json.loads(irctl("ls", "--json").stdout)["data"]}
    assert rows["cranfield"]["here"] == "yes" and rows["beir/scifact"]["here"] == "no"
    assert rows["beir/robust04"]["here"] == "not public" and rows["beir/arguana"]["self_match"] == "drop"
    names = irctl("ls", "--group", "sycl-eval", "--quiet").stdout.split()
    assert len(names) == 15 and "sycl-eval/trec_covid" in names
    assert "beir/fiqa" in irctl("ls", "--group", "beir-13").stdout


def test_an_unknown_group_is_an_error_with_the_nearest_name() -> None:
    result = irctl("ls", "--group", "beir14", "--json")
    error = json.loads(result.stdout)
    assert result.exit_code == 3 and error["kind"] == "DataError" and "beir-14" in error["hint"]


def test_fetch_of_what_is_here_prints_its_folder() -> None:
    result = irctl("fetch", "cranfield")
    assert result.exit_code == 0 and Path(result.stdout.strip()).name == "cranfield"
    assert "already" in result.stderr


def test_check_counts_and_ends_with_code_3_on_errors(tmp_path: Path) -> None:
    result = irctl("check", "cranfield")
    assert result.exit_code == 0 and "0 errors, 3 warnings" in result.stdout and "passages: 1400" in result.stdout
    assert irctl("convert", "cranfield", str(tmp_path / "c")).exit_code == 0
    with (tmp_path / "c/qrels/test.tsv").open("a") as file:
        file.write("61\tabsent\t1\n")
    result = irctl("check", str(tmp_path / "c"))
    assert result.exit_code == 3 and "test.tsv:417" in result.stdout and "no document absent" in result.stdout
    found = irctl("check", str(tmp_path / "c"), "--json")
    assert found.exit_code == 3 and json.loads(found.stdout)["kinds"]["error: unknown document"] == 1


def test_check_counts_passages_that_an_encoder_would_cut(tiny_encoder: Path) -> None:
    result = irctl("check", "cranfield", "--max-len", "256", "--model", str(tiny_encoder), "--json")
    share = json.loads(result.stdout)["counts"]["truncated"]
    assert share.endswith("of 1400 passages at 256 tokens") and 40 < float(share.split("%")[0]) < 75


def test_convert_writes_a_folder_that_opens(tmp_path: Path) -> None:
    result = irctl("convert", "cranfield", str(tmp_path / "ms"), "--to", "msmarco", "--json")
    assert json.loads(result.stdout)["splits"] == ["train", "dev", "test", "all"]
    assert len(open_collection(str(tmp_path / "ms")).corpus) == 1400
    again = irctl("convert", "cranfield", str(tmp_path / "ms"))
    assert again.exit_code == 3 and "already there" in again.stderr
