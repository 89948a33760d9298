"""Operations of a prefill: counted by torch, and predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irctl.models.compressive import cost

LAYERS, HIDDEN, INNER = 8, 256, 768


@pytest.fixture(params=["llama", "qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    from transformers import LlamaConfig, Qwen3Config

    sizes: dict[str, Any] = {
        "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 32, "head_dim": 64,
    }  # fmt: skip
    (LlamaConfig if request.param == "llama" else Qwen3Config)(**sizes).save_pretrained(tmp_path)
    return tmp_path


def test_the_law_of_the_published_sizes() -> None:
    # 8 of 32 layers, nothing beside the context: k/L + 1/r
    assert [cost.law(1000, 0, r, 8, 32) for r in (2, 4, 8, 16)] == [0.75, 0.5, 0.375, 0.3125]
    # S 512, P 40, 2 of 8 layers
    found = [round(cost.law(512, 40, r, 2, 8), 3) for r in (2, 4, 8, 16)]
    assert found == [0.768, 0.536, 0.42, 0.362]
    assert cost.law(512, 40, 8, 2, 8, is_kept=True) == pytest.approx((64 + 40) / 552)


@pytest.mark.parametrize("context", [96, 512])
@pytest.mark.parametrize("ratio", [1, 4, 8])
def test_counted_operations_are_those_predicted(folder: Path, context: int, ratio: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    counted = cost.count(folder, context, 40, ratio, 2)
    assert counted == pytest.approx(cost.predict(config, context, 40, ratio, 2), rel=0.005)
    pieces = cost.count(folder, context, 40, ratio, 2, chunk=50)
    assert (
        pieces == pytest.approx(cost.predict(config, context, 40, ratio, 2, chunk=50), rel=0.005) and pieces < counted
    )


@pytest.mark.parametrize("context", [24, 48])
def test_the_law_without_attention_holds_where_a_text_is_short_beside_the_hidden_width(
    folder: Path, context: int
) -> None:
    for ratio in (2, 4, 8):
        assert cost.count(folder, context, 8, ratio, 2) == pytest.approx(
            cost.law(context, 8, ratio, 2, LAYERS), rel=0.02
        )
    # and not where it is long: attention over pairs falls with the square of the ratio
    assert cost.count(folder, 1024, 8, 8, 2) < 0.9 * cost.law(1024, 8, 8, 2, LAYERS)
