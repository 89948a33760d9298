"""Which folder a model name means, what its weights hash to, and what is said of a folder that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from model_folders import plain_bert, settings

from irctl.errors import ConfigError, DataError, EnvironmentUnfit
from irctl.ledger.recording import RunHandle, start_run
from irctl.models import locate, modules
from irctl.models.encoder import load_encoder
from irctl.models.locate import LocatedModel
from irctl.models.reading import find_pooling, normalizes


def trained(command: str = "train", name: str = "") -> RunHandle:
    run = start_run(command=command, argv=["irctl", command], config=None, **({"name": name} if name else {}))
    run.finish("completed")
    return run


def test_a_name_with_the_words_of_an_error_in_it_is_a_name() -> None:
    assert locate.resolve_run_name("several-experts") == "several-experts"


def test_default_model_comes_from_its_package_by_both_names(minilm: Path) -> None:
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"):
        found = locate.locate(name)
        assert (found.folder, found.origin) == (minilm, "package")


def test_default_model_without_package_and_hub_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "find_spec", lambda name: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(DataError, match="hub cannot be reached") as e:
        locate.locate("all-MiniLM-L6-v2")
    assert e.value.exit_code == 3 and "irctl[demo]" in e.value.hint


def refuse(*args: object, **more: object) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("offline")


def test_unknown_name_offline_is_exit_3_with_the_next_step() -> None:
    with pytest.raises(DataError, match="nobody/nothing") as e:
        load_encoder(settings(), "nobody/nothing")
    assert e.value.exit_code == 3 and "name a folder" in e.value.hint


def test_a_folder_of_a_user_that_this_machine_does_not_have_is_not_there() -> None:
    with pytest.raises(DataError, match="'~nobody-here/model': no such folder"):
        locate.locate("~nobody-here/model")


def test_run_id_run_folder_and_latest_mean_the_runs_model(tiny_encoder: Path) -> None:
    run = trained()
    shutil.copytree(tiny_encoder, run.paths.model)
    trained("eval")
    for name in (run.id, str(run.paths.folder), "latest"):
        found = locate.find_local(name)
        assert found is not None and found.folder.resolve() == run.paths.model.resolve() and found.origin == "run"


def test_run_without_a_model_and_folder_without_a_model_are_exit_3(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no model"):
        locate.locate(trained("eval").id)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"modules\.json"):
        locate.locate(str(tmp_path / "empty"))


def test_hub_snapshot_without_safetensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(tmp_path))
    with pytest.raises(DataError, match="reads no pickle"):
        locate.locate("some/model")


def test_hub_snapshot_is_opened_and_its_commit_is_saved(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "0123abc"
    shutil.copytree(tiny_encoder, snapshot)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(snapshot))
    load_encoder(settings("model.name=some/model")).save(tmp_path / "saved")
    about = json.loads((tmp_path / "saved" / "irctl.json").read_text())
    assert (about["base_model"], about["base_revision"]) == ("some/model", "0123abc")


def test_contriever_is_known_to_pool_by_mean_without_normalising(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = plain_bert(tiny_encoder, tmp_path / "plain")
    module = modules.load(LocatedModel(folder, "facebook/contriever-msmarco", "", "hub"), settings())
    assert find_pooling(module) == "mean" and not normalizes(module)


def test_broken_folders_are_exit_3(tiny_encoder: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(tiny_encoder, tmp_path / "cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DataError, match="cannot be opened as a model"):
        load_encoder(settings(), str(cut))
    about = shutil.copytree(tiny_encoder, tmp_path / "about")
    (about / "irctl.json").write_text('{"format": "other"}')
    with pytest.raises(DataError, match="expected irctl-encoder"):
        load_encoder(settings(), str(about))


def test_kernel_that_is_not_here_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises((EnvironmentUnfit, DataError, ConfigError)):
        load_encoder(settings("model.attention=flash_attention_2"), str(tiny_encoder))
    eager = load_encoder(settings("model.attention=eager"), str(tiny_encoder))
    assert eager.module.config._attn_implementation == "eager"
