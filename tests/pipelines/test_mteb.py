"""mteb scores an irctl model as irctl does: same prompts, lengths and order of ties; it reads exported results."""

from __future__ import annotations

import builtins
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, settings
from learning import child_bundle, encoded, opened

from irctl.data.collections.cards import built_in
from irctl.data.collections.collection import Collection
from irctl.data.collections.open import open_collection
from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.models.encoder import load_encoder
from irctl.pipelines import mteb_adapter
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate.mteb_files import task_name
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.mteb_adapter import MtebModel, task_of
from irctl.types import Silent

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()
MEASURES = {"nDCG@10": "ndcg_at_10", "R@100": "recall_at_100", "RR@10": "mrr_at_10", "AP@100": "map_at_100"}


@pytest.fixture(scope="module")
def mteb() -> Any:
    return pytest.importorskip("mteb", reason="pip install 'irctl[mteb]'")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 documents, every second one a copy, of which 30 are judged for 20 queries; query 7 has a document's id."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("mteb") / "toy"
    (folder / "qrels").mkdir(parents=True)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(75)]
    lines = [{"_id": str(i), "title": "a title" if i % 3 else "", "text": texts[i // 2]} for i in range(150)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    names = ["7", *(f"q{i}" for i in range(19))]
    lines = [{"_id": q, "text": texts[i] if q == "7" else " ".join(rng.choice(WORDS, 3))} for i, q in enumerate(names)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    rows = (f"{q}\t{d}\t{rng.integers(0, 4)}\n" for q in names for d in rng.choice(150, 30, replace=False))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


def card(toy: Path, self_match: str) -> Collection:
    (toy / "card.toml").write_text(f'name = "toy"\nself_match = "{self_match}"\nheadline = {{ split = "test" }}\n')
    return open_collection(str(toy))


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> str:
    """A folder with prompts for each side, others for `toy`, and a short maximum length for queries."""
    given = {"encoder.query_prompt": "query:", "encoder.query_max_len": 8, "prompts.toy.passage": "passage:"}
    load_encoder(settings(**given), str(tiny_encoder)).save(tmp_path / "model")
    return str(tmp_path / "model")


def by_mteb(mteb: Any, model: MtebModel, collection: Collection) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mteb.evaluate(
            model, task_of(collection, "test"), cache=None, co2_tracker=False, show_progress_bar=False
        )
    scores = found.task_results[0].scores["test"][0]
    return {name: scores[theirs] for name, theirs in MEASURES.items()}


def by_irctl(toy: Path | str, model: str, export: str | None = None) -> dict[str, Any]:
    config = settings(**{"eval.measures": ",".join(MEASURES), "data.source": toy, "model.name": model})
    run = new_run("eval", config)
    with run:
        return pipeline.evaluate(config, run, Silent(), EvalRequest(model=model, export=export))


def values(payload: dict[str, Any]) -> dict[str, float]:
    return {r["measure"]: r["value"] for r in payload["results"]}


@pytest.mark.parametrize("self_match", ("keep", "drop"))
def test_mteb_scores_an_irctl_model_as_irctl_does(mteb: Any, toy: Path, model: str, self_match: str) -> None:
    theirs = by_mteb(mteb, MtebModel(model), card(toy, self_match))
    ours = values(by_irctl(toy, model))
    assert theirs == pytest.approx(ours, abs=1e-5) and 0 < ours["nDCG@10"] < 1


@pytest.mark.slow
def test_the_built_in_collection_scores_alike(mteb: Any, tiny_encoder: Path) -> None:
    ours = values(by_irctl("cranfield", str(tiny_encoder)))
    theirs = by_mteb(mteb, MtebModel(str(tiny_encoder)), open_collection("cranfield"))
    assert theirs == pytest.approx(ours, abs=1e-5)


def test_the_encoder_reads_tasks_with_their_own_prompts(mteb: Any, toy: Path, model: str) -> None:
    adapted = MtebModel(model)
    by_mteb(mteb, adapted, card(toy, "keep"))
    assert (adapted.encoder.prompt("query"), adapted.encoder.prompt("passage")) == ("query:", "passage:")
    adapted._read_as(mteb.get_task("SciFact").metadata)
    assert adapted.encoder.prompt("passage") == ""


def test_codes_are_searched_too_and_made_once(mteb: Any, toy: Path, model: str) -> None:
    collection = card(toy, "keep")
    exact = by_mteb(mteb, MtebModel(model), collection)
    flat = MtebModel(model, method="flat", config=settings(**{"flat.dtype": "float32"}))
    assert by_mteb(mteb, flat, collection) == pytest.approx(exact, abs=1e-5)
    assert flat.mteb_model_meta.name == "irctl/flat" and flat.revision != MtebModel(model).revision
    coarse = MtebModel(model, method="rabitq")
    first, again = (by_mteb(mteb, coarse, collection) for _ in range(2))
    assert first == again != exact
    rescored = MtebModel(model, method="rabitq", config=settings(**{"search.rerank": 150}))
    assert by_mteb(mteb, rescored, collection) == pytest.approx(exact, abs=1e-5)
    assert len({m.revision for m in (coarse, rescored, flat)}) == 3


def test_a_bundle_brings_its_encoder_its_quantizer_and_its_query_side(
    mteb: Any, toy: Path, model: str, tmp_path: Path
) -> None:
    collection = card(toy, "keep")
    made = compressed(encoded(toy, model), compress__method="opq", opq__m=8, opq__bits=3)["bundle"]
    child = child_bundle(tmp_path / "child", opened(made))
    adapted, parent = MtebModel(index=str(child.folder)), MtebModel(index=made)
    config = settings(**{"eval.measures": ",".join(MEASURES), "data.source": toy})
    run = new_run("eval", config)
    with run:
        ours = values(pipeline.evaluate(config, run, Silent(), EvalRequest(index=str(child.folder))))
    assert by_mteb(mteb, adapted, collection) == pytest.approx(ours, abs=1e-5)
    assert adapted.mteb_model_meta.name == "irctl/learned" and adapted.revision != parent.revision
    own = child_bundle(tmp_path / "own", opened(made), query_encoder=Path(model))
    assert MtebModel(index=str(own.folder)).query_encoder.located.folder == own.folder / "query_encoder"
    with pytest.raises(ConfigError, match="an index names its model"):
        MtebModel(model, index=made)


def test_a_model_overwritten_in_place_is_another_revision(model: str, mteb: Any) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    before = MtebModel(model).mteb_model_meta.revision
    changed = SentenceTransformer(model, device="cpu")
    with torch.no_grad():
        next(changed.parameters()).add_(0.01)
    changed[0].model.save_pretrained(model)
    assert MtebModel(model).mteb_model_meta.revision != before


def test_transforms_of_another_eps_or_queries_are_other_revisions(model: str, mteb: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "of.npy", np.ones((2, 32), np.float32))
    more = ({}, {"transform__eps": 0.5}, {"transform__queries": tmp_path / "of.npy"})
    made = [MtebModel(model, config=settings(transform__name="whiten", **m)).revision for m in more]
    assert len(set(made)) == 3


def test_reranking_tasks_are_refused(mteb: Any, toy: Path, model: str) -> None:
    adapted, task = MtebModel(model), task_of(card(toy, "keep"), "test")
    with pytest.raises(ConfigError, match="re-ranks given documents"):
        adapted.search(None, task_metadata=task.metadata, top_k=10, top_ranked={"q": ["d"]})


def test_without_mteb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **more: Any) -> Any:
        if name == "mteb":
            raise ImportError("No module named 'mteb'")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(EnvironmentUnfit, match=r"not installed .*pip install 'irctl\[mteb\]'"):
        mteb_adapter.mteb()


def test_exported_results_are_read_by_mteb_and_say_what_it_would(
    mteb: Any, toy: Path, model: str, tmp_path: Path
) -> None:
    card(toy, "keep")
    ours = values(by_irctl(toy, model, export=f"mteb:{tmp_path / 'cache'}"))
    results = mteb.ResultCache(cache_path=tmp_path / "cache").load_results(models=["irctl/dense"])
    (found,) = results.model_results
    (task,) = found.task_results
    (scores,) = task.scores["test"]
    assert task.task_name == "toy" and {ours: scores[theirs] for ours, theirs in MEASURES.items()} == ours
    assert (
        scores["main_score"] == ours["nDCG@10"] and found.model_revision == MtebModel(model).encoder.fingerprint()[:40]
    )


def test_names_of_data_sets_are_those_of_mteb() -> None:
    named = {d: task_name(d) for d in ("scifact", "cqadupstack/android", "cqadupstack", "my-set", "sycl-eval/nq")}
    assert named == {
        "scifact": "SciFact",
        "cqadupstack/android": "CQADupstackAndroidRetrieval",
        "cqadupstack": "CQADupstackRetrieval",
        "my-set": "my-set",
        "sycl-eval/nq": "sycl-eval-nq",
    }


def test_every_name_given_is_a_task_of_mteb(mteb: Any) -> None:
    names = {task_name(c.name) for n, c in built_in().items() if n.startswith("beir/") and c.public}
    assert {mteb.get_task(n).metadata.name for n in names - {"CQADupstackRetrieval"}} == names - {
        "CQADupstackRetrieval"
    }
