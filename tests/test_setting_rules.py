"""Rules for every setting of the schema, and for options that take names: refused before anything, in dry runs too."""

from __future__ import annotations

import json
import math
import types
import typing
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace

from irctl import config as settings
from irctl.errors import ConfigError, EnvironmentUnfit, IrctlError
from irctl.origins import SET

KEYS = [k for k in settings.known_keys() if not k.startswith("prompts.")]


def kinds(name: str) -> tuple[type, ...]:
    """The types that a setting takes."""
    cls = settings._class_of(name.rpartition(".")[0])
    assert cls is not None
    wanted = settings.hints(cls)[settings.schema(name).name]
    return typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)


NUMBERS = [k for k in KEYS if {int, float} & set(kinds(k))]
FLOATS = [k for k in KEYS if float in kinds(k)]
CHOICES = [k for k in KEYS if settings.schema(k).metadata.get("choices")]
NAMED = ("loss.name", "compress.method", "train.method")  # by the files of a package


def test_the_rules_have_settings_to_hold_for() -> None:
    assert {"train.lr", "hardneg.abs_margin", "loss.temperature", "loss.ws2.temperature", "saq.bits"} <= set(FLOATS)
    assert {"flat.dtype", "rabitq.rotation", "loss.lambdaloss.weights"} <= set(CHOICES)


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_infinite_or_none_at_all(name: str) -> None:
    for value in ("inf", "-inf", "nan", "1e999", math.inf, -math.inf, math.nan):
        layer = settings.from_sets([f"{name}={value}"]) if isinstance(value, str) else {name: (value, SET)}
        with pytest.raises(ConfigError) as caught:
            settings.resolve(layer)
        assert name in caught.value.message, value


@pytest.mark.parametrize("name", [*CHOICES, *NAMED])
def test_a_word_that_is_no_choice_is_refused_with_the_nearest_one(name: str) -> None:
    legal = settings.schema(name).metadata.get("choices") or (settings.resolve().flat()[name],)
    word = max(legal, key=len)
    with pytest.raises(ConfigError) as caught:
        settings.resolve(settings.from_sets([f"{name}={word}x"]))
    assert f"{word}x" in caught.value.message and "--set" in caught.value.message
    assert caught.value.hint == f"Did you mean '{word}'?"


def test_the_stemmers_are_those_of_the_library() -> None:
    import Stemmer

    assert set(settings.schema("search.bm25_stemmer").metadata["choices"]) == {"none", *Stemmer.algorithms()}


# (command line, exit code, what the message names): each refused in the same words with and without --dry-run
NONSENSE = [
    ("encode --side left", 2, "--side left"),
    ("train --launcher torchrum", 2, "Did you mean 'torchrun'?"),
    ("train --set train.report_to=wandbb", 2, "Did you mean 'wandb'?"),
    ("train --resume nothing", 3, "nothing"),
    ("train --runner slurmm", 2, "Did you mean 'slurm'?"),
    ("encode --set encoder.passage_max_len=100000", 2, "reads at most"),
    ("search --set encoder.normalize=false", 2, "which says true"),
    ("eval --set encoder.normalize=false --model sentence-transformers/all-MiniLM-L6-v2", 2, "which says true"),
    ("train --set encoder.passage_max_len=100000", 2, "reads at most"),
    ("train --set encoder.normalize=false", 2, "which says true"),
    ("train --set encoder.pooling=cls", 2, "which says mean"),
    ("train --set hardneg.range=5:1", 2, "found '5:1'"),
    ("train --set eval.measures=foo", 2, "foo"),
    ("train --set train.lr_scaling=linear", 2, "train.lr_scaling=linear"),
    ("train --set train.save=often", 2, "train.save"),
    ("train --set search.similarity=euclid", 2, "search.similarity=euclid"),
    ("train --out {taken}", 3, "expected a new or empty folder"),
    ("search --retriever bm52", 2, "bm52"),
    ("search --fuse rff a b", 2, "--fuse rff"),
    ("search --fuse weighted:inf,1 a b", 2, "expected 2 weights"),
    ("search --fuse rrf a b", 3, "a"),
    ("search --retriever bm25 --set search.bm25_stemmer=englisch", 2, "Did you mean 'english'?"),
    ("eval --recall-against exakt", 2, "--recall-against exakt"),
    ("eval --format trek a.trec", 2, "--format trek"),
    ("eval --export mtab", 2, "--export mtab"),
    ("eval --measures nDGC@10", 2, "nDGC@10"),
    ("eval --queries q.npy", 2, "--queries"),
    ("eval --baseline nothing --model sentence-transformers/all-MiniLM-L6-v2", 3, "nothing"),
    ("hardneg --retriever bm52", 2, "bm52"),
    ("hardneg --pick topp", 2, "Did you mean 'top'?"),
    ("hardneg --range 5:x", 2, "5:x"),
    ("compress --shard 3/2 --out o", 2, "--shard 3/2"),
    ("compress --finalize", 2, "--out"),
    ("compress --train-only --finalize --out o", 2, "cannot be given together"),
    ("compress --method pq --set pq.m=7 --data synthetic:300,32,0.5", 2, "pq"),
    ("compress --method sq --data synthetic:300,32,0.5 --set compress.memory_gib=0.001", 2, "the limit is"),
    ("compress --method sq --data synthetic:300,32,0.5 --init {bundle}", 2, "A quantizer fits vectors of one width"),
    ("compress --append {bundle} --method pq --data synthetic:300,8,0.5", 2, "asked for is pq"),
    ("export {bundle} --to fais", 2, "Did you mean 'faiss'?"),
    ("export {bundle} --to ids --decoded", 2, "--decoded"),
    ("export {bundle} --to npy --texts", 2, "--texts"),
]


@pytest.fixture(scope="module")
def bundle(place: Workspace) -> str:
    return str(place.ok("compress --method sq --data synthetic:60,8,0.5 --json").json["run"])


@pytest.mark.parametrize(("line", "code", "said"), NONSENSE)
def test_a_dry_run_refuses_what_the_real_run_refuses(
    place: Workspace, bundle: str, line: str, code: int, said: str
) -> None:
    asked = line.replace("{bundle}", bundle).replace("{taken}", "taken")
    (place.folder / "taken").mkdir(exist_ok=True)
    (place.folder / "taken" / "notes.txt").write_text("mine")
    dry = place.run(f"{asked} --dry-run")
    assert dry.code == code and said in dry.err and not dry.out, dry.err
    real = place.run(asked)
    assert real.code == code and real.err.splitlines()[-1] == dry.err.splitlines()[-1], (dry.err, real.err)


def test_a_dry_run_refuses_nothing_that_the_real_run_does(place: Workspace, bundle: str) -> None:
    # 8 dimensions: pq, the default method, could not be made for them
    assert "sq" in place.ok(f"compress --append {bundle} --data synthetic:61,8,0.5 --dry-run").out
    place.ok("compress --verify --out here --data synthetic:60,8,0.5 --set pq.m=7 --dry-run")


def test_show_lists_the_settings_of_the_methods_and_losses_that_are_named(place: Workspace) -> None:
    shown = place.ok("compress --method rabitq,pq --show --json").json["config"]
    assert {"rabitq.bits", "rabitq.query_bits", "pq.m"} <= set(shown) and "saq.bits" not in shown
    assert (
        shown["rabitq.bits"]["origin"] == "default" and "rabitq.bits" in place.ok("compress --method rabitq --show").out
    )
    given = place.ok("compress --method rabitq --set rabitq.bits=4 --show --json").json
    assert given["config"]["rabitq.bits"] == {"value": 4, "origin": "--set"}
    losses = place.ok("train --method sycl --loss ws2:1,lambdaloss:0.5 --show --json").json["config"]
    assert "loss.lambdaloss.weights" in losses and any(k.startswith("loss.ws2.") for k in losses)
    # what is named decides what is listed, not what the run is
    config = settings.resolve(settings.from_sets(["compress.method=rabitq"]))
    assert "rabitq.bits" not in config.to_json() and list(config.shown())[: len(config.to_json())] == list(
        config.to_json()
    )


@pytest.mark.parametrize(
    "option", ["table mian", "format docx", "group-by los", "marks stars", "test u", "correction holmm"]
)
def test_words_of_a_report_are_checked_before_the_ledger_is_asked(
    tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "runs"))
    for more in ("", " --checklist"):
        done = place.run(f"report --{option}{more}")
        assert done.code == 2 and f"--{option}: expected" in done.err, done.err


def test_numbers_of_options_are_finite(place: Workspace) -> None:
    for line in ("doctor --limit inf", "runs gc --older-than inf --dry-run", "train --lr inf --dry-run"):
        done = place.run(line)
        assert done.code == 2 and "finite" in done.err, line


def test_a_tracker_that_is_not_installed_is_refused_before_the_run_in_a_dry_run_and_by_doctor(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.pipelines.doctor import recipe_checks
    from irctl.training import trackers

    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for name in trackers.PACKAGES:
        config = settings.resolve(settings.from_sets([f"train.report_to={name}"]))
        with pytest.raises(EnvironmentUnfit, match=f"train.report_to={name} .*not installed"):
            trackers.check(config.train.report_to, config.origin("train.report_to"))
        (first, *_) = recipe_checks.checks(config)
        assert first.level == "error" and f"pip install {name}" in first.fix
    for line in ("train --set train.report_to=wandb --dry-run", "train --set train.report_to=wandb"):
        done = place.run(line)
        assert done.code == 4 and done.err.splitlines()[-1].startswith("error: train.report_to=wandb"), line
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    monkeypatch.setattr(trackers, "import_module", lambda name: object())
    trackers.check(config.train.report_to, config.origin("train.report_to"))


def test_vectors_of_width_0_are_refused(tmp_path: Path) -> None:
    from irctl.data.vectors.open import open_vectors

    np.save(tmp_path / "none.npy", np.empty((5, 0), np.float32))
    with pytest.raises(IrctlError, match=r"none.npy: .*\(5, 0\)"):
        open_vectors(str(tmp_path / "none.npy"))


def test_a_run_without_a_command_is_not_imported(place: Workspace, bundle: str) -> None:
    place.ok(f"runs export {bundle} --to one.jsonl")
    row = json.loads((place.folder / "one.jsonl").read_text())
    for wrong in (None, "", 3):
        record = json.loads(row["files"]["run.json"]) | {"command": wrong, "id": "20200101-000000000-aaaa"}
        files = row["files"] | {"run.json": json.dumps(record)}
        text = json.dumps(row | {"id": "20200101-000000000-aaaa", "files": files})
        (place.folder / "odd.jsonl").write_text(text + "\n")
        done = place.run("runs import odd.jsonl")
        assert done.code == 3 and "odd.jsonl:1: run.json: command: expected" in done.err
        assert not (place.folder / "runs" / "20200101-000000000-aaaa").exists()
