"""What goes to a hub has no path of the machine that it comes from, and is the same model and the same codes there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from local_hub import LocalHub, local_hub
from training_here import train_here
from word_collection import WORDS, word_collection
from workspace import Workspace

from irctl import api
from irctl.ledger import query
from irctl.pipelines.cards import elsewhere
from irctl.pipelines.export import local_paths

TELLING = "thesis of jane, v1 | draft"
SHORT = "--set encoder.query_max_len=16 --set encoder.passage_max_len=24"
KINDS = {
    "dense": "latest:dense",
    "codes": "latest:pq",
    "query encoder": "latest:jpq",
    "trained codes": "latest:learned",
}


@pytest.fixture(scope="module")
def home(place: Workspace, tiny_encoder: Path) -> Path:
    """A folder with a telling name, where all is made: base, texts, a training, codes, a trained query side."""
    folder = place.folder / TELLING
    shutil.copytree(tiny_encoder, folder / "base")
    words = word_collection(folder / "words", train=range(0, 12, 2), test=range(1, 12, 2))
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        for line in (
            f"train --method dense --data '{words}' --model '{folder}/base' --batch 4 --max-steps 1 {SHORT}"
            " --set data.group_size=3 --set eval.during=off",
            f"encode --data '{words}' --model latest",
            "compress --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0",
            f"train --method jpq --loss distill --set jpq.query=encoder --data '{words}' --batch 8 --max-steps 1",
        ):
            place.ok(line)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with local_hub(monkeypatch) as hub:
        yield hub


def download(hub: LocalHub, folder: Path) -> Path:
    """The last commit as files."""
    for name, content in hub.commits[-1][1].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_an_upload_has_a_path_of_this_machine(
    place: Workspace, home: Path, hub: LocalHub, kind: str
) -> None:
    place.ok(f"export {KINDS[kind]} --to hub --repo me/it")
    sent = hub.commits[-1][1]
    for told in (str(place.folder), str(place.folder.parent), TELLING):
        assert [name for name, content in sent.items() if told.encode() in content] == []
    assert not [name for name in sent if name == "plan.json" or name.startswith("journal")]


def test_a_model_from_there_makes_the_same_vectors(place: Workspace, home: Path, hub: LocalHub, tmp_path: Path) -> None:
    place.ok("export latest:dense --to hub --repo me/it")
    there, here = download(hub, tmp_path / "it"), query.find_run("latest:dense").paths.model
    said = [json.loads((folder / "irctl.json").read_text()) for folder in (here, there)]
    assert [s["base_model"] for s in said] == [str(home / "base"), "base"]
    encoders = [api.encoder(folder) for folder in (here, there)]
    assert encoders[0].fingerprint() == encoders[1].fingerprint()
    for side in ("query", "passage"):
        np.testing.assert_array_equal(*(e.encode(WORDS, side) for e in encoders))


@pytest.mark.parametrize("kind", ("codes", "trained codes"))
def test_a_bundle_from_there_is_whole_and_ranks_alike(
    place: Workspace, home: Path, hub: LocalHub, tmp_path: Path, kind: str
) -> None:
    place.ok(f"export {KINDS[kind]} --to hub --repo me/it")
    there = download(hub, tmp_path / "it")
    assert place.ok(f"compress --verify --out {there} --json").json["verified"]
    model = "" if kind == "trained codes" else query.find_run("latest:dense").paths.model
    found = [api.index(of, model=model).search(WORDS, k=3) for of in (KINDS[kind], there)]
    assert found[0] == found[1]
    encoder = there / "query_encoder" / "irctl.json"
    if kind == "trained codes":
        encoder.write_text(encoder.read_text().replace("irctl-encoder", "another"))
        assert "expected the query encoder of" in place.run(f"compress --verify --out {there}").err


def card_of(place: Workspace, source: str) -> str:
    return "\n".join(place.ok(f"export {source} --to hub --repo me/x --dry-run --json").json["plan"]["card"])


def test_an_encoder_is_called_as_a_reader_can_find_it(
    place: Workspace, home: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = query.find_run("latest:dense")
    with monkeypatch.context() as patch:
        patch.setattr(elsewhere, "find_upload", lambda _: "")
        card = card_of(place, query.find_run("latest:pq").id)
    assert f"Queries are encoded by the encoder that run {run.id} trained (its weights below)" in card
    place.ok(f"export {run.id} --to hub --repo me/dense")
    place.ok("export latest:pq --to hub --repo me/codes")
    sent = hub.commits[-1][1]
    assert json.loads(sent["manifest.json"])["about"]["model"] == "me/dense"
    card = sent["README.md"].decode()
    assert "Queries are encoded by me/dense; irctl" in card and "--index bundle --data COLLECTION" in card
    assert "documents are encoded by me/dense, and its codes" in card_of(place, "latest:jpq")


def test_the_card_of_a_trained_query_side_has_the_licence_its_bundle_and_its_encoder(
    place: Workspace, home: Path, hub: LocalHub
) -> None:
    dense, jpq = query.find_run("latest:dense"), query.find_run("latest:jpq")
    assert jpq.columns["model"] == dense.id  # that of the index, not the default
    (home / "base" / "README.md").write_text("---\nlicense: mit\n---\n")
    card = card_of(place, jpq.id)
    assert "\nlicense: mit\n" in card and "| bundle | pq, 3 bytes a vector, of words |" in card
    assert f"| model | {dense.id} |" in card


def test_of_vectors_whose_encoder_nobody_knows_the_card_says_so_and_all_of_it_goes_up(
    place: Workspace, home: Path, hub: LocalHub, tmp_path: Path
) -> None:
    """With a transform, and with rows that were appended."""
    draw = np.random.default_rng(0).standard_normal
    for name, rows in {"x.npy": 40, "more.npy": 5}.items():
        np.save(home / name, draw((rows, 32)).astype("f4"))
    given = "--set transform.name=soft_whiten --set transform.query_mean=corpus"
    place.ok(f"compress --method sq --data '{home}/x.npy' {given} --out '{home}/grown'")
    place.ok(f"compress --append '{home}/grown' --data '{home}/more.npy'")
    place.ok(f"export '{home}/grown' --to hub --repo me/grown")
    sent, there = hub.commits[-1][1], download(hub, tmp_path / "it")
    assert not [name for name, content in sent.items() if b"jane" in content]
    card = sent["README.md"].decode()
    assert "Nothing says which encoder made its vectors" in card
    assert "arrays in quantizer/quantizer.json, those of the transform in transform/transform.json; the last" in card
    assert place.ok(f"compress --verify --out {there} --json").json["verified"] == {"sq": 10}
    queries_QD = draw((3, 32)).astype("f4")
    assert api.index(there).search(queries_QD) == api.index(home / "grown").search(queries_QD)


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        ("../thesis of jane/base", "base"),
        ("./jane/base", "base"),
        ("thesis of jane/base", "base"),
        ("theses/jane/base", "base"),
        ("/nowhere/thesis of jane, v1/base", "base"),  # a folder that was moved since
        ("/nowhere/jane,v1/base", "base"),
        ("~jane/base", "base"),
        ("file:///home/jane/base", "base"),
        ("BAAI/bge-base-en-v1.5", "BAAI/bge-base-en-v1.5"),
        ("bert-base-uncased", "bert-base-uncased"),
    ],
)
def test_a_model_is_named_as_the_hub_may_know_it_or_by_its_last_part(tmp_path: Path, named: str, sent: str) -> None:
    (tmp_path / "irctl.json").write_text(json.dumps({"base_model": named}))
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": named, "_name": named}))
    files = {name: json.loads(_read(c)) for name, c in local_paths.of_folder(tmp_path, tmp_path.iterdir()).items()}
    assert files == {"irctl.json": {"base_model": sent}, "config.json": {"_name_or_path": sent, "_name": named}}


def _read(content: local_paths.Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("../theses/words", "words"),
        ("file:///home/jane/x.npy", "x.npy"),
        ("/nowhere/thesis of jane, v1/x.npy#text", "x.npy#text"),
        ("profile /home/jane/p.toml", "profile p.toml"),
        ("the index ../jane/grown", "the index grown"),
        ("hf://datasets/a/b", "hf://datasets/a/b"),
        ("score / length", "score / length"),
    ],
)
def test_what_else_is_said_keeps_the_last_parts_of_its_paths(tmp_path: Path, said: str, sent: str) -> None:
    (tmp_path / "irctl.json").write_text(json.dumps({"from": said}))
    (content,) = local_paths.of_folder(tmp_path, tmp_path.iterdir()).values()
    assert json.loads(_read(content)) == {"from": sent}


def test_texts_that_look_like_paths_stay_and_names_give_way(tmp_path: Path) -> None:
    given = {
        "irctl.json": {"base_model": "/home/jane/base", "query_prompt": "/search ", "prompts": {"d": {"query": "=/q"}}},
        "compressor.json": {"lm": {"name": "~/models/lm", "weights": "w"}, "instructions": {"d": "a:/b"}},
        "tokenizer_config.json": {"name_or_path": "/home/jane/base", "chat_template": "{{x:/y}}"},
        "config.json": {"_name_or_path": "BAAI/bge-base", "text_config": {"_name_or_path": "/home/jane/base"}},
        "tokenizer.json": {"vocab": {"/home": 1}},
    }
    for name, said in given.items():
        (tmp_path / name).write_text(json.dumps(said))
    sent = local_paths.of_folder(tmp_path, sorted(tmp_path.iterdir()))
    assert sent.pop("tokenizer.json") == tmp_path / "tokenizer.json"
    given["irctl.json"]["base_model"] = given["tokenizer_config.json"]["name_or_path"] = "base"
    given["compressor.json"]["lm"] = {"name": "lm", "weights": "w"}
    given["config.json"]["text_config"] = {"_name_or_path": "base"}
    for name, content in sent.items():
        assert isinstance(content, bytes) and json.loads(content) == given[name]
