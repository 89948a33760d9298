"""How a command names codes: a folder, a run, one bundle of a run that wrote several, the newest of a method."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors

from irctl.config import resolve
from irctl.errors import ConfigError, DataError
from irctl.ledger import query
from irctl.ledger.runs import tags_and_notes
from irctl.models import locate
from irctl.pipelines.evaluate import evaluate, reuse
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.evaluate.targets import RankingSource, Target
from irctl.pipelines.export import export
from irctl.pipelines.references import bundles, negatives, run_files
from irctl.pipelines.references import vectors as references_vectors
from irctl.pipelines.search import opened_index, search
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent


@pytest.fixture
def several(tmp_path: Path) -> tuple[str, dict[str, str]]:
    """(id of a run that wrote pq and sq codes, their folders)."""
    made = compressed(save_vectors(tmp_path / "x.npy", 1200), compress__method="pq,sq")
    record = query.newest("compress")
    assert record is not None
    return record.id, made["bundles"]


def method_of(reference: str) -> str:
    bundle = opened_index.open_index(reference, settings()).bundle
    assert bundle is not None
    return bundle.method


@pytest.mark.parametrize("method", ("pq", "sq"))
def test_one_of_several_bundles_is_named_by_run_and_method(several: tuple[str, dict[str, str]], method: str) -> None:
    run, folders = several
    for reference in (f"{run}:{method}", f"{query.find_run(run).folder}:{method}", f"latest:compress:{method}"):
        assert bundles.folder_of(reference) == Path(folders[method])
        assert method_of(reference) == method


def test_the_newest_bundle_of_a_method_is_found_behind_newer_runs(
    several: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    compressed(save_vectors(tmp_path / "y.npy", 1200), compress__method="sq", sq__bits=4)
    assert bundles.folder_of("latest:pq") == Path(several[1]["pq"])
    assert bundles.folder_of("latest:sq") != Path(several[1]["sq"]) and method_of("latest") == "sq"
    assert method_of(query.newest("compress").id + ":sq") == "sq"  # type: ignore[union-attr]  # of the only bundle too


def test_a_run_with_several_bundles_says_how_one_is_named(several: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(DataError, match="several bundles") as e:
        opened_index.open_index(several[0], settings())
    assert f"{several[0]}:pq" in e.value.hint
    with pytest.raises(DataError, match="wrote no rabitq bundle") as e:
        opened_index.open_index(f"{several[0]}:rabitq", settings())
    assert "pq, sq" in e.value.hint
    with pytest.raises(DataError, match="no finished compression of saq codes"):
        opened_index.open_index("latest:saq", settings())


def test_search_eval_export_init_and_append_take_a_bundle_of_a_run(
    several: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    run, folders = several
    np.save(tmp_path / "q.npy", vectors(5, seed=9))
    queries = str(tmp_path / "q.npy")

    def done(command: str, work: Any, **keys: Any) -> dict[str, Any]:
        config = settings(**keys)
        handle = new_run(command, config)
        with handle:
            made: dict[str, Any] = work(config, handle)
        return made

    found = done(
        "search",
        lambda c, r: search.search(Opened(index=f"{run}:sq"), c, r, Silent(), queries=queries),
        search__k=5, search__rerank=20,
    )  # fmt: skip
    assert found["compression"] == "sq" and found["bundle"] == folders["sq"]
    request = EvalRequest(index=f"{run}:pq", queries=queries, recall_against="exact")
    judged = done("eval", lambda c, r: evaluate.evaluate(c, r, Silent(), request), search__k=10)
    assert judged["searches"][0]["compression"] == "pq"
    written = done(
        "export", lambda c, r: export.export(c, r, Silent(), export.ExportRequest(source=f"{run}:pq", to="npy"))
    )
    assert written["source"] == folders["pq"] and np.load(written["export"]).shape == (1200, 4)
    again = compressed(tmp_path / "x.npy", tmp_path / "again", init=f"{run}:sq", compress__method="sq")
    assert again["results"][0]["method"] == "sq"
    assert compressed(save_vectors(tmp_path / "y.npy", 500, seed=3), append=f"{run}:pq")["rows"] == 1700


def test_codes_in_the_place_of_a_run_file_name_the_option_for_them() -> None:
    config = settings()
    run = new_run("eval", config)
    with pytest.raises(ConfigError, match="latest:pq: names codes, not a run file") as e, run:
        evaluate.evaluate(config, run, Silent(), EvalRequest(run_files=("latest:pq",)))
    assert "--index latest:pq" in e.value.hint


def test_a_run_named_after_latest_is_an_index_and_no_source_of_vectors(several: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(DataError, match="several bundles"):
        opened_index.open_index("latest:compress", settings())
    with pytest.raises(DataError, match="holds no vectors"):
        references_vectors.named("latest:compress", settings())


def test_a_kept_ranking_is_keyed_by_the_codes_behind_the_name(several: tuple[str, dict[str, str]]) -> None:
    target = Target("d", "test", {}, "q", "keep", "nDCG@10", resolve(), SimpleNamespace(fingerprint="c"))  # type: ignore[arg-type]
    by_name = reuse.fingerprint_search(target, RankingSource(index="latest:pq"))
    assert by_name == reuse.fingerprint_search(target, RankingSource(index=several[1]["pq"]))
    assert by_name != reuse.fingerprint_search(target, RankingSource(index="latest:sq"))


def test_a_run_tagged_like_a_method_is_meant_before_its_codes(
    several: tuple[str, dict[str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = compressed(save_vectors(tmp_path / "y.npy", 1200), compress__method="pq")
    tags_and_notes.tag(query.list_runs(command="compress")[0], "sq")
    assert bundles.folder_of("latest:sq") == Path(named["bundle"])
    assert f"by its tag; by its method it would be run {several[0]}" in caplog.text


def test_a_failed_run_is_no_input(several: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(RuntimeError), new_run("encode", settings()):
        raise RuntimeError
    with pytest.raises(DataError, match="no completed run named 'latest:encode'"):
        opened_index.open_index("latest:encode", settings())
    with pytest.raises(DataError, match="no completed run named 'latest:encode'"):
        locate.find_local("latest:encode")


def test_a_newer_failed_run_is_skipped_wherever_latest_names_an_input(several: tuple[str, dict[str, str]]) -> None:
    for command in ("compress", "search", "hardneg", "train", "encode", "eval"):
        with pytest.raises(RuntimeError), new_run(command, settings()):
            raise RuntimeError
    for name in ("latest:pq", "latest:compress:pq"):
        assert bundles.folder_of(name) == Path(several[1]["pq"])
    for read, name in (
        (locate.find_local, "latest"),
        (run_files.run_file_of, "latest:search"),
        (negatives.given_negatives, "latest:hardneg"),
        (lambda n: references_vectors.named(n, settings()), "latest"),
        (lambda n: references_vectors.named(n, settings()), "latest:encode"),
    ):
        with pytest.raises(DataError, match=r"no (completed run|finished training|encoded corpus)"):
            read(name)
