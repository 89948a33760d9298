"""RepCONC trains the same weights in one process and in two, in one chunk and in many, with the clip active."""

from __future__ import annotations

from pathlib import Path

import pytest
import repconc_pair as pair
import safetensors.torch
import torch
from two import run_pair

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("repconc") / "weights"
    run_pair(Path(pair.__file__), str(out))
    return safetensors.torch.load_file(out)


def assert_same(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.allclose(got[name], tensor, rtol=1e-6, atol=1e-6), name


@pytest.mark.parametrize("number", range(len(pair.CASES)))
def test_two_processes_train_the_weights_of_one(of_two: dict[str, torch.Tensor], number: int) -> None:
    got = {k.removeprefix(f"{number}."): v for k, v in of_two.items() if k.startswith(f"{number}.")}
    assert_same(got, pair.train(number, micro=1000))


@pytest.mark.parametrize("number", range(len(pair.CASES)))
@pytest.mark.parametrize("micro", [1, 4, 7])
def test_chunks_train_the_weights_of_the_whole_batch(number: int, micro: int) -> None:
    assert_same(pair.train(number, micro=micro), pair.train(number, micro=1000))
