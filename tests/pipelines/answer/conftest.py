"""What evaluations of answers run on, made once a file of tests."""

from __future__ import annotations

from pathlib import Path

import answering
import pytest
from workspace import Workspace


@pytest.fixture(scope="module")
def made(place: Workspace) -> Path:
    """Folder of a language model, of its encoder, and of questions about what their contexts say."""
    folder = answering.make_models(place.folder / "models")
    answering.write_questions(folder / "recall.json")
    return folder
