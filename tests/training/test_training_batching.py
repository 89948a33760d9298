"""Batch arithmetic: what is whole, what is refused, and how long training takes."""

from __future__ import annotations

import sys

import pytest
import tiny_training as tiny

from irctl import config as settings
from irctl import profiles
from irctl.errors import ConfigError
from irctl.pipelines import demo
from irctl.training import batch_plan
from irctl.training.batch_plan import GroupSizes
from irctl.training.loop import schedule


def plan(**values) -> batch_plan.BatchPlan:
    return batch_plan.plan(tiny.configuration(**values))


def test_the_batch_of_sycl_on_four_devices() -> None:
    made = plan(
        **{"batch.global": 256, "batch.loss": 64, "batch.micro": 16, "hardware.devices": 4, "data.group_size": 7}
    )
    assert (made.losses, made.chunks, made.accumulation, made.local) == (4, 1, 4, 16)
    assert made.negatives_per_query == 64 * 7 - 1


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_negatives_do_not_depend_on_the_machine(devices: int) -> None:
    made = plan(**{"batch.global": 64, "hardware.devices": devices, "hardware.micro_batch": 4, "data.group_size": 8})
    assert made.negatives_per_query == 511
    assert made.chunks == 16 // devices


def test_micro_is_lowered_to_what_a_device_holds() -> None:
    assert plan(**{"batch.global": 8, "hardware.micro_batch": 32}).micro == 8


@pytest.mark.parametrize(
    ("batch", "devices", "chunks"), [(10, 1, 2), (12, 1, 2), (20, 1, 3), (30, 1, 4), (10, 2, 1), (20, 2, 2)]
)
def test_a_micro_batch_is_a_limit_and_need_not_divide_the_batch(batch: int, devices: int, chunks: int) -> None:
    made = plan(**{"batch.global": batch, "hardware.micro_batch": 8, "hardware.devices": devices})
    assert made.micro == min(8, batch // devices) and made.chunks == made.accumulation == chunks
    halved = plan(**{"batch.global": 2 * batch, "batch.loss": batch, "batch.micro": 8, "hardware.devices": devices})
    assert (halved.losses, halved.chunks, halved.accumulation) == (2, chunks, 2 * chunks)


def test_own_candidates_have_no_negatives_of_other_queries() -> None:
    assert plan(**{"batch.global": 64, "loss.inbatch": "own", "data.group_size": 8}).negatives_per_query == 7
    assert plan(**{"batch.global": 64, "data.group_size": 0}).negatives_per_query is None


def test_negatives_are_a_bound_until_the_groups_are_known() -> None:
    config = tiny.configuration(**{"batch.global": 12, "data.group_size": 8})
    assert batch_plan.plan(config).as_dict()["negatives_per_query"] == "at most 95"
    assert batch_plan.plan(config, GroupSizes(999, 6.33)).as_dict()["negatives_per_query"] == 75
    assert batch_plan.plan(config, GroupSizes(999, 6.33, True)).as_dict()["negatives_per_query"] == "at most 75"
    unbounded = tiny.configuration(**{"batch.global": 12, "data.group_size": 0})
    assert batch_plan.plan(unbounded, GroupSizes(999, 2.33)).as_dict()["negatives_per_query"] == 27


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"batch.global": 10, "batch.loss": 4}, "multiple of batch.loss=4", "batch.loss=2 or 5; batch.global=8 or 12"),
        ({"batch.global": 33, "hardware.devices": 8}, "=33 queries cannot be shared", "batch.global=32 or 40"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused_with_the_nearest_legal_choices(values, message, hint) -> None:
    with pytest.raises(ConfigError) as raised:
        plan(**values)
    assert message in raised.value.message and "(from test)" in raised.value.message
    assert hint in raised.value.hint


@pytest.mark.parametrize(("loss", "devices"), [(40, 3), (45, 4), (0, 4), (7, 5)])
def test_every_suggestion_is_legal(loss: int, devices: int) -> None:
    given = {"batch.global": 90, "batch.loss": loss, "hardware.devices": devices}
    with pytest.raises(ConfigError) as raised:
        plan(**given)
    for choice in raised.value.hint.removeprefix("Nearest legal: ").split("; "):
        name, _, numbers = choice.partition("=")
        for number in numbers.split(" or "):
            plan(**given | {name.replace("--", "hardware."): int(number)})


def test_a_smaller_last_batch_is_a_step_of_its_own() -> None:
    config = tiny.configuration(**{"batch.global": 16, "batch.loss": 8, "train.epochs": 2.5})
    made = batch_plan.steps(config, batch_plan.plan(config), 35)  # 5 losses, the last of 3 queries
    assert (made.losses_an_epoch, made.steps_an_epoch, made.total) == (5, 3, 8)


@pytest.mark.parametrize(
    ("ratio", "total", "wanted"),
    [(0.05, 100, 5), (0.05, 4, 0), (0.05, 15, 1), (0.05, 30, 2), (0.5, 10, 5), (1.0, 10, 9), (0.0, 10, 0), (0.1, 1, 0)],
)
def test_rounding_never_warms_up_for_more_than_a_tenth_of_a_short_run(ratio, total, wanted) -> None:
    assert batch_plan.warmup_steps(ratio, total) == wanted


@pytest.mark.parametrize("shape", ["linear", "log"])
def test_a_warm_up_begins_at_its_share_of_the_peak_and_ends_at_the_peak(shape: str) -> None:
    rates = [schedule.factor(t, warmup=10, total=100, shape=shape, begin=0.1) for t in range(12)]
    assert rates[0] == pytest.approx(0.1) and rates[10] == 1.0 and rates[:11] == sorted(rates[:11])
    if shape == "linear":
        assert rates[5] == pytest.approx(0.55)
    assert schedule.factor(0, warmup=0, total=100, begin=0.1) == 1.0


@pytest.mark.parametrize("shape", ["linear", "log"])
@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("total", [1, 2, 3, 7, 100])
def test_learning_rate_reaches_its_peak_and_never_passes_it(shape: str, decay: str, total: int) -> None:
    for ratio in (0.0, 0.05, 0.3, 1.0):
        warmup = batch_plan.warmup_steps(ratio, total)
        rates = [schedule.factor(t, warmup=warmup, total=total, shape=shape, schedule=decay) for t in range(total)]
        if shape == "linear" or total > 2:
            assert max(rates) == pytest.approx(1.0)
        assert min(rates) >= 0


def test_linear_schedule_is_that_of_transformers() -> None:
    import torch
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    for name, make in (("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = make(optimizer, 5, 40)
        for step in range(40):
            mine = schedule.factor(step, warmup=5, total=40, schedule=name)
            assert mine == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()


def test_the_first_step_alone_has_the_rate_0_and_deepspeed_is_one_step_behind() -> None:
    # warm-up of 4 steps: 0, 1/4, 2/4; logarithmic: ln 1, ln 2 = ln 4 / 2, ln 3 / ln 4
    first = {"linear": [0, 0.25, 0.5], "log": [0, 0.5, 0.792481]}
    for shape, by_hand in first.items():
        ours = [schedule.factor(t, warmup=4, total=20, shape=shape) for t in range(20)]
        assert ours[:3] == pytest.approx(by_hand, abs=1e-6)
        theirs = deepspeeds_rates(shape, warmup=4, total=20)
        assert theirs == pytest.approx([0.0, *ours[:-1]]), shape


def deepspeeds_rates(shape: str, *, warmup: int, total: int) -> list[float]:
    """What the installed WarmupDecayLR has an optimizer do, step by step."""
    import torch

    schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = schedules.WarmupDecayLR(
        optimizer, total_num_steps=total, warmup_max_lr=1.0, warmup_num_steps=warmup, warmup_type=shape
    )
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return rates


def test_logarithmic_warm_up_is_that_of_deepspeed() -> None:
    # lr ln(t + 1) / ln(V): with V = 8, a third of the peak at t = 1, two thirds at t = 3, all of it at t = 7
    rates = [schedule.factor(t, warmup=8, total=80, shape="log") for t in (0, 1, 3, 7, 8, 44)]
    assert rates == pytest.approx([0, 1 / 3, 2 / 3, 1, 1, 0.5])


@pytest.mark.parametrize(("save", "wanted"), [("epoch", 0), ("20", 20), ("0.25", 25), ("0.249999", 25), ("1", 1)])
def test_save_takes_an_epoch_steps_or_a_share(save: str, wanted: int) -> None:
    config = tiny.configuration(**{"train.save": save, "train.max_steps": 100})
    assert batch_plan.save_every(config, batch_plan.steps(config, batch_plan.plan(config), 50)) == wanted


@pytest.mark.parametrize("save", ["never", "1.5", "0", "-3"])
def test_save_refuses_other_words(save: str) -> None:
    config = tiny.configuration(**{"train.save": save})
    with pytest.raises(ConfigError, match=r"train\.save: expected epoch.*found"):
        batch_plan.save_every(config, batch_plan.steps(config, batch_plan.plan(config), 50))


def test_no_torch_is_needed_to_plan() -> None:
    import subprocess

    files = ("batch_plan", "objective.terms", "processes.launch", "run_files.journal", "run_files.checkpoints")
    names = ", ".join(f"irctl.training.{name}" for name in (*files, "parallel.deepspeed_settings"))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_of_the_demo_is_one_chunk_a_step_on_the_cpu() -> None:
    words = (*demo.TRAIN, "7")  # steps
    named = dict(zip(words[::2], words[1::2], strict=True))
    sets = [word for mark, word in zip(words[::2], words[1::2], strict=True) if mark == "--set"]
    hardware = profiles.layer("cpu", "dense")
    config = settings.resolve(hardware, settings.from_sets([f"batch.global={named['--batch']}", *sets]))
    made = batch_plan.plan(config)
    assert (made.chunks, made.micro * config.data.group_size) == (1, 64)
    default = settings.resolve(hardware)
    assert batch_plan.plan(default).micro * default.data.group_size == 64  # texts of 256 tokens: below 6 GiB
