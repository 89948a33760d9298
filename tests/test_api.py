"""irctl from Python does what the command line does: same numbers, same ledger, errors in place of exit codes."""

from __future__ import annotations

import inspect
import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspace import Workspace

from irctl import api
from irctl.commands.frame import arguments
from irctl.errors import ConfigError, DataError, IrctlError

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def said(place: Workspace) -> dict[str, Any]:
    """What the names of README's section stand for after its code has run."""
    text = re.search(r"### From Python\n+```python\n(.*?)```", README.read_text(), re.S)
    assert text
    names: dict[str, Any] = {}
    exec(compile(text[1], "README.md", "exec"), names)
    return names


def test_the_code_of_the_readme_runs(place: Workspace, said: dict[str, Any]) -> None:
    assert said["vectors_ND"].shape == (2, said["encoder"].dim)
    assert len(said["best"]) == 1 and len(said["best"][0]) == 5
    assert Path(said["found"]["run_file"]).is_file()
    assert said["newest"]["id"] == said["measured"]["run"]


def test_numbers_are_those_of_the_command_and_its_line_is_recorded(place: Workspace, said: dict[str, Any]) -> None:
    recorded = api.run(said["measured"]["run"])
    line = ["irctl", "eval", "--split", "dev+test", "--measures", "nDCG@10 R@100", "--index", said["made"]["run"]]
    assert recorded["argv"] == line
    typed = place.ok(
        f"irctl eval --split dev+test --measures 'nDCG@10 R@100' --index {said['made']['run']} --json"
    ).json
    assert [(r["measure"], r["value"]) for r in typed["results"]] == [
        (r["measure"], r["value"]) for r in said["measured"]["results"]
    ]
    assert set(typed) - {"schema"} == set(said["measured"])
    told = place.ok(f"irctl runs reproduce {said['measured']['run']}").out
    assert f"irctl eval --split dev+test --measures 'nDCG@10 R@100' --index {said['made']['run']}" in told


def test_a_search_of_texts_finds_what_the_run_file_holds(place: Workspace, said: dict[str, Any]) -> None:
    from irctl.data.collections.open import open_collection
    from irctl.data.judgements.runs import read_run

    asked = open_collection("cranfield").queries("dev")
    written = read_run(Path(said["found"]["run_file"]))
    got = said["codes"].search(asked.texts[:3], k=10)
    assert said["codes"].search((text for text in asked.texts[:3]), k=10) == got
    for query, pairs in zip(asked.ids[:3], got, strict=True):
        kept = sorted(written[query].values(), reverse=True)[:10]
        assert [s for _, s in pairs] == pytest.approx(kept, abs=1e-6)
        assert all(written[query][d] == pytest.approx(s, abs=1e-6) for d, s in pairs)


def test_texts_and_their_vectors_find_the_same(place: Workspace, said: dict[str, Any]) -> None:
    texts = ["flow past a flat plate", "heat in a boundary layer"]
    by_vectors = said["codes"].search(said["encoder"].encode(texts, "query"), k=np.int64(4))
    assert [[d for d, _ in pairs] for pairs in said["codes"].search(texts, k=4)] == [
        [d for d, _ in pairs] for pairs in by_vectors
    ]


def test_an_array_is_compressed_and_searched_by_row(place: Workspace) -> None:
    x_ND = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    made = api.compress(x_ND, method="sq", settings={"compress.metric": "l2"})
    again = api.compress(x_ND.copy(), method="sq", settings={"compress.metric": "l2"})
    pairs = api.index(made["run"]).search(x_ND[[7, 200]], k=3)
    nearest = np.argsort(((x_ND[[7, 200], None] - x_ND) ** 2).sum(-1), axis=1)[:, 0]
    assert [p[0][0] for p in pairs] == [str(n) for n in nearest] == ["7", "200"]
    assert api.run(made["run"])["config_sha256"] == api.run(again["run"])["config_sha256"]


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda: api.encoder("no-such-model-here"), DataError, "no-such-model-here"),
        (lambda: api.index("no-such-run"), DataError, "no-such-run"),
        (lambda: api.encoder(data="nope/x"), DataError, "data.source: no collection, folder or file 'nope/x'"),
        (lambda: api.encoder(settings={"data.source": "nope"}), DataError, "no collection, folder or file 'nope'"),
        (lambda: api.compress(np.zeros((4, 8), np.float32), method="qp"), ConfigError, "qp"),
        (lambda: api.evaluate(model="all-MiniLM-L6-v2", measures="nCDG@10"), ConfigError, "nCDG"),
        (lambda: api.evaluate(model="all-MiniLM-L6-v2", measures=["nDCG@10", "nCDG@5"]), ConfigError, "nCDG@5"),
        (lambda: api.search(k=0), ConfigError, "search.k"),
        (lambda: api.search(k="3"), ConfigError, "k: expected a whole number"),
        (lambda: api.encoder(Path("no-such-folder")), DataError, "no-such-folder"),
        (lambda: api.encoder("/nope"), DataError, "model '/nope': no such folder. Name a folder, a run"),
        (lambda: api.encoder(__file__), DataError, "a file, not a folder"),
        (lambda: api.encoder("a b"), DataError, "no folder or run has that name, and no repository can"),
        (lambda: api.encoder().encode("one text"), ConfigError, "texts: expected a list"),
        (lambda: api.encoder().encode([b"bytes"]), ConfigError, "texts: expected a list"),
        (lambda: api.encoder(settings={"encoder.poling": "mean"}), ConfigError, "encoder.pooling"),
        (lambda: api.runs(status="done"), ConfigError, "done"),
    ],
)
def test_errors_are_raised_and_say_what(place: Workspace, ask: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind) as told:
        ask()
    assert said in str(told.value)


X_ND = np.ones((3, 8), np.float32)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda: api.compress([[1.0, 2.0]] * 3),
            "compress: data: expected a text, a path or an array of vectors, found a list of 3",
        ),
        (
            lambda: api.compress(X_ND[0]),
            "found ndarray of shape (8,), float32. numpy.asarray(rows, dtype=numpy.float32)",
        ),
        (lambda: api.compress(np.array([["a"]])), "found ndarray of shape (1, 1), <U1"),
        (lambda: api.compress(np.array([[None]])), "found ndarray of shape (1, 1), object"),
        (
            lambda: api.compress(X_ND, settings=["pq.m=4"]),
            "compress: settings: expected a dict of settings, found a list of 1",
        ),
        (lambda: api.compress(X_ND, method="sq", settings={"sq.bits": [8]}), "sq.bits: expected one value, found [8]"),
        (
            lambda: api.compress(X_ND, settings={3: 4}),
            "settings: expected a dict of settings, found a dict with the key 3",
        ),
        (lambda: api.compress(X_ND, method=["pq", "sq"]), "compress: method: expected a text, found a list of 2"),
        (lambda: api.compress(X_ND, out=3), "compress: out: expected a text or a path, found 3 (int)"),
        (lambda: api.compress(X_ND, progress="yes"), "compress: progress: expected True or False, found 'yes' (str)"),
        (lambda: api.encoder(5), "encoder: model: expected a text or a path, found 5 (int)"),
        (
            lambda: api.encoder(settings="pq.m=4"),
            "encoder: settings: expected a dict of settings, found 'pq.m=4' (str)",
        ),
        (
            lambda: api.index({"run": "x"}),
            "index: reference: expected a text or a path, found a dict with the key 'run'",
        ),
        (lambda: api.search(split=["dev", "test"]), "search: split: expected a text, found a list of 2"),
        (lambda: api.search(k=True), "search: k: expected a whole number, found True (bool)"),
        (lambda: api.search(retriever="bm26"), "search: retriever: expected dense or bm25, found 'bm26'"),
        (lambda: api.search(index="x", retriever="bm25"), "search: index: goes with a dense search"),
        (lambda: api.evaluate(["a.trec"]), "evaluate: run_files: expected a text or a path, found a list of 1"),
        (lambda: api.evaluate(measures=5), "evaluate: measures: expected a text or a list of texts, found 5 (int)"),
        (lambda: api.run(5), "run: reference: expected a text or a path, found 5 (int)"),
        (lambda: api.runs(where={"a": 1}), "runs: where: expected a text, found a dict with the key 'a'"),
        (lambda: api.runs(limit=-1), "runs: limit: expected 0 to 9223372036854775807, found -1. 0: all"),
        (lambda: api.runs(limit=2**70), "runs: limit: expected 0 to"),
        (lambda: api.runs(command="evaluate"), "no command named 'evaluate'. Did you mean 'eval'?"),
        (lambda: api.run(""), "run: reference: expected a folder, a run or latest, found an empty text"),
        (lambda: api.index(""), "index: reference: expected a folder, a run or latest, found an empty text"),
        (lambda: api.compress(X_ND, settings={"pq.m": "x"}), "pq.m: expected int, found 'x' (from settings)"),
        (lambda: api.compress(X_ND, method="nope"), "(compress.method, from the argument method)"),
        (lambda: api.search(model="x", retriever="bm25"), "goes with a dense search, not with retriever bm25"),
        (lambda: api.encoder().encode(5), "texts: expected a list of texts"),
        (lambda: api.encoder().encode(["a"], "queries"), "side: expected passage or query, found 'queries'"),
        (lambda: api.encoder().encode(["a"], "document"), "found 'document'. A document is a passage"),
        (lambda: api.encoder().encode([], None), "side: expected passage or query, found None"),
        (lambda: api.encoder().prompt("Query"), "side: expected passage or query, found 'Query'"),
        (lambda: api.encoder().key("queries"), "side: expected passage or query, found 'queries'"),
        (lambda: api.encoder().max_len(""), "side: expected passage or query, found ''"),
    ],
)
def test_an_argument_of_another_type_is_named_with_what_is_expected(place: Workspace, ask: Any, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        ask()
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.where(np.arange(24).reshape(3, 8) == 17, np.nan, 1.0), "data: row 2: expected finite numbers"),
        (X_ND.astype(np.float64) * 1e30, "data: row 0: expected a length of at most 9.0e+18, found"),
        (X_ND[:0], "data: holds no vectors, found shape (0, 8)"),
        (X_ND.astype(np.int64), "data: expected a 2-D array of float16, float32, float64, int8 or uint8, found int64"),
    ],
)
def test_a_wrong_array_is_called_by_its_argument_and_not_kept(place: Workspace, wrong: Any, said: str) -> None:
    kept = sorted((place.folder / "cache" / "arrays").glob("*"))
    with pytest.raises(DataError) as told:
        api.compress(wrong, method="sq")
    assert str(told.value).startswith(said) and sorted((place.folder / "cache" / "arrays").glob("*")) == kept


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("lr: too high (from option --max-steps)", "lr: too high (from the argument max_steps)"),
        ("lr: goes with --max-steps.", "lr: goes with max_steps."),
        ("lr (from option -k, not with --set)", "lr (from the argument k, not with settings)"),
        ("--texts: goes with --to parquet", "--texts: goes with --to parquet"),
    ],
)
def test_an_option_that_an_error_names_is_the_argument_where_there_is_one(said: str, told: str) -> None:
    @arguments.checked
    def door(k: int = 1, max_steps: int = 1) -> None:
        raise ConfigError(said)

    with pytest.raises(ConfigError) as e:
        door()
    assert e.value.message == told


def test_every_argument_of_the_door_has_a_kind_that_is_checked() -> None:
    functions = [getattr(api, name) for name in ("encoder", "index", "compress", "search", "evaluate", "run", "runs")]
    for function in (*functions, api.Index.search):
        parameters = inspect.signature(function).parameters.values()
        kinds = {kind for p in parameters if p.name != "self" for kind in str(p.annotation).split(" | ")}
        assert kinds <= arguments.KINDS.keys() and hasattr(function, "__wrapped__"), function


class DataFrame(list[str]):
    """As pandas' own: what it gives one by one are the names of its columns."""

    columns = ("a", "b")


def test_queries_that_are_none_are_refused(place: Workspace, said: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected a list of texts"):
        said["codes"].search("flow past a flat plate")
    with pytest.raises(DataError, match="queries: expected shape"):
        said["codes"].search(np.zeros((2, 7), np.float32))
    with pytest.raises(ConfigError, match=r"found a DataFrame. .to_numpy"):
        said["codes"].search(DataFrame("ab"))
    assert said["codes"].search([]) == []
    vectors = said["encoder"].encode(["a"], "query")
    for wrong in (5, {"a": 1}, [["a"]], [[1, 2], [1]], ["a", 1], [None], vectors.astype(complex), [vectors[0] * 1j]):
        with pytest.raises(IrctlError, match="queries: expected"):
            said["codes"].search(wrong)


def test_a_data_set_that_is_not_here_still_says_its_prompts(place: Workspace) -> None:
    prompts = {"prompts.scifact.query": "claim: ", "prompts.own.query": "own: "}
    (place.folder / "own").mkdir(exist_ok=True)
    for data, prompt in {"beir/scifact": "claim: ", "hf://datasets/some/own": "own: ", "cranfield": ""}.items():
        assert api.encoder(data=data, settings=prompts).prompt("query") == prompt


def test_texts_are_no_queries_of_vectors_that_nobody_knows_the_encoder_of(place: Workspace) -> None:
    """The default encoder's vectors have as many dimensions, and would be answered with noise."""
    x_ND = np.random.default_rng(0).standard_normal((300, 32)).astype(np.float32)
    made = api.compress(x_ND, method="flat")
    unknown = "nothing says which encoder made its rows"
    with pytest.raises(DataError, match=unknown):
        api.index(made["run"]).search(["a"], k=2)
    for line in (f"search --index {made['run']}", f"eval --index {made['run']} --data cranfield"):
        done = place.run(line)
        assert done.code == 3 and unknown in done.err and "--model" in done.err, done.err
    assert len(api.index(made["run"], model="all-MiniLM-L6-v2").search(["a"], k=2)[0]) == 2
    assert api.index(made["run"]).search(x_ND[:1], k=1)[0][0][0] == "0"


def test_signals_of_the_program_stay_its_own_and_threads_may_call(place: Workspace, said: dict[str, Any]) -> None:
    def own(number: int, frame: Any) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, own)
    try:
        api.search(index=said["made"]["run"], split="dev", k=3)
        assert signal.getsignal(signal.SIGTERM) is own
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(api.search(index=said["made"]["run"], split="dev", k=3)))
        other.start()
        other.join()
        assert json.loads(json.dumps(found))[0]["queries"] == 45
    finally:
        signal.signal(signal.SIGTERM, before)
