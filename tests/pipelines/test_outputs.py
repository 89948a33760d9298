"""In a Slurm job the node's TMPDIR may hold caches, and never what must outlive the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors

from irctl import paths
from irctl.errors import ConfigError
from irctl.pipelines import encode
from irctl.pipelines.export import export
from irctl.pipelines.search import search
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's TMPDIR, with IRCTL_CACHE in it; the rest of the test's folder is outside."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path / "scratch" / "irctl"))
    return tmp_path / "scratch"


def refused(work: Any, hint: str) -> None:
    run = new_run("search", settings())
    with pytest.raises(ConfigError, match="below TMPDIR, which is deleted when the job ends") as e, run:
        work(run)
    assert hint in e.value.hint


def test_every_output_below_a_jobs_tmpdir_is_refused(scratch: Path, tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 900)
    bundle = compressed(source, tmp_path / "bundle")["bundle"]
    np.save(tmp_path / "q.npy", vectors(2))
    out, quiet, config = str(scratch / "a"), Silent(), settings()
    queries = str(tmp_path / "q.npy")
    refused(lambda run: compressed(source, scratch / "a"), "--out")
    refused(
        lambda run: export.export(config, run, quiet, export.ExportRequest(source=bundle, to="npy", out=out)), "--out"
    )
    refused(lambda run: search.search(Opened(index=bundle), config, run, quiet, queries=queries, out=out), "--out")
    refused(lambda run: encode.encode(config, run, quiet, encode.EncodeRequest(out=out)), "--out")
    assert not (scratch / "a").exists()


def test_vectors_that_were_asked_for_do_not_stay_in_a_cache_that_goes_with_the_job(scratch: Path) -> None:
    refused(lambda run: encode.encode(settings(), run, Silent()), "Name --out")


def test_a_cache_in_tmpdir_serves_a_command_whose_output_lies_elsewhere(scratch: Path, tmp_path: Path) -> None:
    assert paths.cache().is_relative_to(scratch)
    assert compressed(save_vectors(tmp_path / "x.npy", 900), tmp_path / "bundle")["results"][0]["rows"] == 900


def test_outside_of_a_job_tmpdir_is_a_folder_like_any_other(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    scratch.mkdir()
    assert compressed(save_vectors(scratch / "x.npy", 900), scratch / "bundle")["results"][0]["rows"] == 900
