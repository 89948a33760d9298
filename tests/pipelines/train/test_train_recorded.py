"""What the ledger has of a training once it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from irctl.errors import DataError
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.pipelines.cards import model_card
from irctl.pipelines.train.train import _record_model


def test_a_model_is_recorded_before_its_card_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DataError("the card cannot be written")

    monkeypatch.setattr(model_card, "write", fail)
    run = start_run(command="train", argv=["irctl", "train"], config=None)
    with pytest.raises(DataError, match="card"):
        _record_model(run, {"fingerprint": "f" * 64, "dim": 4}, None)
    (model,) = query.artifacts(query.find_run(run.id), role="out", kind="model")
    assert Path(model["path"]).name == "model"
