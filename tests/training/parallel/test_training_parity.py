"""One process, two processes and the gradient cache give the same loss and the same gradient, for every loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pair
import pytest
import safetensors.torch
import tiny_training as tiny
import torch
from two import run_pair

from irctl import plugins
from irctl.paths import RunPaths
from irctl.training import batch_plan
from irctl.training.loop import session
from irctl.training.parallel.gradient_cache import forward_chunks
from irctl.training.run_files import journal

HERE = Path(__file__).parents[1]


def write_config(folder: Path, config) -> RunPaths:
    paths = RunPaths(folder)
    folder.mkdir(parents=True)
    paths.config.write_text(json.dumps(config.to_json()))
    return paths


def equal_scores(**more):
    """Two passages a query and an untrained output layer of zeros: InfoNCE is ln 2 exactly."""
    return tiny.configuration(
        **{
            "run.name": "zeros",
            "loss.name": "infonce",
            "loss.inbatch": "own",
            "loss.positive_threshold": 3,
            "data.group_size": 2,
            **more,
        }
    )


def plain(number: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of a case in one process and one chunk."""
    name, rows, _, more = pair.CASES[number]
    module, batch = pair.case(name, rows, 1000, more)
    loss, *_ = module(batch)
    loss.backward()
    return loss.detach(), pair.gradients(module)


def assert_same(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], what: str) -> None:
    for name, tensor in wanted.items():
        assert torch.allclose(got[name], tensor, rtol=1e-5, atol=1e-5 * max(1.0, tensor.abs().max())), (what, name)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> tuple[dict[str, torch.Tensor], float]:
    """Results of two processes over all cases, and the first loss of a session they trained together."""
    folder = tmp_path_factory.mktemp("pair")
    paths = write_config(
        folder / "run",
        equal_scores(**{"hardware.devices": 2, "batch.global": 8, "batch.loss": 4, "train.max_steps": 1}),
    )
    run_pair(HERE / "pair.py", str(folder / "grads"), str(paths.folder))
    return safetensors.torch.load_file(folder / "grads"), first_loss(paths)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(pair.CASES)))
def test_two_processes_equal_one(two_processes, number: int) -> None:
    results, _ = two_processes
    loss, wanted = plain(number)
    got = {k.removeprefix(f"{number}."): v for k, v in results.items() if k.startswith(f"{number}.")}
    assert torch.allclose(got["loss"], loss, rtol=1e-5), pair.CASES[number]
    assert got["loss of both"][0] == got["loss of both"][1], "slices of a regularizer are drawn alike"
    assert_same(got, wanted, str(pair.CASES[number]))


@pytest.mark.parametrize("name", plugins.names("losses"))
@pytest.mark.parametrize(("rows", "micro"), [(7, 1), (7, 3), (7, 7), (10, 8)])
def test_gradient_cache_equals_one_chunk(name: str, rows: int, micro: int) -> None:
    results = []
    for chunk in (1000, micro):
        module, batch = pair.case(name, rows, chunk, {})
        loss, *_ = module(batch)
        loss.backward()
        results.append((loss.detach(), pair.gradients(module)))
    (loss, wanted), (cached_loss, got) = results
    assert torch.allclose(cached_loss, loss, rtol=1e-5)
    assert_same(got, wanted, name)


@pytest.mark.parametrize("losses", [1, 2])
def test_a_batch_that_the_micro_batch_does_not_divide_trains_the_same_weights(tmp_path: Path, losses: int) -> None:
    trained = []
    for micro in (10, 8):
        values = {"batch.global": 10 * losses, "batch.loss": 10, "hardware.micro_batch": micro, "train.lr": 0.1}
        config = tiny.configuration(**{"run.name": "no dropout", "train.max_steps": 2, **values})
        assert batch_plan.plan(config).chunks == (1 if micro == 10 else 2)
        paths = RunPaths(tmp_path / str(micro))
        session.run(config, paths, tiny.build)
        trained.append(safetensors.torch.load_file(paths.model / "model.safetensors"))
        first = journal.steps(paths.metrics)[1]
        trained[-1]["gradient norm and loss"] = torch.tensor([first["grad_norm"], first["loss"]])
    for name, tensor in trained[0].items():
        assert torch.allclose(trained[1][name], tensor, rtol=1e-6, atol=1e-6), name


def test_chunks_draw_the_dropout_of_their_first_forward_again() -> None:
    torch.manual_seed(3)
    weight = torch.ones(4, requires_grad=True)
    masks: list[torch.Tensor] = []

    def forward(chunk: torch.Tensor) -> tuple[torch.Tensor]:
        dropped = torch.nn.functional.dropout(chunk * weight, 0.5)
        masks.append(dropped.detach() != 0)
        return (dropped**2,)  # its gradient asks for what was dropped: the second forward gets this far

    (out,) = forward_chunks(forward, [torch.ones(2, 4), torch.ones(3, 4)])
    out.sum().backward()
    assert len(masks) == 4, "each chunk runs twice"
    assert torch.equal(masks[0], masks[3]) and torch.equal(masks[1], masks[2])


def test_activations_of_one_chunk_live_at_a_time() -> None:
    events: list[str] = []

    class Tap(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, name):
            ctx.name = name
            events.append(f"forward {name}")
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            events.append(f"backward {ctx.name}")
            return grad * 2, None

    weight = torch.ones(2, requires_grad=True)
    chunks = [("a", torch.ones(1, 2)), ("b", torch.ones(1, 2)), ("c", torch.ones(1, 2))]
    # the square saves its input: the chunk must be recomputed for its gradient
    (out,) = forward_chunks(lambda c: (Tap.apply((c[1] * weight) ** 2, c[0]) ** 2,), chunks)
    out.sum().backward()
    assert events[:3] == ["forward a", "forward b", "forward c"]
    assert events[3:] == [f"{what} {name}" for name in "cba" for what in ("forward", "backward")]


@pytest.mark.parametrize(("loss_batch", "accumulation"), [(8, 1), (4, 2)])
def test_untrained_loss_is_ln_2_in_one_process(tmp_path: Path, loss_batch: int, accumulation: int) -> None:
    config = equal_scores(**{"batch.global": loss_batch * accumulation, "batch.loss": loss_batch, "train.max_steps": 1})
    paths = RunPaths(tmp_path)
    session.run(config, paths, tiny.build)
    assert first_loss(paths) == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.slow
def test_untrained_loss_is_ln_2_in_two_processes_with_accumulation(two_processes) -> None:
    assert two_processes[1] == pytest.approx(math.log(2), abs=1e-6)


def first_loss(paths: RunPaths) -> float:
    return journal.steps(paths.metrics)[1]["loss"]
