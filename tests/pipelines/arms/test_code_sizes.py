"""Sizes of codes by the vectors that an arm encoded, and the splits that a group measures on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_collections import beir_folder

from irctl import config
from irctl.errors import ConfigError, DataError
from irctl.origins import derived
from irctl.pipelines.arms import held_out
from irctl.pipelines.arms.code_sizes import bits_for, size_of, slices, stand_in


def encoded(folder: Path, rows: int | None, dim: int) -> Path:
    """A run that encoded so many vectors."""
    made = {"role": "out", "kind": "embeddings", "path": "out", "dim": dim} | ({"n_rows": rows} if rows else {})
    record = {"id": "20260801-120000000-0001", "command": "encode", "status": "completed"}
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record | {"created_at": "2026-08-01T12:00:00Z", "artifacts": [made]}))
    return folder


@pytest.mark.parametrize(
    ("rows", "dim", "sizes"),
    [
        (1400, 384, {"bits": "4", "m/32": "24", "m/16": "48", "m/8": "96", "bytes/8": "48"}),  # 12, 24 and 48 bytes
        (9984, 384, {"bits": "8", "m/32": "12", "m/16": "24", "m/8": "48"}),
        (9983, 768, {"bits": "4", "m/16": "96"}),
        (20000, 300, {"bits": "8", "m/16": "20", "bytes/16": "18"}),  # 18.75 bytes; 15 and 20 divide 300
    ],
)
def test_a_code_has_a_byte_for_so_many_dimensions_at_any_width(
    rows: int, dim: int, sizes: dict[str, str], tmp_path: Path
) -> None:
    run = encoded(tmp_path / "run", rows, dim)
    assert {what: size_of(f"vectors.{what}", run) for what in sizes} == sizes


@pytest.mark.parametrize("per_byte", [16, 8])
def test_saq_codes_and_the_factors_of_their_segments_have_the_bytes_of_the_others(
    per_byte: int, tmp_path: Path
) -> None:
    from irctl.quantizers import saq

    x_ND = np.random.default_rng(0).standard_normal((500, 384)).astype(np.float32) * np.linspace(2, 0.2, 384, dtype="f")
    bits = float(size_of(f"vectors.saq/{per_byte}", encoded(tmp_path / "run", 500, 384)))
    quantizer = saq.Quantizer(saq.Config(bits=bits), 384)
    quantizer.fit(x_ND)
    assert 0 <= 384 // per_byte - quantizer.code_size <= 8  # its segments are of 64 dimensions


def test_bits_are_what_the_rows_can_train_and_slices_divide() -> None:
    assert (bits_for(39 * 256 - 1), bits_for(39 * 256)) == (4, 8)
    assert all(dim % slices(dim, 16, 4) == 0 for dim in range(1, 400))


def test_a_size_of_what_encoded_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no vectors with a width there"):
        size_of("vectors.bits", encoded(tmp_path / "run", None, 384))


def test_settings_are_checked_with_a_number_in_place_of_a_size() -> None:
    assert stand_in(("--set", "pq.m={a.b.m/16}", "{run}")) == ("--set", "pq.m=4", "{run}")


def splits(folder: Path, *names: str, trained: str = "") -> str:
    judged = {name: {q: {"d1": 1}} for name, q in zip(names, "abcd", strict=False)}
    beir_folder(folder, {"d1": "wing"}, {q: q for q in "abcd"}, **judged)
    layer = {"data.source": (str(folder), derived("test")), "data.split": (trained, derived("test"))}
    return held_out.splits(config.resolve(layer))


def test_what_is_measured_is_all_that_is_not_trained_on(tmp_path: Path) -> None:
    assert splits(tmp_path / "three", "train", "dev", "test") == "dev+test"
    assert splits(tmp_path / "one", "test") == "test"
    assert splits(tmp_path / "other", "train", "y1", "y2") == "y1+y2"
    assert splits(tmp_path / "on dev", "train", "dev", "test", trained="dev") == "test"
    with pytest.raises(ConfigError, match="no judged queries beside those of train"):
        splits(tmp_path / "none", "train")
