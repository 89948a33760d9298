"""What several files of trainings share."""

from __future__ import annotations

import pytest
from word_collection import word_collection


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BEIR folder named toy: document i repeats word i, query i is word i; 8 train, 4 are dev."""
    return word_collection(tmp_path_factory.mktemp("training") / "toy", train=range(8), dev=range(8, 12))
