"""Real training of a tiny model: schedule, checkpoints, resuming, choosing, refusing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny_training as tiny
import torch

from irctl.errors import ConfigError, DataError, RunFailed
from irctl.paths import RunPaths
from irctl.training.loop import session
from irctl.training.loop.loss_batches import Loader, LossBatches
from irctl.training.loop.save_and_stop import Flow
from irctl.training.run_files import checkpoints, journal
from irctl.types import Silent

MODEL = "model.safetensors"


def config(**more):
    """20 queries, loss batches of 6 (the last has 2), two to a step: two steps an epoch, six in all."""
    values = {
        "loss.name": "ws2:1,infonce:0.1",
        "loss.temperature": "auto",
        "batch.global": 12,
        "batch.loss": 6,
        "batch.micro": 3,
        "train.lr": 0.01,
        "train.epochs": 3.0,
        "eval.during": "candidates",
    }
    return tiny.configuration(**{**values, **more})


def run(folder: Path, settings, build=tiny.build) -> dict:
    """The last event of a session, but for its memory: all sessions here share one process, whose peak only rises."""
    paths = RunPaths(folder)
    session.run(settings, paths, build)
    return {k: v for k, v in journal.events(paths.metrics)[-1].items() if k != "peak_memory_gib"}


def losses(folder: Path) -> dict[int, float]:
    return {step: values["loss"] for step, values in journal.steps(RunPaths(folder).metrics).items()}


def weights(folder: Path) -> bytes:
    return (RunPaths(folder).model / MODEL).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict]:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, config())


def test_every_step_is_logged_and_the_rate_reaches_its_peak(whole) -> None:
    steps = journal.steps(RunPaths(whole[0]).metrics)
    assert list(steps) == [1, 2, 3, 4, 5, 6]
    assert max(values["lr"] for values in steps.values()) == 0.01
    for values in steps.values():
        assert values["loss"] == pytest.approx(values["loss.ws2"] + 0.1 * values["loss.infonce"], rel=1e-5)


@pytest.mark.parametrize(
    ("more", "measures"),
    [
        ({"loss.name": "ws2", "loss.temperature": "auto"}, True),
        ({"loss.name": "ws2", "loss.temperature": 0.5}, False),
        ({"loss.name": "ws2,infonce", "loss.temperature": "auto", "loss.infonce.temperature": 0.5}, True),
        ({"loss.name": "infonce", "loss.temperature": 0.001, "loss.learn_temperature": True}, False),
        ({"loss.name": "marginmse", "loss.temperature": "auto"}, False),  # its temperature is 1
        ({"loss.name": "bixse", "loss.temperature": 0.5}, True),  # its bias starts where the first batch has it
        ({"loss.name": "bixse", "loss.temperature": 0.5, "loss.bixse.bias": -3.0}, False),
        ({"loss.name": "infonce", "loss.temperature": 1.0, "run.name": "scaled"}, False),
    ],
)
def test_texts_are_forwarded_before_the_first_step_only_where_something_is_measured(tmp_path, more, measures) -> None:
    settings = tiny.configuration(**{"batch.micro": 8, "train.max_steps": 1, **more})
    built = []

    def build(config, context):
        built.append(tiny.build(config, context))
        return built[-1]

    run(tmp_path, settings, build)
    # one chunk of 8 queries and one of their 32 passages a batch: a step, and four batches (of 20 queries: 8, 8, 4)
    assert built[0].encoder.forwards == ([8, 32] * 2 + [4, 16] if measures else []) + [8, 32]


def test_a_batch_that_teaches_nothing_is_refused_though_nothing_is_measured(tmp_path) -> None:
    settings = tiny.configuration(**{"loss.name": "infonce", "loss.positive_threshold": 1.0, "loss.inbatch": "own"})

    def build(config, context):
        method = tiny.method_of(config, micro=8, source=tiny.TinySource(20, (2,)))
        method.encoder.forward = None  # never called
        return method

    with pytest.raises(ConfigError, match="infonce: no query of the first 3 loss batches counts: nothing would be"):
        run(tmp_path, settings, build)


@pytest.mark.parametrize(("shape", "shares"), [("linear", [0, 1 / 3, 2 / 3, 1]), ("log", [0, 0.63093, 1, 1])])
def test_the_optimizer_steps_by_the_rates_that_are_logged(tmp_path, monkeypatch, shape: str, shares: list) -> None:
    """Warm-up over 3 of 6 steps; ln 2 / ln 3 = 0.63093."""
    used, step = [], torch.optim.AdamW.step

    def look(self, *args, **more):
        used.append(self.param_groups[0]["lr"])
        return step(self, *args, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    run(tmp_path, config(**{"train.warmup_ratio": 0.5, "train.warmup_shape": shape}))
    logged = [values["lr"] for values in journal.steps(RunPaths(tmp_path).metrics).values()]
    assert used[:4] == pytest.approx([0.01 * share for share in shares], abs=1e-7)
    assert logged == pytest.approx(used)


def test_dev_is_measured_before_the_first_step_and_at_every_epoch(whole) -> None:
    dev, done = journal.dev(RunPaths(whole[0]).metrics, "nDCG@10"), whole[1]
    assert sorted(dev) == [0, 2, 4, 6]
    best = max(dev[s] for s in (2, 4, 6))
    assert done["dev_before"] == dev[0] and done["dev_after"] == best == dev[done["model_step"]]


def test_checkpoints_hold_nothing_that_needs_unpickling(whole) -> None:
    for file in RunPaths(whole[0]).checkpoints.rglob("*"):
        assert file.suffix in ("", ".json", ".safetensors", ".pt", ".pth"), file
        if file.name in ("optimizer.pt", "scheduler.pt"):
            torch.load(file, weights_only=True)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_run_continues_to_the_same_bytes(whole, tmp_path, monkeypatch, stop_after: int) -> None:
    """Step 1 is within an epoch, step 2 its end, step 3 within the next. Dropout is on."""
    paths = RunPaths(tmp_path)
    original = Flow.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == stop_after:
            self._looked = -math.inf
            paths.control.mkdir(exist_ok=True)
            paths.stop.write_text("{}")
        return original(self, args, state, control, **kwargs)

    monkeypatch.setattr(Flow, "on_step_end", on_step_end)
    assert run(tmp_path, config()) == {"event": "stopped", "step": stop_after, "steps": 6}
    assert not paths.model.exists()
    monkeypatch.undo()
    paths.stop.unlink()
    assert run(tmp_path, config()) == whole[1]
    assert losses(tmp_path) == losses(whole[0])
    assert weights(tmp_path) == weights(whole[0])


@pytest.mark.parametrize("published", [1, 2])
def test_a_run_that_dies_while_it_writes_a_checkpoint_continues_to_the_same_bytes(
    whole, tmp_path, monkeypatch, published: int
) -> None:
    class Death(BaseException):
        pass

    original, seen = checkpoints.publish, []

    def publish(*args):
        seen.append(args)
        if len(seen) == published:
            raise Death  # files are staged, the manifest is not
        return original(*args)

    monkeypatch.setattr(checkpoints, "publish", publish)
    with pytest.raises(Death):
        run(tmp_path, config())
    monkeypatch.undo()
    with RunPaths(tmp_path).metrics.open("a") as f:
        f.write('{"name": "loss", "val')  # and half a line was written
    assert run(tmp_path, config()) == whole[1]
    assert losses(tmp_path) == losses(whole[0])
    assert weights(tmp_path) == weights(whole[0])


def test_a_finished_run_that_is_started_again_changes_nothing(whole, tmp_path) -> None:
    first = run(tmp_path, config())
    before = weights(tmp_path)
    again = run(tmp_path, config())
    assert weights(tmp_path) == before
    assert again == first


def test_loader_processes_change_nothing(whole, tmp_path) -> None:
    run(tmp_path, config(**{"hardware.workers": 2}))
    assert losses(tmp_path) == losses(whole[0])


def test_gradient_cache_trains_as_one_chunk_does(tmp_path) -> None:
    def build(settings, context):
        return tiny.method_of(settings, micro=context.plan.micro)

    def trained(name: str, micro: int) -> dict[int, float]:
        values = {"batch.micro": micro, "eval.during": "off", "loss.name": "infonce"}
        run(tmp_path / name, config(**values), build)
        return losses(tmp_path / name)

    assert trained("chunks", 2) == pytest.approx(trained("plain", 6), rel=1e-5)


def test_a_guide_drops_passages_that_it_prefers_to_the_querys_own() -> None:
    class Fixed(tiny.TinyEncoder):
        """Scores by position: every query is 1, passage n of a chunk is n."""

        def forward(self, features):
            rows = len(features["input_ids"])
            vectors = torch.arange(rows, dtype=torch.float32) if rows > 3 else torch.ones(rows)
            return vectors[:, None]

    settings = tiny.configuration(**{"loss.name": "infonce", "loss.guide": "guide", "loss.guide_margin": 1.0})
    method = tiny.method_of(settings, micro=3, guide=Fixed())
    views = method.score(method.collate([(1, 0), (2, 0), (4, 0)])).views
    # own passages 0-3, 4-7, 8-11; the best of each comes first, so what others may score is below 0, 4, 8 less 1
    kept = [[c for c in range(12) if views["masked"].mask_BN[row, c]] for row in range(3)]
    assert kept == [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7], list(range(12))]


def test_a_nan_loss_ends_the_run_with_its_step(tmp_path) -> None:
    def build(settings, context):
        method = tiny.build(settings, context)
        original = method.collate

        def collate(items):
            batch = original(items)
            if (0, 1) in items:  # query 0 in the second epoch
                batch["views"]["masked"][0][:] = math.nan
            return batch

        method.collate = collate
        return method

    with pytest.raises(RunFailed, match=r"step [34]: the loss is nan"):
        run(tmp_path, config(), build)
    assert checkpoints.newest(RunPaths(tmp_path).checkpoints).step == 2


def test_training_stops_when_dev_stops_rising_and_keeps_the_best(tmp_path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9, 0.9, 0.9])

    def build(settings, context):
        method = tiny.build(settings, context)
        method.evaluate = lambda: {"nDCG@10": next(scores)}
        return method

    done = run(tmp_path, config(**{"eval.patience": 2, "train.epochs": 6.0, "train.keep": 1}), build)
    assert (done["steps"], done["model_step"], done["dev_before"], done["dev_after"]) == (6, 2, 0.1, 0.5)
    assert sorted(p.name for p in RunPaths(tmp_path).checkpoints.glob("step-*")) == ["step-2", "step-6"]
    assert run(tmp_path, config(**{"eval.patience": 2, "train.epochs": 6.0, "train.keep": 1}), build) == done


def test_saving_by_steps_saves_the_last_step_too(tmp_path) -> None:
    run(tmp_path, config(**{"train.save": "4", "train.max_steps": 5, "train.keep": 9, "eval.during": "off"}))
    assert sorted(p.name for p in RunPaths(tmp_path).checkpoints.glob("step-*")) == ["step-4", "step-5"]


def test_continuing_with_other_settings_or_data_is_refused(tmp_path) -> None:
    run(tmp_path, config(**{"train.max_steps": 2}))
    with pytest.raises(ConfigError, match="was trained with other settings"):
        run(tmp_path, config(**{"train.max_steps": 2, "train.lr": 0.02}))

    def build(settings, context):
        method = tiny.build(settings, context)
        method.fingerprint = "other data"
        return method

    with pytest.raises(DataError, match="was trained on other data"):
        run(tmp_path, config(**{"train.max_steps": 2}), build)


def test_measured_temperature_is_kept_in_the_checkpoint(whole) -> None:
    state = checkpoints.newest(RunPaths(whole[0]).checkpoints).manifest["method"]
    assert whole[1]["state"] == state
    assert state["temperatures"]["ws2"] == pytest.approx(3 * state["temperatures"]["infonce"], rel=1e-5)


def test_a_worker_without_its_launcher_saves_and_stops(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IRCTL_LAUNCHER_PID", "4194304")  # above the kernel's largest process id
    assert run(tmp_path, config()) == {"event": "stopped", "step": 1, "steps": 6}
    assert checkpoints.newest(RunPaths(tmp_path).checkpoints).step == 1


def test_two_workers_do_not_share_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(session, "LOCK_WAIT_S", 0.0)
    with (
        session._alone(RunPaths(tmp_path), Silent()),
        pytest.raises(RunFailed, match="another process still trains here"),
    ):
        run(tmp_path, config())


def test_a_replaced_checkpoint_survives_a_death_between_two_renames(tmp_path) -> None:
    for text in ("first", "second"):
        (checkpoints.open_staging(tmp_path, 3) / "weights").write_text(text)
        checkpoints.publish(tmp_path, 3, {"has_state": True})
    assert (checkpoints.newest(tmp_path).folder / "weights").read_text() == "second"
    (tmp_path / "step-3").rename(tmp_path / ".old-3")
    assert (checkpoints.newest(tmp_path).folder / "weights").read_text() == "second"


def test_weights_without_optimizer_cannot_be_continued(tmp_path) -> None:
    run(tmp_path, config(**{"train.save_state": False, "train.max_steps": 2}))
    assert checkpoints.newest(RunPaths(tmp_path).checkpoints) is None
    assert [c.step for c in checkpoints.whole(RunPaths(tmp_path).checkpoints)] == [2]


def test_an_epoch_deals_out_every_query_once_in_an_order_of_its_own() -> None:
    batches = LossBatches(20, 6, seed=1)
    orders = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        dealt = [item for batch in batches for item in batch]
        assert sorted(q for q, _ in dealt) == list(range(20)) and {e for _, e in dealt} == {epoch}
        orders.append([q for q, _ in dealt])
    assert orders[0] != orders[1] and len(batches) == 4
    again = LossBatches(20, 6, seed=1)
    assert [q for batch in again for q, _ in batch] == orders[0]


def test_the_loader_draws_nothing_from_the_global_generator() -> None:
    state = torch.random.get_rng_state()
    list(Loader(LossBatches(4, 2, seed=0), list, workers=0, pin_memory=False))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_torn_line_of_a_killed_worker_is_skipped(tmp_path) -> None:
    paths = RunPaths(tmp_path)
    book = journal.TrainingJournal(paths)
    book.step(1, 0.5, {"loss": 2.0})
    with paths.metrics.open("a") as f:
        f.write('{"name": "loss", "value": 9.0, "st')
    book.step(2, 1.0, {"loss": 1.0})
    assert journal.steps(paths.metrics) == {1: {"loss": 2.0}, 2: {"loss": 1.0}}
