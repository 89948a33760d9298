"""The recipes of AceRAG: its settings, its mixture, its files wherever they lie, and the memory that they take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace, line_of

from irctl import config, recipes_index
from irctl.data.contexts import mixture, released
from irctl.errors import DataError
from irctl.pipelines.arms.steps import Asked, plan
from irctl.training.texts import settings as texts

FAMILIES = {"llama2": "meta-llama/Llama-2-7b-chat-hf", "qwen3": "Qwen/Qwen3-8B"}
STAGES = ("pretrain", "longalpaca", "multitask")
EIGHT = "hotpotqa nq multi_news gov_report trec_fine banking77 arc_easy arc_challenge".split()
README = (Path(__file__).parents[2] / "README.md").read_text()
ROWS = README.split("The systems' own commands here")[1].split("| AceRAG |")[1].split("\n\n")[0]


def resolved(name: str, *, tiny: bool = False) -> tuple[config.Config, texts.Compression]:
    found = config.resolve(recipes_index.layer(name, tiny=tiny))
    return found, texts.read(found)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stage", STAGES)
def test_settings_are_those_of_acerag(family: str, stage: str) -> None:
    c, found = resolved(f"acerag-{family}-{stage}")
    own, is_pt = found.own, stage == "pretrain"
    assert (own.lm, own.layers, own.chunk_tokens, own.selection) == (FAMILIES[family], 8, 4096, "random")
    assert (found.ratios, own.min_tokens, own.stage) == ((1, 2, 4, 8), 1024, "pt" if is_pt else "ft")
    assert own.max_tokens == (32000 if not is_pt else 16000 if family == "llama2" else 7000)
    assert (own.window, own.lm_tokens) == (1024, 4096)
    assert (c.train.lr, c.train.epochs, c.train.warmup_ratio) == (5e-5 if is_pt else 1e-5, 1.0, 0.1)
    assert (c.train.schedule, c.train.weight_decay, c.train.clip, c.run.seed) == ("linear", 0.0, 1.0, 42)
    assert (c.batch.global_, c.hardware.zero_stage, c.train.gradient_checkpointing) == (8, 2, True)
    assert c.train.save == ("0.249999" if (family, stage) == ("qwen3", "pretrain") else "epoch")
    names = {"pretrain": ["redpajama"], "longalpaca": ["longalpaca"], "multitask": EIGHT}[stage]
    assert list(found.files) == [
        f"hf://datasets/wcyno23/AceRAG-Data/train/compressive_encoder/{name}.json" for name in names
    ]
    assert set(found.files) <= set(released.SOURCES)


def test_the_mixture_takes_5000_of_six_files_and_50000_of_the_long_summaries() -> None:
    _, found = resolved("acerag-llama2-multitask")
    wanted = mixture.targets(len(found.files), found.own.rows_per_file, found.splits)
    assert wanted == [5000, 5000, 50000, 50000, 5000, 5000, 5000, 5000] and sum(wanted) == 130_000


@pytest.mark.parametrize("family", FAMILIES)
def test_an_overlay_trains_on_the_recall_task(family: str) -> None:
    shape = {"llama2": "recall-llama", "qwen3": "recall-qwen3"}[family]
    for stage in STAGES:
        c, found = resolved(f"acerag-{family}-{stage}", tiny=True)
        files = ("recall-text",) if stage == "pretrain" else ("recall",)
        assert (found.own.lm, found.files, found.own.layers) == (shape, files, 1)
        assert (c.hardware.zero_stage, found.splits, found.own.max_tokens) == (0, (), 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_group_trains_three_stages_each_from_the_encoder_of_the_one_before(family: str) -> None:
    name = f"acerag-{family}"
    settings = config.resolve(recipes_index.layer(name, tiny=True))
    chains = plan(settings, Asked(recipe=name, tiny=True, line=line_of(f"recipes run {name} --tiny"), read=line_of))
    assert [c.arm for c in chains] == list(STAGES)
    inits = [[w for w in c.lines[0] if w.startswith("{")] for c in chains]
    assert inits == [[], ["{pretrain}"], ["{longalpaca}"]]


def test_dry_runs_print_the_memory_of_models_that_are_not_here(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.pipelines.train import memory

    monkeypatch.setattr(memory, "free_gib", lambda folder: 1.0)  # the disk of this machine is not that of the training
    place = Workspace(tmp_path)
    for name in (f"acerag-{family}-{stage}" for family in FAMILIES for stage in STAGES):
        out = place.ok(f"train --recipe {name} --profile a100x8 --dry-run").out
        assert '"stage": 2' in out and "1.00 GiB free on the disk" in out, name
        assert ("language model: 12.55 GiB, frozen" if "llama2" in name else "language model: 15.26 GiB") in out
        refused = place.run(f"train --recipe {name} --profile t4 --dry-run")
        assert refused.code == 4 and "a device of the profile has 16" in refused.err, name
    for family in FAMILIES:
        refused = place.run(f"recipes run acerag-{family} --profile t4 --dry-run")
        assert refused.code == 4 and "pretrain: acerag.lm=" in refused.err, refused.err
        assert "a device of the profile has 16" in refused.err and "A language model that fits" in refused.err
    assert place.run("recipes run acerag-llama2 --profile t4").code == 4
    out = place.ok("recipes run acerag-llama2 --profile a100x8 --dry-run").out
    assert "steps unknown (its data or its model are not here)" in out


@pytest.mark.parametrize("line", re.findall(r"`(irctl [^`]*)`", ROWS))
def test_a_line_of_the_table_of_acerag_is_one_that_irctl_reads(line: str) -> None:
    read = line_of(line.removeprefix("irctl "))
    for name in read.values("--recipe"):
        assert recipes_index.check(name) == []


def test_every_command_of_it_has_its_recipe_in_the_table() -> None:
    for family in FAMILIES:
        assert all(f"--recipe acerag-{family}-{stage} " in ROWS for stage in STAGES)
        assert f"recipes run acerag-{family} " in ROWS


@pytest.mark.parametrize("folder", released.FOLDERS)
@pytest.mark.parametrize("inside", ["", released.REPO])
def test_files_are_found_as_on_the_hub_and_as_unpacked_by_both_names(tmp_path: Path, folder: str, inside: str) -> None:
    place = tmp_path / inside / folder
    place.mkdir(parents=True)
    for name in released.FILES:
        (place / f"{name}.json").write_text("[]")
    assert released.find(released.SOURCES, str(tmp_path)) == [place / f"{name}.json" for name in released.FILES]
    (place / "nq.json").unlink()
    (place / "arc_easy.json").unlink()
    with pytest.raises(DataError, match=r"not here: nq, arc_easy \(looked for .*compressive_encoder/nq\.json"):
        released.find(released.SOURCES, str(tmp_path))


def test_a_file_that_the_hub_has_under_the_later_name_alone_is_fetched_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    from irctl.data.files import hub

    asked: list[str] = []

    def find_file(source: str, root: str = "") -> Path:
        asked.append(source)
        if "compressive_encoder" in source:
            raise DataError(f"{source}: no such file in that repository") from EntryNotFoundError("404")
        return Path("there.json")

    monkeypatch.setattr(hub, "find_file", find_file)
    monkeypatch.setattr(hub, "is_here", lambda source, root="": False)
    assert released.find([released.SOURCES[3]]) == [Path("there.json")]
    assert [s.rpartition("/")[0].rpartition("/")[2] for s in asked] == ["compressive_encoder", "context_compressor"]


def test_missing_files_are_named_by_the_command_that_fetches_them_and_by_a_training(
    place: Workspace, tmp_path: Path
) -> None:
    for line in (
        f"data fetch acerag --root {tmp_path}",
        "data fetch acerag",
        f"train --recipe acerag-llama2-multitask --set acerag.lm=recall-llama --set data.root={tmp_path}",
    ):
        found = place.run(line)
        assert found.code == 3 and "hotpotqa, nq, multi_news" in found.err, line
    whole = tmp_path / released.FOLDERS[0]
    whole.mkdir(parents=True)
    for name in released.FILES:
        (whole / f"{name}.json").write_text("[]")
    done = place.ok(f"data fetch acerag --root {tmp_path} --json").json
    assert done["folders"] == {"acerag": str(whole)}


@pytest.mark.slow
def test_the_stages_of_an_overlay_follow_each_other(place: Workspace, in_process: None) -> None:
    """By recipe, as the table has it, and the newest whole checkpoint where the newest is cut short."""
    made: dict[str, dict[str, Any]] = {}
    small = "--tiny --max-steps 2 --batch 8 --set batch.micro=8 --set acerag.held_out=0.001 --json"
    for stage, before in zip(STAGES, ("", "pretrain", "longalpaca"), strict=True):
        init = f" --init latest:acerag-llama2-{before}" if before else ""
        made[stage] = place.ok(f"train --recipe acerag-llama2-{stage}{init} {small}").json
    last = Path(made["multitask"]["run_dir"])
    about = json.loads((last / "model/compressive_encoder/compressor.json").read_text())
    assert [s["run"] for s in about["stages"]] == [made[stage]["run"] for stage in STAGES]
    assert [s["stage"] for s in about["stages"]] == ["pt", "ft", "ft"]
    newest = last / "checkpoints/checkpoint-9/compressive_encoder"
    newest.mkdir(parents=True)
    (newest / "config.json").write_text("{")
    again = place.ok(f"train --recipe acerag-llama2-multitask --init {last} {small}").json
    taken = json.loads((Path(again["run_dir"]) / "config.json").read_text())["train.init"]["value"]
    assert Path(taken).parts[-2:] == ("checkpoint-2", "compressive_encoder")
    refused = place.run(f"train --recipe acerag-llama2-pretrain --init {last} {small}")
    assert refused.code == 2 and "is fine-tuned" in refused.err
