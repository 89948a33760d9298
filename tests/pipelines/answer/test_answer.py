"""Answers by compressed contexts: what the language model reads, that budgets are equal, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import answering
import pytest
import torch

from irctl.errors import ConfigError, DataError
from irctl.models.compressive.generation import Prompt, generate
from irctl.models.compressive.soft_context import Parts
from irctl.pipelines.answer import answer, opening, questions, results, systems
from irctl.pipelines.answer.contexts import cut
from irctl.pipelines.answer.request import AnswerRequest
from irctl.pipelines.answer.systems import COMPRESSED, NONE, PRUNED, TRUNCATED, UNTRAINED, WHOLE, ZEROED, ContextSystem
from irctl.types import Silent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = answering.make_models(tmp_path_factory.mktemp("answering"))
    answering.write_questions(folder / "recall.json")
    answering.write_passages(folder / "passages.json")
    return folder


def opened(made: Path, file: str = "recall.json", *, cached: bool = False, controls: bool = False, **more: Any) -> Any:
    """What an evaluation opens."""
    config = answering.configuration(made / file, **more)
    request = AnswerRequest(task="rag-qa", model=str(made / "encoder"), cached=cached, controls=controls)
    asked = request.check(config)
    answerer = opening.open_answerer(config, asked.own, str(request.model), Silent())
    every = questions.read(config, asked, answerer.words, answerer.tokenizer)
    prompter = answer.make_prompter(config, asked, answerer, every)
    return SimpleNamespace(asked=asked, answerer=answerer, every=every, prompter=prompter, config=config)


def test_the_language_model_reads_head_rows_and_tail_exactly(made: Path) -> None:
    it = opened(made)
    lengths: list[int] = []
    decoder = it.answerer.lm.get_decoder()
    hook = decoder.register_forward_pre_hook(
        lambda _, __, kwargs: (
            lengths.append(kwargs["inputs_embeds"].shape[1])
            if kwargs.get("inputs_embeds") is not None and kwargs["inputs_embeds"].shape[1] > 1
            else None
        ),
        with_kwargs=True,
    )
    batch = list(it.every.all[:4])
    split = batch[0].split
    # BOS | 32 words | the question: chunks hold 19 words beside BOS, so 32 words are 19 and 13
    assert (len(split.head), len(split.context), len(split.tail)) == (1, 32, 1)
    try:
        for ratio, rows in ((1, 32), (2, 10 + 7), (4, 5 + 4), (16, 2 + 1)):
            prompts = it.prompter.make(ContextSystem(COMPRESSED, ratio), batch)
            assert {p.parts.length for p in prompts} == {1 + rows + 1}
            generate(it.answerer.lm, prompts, most=2, end=None)
            assert lengths.pop() == 1 + rows + 1 and not lengths
    finally:
        hook.remove()


@pytest.mark.parametrize("selection", ["stride", "mean", "terminal"])
def test_whatever_is_compared_at_a_ratio_takes_as_many_tokens(made: Path, selection: str) -> None:
    it = opened(made, **{"acerag.selection": selection})
    batch = list(it.every.all)
    for ratio in (2, 4, 8):
        tokens = [
            [p.parts.length for p in it.prompter.make(ContextSystem(kind, ratio), batch)]
            for kind in (COMPRESSED, TRUNCATED, PRUNED, UNTRAINED)
        ]
        assert tokens[0] == tokens[1] == tokens[2] == tokens[3]


def test_truncation_keeps_both_ends_and_pruning_the_order_of_the_text(made: Path) -> None:
    assert cut("abcdefg", 3) == ("a", "b", "g") and cut("ab", 5) == ("a", "b") and cut("abc", 0) == ()
    it = opened(made)
    (prompt,) = it.prompter.make(ContextSystem(PRUNED, 4), it.every.all[:1])
    context = list(it.every.all[0].split.context)
    kept = list(prompt.parts.head[1:])
    places = [context.index(t) for t in kept if context.count(t) == 1]
    assert places == sorted(places) and set(kept) <= set(context)


def test_tokens_are_pruned_by_their_surprisal(made: Path) -> None:
    it = opened(made)
    lm, context = it.answerer.lm, list(it.every.all[0].split.context)
    ids = torch.tensor([[1, *context]])
    logits = lm(input_ids=ids).logits[0].log_softmax(-1)
    by_hand = [-float(logits[i, token].detach()) for i, token in enumerate(context)]
    wanted = sorted(sorted(range(32), key=lambda i: -by_hand[i])[:9])
    (prompt,) = it.prompter.make(ContextSystem(PRUNED, 4), it.every.all[:1])
    assert list(prompt.parts.head[1:]) == [context[i] for i in wanted]


def test_a_batch_answers_as_transformers_does_one_by_one(made: Path) -> None:
    it = opened(made)
    lm, batch = it.answerer.lm, list(it.every.all[:3])
    prompts = [
        it.prompter.make(ContextSystem(COMPRESSED, 2), batch)[0],
        it.prompter.make(ContextSystem(WHOLE), batch)[1],
        it.prompter.make(ContextSystem(NONE), batch)[2],
    ]
    together = generate(lm, prompts, most=6, end=None)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = generate(lm, [prompt], most=6, end=None)
        head = lm.get_input_embeddings()(torch.tensor([list(prompt.parts.head)]))
        tail = lm.get_input_embeddings()(torch.tensor([list(prompt.parts.tail)]))
        rows = [] if prompt.rows_RH is None else [prompt.rows_RH.clone()[None]]
        embeddings = torch.cat([head, *rows, tail], dim=1)
        theirs = lm.generate(
            inputs_embeds=embeddings, attention_mask=torch.ones(embeddings.shape[:2]), max_new_tokens=6,
            do_sample=False, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        assert found == alone == theirs[0].tolist()


def test_an_answer_ends_before_the_token_that_ends_it(made: Path) -> None:
    it = opened(made)
    prompt = it.prompter.make(ContextSystem(NONE), it.every.all[:1])[0]
    (free,) = generate(it.answerer.lm, [prompt], most=4, end=None)
    (ended,) = generate(it.answerer.lm, [prompt], most=4, end=free[1])
    assert ended == free[: free.index(free[1])]
    assert generate(it.answerer.lm, [Prompt(Parts(head=(1, 5)))], most=0, end=None) == [[]]


def test_rows_of_zeros_and_contexts_of_other_questions_are_what_they_say(made: Path) -> None:
    it = opened(made, controls=True)
    batch = list(it.every.all)
    own, zero = (it.prompter.make(ContextSystem(kind, 4), batch) for kind in (COMPRESSED, ZEROED))
    assert all(not p.rows_RH.any() and p.parts == o.parts for o, p in zip(own, zero, strict=True))
    other = it.prompter.make(ContextSystem(systems.SHUFFLED, 4), batch)
    by_context = {q.row.group: p.rows_RH for q, p in zip(batch, own, strict=True)}
    for q, p in zip(batch, other, strict=True):
        assert not torch.equal(p.rows_RH, by_context[q.row.group])
        assert any(torch.allclose(p.rows_RH, rows, atol=1e-5) for rows in by_context.values())


def test_controls_need_two_contexts(made: Path, tmp_path: Path) -> None:
    answering.write_questions(tmp_path / "recall.json", contexts=1)
    config = answering.configuration(tmp_path / "recall.json")
    asked = AnswerRequest(task="rag-qa", model=str(made / "encoder"), controls=True).check(config)
    answerer = opening.open_answerer(config, asked.own, str(made / "encoder"), Silent())
    every = questions.read(config, asked, answerer.words, answerer.tokenizer)
    with pytest.raises(DataError, match="one context"):
        answer.make_prompter(config, asked, answerer, every)


def test_what_is_kept_of_a_context() -> None:
    assert results.context_kept(0.6, 0.2, 1.0) == pytest.approx(0.5)
    assert results.context_kept(0.1, 0.2, 1.0) == pytest.approx(-0.125)
    assert results.context_kept(0.3, 0.3, 0.3) is None  # the whole context gives nothing


def test_adaptive_rows_are_as_many_as_the_ratio_leaves_and_prefer_the_sentence_that_scores_highest(made: Path) -> None:
    it = opened(made, **{"acerag.selection": "adaptive"})
    scorer = SimpleNamespace(calls=0)

    def score(question: str, ids: list[int]) -> Any:
        scorer.calls += 1
        import numpy as np

        return (np.arange(len(ids)) == 5).astype(np.float32)

    it.prompter._scorer = lambda: score
    batch = list(it.every.all[:2])
    samples = it.prompter._samples(batch, 4)
    for sample in samples:
        assert sample.rows == 8  # ceil(32 / 4), over both chunks
        assert 5 + 1 in sample.kept[0].tolist()  # BOS is row 0
        assert all((k >= c.shape.prefix).all() for c, k in zip(sample.chunks, sample.kept, strict=True))
    assert scorer.calls == 2
    prompts = it.prompter.make(ContextSystem(COMPRESSED, 4), batch)
    assert [p.parts.rows for p in prompts] == [8, 8]


def test_kept_passages_are_not_encoded_again(made: Path) -> None:
    it = opened(made, "passages.json", cached=True)
    batch, system = list(it.every.all), ContextSystem(systems.BY_PASSAGE, 2)
    calls: list[int] = []
    it.answerer.encoder.register_forward_hook(lambda *_: calls.append(1))
    first = it.prompter.make(system, batch)
    assert len(calls) == 1 and it.prompter.encoded[system.label] == 3  # three passages, each once, in one batch
    labels = 2  # tokens of `Doc 1:`, before each passage
    assert [p.parts.rows - labels * len(q.row.passages) for q, p in zip(batch, first, strict=True)] == [
        4 + 3, 3 + 4 + 3, 3 + 3
    ]  # fmt: skip

    again = opened(made, "passages.json", cached=True)
    again.answerer.encoder.register_forward_hook(lambda *_: calls.append(1))
    second = again.prompter.make(system, list(again.every.all))
    assert len(calls) == 1 and again.prompter.encoded[system.label] == 0
    assert all(torch.equal(a.rows_RH, b.rows_RH) for a, b in zip(first, second, strict=True))
    again.prompter.make(ContextSystem(systems.BY_PASSAGE, 4), batch)
    assert len(calls) == 2  # another ratio is another passage


def test_passages_that_an_encoder_leaves_as_they_are_make_the_prompt_of_the_joined_context(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By passage and joined differ in what is encoded together, in nothing else: labels and order are the same."""
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path))
    it = opened(made, "passages.json", cached=True)
    embed = it.answerer.lm.get_input_embeddings()
    monkeypatch.setattr(it.answerer.encoder, "forward", lambda ids_BS, mask_BS: embed(ids_BS))
    batch = list(it.every.all)
    for q, prompt in zip(batch, it.prompter.make(ContextSystem(systems.BY_PASSAGE, 1), batch), strict=True):
        joined = it.answerer.tokenizer(q.row.context, add_special_tokens=False)["input_ids"]
        assert torch.equal(prompt.rows_RH, embed(torch.tensor(joined)))


def test_rows_of_a_passage_are_those_of_its_own_chunk(made: Path) -> None:
    it = opened(made, "passages.json", cached=True)
    (rows,) = it.prompter.passages.rows(["k0v1 n1 n2 k1v2 n3 n4 n5"], 2)
    ids = it.answerer.tokenizer("<s> k0v1 n1 n2 k1v2 n3 n4 n5", add_special_tokens=False)["input_ids"]
    whole = it.answerer.encoder.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    assert torch.allclose(torch.from_numpy(rows), whole[[2, 4, 6, 7]], atol=1e-6)


@pytest.mark.parametrize(
    "asked, more, message",
    [
        ({"task": "qa"}, {}, "--task qa"),
        ({"task": "rag-qa", "model": None}, {}, "names no model"),
        ({"task": "rag-qa", "run": "x.trec"}, {}, "both the run and the answers"),
        ({"task": "rag-qa"}, {"acerag.ratios": "2,x"}, "acerag.ratios"),
        ({"task": "rag-qa"}, {"acerag.selection": "first"}, "acerag.selection=first"),
    ],
)
def test_what_cannot_be_asked(made: Path, asked: dict[str, Any], more: dict[str, Any], message: str) -> None:
    config = answering.configuration(made / "recall.json", **more)
    with pytest.raises(ConfigError, match=message):
        AnswerRequest(**{"model": str(made / "encoder"), **asked}).check(config)


def test_a_text_without_a_question_is_refused(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.json"
    file.write_text(json.dumps({"text": "n1 n2"}) + "\n")
    with pytest.raises(DataError, match=r"texts.json:1: expected a prompt with a context"):
        opened(made, str(file))


def test_summaries_count_whole_and_other_answers_by_their_first_line() -> None:
    from irctl.pipelines.answer.tasks import TASKS

    assert TASKS["sum"].read(" one\ntwo ") == "one\ntwo"
    assert TASKS["rag-qa"].read("\none\ntwo") == "one"
