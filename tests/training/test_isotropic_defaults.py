"""What --method isotropic does where nobody chose: models of epochs, dev over the corpus, kept vectors of its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from isotropic_training import configuration

from irctl import config as settings
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.models.encoder import TextEncoder
from irctl.origins import SET
from irctl.paths import RunPaths
from irctl.pipelines.train import checks, isotropic_settings, memory
from irctl.pipelines.train import train as pipeline
from irctl.training.run_files import journal
from irctl.types import Silent

pytestmark = pytest.mark.usefixtures("in_process")


def trained(config: settings.Config, said: Silent | None = None) -> tuple[dict[str, Any], RunPaths]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        payload = pipeline.train(config, run, said or Silent())
    return payload, query.find_run(run.id).paths


def test_many_models_of_one_frozen_base_are_said_before_they_are_written(tiny_encoder: Path, toy: str) -> None:
    given = {"train.method": "isotropic", "model.name": str(tiny_encoder), "data.source": toy, "train.epochs": 4000,
             "model.freeze_base": True, "train.epoch_models": True}  # fmt: skip
    config = settings.resolve({k: (v, SET) for k, v in given.items()})
    said = Silent()
    checks.check(config.replace({"train.epochs": 2}, SET), said)
    assert not any("epoch models" in line for line in said.lines), "they are small"
    settled, plan = checks.check(config, said)
    (line,) = [line for line in said.lines if "epoch models" in line]
    each = memory.of_model(tiny_encoder, settled, 1).epoch_gib
    assert f"4000 epoch models of {each:.2f} GiB with the state, {4000 * each:.2f} GiB" in line
    assert "Set train.epoch_models=false" in line
    assert (
        f"(4000 epoch models of {each:.2f} GiB with the state, "
        in memory.describe(settled, plan)["checkpoints on disk"]
    )
    trained_base = config.replace({"model.freeze_base": False}, SET)
    before = len(said.lines)
    checks.check(trained_base, said)
    assert len(said.lines) == before


def test_over_a_frozen_base_dev_is_ranked_over_the_corpus_and_nothing_is_encoded_again(
    tiny_encoder: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    encode = TextEncoder.encode

    def noting(self: TextEncoder, texts: Any, side: str = "passage", *others: Any, **more: Any) -> Any:
        seen.extend(texts)
        return encode(self, texts, side, *others, **more)

    monkeypatch.setattr(TextEncoder, "encode", noting)
    said = Silent()
    values = {"train__save": "1", "encoder__passage_max_len": 15, "model__head_init": "torch"}
    payload, paths = trained(configuration(tiny_encoder, toy, **values), said)
    stored = settings.resolve(settings.from_file(paths.config))
    assert (stored.eval.during, str(stored.origin("eval.during"))) == (
        "corpus",
        "--method isotropic, a frozen base",
    )
    assert any(line.startswith("dev nDCG@10 over the corpus ") for line in payload["lines"])
    assert len(journal.dev(paths.metrics, "nDCG@10")) == 4 and len(seen) == len(set(seen)), "each text once"
    told = [line for line in said.lines if "through the frozen base, once; kept in the cache" in line]
    assert len(told) == 2 and all(line.startswith("encoding ") for line in told), "queries and passages"
    chosen = configuration(tiny_encoder, toy, eval__during="candidates")
    assert isotropic_settings.measure_on_corpus(chosen, 9).eval.during == "candidates"
    unchosen = configuration(tiny_encoder, toy)
    for documents, wanted in ((20_000, "corpus"), (20_001, "candidates")):
        assert isotropic_settings.measure_on_corpus(unchosen, documents).eval.during == wanted
    trains_base = unchosen.replace({"model.freeze_base": False}, SET)
    assert isotropic_settings.measure_on_corpus(trains_base, 9).eval.during == "candidates"
