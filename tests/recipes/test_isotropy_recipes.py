"""The recipes of ragcun, as it sets them, and irctl's own three arms."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from workspace import Workspace, line_of

from irctl import config, recipes_index

README = (Path(__file__).parents[2] / "README.md").read_text()
ROWS = README.split("| isotropy (ragcun) |")[1].split("| AceRAG ")[0]
COMMANDS = sorted(set(re.findall(r"`(irctl [^`]*)`", ROWS)))
ARMS = ("baseline", "iso", "frozen")


def resolved(name: str) -> config.Config:
    return config.resolve(recipes_index.layer(name))


@pytest.mark.parametrize("arm", ARMS)
def test_settings_of_ragcun_are_its_own(arm: str) -> None:
    c = resolved(f"ragcun-{arm}")
    assert (c.model.name, c.model.output_dim) == ("sentence-transformers/all-mpnet-base-v2", "512")
    assert (c.model.head_init, c.model.dropout, c.model.similarity) == ("torch", 0.1, "euclid")
    assert (c.loss.name, c.plugin("loss.triplet")["margin"]) == ("triplet", 1.0)
    assert (c.train.projection_lr, c.train.epochs, c.batch.global_) == (5e-4, 3, 16)
    assert (c.train.warmup_steps, c.train.warmup_from, c.train.schedule) == (1000, 0.1, "cosine")
    assert (c.train.weight_decay, c.train.clip) == (0.01, 1.0)
    # a rate that reaches no parameter is refused: the frozen arm has none for its base
    assert (c.model.freeze_base, c.train.base_lr) == ((True, 0.0) if arm == "frozen" else (False, 1e-5))
    regularizer = "" if arm == "baseline" else "cov_iso_ragcun:1,entry_std:0.1"
    assert c.train.regularizer == regularizer and (not regularizer or c.train.regularizer_rows == "joint")


@pytest.mark.parametrize("arm", ARMS)
def test_our_arms_differ_in_what_is_trained_and_in_sigreg_alone(arm: str) -> None:
    own, base = resolved(f"isotropy-{arm}").flat(), resolved("isotropy-baseline").flat()
    expected = {"baseline": {}, "iso": {"train.regularizer": "sigreg:0.02"}}
    expected["frozen"] = {**expected["iso"], "model.freeze_base": True, "train.base_lr": 0.0}
    assert {k: v for k, v in own.items() if v != base[k]} == expected[arm]
    assert (own["model.output_dim"], own["model.head_init"], own["batch.global"]) == ("base", "pca", 256)
    assert (own["loss.name"], own["model.similarity"], own["loss.temperature"]) == ("infonce", "euclid", 1.0)


@pytest.mark.parametrize("name", [f"{kind}-{arm}" for kind in ("ragcun", "isotropy") for arm in ARMS])
def test_no_figure_of_the_forecast_is_shipped_as_expected(name: str) -> None:
    said = str(recipes_index.read(name)["meta"])
    for figure in ("47.5", "49.2", "46.8", "43.4", "0.95", ".95", "0.89", "0.92", "+1.7"):
        assert figure not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_row_of_the_table_of_ragcun_is_a_command_line_whose_settings_are_legal(
    command: str, place: Workspace
) -> None:
    line = line_of(shlex.split(command.partition(" > ")[0])[1:])
    recipe = (line.values("--recipe") or [""])[0]
    if recipe:
        assert recipes_index.check(recipe) == []
    if line.command != ("train",):
        return
    if "arms" in (recipes_index.read(recipe) if recipe else {}) or line.has("--resume"):
        config.resolve(recipes_index.layer(recipe), config.from_sets(line.values("--set")))
        return
    tiny = [] if not recipe or line.has("--tiny") else ["--tiny"]
    words = line.without("--data", "--negatives", "--dry-run").words
    done = place.run(shlex.join([*words, *tiny, "--dry-run", "--quiet"]))
    assert done.code == 0 or "the package wandb is not installed" in done.err, done.err


def test_every_script_and_flag_of_ragcun_has_a_row() -> None:
    for said in (
        *("run_preflight_tests.sh", "download_msmarco.py", "train_publication_recommended.sh", "train_parallel_p4d.sh"),
        *("isotropic.py", "evaluate_all_beir.sh", "eval/beir.py", "--gradient_accumulation_steps", "--mixed_precision"),
        *("--max_steps", "--resume", "WandB", "from_pretrained", "LaTeX", "checklist", "--lambda_isotropy"),
    ):
        assert said in ROWS, said


def test_the_group_trains_three_arms_first_and_measures_each_by_distance_and_by_cosine(place: Workspace) -> None:
    said = place.ok("train --recipe isotropy-paper --seeds 0,1 --devices 0-7 --data cranfield --dry-run --json").json
    lines = said["plan"]["lines"]
    trainings = [line.split(":")[1].split()[0] for line in lines if line.startswith("irctl train")]
    assert trainings[:6] == ["baseline", "baseline", "iso", "iso", "frozen", "frozen"]
    assert set(trainings[6:]) == {"cov-iso", "no-head", "sigreg-1", "sigreg-5", "sigreg-10"}
    other = [line for line in lines if "search.similarity=" in line]
    assert len(other) == len(trainings) and any("--transforms front" in line for line in lines)
    assert said["plan"]["estimate"]["baseline-seed0"].startswith("3 steps; time unknown")
    weights = {a: recipes_index.layer(f"isotropy-paper:{a}")["train.regularizer"][0] for a in ("sigreg-1", "sigreg-10")}
    assert weights == {"sigreg-1": "sigreg:1e-2", "sigreg-10": "sigreg:10e-2"}


def test_a_dry_run_names_the_similarity_that_training_compares_by(place: Workspace) -> None:
    for name, more, by in (("isotropy-iso", "", "euclid"), ("isotropy-iso", "--set model.similarity=cosine", "cosine")):
        said = place.ok(f"train --recipe {name} --tiny {more} --dry-run --json").json["plan"]
        assert said["similarity"] == {"scores": by}


def test_trained_heads_differ_from_the_one_alone_in_start_and_regularizer_alone() -> None:
    arms = recipes_index.arms("isotropy-trained")
    assert list(arms)[:2] == ["dense", "front"] and len(arms) == 12
    alone = resolved("isotropy-trained:head-pca").flat()
    assert (alone["model.freeze_base"], alone["train.regularizer"]) == (True, "")
    distilled = {"loss.name": "infonce:1,distill:400", "loss.label_temperature": 0.0, "isotropic.teacher": "base"}
    slices = {"regularizer.sigreg.slices": 256}
    for name, expected in {
        "head": {},
        "cov-iso": {"train.regularizer": "cov_iso:0.1"},
        "gor": {"train.regularizer": "gor:0.1"},
        "sigreg": {"train.regularizer": "sigreg:0.02", **slices},
        "sigreg-distill": {"train.regularizer": "sigreg:0.02", **slices, **distilled},
    }.items():
        for init in ("pca", "transform"):
            own = resolved(f"isotropy-trained:{name}-{init}").flat()
            start = {} if init == "pca" else {"model.head_init": init}
            assert {k: v for k, v in own.items() if v != alone.get(k)} == {**expected, **start}


def test_the_arm_without_a_head_trains_by_the_rate_of_the_encoder(place: Workspace) -> None:
    plan = place.ok("train --recipe isotropy-paper:no-head --tiny --dry-run --json").json["plan"]
    assert list(plan["parts"]) == ["base"] and plan["parts"]["base"].endswith("peak learning rate 1e-05")
    assert plan["similarity"] == {"scores": "cosine"}
