"""Where nothing is named, the newest bundle, model or negatives that fit the corpus are taken, and it is said which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors
from learning import child_bundle, opened, trained_run
from toy_collections import beir_folder

from irctl.data.collections.open import open_collection
from irctl.data.judgements.negatives import write_negatives
from irctl.errors import ConfigError, DataError
from irctl.index.bundle import Bundle
from irctl.ledger.recording import RunHandle
from irctl.pipelines.references import fitting
from irctl.types import Silent


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_vectors(tmp_path / "x.npy", 1200)


def codes(source: Path, method: str = "opq", **keys: Any) -> Bundle:
    return opened(compressed(source, compress__method=method, **keys)["bundle"])


def fitting_bundle(source: Path | str, *methods: str, m: int = 0, bits: int = 0, **keys: Any) -> tuple[Bundle, Silent]:
    said = Silent()
    config = settings(data__source=source, **keys)
    return fitting.fitting_bundle(config, said, *methods, m=m, bits=bits), said


def test_the_newest_bundle_of_the_same_vectors_fits_and_is_said(tmp_path: Path, source: Path) -> None:
    other = save_vectors(tmp_path / "y.npy", 1200, seed=3)
    first = codes(source)
    codes(other)
    codes(source, "sq")
    found, said = fitting_bundle(source)
    assert found.folder == first.folder and "several" not in said.lines[0] and said.lines[0].startswith("bundle: run ")
    second = codes(source, opq__m=4)
    found, said = fitting_bundle(source)
    assert found.folder == second.folder and "the newest of several" in said.lines[0]
    assert fitting_bundle(source, m=8)[0].folder == first.folder
    assert fitting_bundle(source, "sq")[0].method == "sq"


def test_nothing_that_fits_names_the_command_that_makes_it(tmp_path: Path, source: Path) -> None:
    codes(save_vectors(tmp_path / "y.npy", 1200, seed=3))
    with pytest.raises(DataError, match=r"no bundle of opq or pq or learned codes with m=16 and bits=4") as e:
        fitting_bundle(source, m=16, bits=4)
    assert e.value.exit_code == 3
    assert e.value.hint == f"irctl compress --method opq --set opq.m=16 --set opq.bits=4 --data {source}"
    folder = beir_folder(tmp_path / "c", {"d1": "wing", "d2": "flow"}, {"q": "wing"}, train={"q": {"d1": 1}})
    with pytest.raises(DataError) as e:
        fitting_bundle(folder)
    assert e.value.hint == f"irctl encode --data {folder}, then irctl compress --method opq --data latest"


def test_what_a_training_wrote_is_taken_only_where_it_is_named(source: Path) -> None:
    parent = codes(source)
    run = trained_run(parent)
    assert fitting_bundle(source)[0].folder == parent.folder  # seeds start from the same parent, not from each other
    assert fitting_bundle(source, train__index=run.id)[0].folder == run.out / "bundle"


def test_a_first_stage_starts_from_codes_that_no_training_made(source: Path) -> None:
    first, later = codes(source), codes(source)
    path = later.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["about"] = {"trained": {"method": "repconc"}}  # as encode --codes of a model of stage 1
    path.write_text(json.dumps(manifest))
    config = settings(data__source=source)
    assert fitting.fitting_bundle(config, Silent()).folder == later.folder  # what the second stage starts from
    assert fitting.fitting_bundle(config, Silent(), warm_up=True).folder == first.folder


def test_a_named_bundle_of_another_kind_size_or_corpus_is_refused(tmp_path: Path, source: Path) -> None:
    bundle, other = codes(source), codes(save_vectors(tmp_path / "y.npy", 1200, seed=3))
    assert fitting_bundle(source, train__index=bundle.folder, m=8, bits=4)[0].folder == bundle.folder
    with pytest.raises(ConfigError, match="have m=8, asked for is 16"):
        fitting_bundle(source, train__index=bundle.folder, m=16)
    with pytest.raises(ConfigError, match="holds sq codes, expected opq"):
        fitting_bundle(source, train__index=codes(source, "sq").folder)
    with pytest.raises(DataError, match="not made from the documents of"):
        fitting_bundle(source, train__index=other.folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return beir_folder(tmp_path / "c", {"d1": "wing", "d2": "flow"}, {"q": "wing"}, train={"q": {"d1": 1}})


def test_a_bundle_fits_a_collection_whose_texts_it_was_made_from(folder: Path, source: Path) -> None:
    bundle = codes(source)
    path = bundle.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["about"] = {"corpus": open_collection(str(folder)).corpus.fingerprint, "model": "a/model"}
    path.write_text(json.dumps(manifest))
    assert fitting_bundle(folder)[0].folder == bundle.folder
    assert fitting_bundle(folder, model__name="a/model")[0].folder == bundle.folder
    with pytest.raises(DataError, match="no bundle"):
        fitting_bundle(folder, model__name="another/model")


def trained(folder: Path, method: str, m: int = 0) -> RunHandle:
    run = new_run("train")
    with run:
        run.note(method=method, dataset_fingerprint=open_collection(str(folder)).fingerprint)
        run.paths.model.mkdir()
        (run.paths.model / "modules.json").write_text("[]")
        if m:
            (run.paths.model / "pq").mkdir()
            (run.paths.model / "pq" / "quantizer.json").write_text(json.dumps({"settings": {"m": m, "bits": 4}}))
    return run


def test_the_newest_model_of_the_method_and_of_so_many_slices_fits(folder: Path) -> None:
    config = settings(data__source=folder)
    first, _, _ = trained(folder, "repconc", m=8), trained(folder, "repconc", m=4), trained(folder, "dense")
    assert fitting.fitting_model(config, Silent(), "repconc", m=8).id == first.id
    with pytest.raises(DataError, match="no finished training by repconc on c") as e:
        fitting.fitting_model(config, Silent(), "repconc", m=16)
    assert e.value.hint == f"irctl train --method repconc --data {folder} --set repconc.m=16"


def mined(folder: Path, index: str = "") -> Path:
    run = new_run("hardneg")
    with run:
        run.note(dataset_fingerprint=open_collection(str(folder)).fingerprint)
        target = run.out / "negatives.jsonl"
        write_negatives(target, {"q": [("d2", 1.0)]}, {"split": "train", "index": index})
        run.artifact("out", "negatives", target)
    return target


def test_the_newest_negatives_of_the_split_and_of_the_index_fit(tmp_path: Path, folder: Path, source: Path) -> None:
    config, bundle = settings(data__source=folder), codes(source)
    of_index, newest = mined(folder, bundle.fingerprint), mined(folder)
    assert fitting.fitting_negatives(config, Silent()) == newest
    assert fitting.fitting_negatives(config, Silent(), index=bundle) == of_index
    child = child_bundle(tmp_path / "child", bundle)
    with pytest.raises(DataError, match=r"mined from .*child in the ledger") as e:
        fitting.fitting_negatives(config, Silent(), index=child)
    assert e.value.hint == f"irctl hardneg --index {child.folder} --split train --data {folder}"
    with pytest.raises(DataError, match="no negatives of c/dev"):
        fitting.fitting_negatives(settings(data__source=folder, data__split="dev"), Silent())


def test_names_of_vectors_and_of_collections_are_told_apart(tmp_path: Path, folder: Path, source: Path) -> None:
    np.save(tmp_path / "v.npy", vectors(3))
    assert fitting.is_of_vectors(str(source)) and fitting.is_of_vectors("synthetic:100,8,0.5")
    assert fitting.is_of_vectors(f"{tmp_path}/a.parquet#emb") and not fitting.is_of_vectors(str(folder))
    assert not fitting.is_of_vectors("cranfield")
