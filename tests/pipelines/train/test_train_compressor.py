"""`irctl train --method acerag` before anything is trained: what its dry run says, and what is refused."""

from __future__ import annotations

import acerag_training as tiny
import pytest
from workspace import Workspace

from irctl.ledger import query
from irctl.models.compressive import sizes

LLAMA = "meta-llama/Llama-2-7b-chat-hf"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("acerag")
    tiny.make_models(folder)
    tiny.make_files(folder)
    return Workspace(folder)


def line(models: Workspace, *sets: str, lm: str = "lm-llama", files: str = "recall-train.json") -> str:
    given = (f"acerag.lm={lm}", f"acerag.data_files={files}", "acerag.stage=ft", "acerag.layers=1", *sets)
    return "train --method acerag --dry-run " + " ".join(f"--set {s}" for s in given)


def test_published_sizes_are_those_of_the_papers_models() -> None:
    for name, layers, whole, encoder in ((LLAMA, 32, 6.74e9, 1.75e9), ("Qwen/Qwen3-8B", 36, 8.19e9, 2.17e9)):
        found = sizes.count(sizes.PUBLISHED[name], 8)
        assert found.layers == layers
        assert found.language_model == pytest.approx(whole, rel=0.002)
        assert found.encoder == pytest.approx(encoder, rel=0.005)


def test_counted_parameters_are_those_of_the_modules(models: Workspace) -> None:
    from irctl.models.compressive.encoder import CompressiveEncoder
    from irctl.models.compressive.language_model import count_parameters, open_language_model
    from irctl.models.locate import LocatedModel

    for shape in ("llama", "qwen3"):
        folder = tiny.make_models(models.folder, shape)
        located = LocatedModel(folder, shape, "", "folder")
        counted = sizes.count(sizes.read_config(shape, located), 2)
        assert counted.language_model == count_parameters(open_language_model(located))
        assert counted.encoder == count_parameters(CompressiveEncoder.cut(located, 2))


def test_a_dry_run_says_rows_ratios_and_memory(models: Workspace) -> None:
    out = models.ok(line(models, "acerag.held_out=0.2")).out
    assert "recall-train: 40 rows, 8 held out, 32 kept, 32 taken" in out
    assert "ratios: 1 2 4 8" in out and "rows held out: 8" in out and "language model: 0.00 GiB, frozen" in out
    assert "negatives" not in out.split("batch\n")[1] and "similarity" not in out


def test_seven_billion_parameters_are_refused_on_a_small_device_with_what_fits(models: Workspace) -> None:
    found = models.run(f"{line(models, lm=LLAMA)} --profile t4")
    assert found.code == 4
    assert "12.6 of them the frozen model" in found.err and "a device of the profile has 16" in found.err
    assert "A language model that fits" in found.err or "none beside it" in found.err
    models.ok(f"{line(models, 'acerag.layers=8', lm=LLAMA)} --profile a100x8")


@pytest.mark.parametrize(
    ("sets", "code", "said"),
    [
        (("loss.name=ws2",), 2, "does not read it"),
        (("data.source=cranfield",), 2, "Its data are acerag.data_files"),
        (("acerag.encoder_max_length=5",), 2, "It is acerag.chunk_tokens"),
        (("comp_candidates=1",), 2, "It is acerag.ratios"),
        (("acerag.data_files=missing.json",), 3, "missing.json: no such file"),
        (("acerag.lm=",), 2, "acerag.lm: names no language model"),
        (("acerag.data_files=",), 2, "acerag.data_files: names no file"),
        (("acerag.rows_per_file=5", "acerag.data_splits=1,1"), 2, "expected one for each of 1 files, found 2"),
        (("acerag.layers=99",), 2, "acerag.layers=99: expected 1 to "),
        (("output_dir=x",), 2, "It is nothing: a run has its own folder (run.name labels it)"),
        (("acerag.stage=pt",), 3, "stage pt trains on rows of text, found the other kind"),
    ],
)
def test_what_makes_no_training_is_one_line(models: Workspace, sets: tuple[str, ...], code: int, said: str) -> None:
    command = line(models, *sets).replace(" --dry-run", "") if "missing.json" in " ".join(sets) else line(models, *sets)
    found = models.run(command)
    assert found.code == code and said in found.err and len(found.err.strip().splitlines()) <= 2


def test_a_trained_compressor_has_a_card_and_goes_to_the_hub_as_a_model(models: Workspace, in_process: None) -> None:
    small = ("train.max_steps=1", "batch.global=2", "batch.micro=2", "acerag.held_out=0", "acerag.ratios=1,2")
    models.ok(line(models, *small).replace(" --dry-run", ""))
    run = query.find_run("latest:train")
    card = (run.paths.model / "compressive_encoder" / "README.md").read_text()
    assert "library_name: transformers" in card and "(1x, 2x)" in card and "for a local folder (lm-llama)" in card
    assert str(run.columns["model_fingerprint"]) in card and "recall-train" in card
    plan = models.ok("export latest:train --to hub --repo me/c --dry-run --json").json["plan"]
    assert plan["export"]["to"] == "model me/c" and {"compressor.json", "README.md"} <= set(plan["files"])
