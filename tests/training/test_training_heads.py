"""A projection head in training: it learns, goes into checkpoints and the saved model, and begins alike everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from word_collection import WORDS

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.models import fitted_rows, heads
from irctl.models.encoder import load_encoder
from irctl.models.transforms.files import hash_texts
from irctl.origins import derived
from irctl.pipelines.train import train as pipeline
from irctl.training.run_files import checkpoints
from irctl.types import Silent

pytestmark = pytest.mark.usefixtures("in_process")


def configuration(model: Path | str, toy: str, **more: Any) -> settings.Config:
    given = {
        "model.name": str(model),
        "data.source": toy,
        "data.group_size": 3,
        "batch.global": 4,
        "train.max_steps": 2,
        "train.lr": 1e-2,
        "eval.during": "off",
        "model.output_dim": "8",
        "model.similarity": "euclid",
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


def trained(config: settings.Config) -> tuple[dict[str, Any], Any]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        payload = pipeline.train(config, run, Silent())
    return payload, query.find_run(run.id).paths


def opened(folder: Path | str) -> Any:
    return load_encoder(settings.resolve(), str(folder))


@pytest.mark.parametrize("more", [{}, {"train__method": "sycl"}, {"model__head_init": "transform"}])
def test_a_head_trains_and_is_part_of_the_saved_model(tiny_encoder: Path, toy: str, more: dict[str, Any]) -> None:
    payload, paths = trained(configuration(tiny_encoder, toy, **more))
    encoder = opened(paths.model)
    assert (encoder.dim, encoder.similarity) == (8, "euclid")
    assert encoder.fingerprint() == payload["model_fingerprint"]
    assert all(p.requires_grad for m in heads.head_modules(encoder)[-2:] for p in m.parameters())


@pytest.mark.slow
def test_a_frozen_base_stays_and_its_head_does_not(tiny_encoder: Path, toy: str) -> None:
    _, paths = trained(configuration(tiny_encoder, toy, model__freeze_base=True))
    after, before = opened(paths.model), opened(tiny_encoder)
    for ours, theirs in zip(heads.base_modules(after), before.module, strict=True):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert a.equal(b)
    again, more = trained(configuration(paths.model, toy, model__output_dim="", model__freeze_base=True))
    assert again["model_fingerprint"] != after.fingerprint(), "the head that was there went on learning"
    for ours, theirs in zip(heads.base_modules(opened(more.model)), before.module, strict=True):
        assert all(a.equal(b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("init", ["pca", "transform"])
def test_a_training_records_how_many_parameters_it_trained(tiny_encoder: Path, toy: str, init: str) -> None:
    config = configuration(tiny_encoder, toy, model__head_init=init, model__output_dim="base", model__freeze_base=True)
    payload, paths = trained(config)
    known = {m["name"]: m["value"] for m in query.measures(paths.folder.name)}
    assert payload["params"] == known["params"] == (32 * 64 + 64) + (64 * 32 + 32)


@pytest.mark.slow
def test_a_transform_before_a_head_is_not_trained_then_or_later(tiny_encoder: Path, toy: str) -> None:
    _, first = trained(configuration(tiny_encoder, toy, model__head_init="transform", model__similarity="cosine"))
    _, later = trained(configuration(first.model, toy, model__output_dim="", model__similarity=""))
    routers = [heads.head_modules(opened(p.model))[0].state_dict() for p in (first, later)]
    assert routers[0] and all(routers[0][name].equal(routers[1][name]) for name in routers[0])


def test_a_killed_run_goes_on_with_the_head_it_began_with(tiny_encoder: Path, toy: str, monkeypatch: Any) -> None:
    config = configuration(tiny_encoder, toy, train__max_steps=4, train__save="2")
    whole, _ = trained(config)
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        pipeline.train(config, run, Silent())
        folder = run.paths
        last = checkpoints.whole(folder.checkpoints)[-1]
        for file in sorted(last.folder.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        last.folder.rmdir()
        monkeypatch.setattr(heads, "_fit", lambda *_: pytest.fail("fitted again"))
        resumed = pipeline.train(config, run, Silent(), resume=True)
    assert resumed["model_fingerprint"] == whole["model_fingerprint"]


def test_a_model_names_the_texts_that_it_was_fitted_and_trained_on(tiny_encoder: Path, toy: str) -> None:
    _, paths = trained(configuration(tiny_encoder, toy, data__negatives="none", data__group_size=1))
    rows = fitted_rows.load(paths.model)
    documents = [json.loads(line)["text"] for line in (Path(toy) / "corpus.jsonl").read_text().splitlines()]
    known, queries = set(hash_texts(documents)), set(hash_texts(WORDS[:8]))
    assert queries <= set(rows) <= queries | known
    assert known - set(rows), "of a small corpus half is taken, and isotropy is measured on others"
    _, plain = trained(
        configuration(tiny_encoder, toy, data__negatives="none", data__group_size=1, model__output_dim="")
    )
    assert set(fitted_rows.load(plain.model)) == set(hash_texts([*WORDS[:8], *documents[:8]]))
    _, later = trained(configuration(paths.model, toy, model__output_dim="", model__similarity=""))
    assert np.isin(rows, fitted_rows.load(later.model)).all()
    assert opened(paths.model).fingerprint() == opened(paths.model).fingerprint()


def test_a_head_is_refused_where_training_makes_none(tiny_encoder: Path, toy: str) -> None:
    with pytest.raises(ConfigError, match=r"model.output_dim=8 .*: the method jpq makes no head"):
        trained(configuration(tiny_encoder, toy, train__method="jpq"))
