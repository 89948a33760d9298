"""Rates of parts: each group of the optimizer gets to its own peak, and a rate that nothing takes is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from word_collection import word_collection
from workspace import Workspace

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.origins import SET, Kind, Origin, derived
from irctl.paths import RunPaths
from irctl.training import learning_rates
from irctl.training.run_files import journal
from irctl.types import Silent

HEAD = "--set model.output_dim=16 --set model.head_init=torch"
RATES = "--set train.base_lr=1e-5 --set train.projection_lr=5e-4"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = word_collection(tmp_path_factory.mktemp("words") / "words", train=range(12))
    return (
        f"train --data {data} --negatives none --loss infonce --set eval.during=off --max-steps 10 --batch 4 "
        "--set encoder.passage_max_len=16 --set data.group_size=2 --set train.warmup_steps=4 "
        "--set train.warmup_from=0.1 "
        "--set train.schedule=cosine --set train.weight_decay=0.01 --json"
    )


def configured(**given: Any) -> settings.Config:
    return settings.resolve({k.replace("__", "."): v for k, v in given.items()})


def test_each_part_reaches_its_own_peak_and_is_logged(
    place: Workspace, line: str, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warm-up over 4 of 10 steps from a tenth of the peak; the rates that AdamW steps by, of every group."""
    used: list[list[tuple[str, float, float]]] = []
    step = torch.optim.AdamW.step

    def look(self: Any, *args: Any, **more: Any) -> Any:
        used.append([(g["name"], g["lr"], g["weight_decay"]) for g in self.param_groups])
        return step(self, *args, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    done = place.ok(f"{line} {HEAD} {RATES}").json
    assert [(name, decay) for name, _, decay in used[0]] == [
        ("base", 0.01), ("base", 0.0), ("head", 0.01), ("head", 0.0)
    ]  # fmt: skip
    for part, peak in (("base", 1e-5), ("head", 5e-4)):
        rates = [next(lr for name, lr, _ in groups if name == part) for groups in used]
        assert rates[0] == pytest.approx(0.1 * peak) and max(rates) == rates[4] == peak
        rows = journal.steps(RunPaths(place.folder / done["run_dir"]).metrics)
        assert [row[f"lr.{part}"] for row in rows.values()] == pytest.approx(rates)
    metrics = RunPaths(place.folder / done["run_dir"]).metrics
    assert journal.last_measures(metrics) == {}, "a rate is no result of the run"


def test_the_dry_run_shows_parts_counts_and_rates(place: Workspace, line: str) -> None:
    parts = place.ok(f"{line} {HEAD} {RATES} --dry-run").json["plan"]["parts"]
    assert parts["base"].endswith(" without); peak learning rate 1e-05")
    head = 32 * 64 + 64 + 64 * 16 + 16
    assert parts["head"] == (
        f"{head:,} parameters ({head - 80:,} with weight decay 0.01, 80 without); peak learning rate 0.0005"
    )


def test_the_counts_are_those_of_the_opened_model(place: Workspace, tiny_encoder: Path) -> None:
    from irctl.models.encoder import load_encoder
    from irctl.pipelines.train import model_parts

    config = settings.resolve(settings.from_sets([f"model.name={tiny_encoder}"]))
    [base] = model_parts.find(config)
    sizes = [(p.dim() >= 2, p.numel()) for p in load_encoder(config).module.parameters()]
    assert base.matrices == sum(n for is_matrix, n in sizes if is_matrix)
    assert base.others == sum(n for is_matrix, n in sizes if not is_matrix)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ("--set train.projection_lr=5e-4", "train.projection_lr=0.0005 (from --set): reaches no parameter"),
        (f"{HEAD} --set model.freeze_base=true --set train.base_lr=1e-5", "train.base_lr=1e-05 (from --set): reaches"),
        (f"{HEAD} {RATES} --lr 1e-4", "train.lr=0.0001 (from option --lr): reaches no parameter: every part has"),
        ("--set model.lora_r=4 --set train.projection_lr=5e-4", "train.projection_lr=0.0005 (from --set): reaches no"),
    ],
)
def test_a_rate_that_reaches_no_parameter_is_refused_before_training(
    place: Workspace, line: str, more: str, refused: str
) -> None:
    for dry in ("", " --dry-run"):
        done = place.run(f"{line} {more}{dry}")
        assert done.code == 2 and refused in done.err, done.err
        assert len(done.err.strip().splitlines()) == 1


def test_rates_that_are_taken_are_not_refused(place: Workspace, line: str) -> None:
    for more in ("--set train.base_lr=1e-5", f"{HEAD} {RATES}", f"{HEAD} --set train.projection_lr=5e-4 --lr 1e-4",
                 "--set model.lora_r=4 --set train.base_lr=1e-4",
                 f"{HEAD} --set model.freeze_base=true --set train.projection_lr=5e-4"):  # fmt: skip
        place.ok(f"{line} {more} --dry-run")


def test_the_groups_of_a_method_are_asked_too_and_its_own_preference_is_dropped() -> None:
    groups = [{"name": "base", "lr": 1e-5}]
    with pytest.raises(ConfigError, match="the method adds nothing; trained: base"):
        learning_rates.check(configured(train__projection_lr=(1e-3, derived("recipe"))), groups)
    own = {"train__base_lr": (1e-6, SET), "train__projection_lr": (1e-4, SET)}
    file, recipe = Origin(Kind.FILE, "own.toml", line=2), Origin(Kind.RECIPE, "own.toml", line=2)
    both = [{"name": "base", "lr": 1e-6}, {"name": "head", "lr": 1e-4}]
    in_file = {key: (value, file) for key, (value, _) in own.items()}
    with pytest.raises(ConfigError, match=r"train.lr=0.003 .from own.toml:2.: reaches no parameter: every part has"):
        learning_rates.check(configured(train__lr=(3e-3, file), **in_file), both)
    learning_rates.check(configured(train__lr=(3e-3, file), **own), both)  # typed above what the file says
    learning_rates.check(configured(train__lr=(3e-3, recipe), **in_file), both)
    learning_rates.check(configured(train__projection_lr=(1e-3, Origin(Kind.METHOD, "isotropic"))), groups)
    with pytest.raises(ConfigError, match="no rate of its own for it; trained: others"):
        learning_rates.check(configured(train__base_lr=(1e-3, SET)), [{"lr": 1e-5}])


def test_rates_of_parts_scale_with_the_batch_as_the_whole_does() -> None:
    from irctl.pipelines.train import learning_rate

    recipe = Origin(Kind.RECIPE, "sycl-real-binary.toml")
    config = configured(
        batch__global=(512, SET), loss__name=("infonce", recipe), train__lr_scaling=("linear", SET),
        train__lr=(1e-5, recipe), train__base_lr=(2e-5, recipe),
    )  # fmt: skip
    scaled = learning_rate.scale_lr(config, Silent()).train
    assert (scaled.lr, scaled.base_lr, scaled.projection_lr) == (2e-5, 4e-5, 0.0)
