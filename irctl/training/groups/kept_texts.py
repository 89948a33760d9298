"""Vectors of texts that a training comes back to: made once by a frozen encoder, kept by content.

Every distinct text of a side goes through the encoder once, in evaluation mode; the vectors lie in the cache under the
key of model and texts, so that the next run over the same texts (another seed, another loss) makes none.

Dimension key: T distinct texts, R rows of the training's pool, N rows asked for, H vector width.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl.errors import PartlyDone
from irctl.models.embed import TextList, embed_corpus
from irctl.models.transforms.files import hash_texts
from irctl.training.parallel import gather
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.models.embedding_folder import EmbeddingFolder
    from irctl.models.encoder import TextEncoder

Floats = NDArray[np.float32]
IN_MEMORY = 2 << 30
"""Bytes of vectors up to which they are read whole; more are read from the cache as they are asked for."""
AT_ONCE = 100_000
"""Texts of the training's pool that are read at once."""


class KeptTexts:
    """The vectors of one side's texts, by text or by row of the training's pool."""

    def __init__(
        self, hashes_T: NDArray[np.uint64], folder: EmbeddingFolder, rows_R: NDArray[np.int64], of_R: NDArray[np.uint64]
    ) -> None:
        """hashes_T: ascending, as the vectors lie in `folder`. rows_R: ascending, with the hash of each one's text."""
        self._hashes_T, self._folder, self._rows_R = hashes_T, folder, rows_R
        self._places_R = self._find(of_R)
        size = folder.rows * folder.dim * 4
        self._vectors_TH: Floats | None = folder.array() if size <= IN_MEMORY else None

    def of_rows(self, rows_N: Sequence[int] | NDArray[np.integer]) -> Floats:
        """Vectors [N, H] of rows that the training may draw."""
        found_N = np.searchsorted(self._rows_R, rows_N)
        assert (self._rows_R[found_N] == rows_N).all(), "rows that no group can hold"
        return self._take(self._places_R[found_N])

    def of_texts(self, texts: Sequence[str]) -> Floats:
        """Vectors [N, H] of texts that were named when the training began."""
        return self._take(self._find(hash_texts(texts)))

    def _find(self, hashes_N: NDArray[np.uint64]) -> NDArray[np.int64]:
        places_N = np.minimum(np.searchsorted(self._hashes_T, hashes_N), max(len(self._hashes_T) - 1, 0))
        assert (self._hashes_T[places_N] == hashes_N).all(), "texts that were not kept"
        return places_N

    def _take(self, places_N: NDArray[np.int64]) -> Floats:
        return self._folder.take(places_N) if self._vectors_TH is None else self._vectors_TH[places_N]


def keep(
    encoder: TextEncoder,
    side: str,
    rows_R: NDArray[np.int64],
    texts_of: Callable[[NDArray[np.int64]], list[str]],
    others: Iterable[str],
    config: Config,
    reporter: Reporter,
) -> KeptTexts:
    """The vectors of the training's rows and of other texts. texts_of: the texts of rows.

    The processes of a training share the encoding.
    """
    text_of: dict[int, str] = {}
    hashes = [_note(text_of, texts_of(rows_R[i : i + AT_ONCE])) for i in range(0, len(rows_R), AT_ONCE)]
    _note(text_of, list(others))
    hashes_T = np.sort(np.fromiter(text_of, np.uint64, len(text_of)))
    texts = list_texts([text_of[h] for h in hashes_T.tolist()])
    reporter.say(f"the base is frozen: it makes the vectors of {len(texts)} {side} texts once, or reads them")
    return KeptTexts(hashes_T, share(encoder, texts, side, config, reporter), rows_R, np.concatenate(hashes))


def list_texts(texts: Sequence[str]) -> TextList:
    """Texts under the names that their content gives them."""
    return TextList([f"{h:016x}" for h in hash_texts(texts).tolist()], texts)


def share(encoder: TextEncoder, texts: TextList, side: str, config: Config, reporter: Reporter) -> EmbeddingFolder:
    """As `embed`, asked by every process: each makes its part."""
    rank, processes = gather.world()
    if processes > 1:
        with contextlib.suppress(PartlyDone):
            embed(encoder, texts, side, config, reporter, (rank, processes))
        gather.barrier()
    return embed(encoder, texts, side, config, reporter)


def embed(
    encoder: TextEncoder,
    texts: TextList,
    side: str,
    config: Config,
    reporter: Reporter,
    part: tuple[int, int] = (0, 1),
) -> EmbeddingFolder:
    """The vectors of texts, in float32: what is trained on them must see what the saved model makes."""
    settings = dataclasses.replace(config.encoder, store="float32")
    return embed_corpus(encoder, texts, settings, reporter, side=side, part=part)


def _note(text_of: dict[int, str], texts: Sequence[str]) -> NDArray[np.uint64]:
    """The hashes of texts, each of which is noted."""
    hashes_N = hash_texts(texts)
    text_of.update(zip(hashes_N.tolist(), texts, strict=True))
    return hashes_N
