"""Models of one frozen base: the corpus goes through the base once, and vectors are those of the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irctl import config as settings
from irctl.models import heads
from irctl.models.embed import TextList, embed_corpus
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.models.heads import Sample
from irctl.models.over_base import OverBase, is_over_base
from irctl.types import Silent

TEXTS = [f"{a} flow over a {b}" for a in "wing shock wave heat".split() for b in "plate cone body tail".split()]


def saved(base: Path, folder: Path, *sets: str) -> TextEncoder:
    """A model as a training saves it, opened again."""
    asked = settings.resolve(settings.from_sets([f"model.name={base}", "model.output_dim=8", *sets]))
    heads.prepare(load_encoder(asked), asked, lambda: Sample(TEXTS, TEXTS[:4])).save(folder)
    return load_encoder(settings.resolve(), str(folder))


@pytest.mark.parametrize("init", ["pca", "transform"])
def test_vectors_of_a_head_over_kept_ones_are_those_of_the_whole_model(
    tiny_encoder: Path, place: Any, init: str
) -> None:
    how = ("model.freeze_base=true", f"model.head_init={init}", "model.similarity=cosine")
    encoder = saved(tiny_encoder, place.folder / init, *how)
    over = OverBase(encoder, settings.resolve().encoder, Silent())
    assert is_over_base(encoder) and over.key("passage") == encoder.key("passage")
    whole, found = encoder.encode(TEXTS), over.encode(TEXTS)
    assert found.shape == whole.shape and np.abs(found - whole).max() < 1e-5
    assert len(over.encode([])) == 0


def test_a_second_head_over_the_same_base_runs_no_base(
    tiny_encoder: Path, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [saved(tiny_encoder, place.folder / f"m{s}", "model.freeze_base=true", f"run.seed={s}") for s in (1, 2)]
    texts = [f"again {text}" for text in TEXTS]
    tokens: list[int] = []
    made = []
    for encoder in two:
        over = OverBase(encoder, settings.resolve().encoder, Silent())
        rows = TextList(list(map(str, range(len(texts)))), texts)
        made.append(embed_corpus(over, rows, settings.resolve().encoder, Silent(), on_computed=tokens.append).array())
        monkeypatch.setattr(TextEncoder, "encode", lambda *_: pytest.fail("the base was run again"))
    assert tokens[0] > 0 and tokens[1] == 0
    assert not np.array_equal(*made)


def test_a_base_that_was_trained_is_not_kept(tiny_encoder: Path, place: Any) -> None:
    assert not is_over_base(saved(tiny_encoder, place.folder / "m"))
    assert not is_over_base(load_encoder(settings.resolve(), str(tiny_encoder)))
