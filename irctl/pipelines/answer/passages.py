"""Compressed passages, kept on disk: by the passage, the encoder, the ratio and how rows are kept.

Each passage is a chunk of its own after the instruction of its task, so its rows are the same for every question. Its
label, `Doc 2:`, says where it stands in a context, and is no part of them: it is in the prompt as it is, uncompressed.
What the cache lacks is encoded and added. A folder has one file of rows for each time something was added.
Dimension key: R rows of a passage, H hidden width.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irctl import paths
from irctl.data import draws
from irctl.data.contexts.rows import label_passage
from irctl.data.files import made_once
from irctl.errors import DataError
from irctl.models.compressive.chunks import EncodedChunk, split_context
from irctl.models.compressive.generation import Prompt
from irctl.pipelines.answer.contexts import Budgets, with_rows
from irctl.pipelines.answer.opening import Answerer
from irctl.pipelines.answer.questions import Question
from irctl.training.texts.loss import ENCODED_AT_ONCE, encode_samples, split_by_tokens
from irctl.training.texts.samples import TextSample, keep

KIND, VERSION = "compressed-passages", 2
Rows = NDArray[np.float32]


@dataclass
class KeptPassages:
    """The passages of one encoder and wording. encoded: passages that were not there."""

    answerer: Answerer
    budgets: Budgets
    encoded: int = 0
    _opened: dict[int, dict[str, Rows]] = field(default_factory=dict)

    def folder(self, ratio: int) -> Path:
        rules = self.budgets.rules
        key = {
            "version": VERSION,
            "encoder": self.answerer.fingerprint,
            "ratio": ratio,
            "selection": rules.selection,
            "grid": rules.grid,
            "instruction": list(self.budgets.instruction_ids),
            "bos": rules.bos,
        }
        return paths.cache() / KIND / made_once.key_of(key)[:32]

    def prompts(self, questions: Sequence[Question], ratio: int) -> tuple[list[Prompt], int]:
        """(the questions with their passages' rows one after the other, passages that had to be encoded)."""
        before = self.encoded
        texts = list(dict.fromkeys(p for q in questions for p in q.row.passages))
        found = dict(zip(texts, self.rows(texts, ratio), strict=True))
        prompts = []
        for q in questions:
            rows = [
                part
                for i, p in enumerate(q.row.passages, 1)
                for part in (self._label(i), torch.tensor(found[p]).to(self.answerer.lm.device))
            ]
            prompt = with_rows(q.split, torch.cat(rows))
            if prompt.parts.length > self.budgets.rules.most_tokens:
                raise DataError(
                    f"question {q.id}: its passages take {len(prompt.rows_RH)} rows at {ratio}x, with its prompt more "  # type: ignore[arg-type]
                    f"than {self.budgets.rules.most_tokens} tokens",
                    hint="Raise acerag.lm_tokens, or leave out --cached",
                )
            prompts.append(prompt)
        return prompts, self.encoded - before

    def _label(self, number: int) -> Tensor:
        """Embeddings of a passage's label by the language model, which it reads as it reads the tokens [tokens, H]."""
        ids = self.answerer.tokenizer(label_passage(number), add_special_tokens=False)["input_ids"]
        embedded_RH: Tensor = self.answerer.lm.get_input_embeddings()(torch.tensor(ids, device=self.answerer.lm.device))
        return embedded_RH.detach().float()

    def rows(self, passages: Sequence[str], ratio: int) -> list[Rows]:
        """Of each passage its rows [R, H]; those that the cache lacks are encoded and written."""
        known = self._open(ratio)
        ids = [tuple(self.answerer.tokenizer(p, add_special_tokens=False)["input_ids"]) for p in passages]
        keys = [hashlib.sha256(np.asarray(i, np.int64).tobytes()).hexdigest() for i in ids]
        missing = {k: i for k, i in zip(keys, ids, strict=True) if k not in known}
        if missing:
            made = dict(zip(missing, self._encode(list(missing.values()), ratio), strict=True))
            _write(self.folder(ratio), made)
            known.update(made)
            self.encoded += len(made)
        return [known[k] for k in keys]

    def _encode(self, ids: Sequence[tuple[int, ...]], ratio: int) -> list[Rows]:
        chunks = [self._chunks(i) for i in ids]
        found: list[Rows] = []
        for batch in split_by_tokens(chunks, [sum(len(c.ids) for c in own) for own in chunks], ENCODED_AT_ONCE):
            kept = [tuple(keep(c.shape, ratio, self.budgets.rules, _generator(c)) for c in own) for own in batch]
            samples = [TextSample(tuple(own), k, (), "") for own, k in zip(batch, kept, strict=True)]
            with torch.inference_mode():
                found += [r.float().cpu().numpy() for r in encode_samples(self.answerer.encoder, samples)]
        return found

    def _chunks(self, ids: Sequence[int]) -> list[EncodedChunk]:
        rules = self.budgets.rules
        return split_context(
            ids, chunk_tokens=rules.chunk_tokens, instruction_ids=self.budgets.instruction_ids, bos=rules.bos
        )

    def _open(self, ratio: int) -> dict[str, Rows]:
        if ratio not in self._opened:
            found: dict[str, Rows] = {}
            for file in sorted(self.folder(ratio).glob("*.json")):
                about = json.loads(file.read_text())
                rows_RH = np.load(file.with_suffix(".npy"), mmap_mode="r")
                ends = about["ends"]
                found |= {k: rows_RH[a:b] for k, a, b in zip(about["keys"], [0, *ends], ends, strict=False)}
            self._opened[ratio] = found
        return self._opened[ratio]


def _generator(chunk: EncodedChunk) -> np.random.Generator:
    """What draws random rows of a chunk: by its text, so that they do not depend on what else is encoded."""
    return draws.generator("acerag", "passage", *chunk.ids)


def _write(folder: Path, made: dict[str, Rows]) -> None:
    """Rows first, then what they are, each by rename: a file that is named is whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = folder / f"{len(list(folder.glob('*.json'))):05d}-{secrets.token_hex(4)}"
        work = folder / f".{name.name}.{os.getpid()}.npy"
        np.save(work, np.concatenate(list(made.values())))
        work.replace(name.with_suffix(".npy"))
        ends = np.cumsum([len(r) for r in made.values()]).tolist()
        text = folder / f".{name.name}.{os.getpid()}.tmp"
        text.write_text(json.dumps({"keys": list(made), "ends": ends}))
        text.replace(name.with_suffix(".json"))
    except OSError as e:
        raise made_once.cannot_write(folder, e) from e
