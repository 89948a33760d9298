"""The loss of samples against plain cross-entropy, in any grouping, with gradient to the encoder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from random_lm import make_lm
from torch.nn.functional import cross_entropy

from irctl.data.contexts.split import Split
from irctl.errors import RunFailed
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.language_model import open_language_model
from irctl.models.compressive.soft_context import lay_out
from irctl.models.fingerprints import fingerprint_state
from irctl.training.activations import checkpoint_activations
from irctl.training.texts import loss
from irctl.training.texts.samples import Rules, joined, text_sample, tuning_sample


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[CompressiveEncoder, Any]:
    located = make_lm(tmp_path_factory.mktemp(request.param), request.param)
    return CompressiveEncoder.cut(located, 2), open_language_model(located)


RULES = Rules(ratios=(1, 2, 4), selection="random", chunk_tokens=12, window=8, most_tokens=100, bos=1)


def tuned(row: int, answer: tuple[int, ...] = (8, 9, 10)):
    split = Split((5, 6), tuple(range(10, 25 + row)), (7,), answer)
    return tuning_sample(split, RULES, instruction_ids=(3,), row_id=row, epoch=0, where=f"nq:{row}")


def test_the_loss_of_a_row_is_that_of_its_answer_after_its_rows(models: tuple[CompressiveEncoder, Any]) -> None:
    encoder, lm = models
    sample = tuned(1)
    (value,) = loss.sample_losses(encoder, lm, [sample])
    pairs = zip(sample.chunks, sample.kept, strict=True)
    rows = torch.cat([encoder.encode([chunk])[0][torch.from_numpy(kept)] for chunk, kept in pairs])
    embed = lm.get_input_embeddings()
    before, after = embed(torch.tensor([5, 6])), embed(torch.tensor([7, 8, 9, 10]))
    logits = lm(inputs_embeds=torch.cat([before, rows, after])[None]).logits[0]
    assert torch.allclose(value, cross_entropy(logits[-4:-1], torch.tensor([8, 9, 10])), atol=1e-5)


def test_windows_weighted_by_their_tokens_are_one_cross_entropy_over_all_of_them(
    models: tuple[CompressiveEncoder, Any],
) -> None:
    encoder, lm = models
    sample = text_sample(list(range(1, 30)), RULES, row_id=2, epoch=0, where="t:1")
    assert [len(s.parts.answer) for s in sample.sequences] == [8, 8, 5]
    (value,) = loss.sample_losses(encoder, lm, [sample])
    (rows_RH,) = loss.encode_samples(encoder, [sample])
    embed, found, wanted = lm.get_input_embeddings(), [], []
    for s in sample.sequences:
        answer = torch.tensor(s.parts.answer)
        logits = lm(inputs_embeds=torch.cat([rows_RH[s.first : s.end], embed(answer)])[None]).logits[0]
        found.append(logits[s.end - s.first - 1 : -1])
        wanted.append(answer)
    pooled = cross_entropy(torch.cat(found), torch.cat(wanted))
    assert torch.allclose(value, pooled, atol=1e-6)


def test_a_batch_has_the_losses_of_its_rows_whatever_is_read_at_once(
    models: tuple[CompressiveEncoder, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, lm = models
    samples = [tuned(1), tuned(2, (11,)), tuned(5, (8, 9))]
    together = loss.sample_losses(encoder, lm, samples)
    alone = torch.cat([loss.sample_losses(encoder, lm, [s]) for s in samples])
    assert torch.allclose(together, alone, atol=1e-5)
    monkeypatch.setattr(loss, "ENCODED_AT_ONCE", 1)
    monkeypatch.setattr(loss, "READ_AT_ONCE", 1)
    assert torch.allclose(loss.sample_losses(encoder, lm, samples), alone, atol=1e-5)


def test_sequences_are_read_with_those_of_their_length_and_keep_their_places(
    models: tuple[CompressiveEncoder, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, lm = models
    samples = [tuned(1), tuned(30), tuned(2), tuned(31)]
    widths: list[tuple[int, int]] = []
    monkeypatch.setattr(loss, "lay_out", lambda parts: widths.append(_widths(parts)) or lay_out(parts))
    together = loss.sample_losses(encoder, lm, samples)
    assert len(widths) > 1 and all(longest <= loss.SPREAD * shortest for shortest, longest in widths)
    alone = torch.cat([loss.sample_losses(encoder, lm, [s]) for s in samples])
    assert torch.allclose(together, alone, atol=1e-5)
    assert list(loss.split_by_tokens([*"abcde"], [4, 5, 6, 7, 3], 100, spread=1.25)) == [["a", "b"], ["c", "d", "e"]]


def _widths(parts: Any) -> tuple[int, int]:
    lengths = [p.length for p in parts]
    return min(lengths), max(lengths)


def test_questions_about_one_context_lose_as_they_do_each_by_itself(models: tuple[CompressiveEncoder, Any]) -> None:
    encoder, lm = models
    context = tuple(range(10, 30))
    alone = [
        tuning_sample(Split((5,), context, tail, answer), RULES, instruction_ids=(3,), row_id=7, epoch=0, where="nq:1")
        for tail, answer in (((6,), (8, 9)), ((7,), (10,)))
    ]
    (value,) = loss.sample_losses(encoder, lm, [joined(alone)])
    first, second = loss.sample_losses(encoder, lm, alone)
    assert torch.allclose(value, (2 * first + second) / 3, atol=1e-5)  # a mean over three answered tokens


def test_gradient_reaches_the_encoder_and_leaves_the_language_model(models: tuple[CompressiveEncoder, Any]) -> None:
    encoder, lm = models
    before = fingerprint_state(lm.state_dict())
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    first = last = None
    for _ in range(20):
        value = loss.sample_losses(encoder, lm, [tuned(1), tuned(2)]).mean()
        last = float(value.detach())
        first = last if first is None else first
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert last < first
    assert all(p.grad is None for p in lm.parameters()) and fingerprint_state(lm.state_dict()) == before


def test_checkpointing_runs_each_layer_of_both_models_twice(tmp_path: Path) -> None:
    located = make_lm(tmp_path, "llama")
    counts = {}
    for checkpoints in (False, True):
        encoder, lm = CompressiveEncoder.cut(located, 2), open_language_model(located)
        encoder.train()
        calls = {"encoder": 0, "lm": 0}
        for name, model in (("encoder", encoder.model), ("lm", lm)):
            if checkpoints:
                checkpoint_activations(model)
            layers = model.layers if name == "encoder" else model.model.layers

            def count(*_: object, of: str = name, into: dict[str, int] = calls) -> None:
                into[of] += 1

            for layer in layers:
                layer.self_attn.register_forward_hook(count)
        loss.sample_losses(encoder, lm, [tuned(1)]).sum().backward()
        counts[checkpoints] = dict(calls)
    assert counts == {False: {"encoder": 2, "lm": 4}, True: {"encoder": 4, "lm": 8}}


def test_a_loss_that_is_not_finite_names_sample_and_window(models: tuple[CompressiveEncoder, Any]) -> None:
    encoder, lm = models
    sample = text_sample(list(range(1, 30)), RULES, row_id=2, epoch=0, where="redpajama:7")
    weights = encoder.model.norm.weight
    kept = weights.detach().clone()
    with torch.no_grad():
        weights.fill_(float("nan"))
    with pytest.raises(RunFailed, match="redpajama:7, window 1: the loss is nan"):
        loss.sample_losses(encoder, lm, [sample])
    with torch.no_grad():
        weights.copy_(kept)
