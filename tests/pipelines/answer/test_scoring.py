"""Scores of a context's tokens: by sentence and by token, over tokens of another model, and what they keep."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import answering
import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from irctl import config as settings
from irctl.data import draws
from irctl.errors import ConfigError
from irctl.methods.acerag import Config
from irctl.models.compressive import row_selection
from irctl.models.encoder import load_encoder
from irctl.pipelines.answer.scoring import SentenceScorer, TokenScorer, find_letters, open_scorer, split_sentences
from irctl.pipelines.answer.token_states import encode_tokens

TEXT = "The colour of Zoë is 赤い. Its city is Lyon!\nAnd 🎉 more"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Of bytes: a letter beyond ASCII is several tokens."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([TEXT[:40]] * 3, vocab_size=300, min_frequency=2)
    return PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer)


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Any:
    return load_encoder(settings.resolve(), str(tiny_encoder)).freeze()


def test_sentences_end_at_their_marks_and_at_forty_tokens() -> None:
    words = {0: "a", 1: "b.", 2: "c", 3: "d?"}
    few = SimpleNamespace(decode=lambda ids: words[ids[0]])
    assert split_sentences(few, [0, 1, 2, 3, 0]) == [(0, 2), (2, 4), (4, 5)]
    assert split_sentences(few, [0] * 90) == [(0, 40), (40, 80), (80, 90)]


def test_every_token_has_its_letters_and_tokens_that_are_one_letter_share_it(tokenizer: Any) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    text, spans_S2 = find_letters(tokenizer, ids)
    assert text == TEXT and len(spans_S2) == len(ids)
    party = text.index("🎉")  # four bytes, four tokens
    assert sum((a, b) == (party, party + 1) for a, b in spans_S2) >= 3
    ends = list(dict.fromkeys(map(tuple, spans_S2.tolist())))
    assert [a for a, _ in ends] == [0, *(b for _, b in ends[:-1])] and ends[-1][1] == len(TEXT)
    assert find_letters(tokenizer, [])[0] == "" and find_letters(tokenizer, [])[1].shape == (0, 2)


def test_a_token_has_the_cosine_of_the_question_and_the_state_of_its_letters(tokenizer: Any, encoder: Any) -> None:
    ids = tokenizer("red Lyon")["input_ids"]
    scores_S = TokenScorer(encoder, tokenizer)("Which city?", ids)
    states = encode_tokens(encoder, "red Lyon")
    cosines = states.states_TD @ encoder.encode(["Which city?"], side="query")[0]  # both of length 1
    _, spans_S2 = find_letters(tokenizer, ids)
    for score, (a, b) in zip(scores_S, spans_S2, strict=True):
        own = [c for c, (x, y) in zip(cosines, states.spans_T2, strict=True) if x < b and a < y]
        assert score == pytest.approx(max(own, default=-1.0), abs=1e-6)
    blank = tokenizer(" ")["input_ids"]
    assert TokenScorer(encoder, tokenizer)("Which city?", blank).tolist() == [-1.0] * len(blank)


@pytest.mark.parametrize("scorer", [SentenceScorer, TokenScorer])
def test_scores_of_any_context_keep_their_budget_exactly(scorer: Any, tokenizer: Any, encoder: Any) -> None:
    generator = draws.generator("contexts", 1)
    score = scorer(encoder, tokenizer)
    for _ in range(12):
        ids = generator.integers(0, 290, int(generator.integers(1, 160))).tolist()
        scores_S = score("Which city?", ids)
        assert scores_S.shape == (len(ids),) and np.isfinite(scores_S).all()
        for ratio in (1, 2, 7, 16, 200):
            rows = row_selection.select_adaptive(scores_S, ratio)
            assert len(rows) == -(-len(ids) // ratio) and (np.diff(rows) > 0).all()


def test_a_setting_says_what_is_scored(tiny_encoder: Path, tokenizer: Any) -> None:
    config = answering.configuration("recall-test")
    opened = [
        type(open_scorer(config, Config(scoring=how, scorer=str(tiny_encoder)), tokenizer))
        for how in ("sentence", "token")
    ]
    assert opened == [SentenceScorer, TokenScorer]
    with pytest.raises(ConfigError, match=r"acerag.scoring: expected sentence or token"):
        Config(scoring="word")
