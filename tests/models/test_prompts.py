"""Prompts of each side and of single data sets: which one counts, what is saved, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_folders import TEXTS, settings
from sentence_transformers import SentenceTransformer

from irctl.config import from_sets, resolve
from irctl.errors import ConfigError
from irctl.models.encoder import load_encoder
from irctl.models.reading import list_names

GIVEN = (
    "encoder.query_prompt=query: ",
    "prompts.scifact.query=Find evidence: ",
    "prompts.scifact.passage=Abstract: ",
    "prompts.fiqa.query=",
)


def test_a_data_sets_own_prompt_replaces_the_general_one(tiny_encoder: Path) -> None:
    prompts = {}
    for source in ("beir/scifact", "fiqa", "cranfield"):
        encoder = load_encoder(settings(*GIVEN, f"data.source={source}"), str(tiny_encoder))
        prompts[source] = (encoder.prompt("query"), encoder.prompt("passage"))
    assert prompts == {
        "beir/scifact": ("Find evidence: ", "Abstract: "),
        "fiqa": ("", ""),
        "cranfield": ("query: ", ""),
    }


def test_prompts_are_saved_with_the_model_and_need_no_settings_again(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(settings(*GIVEN, "data.source=scifact"), str(tiny_encoder))
    encoder.save(tmp_path / "model")
    again = load_encoder(settings("data.source=scifact"), str(tmp_path / "model"))
    assert again.settings == encoder.settings
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    for side, name in (("query", "scifact-query"), ("passage", "scifact-document")):
        np.testing.assert_array_equal(again.encode(TEXTS, side), encoder.encode(TEXTS, side))
        np.testing.assert_allclose(theirs.encode(TEXTS, prompt_name=name), encoder.encode(TEXTS, side), atol=1e-5)
    plain = load_encoder(settings(), str(tmp_path / "model"))
    assert plain.prompt("query") == "query: " and np.abs(plain.encode(TEXTS) - again.encode(TEXTS)).max() > 1e-4
    saved = json.loads((tmp_path / "model" / "irctl.json").read_text())["prompts"]
    assert saved == {"scifact": {"query": "Find evidence: ", "passage": "Abstract: "}, "fiqa": {"query": ""}}


def test_a_saved_prompt_is_contradicted_only_by_override_and_others_are_added(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    load_encoder(settings(*GIVEN), str(tiny_encoder)).save(tmp_path / "model")
    other = "prompts.scifact.query=Other: "
    with pytest.raises(ConfigError, match=r"prompts\.scifact\.query='Other: ' contradicts the model"):
        load_encoder(settings(other), str(tmp_path / "model"))
    changed = load_encoder(settings(other, "encoder.override=true"), str(tmp_path / "model"))
    assert changed.settings.prompts["scifact"] == {"query": "Other: ", "passage": "Abstract: "}
    more = load_encoder(settings("prompts.nq.query=q: ", GIVEN[1]), str(tmp_path / "model"))
    assert set(more.settings.prompts) == {"scifact", "fiqa", "nq"}


def test_the_model_is_one_whatever_data_set_it_encodes_but_its_vectors_are_not(tiny_encoder: Path) -> None:
    one, two = (load_encoder(settings(*GIVEN, f"data.source={s}"), str(tiny_encoder)) for s in ("scifact", "nq"))
    assert one.fingerprint() == two.fingerprint() and one.fingerprint("query") == two.fingerprint("query")
    assert one.key("passage") != two.key("passage")
    bare = load_encoder(settings(GIVEN[0]), str(tiny_encoder))
    assert bare.fingerprint() != one.fingerprint()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("scifact", "scifact"),
        ("beir/scifact", "scifact"),
        ("sycl-eval/scifact", "scifact"),
        ("beir/cqadupstack/android", "cqadupstack"),
        ("beir/cqadupstack/android", "android"),
        ("hf://datasets/mteb/scifact@d56462d0", "scifact"),
        ("data/my-set/", "my-set"),
        ("conf/eval.json:msmarco", "msmarco"),
        ("conf/multi.json", "multi"),
    ],
)
def test_a_data_set_is_known_by_the_name_people_use(source: str, name: str) -> None:
    assert name in list_names(source)


def test_a_prompt_given_on_the_command_line_keeps_its_last_space() -> None:
    assert resolve(from_sets(["encoder.query_prompt=query: "])).encoder.query_prompt == "query: "


def test_a_prompt_without_a_data_set_or_side_is_refused() -> None:
    for wrong in ("prompts.query=x", "prompts.scifact.passages=x"):
        with pytest.raises(ConfigError, match="no setting named"):
            settings(wrong)


@pytest.mark.parametrize(
    "own", [{}, {"query": "heat of: "}, {"document": "flow of: "}, {"query": "a", "document": "b"}]
)
def test_a_default_prompt_is_prepended_where_sentence_transformers_does_and_that_is_said(
    own: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    path = folder / "config_sentence_transformers.json"
    about = {
        **json.loads(path.read_text()),
        "prompts": {"instruct": "shock: ", **own},
        "default_prompt_name": "instruct",
    }
    path.write_text(json.dumps(about))
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    encoder = load_encoder(settings(), str(folder))
    np.testing.assert_allclose(encoder.encode(TEXTS, "query"), theirs.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, "passage"), theirs.encode_document(TEXTS), atol=1e-5)
    said = " ".join(encoder.notices)
    assert ("a query" in said, "a passage" in said) == ("query" not in own, "document" not in own)
    assert bool(said) == (len(own) < 2) and len(encoder.notices) <= 1


def test_a_model_saved_with_its_default_prompt_on_both_sides_keeps_it(tiny_encoder: Path, tmp_path: Path) -> None:
    given = ("encoder.query_prompt=shock: ", "encoder.passage_prompt=shock: ")
    encoder = load_encoder(settings(*given), str(tiny_encoder))
    encoder.save(tmp_path / "model")
    again = load_encoder(settings(), str(tmp_path / "model"))
    assert again.prompt("query") == again.prompt("passage") == "shock: " and not again.notices
