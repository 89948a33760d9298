"""Scores of a context's tokens: how near an encoder of irctl puts them, or the sentence they stand in, to the question.

Sentences end at a full stop, question or exclamation mark, or line end, and after 40 tokens at the latest. Tokens are
those of the language model; the encoder has others, and a token has the score of the best that it shares a letter with.
Any context has scores, with or without an instruction.
Dimension key: S tokens of the language model, T of the encoder, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.models.locate import DEFAULT_NAMES

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.models.encoder import TextEncoder

LONGEST = 40
"""Tokens of a sentence."""
ENDS = (".", "?", "!", "\n")
LEAST = -1.0
"""The lowest cosine."""
PART_OF_LETTER = "\ufffd"

Scorer = Callable[[str, Sequence[int]], NDArray[np.float32]]
"""(question, token ids of a context) -> scores [S]: the higher, the rather kept."""


def split_sentences(tokenizer: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Where each sentence begins and ends (excluded), over all tokens."""
    found, start = [], 0
    for i, token in enumerate(ids):
        if i + 1 - start == LONGEST or i + 1 == len(ids) or any(e in tokenizer.decode([token]) for e in ENDS):
            found.append((start, i + 1))
            start = i + 1
    return found


class SentenceScorer:
    """Scores by one encoder."""

    def __init__(self, encoder: TextEncoder, tokenizer: Any) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer

    def __call__(self, question: str, ids: Sequence[int]) -> NDArray[np.float32]:
        """Cosine of the question and each token's sentence [S]."""
        sentences = split_sentences(self.tokenizer, ids)
        texts = [self.tokenizer.decode(list(ids[a:b])) for a, b in sentences]
        vectors_ND = _normalized(self.encoder.encode(texts))
        query_1D = _normalized(self.encoder.encode([question], side="query"))
        values = vectors_ND @ query_1D[0]
        return np.repeat(values, [b - a for a, b in sentences]).astype(np.float32)


class TokenScorer:
    """Scores by the state that one encoder gives each of its tokens."""

    def __init__(self, encoder: TextEncoder, tokenizer: Any) -> None:
        from irctl.pipelines.answer import token_states

        token_states.check(encoder)
        self.encoder, self.tokenizer = encoder, tokenizer

    def __call__(self, question: str, ids: Sequence[int]) -> NDArray[np.float32]:
        """Cosine of the question and each token [S]; -1 for a token without a letter, such as a blank."""
        from irctl.pipelines.answer.token_states import encode_tokens

        text, spans_S2 = find_letters(self.tokenizer, ids)
        found = encode_tokens(self.encoder, text)
        query_1D = _normalized(self.encoder.encode([question], side="query"))
        values_T = _normalized(found.states_TD) @ query_1D[0]
        of_letter = np.full(len(text), LEAST, np.float32)
        for value, (start, end) in zip(values_T, found.spans_T2, strict=True):
            of_letter[start:end] = value
        return np.array([of_letter[a:b].max(initial=LEAST) for a, b in spans_S2], np.float32)


def find_letters(tokenizer: Any, ids: Sequence[int]) -> tuple[str, NDArray[np.int64]]:
    """The text of tokens, and where in it each begins and ends [S, 2]. Tokens that are one letter together share it."""
    text, spans, prefix, read = "", [], 0, 0

    def decode(part: Sequence[int]) -> str:
        return str(tokenizer.decode(list(part), clean_up_tokenization_spaces=False))

    for i in range(len(ids)):
        before, now = decode(ids[prefix:read]), decode(ids[prefix : i + 1])
        if now.endswith(PART_OF_LETTER) and i + 1 < len(ids):
            continue  # the rest of its bytes is in the next token
        spans += [(len(text), len(text) + len(now) - len(before))] * (i + 1 - read)
        text += now[len(before) :]
        prefix, read = read, i + 1
    return text, np.array(spans, np.int64).reshape(-1, 2)


SCORERS: dict[str, type[SentenceScorer] | type[TokenScorer]] = {"sentence": SentenceScorer, "token": TokenScorer}
"""By acerag.scoring: what has a score of its own."""


def open_scorer(config: Config, own: Any, tokenizer: Any) -> Scorer:
    """By the encoder of acerag.scorer, or irctl's default one. own: settings of acerag.

    Raises ConfigError for an encoder without states of tokens where these are asked for.
    """
    from irctl.models.encoder import load_encoder

    return SCORERS[own.scoring](load_encoder(config, name_scorer(own)).freeze(), tokenizer)


def name_scorer(own: Any) -> str:
    """The encoder that scores."""
    return own.scorer or DEFAULT_NAMES[0]


def _normalized(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    normalized_ND: NDArray[np.float32] = vectors_ND / np.maximum(
        np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12
    )
    return normalized_ND
