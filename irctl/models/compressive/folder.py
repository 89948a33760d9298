"""A saved compressive encoder: its weights, its tokenizer, and compressor.json, which says how it was trained.

A training writes `checkpoint-N/compressive_encoder`; folders named context_compressor, as the original calls them
since, are read too. A folder without compressor.json is one that the original released: how it keeps rows is assumed,
and said.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, hashing, tables
from irctl.errors import DataError
from irctl.models.fingerprints import fingerprint_of, fingerprint_tokenizer, read_header

if TYPE_CHECKING:
    from torch import Tensor

    from irctl.models.compressive.encoder import CompressiveEncoder

FORMAT, VERSION, FILE = "irctl-compressor", 1, "compressor.json"
NAME = "compressive_encoder"
NAMES = (NAME, "context_compressor")
"""Names of its folder in a checkpoint; the second is read only."""
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
SHAPE = {
    "format": str,
    "version": int,
    "lm": {"name": str, "revision": str, "weights": str, "tokenizer": str},
    "layers": int,
    "ratios": [int],
    "selection": str,
    "grid": str,
    "chunk_tokens": int,
    "window": int,
    "instructions": dict,
    "stages": [dict],
}


@dataclass(frozen=True, kw_only=True)
class About:
    """How an encoder was trained.

    lm: name, revision, hash of weights and of the tokenizer of the language model that reads its rows. stages: what it
    was trained on, first to last: {stage, run}. instructions: by data set name. assumed: what a released folder does
    not say.
    """

    lm: dict[str, str]
    layers: int
    ratios: tuple[int, ...]
    selection: str
    grid: str
    chunk_tokens: int
    window: int = 0
    instructions: dict[str, str] = field(default_factory=dict)
    stages: tuple[dict[str, str], ...] = ()
    assumed: tuple[str, ...] = ()


RELEASED = About(
    lm={"name": "", "revision": "", "weights": "", "tokenizer": ""},
    layers=0,
    ratios=(1, 2, 4, 8),
    selection="stride",
    grid="released",
    chunk_tokens=4096,
    assumed=("its language model is the one named", "grid=released", "selection=stride", "chunks of 4096 tokens"),
)


def describe_language_model(name: str, revision: str, folder: Path, tokenizer: Any) -> dict[str, str]:
    """What an encoder says of its language model: bytes of the weights, and how text becomes tokens."""
    weights = {f.name: hashing.identity(f) for f in sorted(folder.glob("*.safetensors"))}
    return {
        "name": name,
        "revision": revision,
        "weights": fingerprint_of(weights),
        "tokenizer": fingerprint_tokenizer(tokenizer),
    }


def save(
    folder: Path,
    encoder: CompressiveEncoder,
    tokenizer: Any,
    about: About,
    *,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the folder whole or not at all. weights: in place of those that the encoder has now."""
    staged = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    encoder.save(staged, weights)
    tokenizer.save_pretrained(str(staged))
    described = {k: v for k, v in asdict(about).items() if k != "assumed"}
    text = json.dumps({"format": FORMAT, "version": VERSION, **described}, indent=1, sort_keys=True)
    (staged / FILE).write_text(text + "\n")
    files.open_modes(staged)
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)


def read(folder: Path) -> About:
    """What compressor.json says; what is assumed where there is none. Raises DataError for another format."""
    path = folder / FILE
    if not path.is_file():
        return RELEASED
    found = tables.json_object(path)
    tables.check(found, SHAPE, str(path))
    if (found["format"], found["version"]) != (FORMAT, VERSION):
        raise DataError(f"{path}: expected format {FORMAT} version {VERSION}", hint="Use the irctl that wrote it")
    known = {f.name for f in fields(About)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items() if k in known}
    return About(**values)


def count_layers(folder: Path) -> int:
    """Layers of an encoder, without its weights. Raises DataError where its config.json says none."""
    path = folder / "config.json"
    found = tables.json_object(path)
    tables.check({"num_hidden_layers": found.get("num_hidden_layers")}, {"num_hidden_layers": int}, str(path))
    return int(found["num_hidden_layers"])


def check_language_model(folder: Path, about: About, lm: dict[str, str]) -> None:
    """DataError where an encoder was trained for another language model or tokenizer than the one that is here."""
    for what in ("weights", "tokenizer"):
        expected, found = about.lm.get(what, ""), lm[what]
        if expected and expected != found:
            raise DataError(
                f"{folder}: was trained for {about.lm['name']} ({what} {expected[:12]}), found {lm['name']} "
                f"({what} {found[:12]})",
                hint="Name the language model that it was trained for with --set acerag.lm=NAME",
            )


def find(place: Path) -> tuple[Path, list[str]]:
    """(the encoder's folder, what was passed over): `place` itself, its encoder folder, or that of its newest
    checkpoint that is whole. Raises DataError where there is none.
    """
    passed: list[str] = []
    for folder in _candidates(place):
        if not folder.is_dir():
            continue
        fault = find_fault(folder)
        if not fault:
            return folder, passed
        passed.append(f"{folder}: {fault}")
    raise DataError(
        f"{place}: no compressive encoder there{f' that is whole ({passed[0]})' if passed else ''}",
        hint=f"Expected checkpoint-N/{NAME} with config.json and safetensors",
    )


def find_fault(folder: Path) -> str:
    """Why a folder holds no whole encoder; empty where it does. Its weights are not read, their headers are."""
    if not (folder / "config.json").is_file():
        return "no config.json"
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(tables.json_object(index).get("weight_map", {}).values())
        if absent := sorted(named - {f.name for f in files}):
            return f"no {absent[0]}"
    if not files:
        pickles = sorted(p.name for p in folder.glob("*.bin"))
        return f"{pickles[0]} is a pickle, and irctl reads none" if pickles else "no safetensors"
    for file in files:
        try:
            header, start = read_header(file)
        except DataError as e:
            return e.message.removeprefix(f"{file}: ")
        end = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != file.stat().st_size:
            return f"{file.name} has {file.stat().st_size} bytes, expected {end}"
    return ""


def _candidates(place: Path) -> Iterator[Path]:
    if (place / "config.json").is_file() and not (place / "run.json").is_file():  # a run's own config.json is settings
        yield place
    yield from (place / name for name in NAMES)
    for root in (place / "checkpoints", place):
        numbered = [(int(m[1]), p) for p in root.glob("checkpoint-*") if (m := CHECKPOINT.fullmatch(p.name))]
        for _, checkpoint in sorted(numbered, reverse=True):
            yield from (checkpoint / name for name in NAMES)
    yield from (place / "model" / name for name in NAMES)
