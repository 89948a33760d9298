"""Rows in the language model's input stand where the context was, and tokens in their places give the same logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_lm import make_lm

from irctl.models.compressive.language_model import open_language_model
from irctl.models.compressive.soft_context import IGNORED, Parts, fill, lay_out

PARTS = [Parts(head=[5, 6], rows=3, tail=[7], answer=[8, 9]), Parts(rows=1, tail=[10]), Parts(head=[11], answer=[12])]


def test_a_batch_is_laid_out_as_by_hand() -> None:
    after = lay_out(PARTS)
    assert after.input_ids_BT.tolist() == [[5, 6, 0, 0, 0, 7, 8, 9], [0, 10] + [0] * 6, [11, 12] + [0] * 6]
    assert after.is_slot_BT.nonzero().tolist() == [[0, 2], [0, 3], [0, 4], [1, 0]]
    assert after.mask_BT.sum(1).tolist() == [8, 2, 2]
    assert after.position_ids_BT[0].tolist() == list(range(8))
    assert after.labels_BT[0].tolist() == [IGNORED] * 6 + [8, 9]
    assert after.labels_BT[1].tolist() == [IGNORED] * 8
    before = lay_out(PARTS, pads="before")
    assert before.input_ids_BT[1].tolist() == [0] * 7 + [10] and before.is_slot_BT[1].nonzero().tolist() == [[6]]
    assert before.position_ids_BT[1].tolist() == [0] * 7 + [1] and before.mask_BT[2].tolist() == [0] * 6 + [1, 1]


@pytest.mark.parametrize("shape", ["llama", "qwen3"])
@pytest.mark.parametrize("pads", ["after", "before"])
def test_token_embeddings_in_the_slots_give_the_logits_of_the_tokens(shape: str, pads: str, tmp_path: Path) -> None:
    lm = open_language_model(make_lm(tmp_path, shape))
    layout = lay_out(PARTS, pads=pads)
    plain = layout.input_ids_BT.clone()
    plain[layout.is_slot_BT] = torch.tensor([20, 21, 22, 23])
    with torch.no_grad():
        embed = lm.get_input_embeddings()
        rows_RH = embed(torch.tensor([20, 21, 22, 23]))
        embeddings = fill(embed(layout.input_ids_BT), layout.is_slot_BT, rows_RH)
        common = {"attention_mask": layout.mask_BT, "position_ids": layout.position_ids_BT, "use_cache": False}
        got = lm(inputs_embeds=embeddings, **common).logits
        wanted = lm(input_ids=plain, **common).logits
    assert torch.equal(got, wanted)


def test_gradient_reaches_the_rows_alone_and_rows_take_the_type_of_the_embeddings() -> None:
    layout = lay_out(PARTS)
    embeddings = torch.zeros(3, 8, 4, dtype=torch.bfloat16)
    rows_RH = torch.randn(4, 4, requires_grad=True)
    filled = fill(embeddings, layout.is_slot_BT, rows_RH)
    assert filled.dtype == torch.bfloat16 and torch.equal(filled[1, 0], rows_RH[3].bfloat16())
    filled.float().sum().backward()
    assert torch.equal(rows_RH.grad, torch.ones(4, 4))
    with pytest.raises(AssertionError, match="3 rows for 4 slots"):
        fill(embeddings, layout.is_slot_BT, rows_RH[:3])
