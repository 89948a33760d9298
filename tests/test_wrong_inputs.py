"""Every kind of wrong input x every command that reads it: exit code, one line of error, nothing written.

Caches are no output; a run that had begun when the input was read stays in the ledger as failed.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace

BIG, LONG, DEEP = "9" * 400, "x" * 5000, "[" * 100_000
USAGE, DATA = 2, 3


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def used(place: Workspace) -> Iterator[Workspace]:
    """A folder with a collection, vectors, a run file and a bundle, none of which is wrong."""
    folder = place.folder
    (folder / "d/qrels").mkdir(parents=True)
    (folder / "d/corpus.jsonl").write_text(jsonl(*({"_id": f"d{i}", "text": f"heat shield {i}"} for i in range(9))))
    (folder / "d/queries.jsonl").write_text(jsonl(*({"_id": f"q{i}", "text": f"heat {i}"} for i in range(3))))
    for split in ("train", "test"):
        rows = "".join(f"q{i}\td{i}\t1\n" for i in range(3))
        (folder / f"d/qrels/{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal((300, 8)).astype(np.float32))
    np.save(folder / "q.npy", rng.standard_normal((2, 8)).astype(np.float32))
    place.ok("compress --data x.npy --method sq --out bundle")
    place.ok("search --retriever bm25 --data d --split test -k 2 --out r.trec")
    (folder / "wrong").mkdir()
    yield place


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, but those of the cache and of failed runs."""
    runs = folder / "runs"
    failed = [p.parent for p in runs.glob("*/run.json") if json.loads(p.read_text())["status"] == "failed"]
    skipped = {folder / "cache", folder / "wrong", *failed, *runs.glob("ledger*"), *runs.glob(".*")}
    found, folders = {}, [folder]
    while folders:  # into no folder that is skipped: there are more of those than of others
        for path in set(folders.pop().iterdir()) - skipped:
            if path.is_dir():
                folders.append(path)
            else:
                found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def refused(used: Workspace, line: str, code: int) -> str:
    """Run a line that must be refused; returns its error."""
    before = tree(used.folder)
    done = used.run(line)
    said = [text for text in done.err.splitlines() if text.startswith("error: ")]
    assert done.code == code, f"$ {line[:200]}\n{done.code}\n{done.out[-500:]}{done.err[-800:]}"
    assert len(said) == 1 and done.err.rstrip("\n").endswith(said[0]), done.err[-800:]
    assert "internal error" not in done.err and "Traceback" not in done.err, done.err[-800:]
    assert tree(used.folder) == before, line[:200]
    return said[0]


NUMBERS = {
    "train --data d --dry-run": "--seed --batch --max-steps --devices --seeds",
    "search --retriever bm25 --data d --split test": "--seed -k --rerank --devices",
    "compress --data x.npy --dry-run": "--batch --train-size --max-batches --seed",
    "encode --data d --dry-run": "--seed --devices",
    "hardneg --data d --split train --retriever bm25": "--num --depth --seed",
    "eval r.trec --data d": "-k --rerank --seed",
}


TOO_LARGE = {"400 digits": BIG, "2**70": str(2**70), "a long range": "0-2000000000"}  # a range: of --devices alone


@pytest.mark.parametrize(
    ("command", "option", "number"),
    [
        pytest.param(command, option, number, id=f"{command} {option}, {name}")
        for command, options in NUMBERS.items()
        for option in options.split()
        for name, number in TOO_LARGE.items()
        if "-" not in number or option == "--devices"
    ],
)
def test_a_number_that_is_too_large_is_refused(command: str, option: str, number: str, used: Workspace) -> None:
    said = used.run(f"{command} {option} {number}")
    assert said.code == USAGE and "internal" not in said.err


@pytest.mark.parametrize("key", ["batch.global", "data.group_size", "encoder.batch_tokens", "search.block", "pq.m"])
@pytest.mark.parametrize("number", [BIG, str(2**70), "1e999"])
def test_a_setting_that_is_too_large_names_its_key(key: str, number: str, used: Workspace) -> None:
    assert key in refused(used, f"search --show --set {key}={number}", USAGE)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("train --dry-run --data {}", USAGE),
        ("train --data d --dry-run --model {}", USAGE),
        ("train --data d --dry-run --negatives {}", USAGE),
        ("train --dry-run --recipe {}", USAGE),
        ("train --dry-run --recipe {}.toml", USAGE),
        ("train --dry-run --profile {}.toml", USAGE),
        ("train --dry-run --config {}.toml", USAGE),
        ("search --retriever bm25 --data d --split test --out {}", USAGE),
        ("search --index {} --queries q.npy", USAGE),
        ("search --index bundle --queries {}", DATA),
        ("search --fuse rrf {} r.trec", USAGE),
        ("eval {}", USAGE),
        ("eval r.trec --qrels {}", USAGE),
        ("eval r.trec --data {}", USAGE),
        ("encode --data d --model {}", USAGE),
        ("compress --data {}", USAGE),
        ("compress --data x.npy --method sq --init {}", USAGE),
        ("compress --data x.npy --append {}", USAGE),
        ("export {} --to npy", USAGE),
        ("hardneg --data d --split train --run {}", DATA),
        ("data check {}", USAGE),
        ("data convert {} out", USAGE),
        ("runs show {}", USAGE),
        ("runs import {}", USAGE),
        ("runs diff {} latest", USAGE),
    ],
)
def test_a_name_of_5000_letters_is_refused(line: str, code: int, used: Workspace) -> None:
    assert len(refused(used, line.format(LONG), code)) < 12_000


BYTES: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 8,
    "half a JSON object": b'{"a": {"b": ',
    "a list": b"[]",
    "nested deeply": b'{"a":' * 100_000,
    "a number of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "half a character": b'{"a": "\\ud800"}',
    "damaged gzip": b"\x1f\x8b" + bytes(range(60)),
    "a folder": b"",
}
READERS: dict[str, int] = {  # {} is the file; the ending chooses the reader
    "train --dry-run --data {}.json --negatives none": USAGE,
    "train --dry-run --config {}.json": USAGE,
    "train --dry-run --recipe {}.toml": USAGE,
    "train --dry-run --profile {}.toml": USAGE,
    "recipes check {}.toml": USAGE,
    "eval r.trec --data {}.json:x": USAGE,
    "eval {}.trec --data d": DATA,
    "eval r.trec --data d --qrels {}.tsv": DATA,
    "eval r.trec --data d --qrels {}.json": DATA,
    "eval r.trec --data d --qrels {}.parquet": DATA,
    "search --fuse rrf r.trec {}.trec": DATA,
    "search --index bundle --queries {}.npy": DATA,
    "compress --method sq --data {}.npy": DATA,
    "compress --method sq --data {}.parquet": DATA,
    "hardneg --data d --split train --run {}.trec": DATA,
    "train --dry-run --data d --negatives {}.jsonl": DATA,
    "runs import {}.jsonl": DATA,
}
OTHER_CODES = {  # what is looked for as settings, and is data
    ("train --dry-run --data {}.json --negatives none", "a list"): DATA,
    ("train --dry-run --data {}.json --negatives none", "damaged gzip"): DATA,
    ("train --dry-run --data {}.json --negatives none", "a folder"): DATA,
    ("train --dry-run --config {}.json", "a folder"): DATA,
    ("eval r.trec --data {}.json:x", "a folder"): DATA,
}
NAMELESS = "query"  # of files that are right as far as they go, and hold nothing
NOT_WRONG = {
    ("train --dry-run --config {}.json", "half a character"),
    *((line, "empty") for line in READERS if ".toml" in line and "check" not in line),
    ("train --dry-run --data d --negatives {}.jsonl", "empty"),
    ("runs import {}.jsonl", "empty"),
}


def wrong_file(folder: Path, kind: str, ending: str) -> str:
    path = folder / "wrong" / f"{kind.replace(' ', '-')}{ending}"
    if kind == "a folder":
        path.mkdir(exist_ok=True)
    else:
        path.write_bytes(BYTES[kind])
    return str(path.relative_to(folder))


@pytest.mark.parametrize(("line", "kind"), [w for w in product(READERS, BYTES) if w not in NOT_WRONG])
def test_a_file_that_is_not_what_it_should_be_is_named(line: str, kind: str, used: Workspace) -> None:
    ending = next(e for e in (".jsonl", ".json", ".toml", ".trec", ".tsv", ".npy", ".parquet") if f"{{}}{e}" in line)
    name = wrong_file(used.folder, kind, ending)
    said = refused(used, line.replace(f"{{}}{ending}", shlex.quote(name)), OTHER_CODES.get((line, kind), READERS[line]))
    assert Path(name).stem in said or NAMELESS in said


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("train --data d --dry-run --set train.lr=inf", USAGE),
        ("train --data d --dry-run --lr 1e999", USAGE),
        ("train --data d --dry-run --set train.report_to=wandbb", USAGE),
        ("hardneg --data d --split train --set hardneg.abs_margin=inf", USAGE),
        ("encode --data d --side left --dry-run", USAGE),
        ("compress --data wrong/wide0.npy --method sq", DATA),
        ("runs import wrong/no-command.jsonl", DATA),
        ("data check wrong/blank", DATA),
        ("search --retriever bm25 --data wrong/blank --split test", DATA),
        ("search --data wrong/blank --split test", DATA),
        ("compress --method sq --data wrong/twice", DATA),
    ],
)
def test_what_was_accepted_though_wrong_is_refused(line: str, code: int, used: Workspace) -> None:
    wrong = used.folder / "wrong"
    np.save(wrong / "wide0.npy", np.zeros((5, 0), np.float32))
    run = {"id": "20260101-000000000-aaaa", "schema": "irctl/run/1", "status": "completed"}
    files = {"run.json": json.dumps(run)}
    (wrong / "no-command.jsonl").write_text(jsonl({"format": "irctl-run/1", "id": run["id"], "files": files}))
    shutil.copytree(used.folder / "d", wrong / "blank", dirs_exist_ok=True)
    (wrong / "blank/corpus.jsonl").write_text(jsonl({"_id": "New York", "text": "a"}, {"_id": "d1", "text": "b"}))
    (wrong / "twice").mkdir(exist_ok=True)
    np.save(wrong / "twice/x.npy", np.ones((300, 8), np.float32))
    (wrong / "twice/ids.txt").write_text("".join(f"d{i % 299}\n" for i in range(300)))
    if line.startswith("data check"):  # its findings are its output
        assert used.run(line).code == code
    else:
        refused(used, line, code)


@pytest.mark.parametrize(
    "line",
    [
        "encode --data {}",
        "encode --data {} --dry-run",
        "eval r.trec --data {}",
        "hardneg --data {} --retriever bm25",
        "search --data {} --retriever bm25",
        "data convert {} converted",
    ],
)
def test_a_training_configuration_is_refused_by_all_but_training(line: str, used: Workspace) -> None:
    one = {"qrel_path": "d", "query_path": "d", "corpus_path": "d"}
    (used.folder / "wrong/mqrel.json").write_text(json.dumps({"mqrel": [one, one]}))
    said = refused(used, line.format("wrong/mqrel.json"), DATA)
    assert "mqrel: a training configuration of 2 sources has no one corpus; only irctl train reads it" in said


ODD = ['{"q_1": {"doc_1": 0.1}}', "[]", "{", '{"id": 5, "status": ["x"]}', "[" * 100_000]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("line", ["runs ls", "report", "eval r.trec --data d --resume none", "runs show latest"])
def test_an_odd_run_json_stops_no_command(line: str, text: str, used: Workspace) -> None:
    odd = used.folder / "runs/odd/run.json"
    odd.parent.mkdir(parents=True, exist_ok=True)
    odd.write_text(text)
    try:
        done = used.run(line)
    finally:
        shutil.rmtree(odd.parent)
    assert done.code == 0 and "internal error" not in done.err, done.err


@pytest.mark.parametrize("line", ["runs show {}", "runs diff {} latest", "runs reindex"])
@pytest.mark.parametrize("text", ["[]", "{", '{"run.name": ["x"]}', '{"run.name": {"value": 5}}'])
def test_a_run_whose_settings_are_damaged_ends_in_one_line(
    line: str, text: str, used: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = used.ok("runs ls --command search --status completed -q").out.split()[-1]
    shutil.copytree(used.folder / "runs" / run, tmp_path / run)
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path))
    used.ok("runs reindex")
    (tmp_path / run / "config.json").write_text(text)
    done = used.run(line.format(run))
    assert "internal error" not in done.err and done.err.count("error: ") == (done.code != 0), done.err
