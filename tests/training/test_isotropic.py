"""irctl train --method isotropic: logits by hand, the head's start, predictor, the base as a teacher, exact resume."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from isotropic_training import configuration
from sentence_transformers.sentence_transformer.modules import Normalize

from irctl import config as settings
from irctl import plugins
from irctl.data.collections.training_source import open_training_source
from irctl.errors import ConfigError
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.methods import isotropic
from irctl.models.encoder import load_encoder
from irctl.models.heads import set_similarity
from irctl.origins import SET
from irctl.paths import RunPaths
from irctl.pipelines.train import checks
from irctl.pipelines.train import train as pipeline
from irctl.training import batch_plan
from irctl.training.method import Context
from irctl.training.run_files import checkpoints, journal
from irctl.types import Silent

pytestmark = pytest.mark.usefixtures("in_process")


def opened(config: settings.Config, folder: Path) -> Any:
    settled, _ = checks.check(config, Silent())
    context = Context(batch_plan.plan(settled), Silent(), RunPaths(folder))
    method = plugins.load("methods", "isotropic").Method.build(settled, context)
    method.eval()
    return method


def trained(config: settings.Config, said: Silent | None = None) -> tuple[dict[str, Any], RunPaths]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        payload = pipeline.train(config, run, said or Silent())
    return payload, query.find_run(run.id).paths


def test_l2_logits_are_squared_distances_over_the_spread_of_a_standard_normal() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 30.0):  # a common mean far from the origin costs no digits
        queries_BD, passages_ND = (rng.normal(shift, 1, size=(n, 64)).astype(np.float32) for n in (5, 9))
        apart_BND = queries_BD[:, None].astype(np.float64) - passages_ND[None].astype(np.float64)
        wanted_BN = -(apart_BND**2).sum(2) / np.sqrt(8 * 64)
        got_BN = isotropic.squared_logits(torch.from_numpy(queries_BD), torch.from_numpy(passages_ND))
        assert got_BN.dtype == torch.float32
        np.testing.assert_allclose(got_BN, wanted_BN, atol=2e-5)
    assert np.std(wanted_BN) == pytest.approx(1, abs=0.35)
    leaf = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: isotropic.squared_logits(q, leaf[1]), leaf[:1])


@pytest.mark.parametrize("frozen", [True, False])
def test_before_training_a_head_as_wide_as_the_base_ranks_dev_as_the_base_does(
    tiny_encoder: Path, toy: str, tmp_path: Path, frozen: bool
) -> None:
    def order(method: Any) -> list[list[str]]:
        found = {}
        dev = method.training_on.dev
        run = dev._run
        dev._run = lambda scores: found.update(run(scores)) or run(scores)
        method.evaluate()
        return [sorted(scored, key=scored.get) for scored in found.values()]

    common = {"eval__during": "corpus", "model__freeze_base": frozen}
    ranked = order(opened(configuration(tiny_encoder, toy, **common), tmp_path))
    base = load_encoder(settings.resolve(), str(tiny_encoder))
    collection = open_training_source(configuration(tiny_encoder, toy)).collection
    asked, corpus = collection.queries("dev"), collection.corpus
    documents_MD = base.encode(corpus.texts(list(range(len(corpus)))))
    scores_QM = base.encode(asked.texts, "query") @ documents_MD.T
    wanted = [[corpus.ids[i] for i in np.argsort(row)] for row in scores_QM]
    assert ranked == wanted


def test_the_loss_triplet_takes_plain_distances_and_its_margin_is_a_setting(
    tiny_encoder: Path, toy: str, tmp_path: Path
) -> None:
    found = {}
    for loss in ("triplet", "infonce"):
        method = opened(configuration(tiny_encoder, toy, loss__name=loss, eval__during="off"), tmp_path / loss)
        found[loss] = method.score(method.collate([(i, 0) for i in range(8)])).scores_BN.detach().double()
    torch.testing.assert_close(-(found["triplet"] ** 2) / (8 * 32) ** 0.5, found["infonce"], rtol=1e-4, atol=1e-4)
    margins = {"loss__name": "triplet", "loss__triplet__margin": 0.25}
    payload, _ = trained(configuration(tiny_encoder, toy, **margins))
    assert payload["temperatures"] == {"triplet": 1.0} and payload["loss"] == "triplet"


def test_the_predictor_is_trained_and_kept_for_resume_and_no_part_of_the_saved_model(
    tiny_encoder: Path, toy: str
) -> None:
    from safetensors.torch import load_file

    config = configuration(tiny_encoder, toy, isotropic__predictive=0.5, eval__during="off", train__lr=1e-2)
    _, paths = trained(config)
    steps = journal.steps(paths.metrics)
    assert steps[3]["loss"] == pytest.approx(steps[3]["loss.infonce"] + 0.5 * steps[3]["loss.predictive"], rel=1e-5)
    kept = load_file(checkpoints.newest(paths.checkpoints).folder / checkpoints.WEIGHTS)
    mine = {name for name in kept if "predictor" in name}
    assert {kept[f"method.predictor.{part}.weight"].shape for part in ("first", "last")} == {(64, 32), (32, 64)}
    assert len(mine) == 4
    start = isotropic.Predictor(32, config.run.seed)
    assert not torch.equal(kept["method.predictor.first.weight"], start.first.weight)
    assert not [
        name for name in load_encoder(settings.resolve(), str(paths.model)).module.state_dict() if "pred" in name
    ]


@pytest.mark.parametrize("stop", [True, False])
def test_the_predictors_error_is_of_each_query_and_its_own_positive(
    tiny_encoder: Path, toy: str, tmp_path: Path, stop: bool
) -> None:
    given = {"isotropic__predictive": 1.0, "isotropic__stop_gradient": stop, "eval__during": "off"}
    method = opened(configuration(tiny_encoder, toy, **given), tmp_path)
    batch = method.collate([(i, 0) for i in (5, 1, 2)])
    with torch.no_grad():
        (chunk,) = batch["chunks"]
        queries_BD, passages_ND = (method.encoder.forward(chunk[side]) for side in ("query", "passage"))
        sizes = [len(method.training_on.batches.source.rows(i, 0).passage_rows_K) for i in (5, 1, 2)]
        positives_BD = passages_ND[np.r_[0, np.cumsum(sizes)[:-1]]]  # the first of each group
        wanted = (method.predictor(queries_BD) - positives_BD).square().mean()
    term = method.score(batch).terms["predictive"]
    assert term.weight == 1.0 and term.value.item() == pytest.approx(float(wanted), rel=1e-5)
    method.train()
    assert method.predictor(queries_BD).shape == positives_BD.shape
    dropped = (method.predictor(queries_BD) - method.predictor(queries_BD)).abs().max()
    assert dropped > 0, "dropout acts in training"


def test_the_base_teaches_the_scores_that_a_new_head_has(tiny_encoder: Path, toy: str, tmp_path: Path) -> None:
    """At the start a pca head's L2 logits are an affine function of the base's cosine: nothing is to be learned."""
    given = {"loss__name": "infonce:1,distill:1,marginmse:1", "isotropic__teacher": "base", "eval__during": "off"}
    for frozen in (True, False):
        method = opened(configuration(tiny_encoder, toy, model__freeze_base=frozen, **given), tmp_path / str(frozen))
        batches = [method.collate([(i, 0) for i in range(8)])]
        method.prepare(batches)
        output = method.step(batches[0])
        assert output.parts["infonce"] > 0.1
        assert output.parts["distill"] == pytest.approx(0, abs=1e-5)
        assert output.parts["marginmse"] == pytest.approx(0, abs=1e-4)
        views = method.views(batches[0])
        assert views["teacher"].labels_BN.shape == views["masked"].labels_BN.shape
        assert torch.equal(views["teacher"].mask_BN, views["masked"].mask_BN)
        state = json.loads(json.dumps(method.state()))
        method.teacher.scale = 0.0
        method.restore(state)
        assert method.teacher.scale == state["teacher_scale"] > 0


def test_the_teacher_is_the_base_as_it_was_loaded_whatever_is_changed_under_the_head(
    tiny_encoder: Path, toy: str, tmp_path: Path
) -> None:
    """Without its Normalize the base's dot products had followed the lengths of its vectors."""
    given = {"loss__name": "infonce:1,distill:1", "isotropic__teacher": "base", "eval__during": "off"}
    loaded = load_encoder(configuration(tiny_encoder, toy))
    assert loaded.settings.normalize
    found = {}
    for asked in ("", "false"):
        method = opened(configuration(tiny_encoder, toy, model__normalize_base=asked, **given), tmp_path / f"x{asked}")
        method.teacher.similarity = "dot"  # of unit vectors the cosine
        batch = method.collate([(i, 0) for i in range(8)])
        found[asked] = method.views(batch)["teacher"].labels_BN
    np.testing.assert_allclose(found[""], found["false"], atol=1e-6)
    plain = unnormalized(tiny_encoder, tmp_path / "plain")
    config = configuration(plain, toy, model__normalize_base="true", **given)
    with pytest.raises(ConfigError, match=r"normalize_base=true: scales the vectors of .* by dot as they are"):
        opened(config, tmp_path / "scaled")


def unnormalized(encoder: Path, folder: Path) -> Path:
    """The same model, whose vectors are not of length 1 and are compared by dot."""
    model: Any = load_encoder(settings.resolve({"model.name": (str(encoder), SET)}))
    while isinstance(model.module[-1], Normalize):
        del model.module[-1]
    model.settings = dataclasses.replace(model.settings, normalize=False)
    set_similarity(model, "dot").save(folder)
    return folder


def test_a_teacher_reads_no_labels_so_groups_hold_one_positive_and_grades_are_no_fault(
    tiny_encoder: Path, toy: str
) -> None:
    given = {"loss__name": "infonce:1,distill:1", "isotropic__teacher": "base"}
    payload, paths = trained(configuration(tiny_encoder, toy, **given))
    kept = settings.resolve(settings.from_file(paths.config))
    assert kept.plugin("loss.distill") == {"label_temperature": 0.0}
    assert payload["steps"] == 3 and set(payload["temperatures"]) == {"infonce", "distill"}
    with pytest.raises(ConfigError, match="distill follows the scores of a teacher; the labels are only 0 and 1"):
        trained(configuration(tiny_encoder, toy, loss__name="infonce:1,distill:1"))


def test_a_training_with_head_predictor_teacher_and_regularizer_goes_on_to_the_same_bits(
    tiny_encoder: Path, toy: str
) -> None:
    config = configuration(
        tiny_encoder,
        toy,
        isotropic__predictive=0.1,
        isotropic__teacher="base",
        loss__name="infonce:1,distill:0.5",
        train__regularizer="sigreg:0.02,gor:0.1",
        regularizer__sigreg__slices=16,
        model__dropout=0.1,
        train__max_steps=4,
        train__save="2",
        train__epoch_models=False,  # else the epoch's end, step 3, is kept too
    )
    payload, kept = trained(config)
    last = checkpoints.newest(kept.checkpoints)
    weights = (last.folder / checkpoints.WEIGHTS).read_bytes()
    shutil.rmtree(last.folder)
    shutil.rmtree(kept.model)
    assert checkpoints.newest(kept.checkpoints).step == 2
    with start_run(command="train", argv=["irctl", "train"], config=config, resume=kept.folder) as again:
        resumed = pipeline.train(config, again, Silent(), resume=True)
    assert resumed["model_fingerprint"] == payload["model_fingerprint"]
    assert (checkpoints.newest(kept.checkpoints).folder / checkpoints.WEIGHTS).read_bytes() == weights


def test_terms_of_the_source_are_weights_of_loss_and_regularizer(tiny_encoder: Path, toy: str) -> None:
    given = {
        "loss__name": "triplet:1",
        "train__regularizer": "cov_iso_ragcun:1,entry_std:0.1",
        "train__regularizer_rows": "joint",
        "isotropic__predictive": 0.5,
        "model__head_init": "torch",
    }
    _, paths = trained(configuration(tiny_encoder, toy, **given))
    row = journal.steps(paths.metrics)[2]
    parts = {name: row[f"loss.{name}"] for name in ("triplet", "cov_iso_ragcun", "entry_std", "predictive")}
    weighted = parts["triplet"] + parts["cov_iso_ragcun"] + 0.1 * parts["entry_std"] + 0.5 * parts["predictive"]
    assert row["loss"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"isotropic__logits": "squared", "model__similarity": "cosine"}, "isotropic.logits=squared .*is of distances"),
        ({"isotropic__stop_gradient": False}, "isotropic.stop_gradient .*predictive=0 trains none"),
        ({"isotropic__logits": "distance", "model__output_dim": "", "model__similarity": "dot"}, "trained by dot"),
        ({"model__output_dim": ""}, "model.freeze_base .*nothing is left to train"),
        (
            {"hardware__zero_stage": 2, "train__epoch_models": True},
            "epoch_models .from --set.: with hardware.zero_stage=2",
        ),
        ({"isotropic__teacher": "base"}, "no loss of infonce follows a teacher"),
        ({"isotropic__teacher": "other"}, "isotropic.teacher: expected one of .*base, found 'other'"),
        ({"isotropic__predictive": -1.0}, "isotropic.predictive: expected a weight of 0 or more"),
    ],
)
def test_settings_that_nothing_would_read_are_refused(tiny_encoder: Path, toy: str, given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.check(configuration(tiny_encoder, toy, **given), Silent())


def test_a_model_with_a_head_goes_on_with_it_and_with_its_similarity(tiny_encoder: Path, toy: str) -> None:
    _, first = trained(configuration(tiny_encoder, toy))
    config, _ = checks.check(configuration(first.model, toy), Silent())
    assert (config.model.output_dim, config.model.similarity, config.loss.temperature) == ("", "", 1.0)
    taught = configuration(first.model, toy, isotropic__teacher="base", loss__name="infonce:1,distill:1")
    with pytest.raises(ConfigError, match="has a head, after which nothing says what its base is compared by"):
        checks.check(taught, Silent())
    payload, second = trained(configuration(first.model, toy))
    assert json.loads((second.model / "irctl.json").read_text())["similarity"] == "euclid" and payload["steps"] == 3


def test_logits_of_distances_are_refused_for_a_model_whose_head_compares_by_the_cosine(
    tiny_encoder: Path, toy: str
) -> None:
    _, first = trained(configuration(tiny_encoder, toy, model__similarity="cosine", eval__during="off"))
    with pytest.raises(ConfigError, match=r"isotropic.logits=squared .*is of distances; .* is trained by cosine"):
        checks.check(configuration(first.model, toy, isotropic__logits="squared"), Silent())
    again = configuration(first.model, toy, isotropic__logits="squared", model__similarity="euclid")
    assert checks.check(again, Silent())[0].model.similarity == "euclid"


def test_without_a_head_nothing_has_the_rate_of_one_and_the_training_runs(tiny_encoder: Path, toy: str) -> None:
    given = {"model.output_dim": "", "model.name": str(tiny_encoder), "train.method": "isotropic", "data.source": toy,
             "data.group_size": 3, "batch.global": 8, "train.epochs": 1, "eval.during": "off"}  # fmt: skip
    config = settings.resolve({k: (v, SET) for k, v in given.items()})
    settled = checks.check(config, Silent())[0]
    assert (settled.train.lr, settled.train.projection_lr, settled.loss.temperature) == (2e-5, 0.0, "auto")
    payload, paths = trained(config)
    assert payload["steps"] == 1 and len(load_encoder(settings.resolve(), str(paths.model)).module) == 3
    predicts = config.replace({"isotropic.predictive": 0.5}, SET)
    assert checks.check(predicts, Silent())[0].train.projection_lr == 5e-4, "the predictor's"


def test_epochs_leave_no_models_where_deepspeed_slices_them_and_nobody_asked(tiny_encoder: Path, toy: str) -> None:
    config = settings.resolve({k: (v, SET) for k, v in {"train.method": "isotropic", "hardware.zero_stage": 2}.items()})
    assert config.train.epoch_models and not checks.check(config, Silent())[0].train.epoch_models


def test_a_head_has_the_rate_of_the_source_where_nobody_chose_one(tiny_encoder: Path, toy: str) -> None:
    for frozen, wanted in ((True, (5e-4, 0.0)), (False, (2e-5, 5e-4))):
        given = dict(configuration(tiny_encoder, toy, model__freeze_base=frozen).flat())
        names = ("train.method", "model.name", "model.freeze_base", "data.source")
        config = settings.resolve({name: (given[name], SET) for name in names})
        train = checks.check(config, Silent())[0].train
        assert (train.lr, train.projection_lr) == wanted


def test_epochs_leave_models_unless_the_length_is_said_in_steps(tiny_encoder: Path, toy: str) -> None:
    """A loss batch may hold all queries of a small collection: then every step ends an epoch."""
    for given, wanted in (({"train__max_steps": 0}, False), ({"train__epoch_models": True}, True), ({}, False)):
        config, _ = checks.check(configuration(tiny_encoder, toy, **given), Silent())
        assert config.train.epoch_models == wanted
    default = settings.resolve({"train.method": ("isotropic", SET), "data.source": (toy, SET)})
    assert checks.check(default, Silent())[0].train.epoch_models
    for epochs, wanted in ((10, True), (11, False)):
        longer = default.replace({"train.epochs": epochs}, SET)
        assert checks.check(longer, Silent())[0].train.epoch_models == wanted


def test_the_temperature_is_one_for_distances_and_measured_for_cosines(tiny_encoder: Path, toy: str) -> None:
    for kind, wanted in (("euclid", 1.0), ("cosine", "auto")):
        config, _ = checks.check(configuration(tiny_encoder, toy, model__similarity=kind), Silent())
        assert config.loss.temperature == wanted
    config = configuration(tiny_encoder, toy, model__similarity="cosine", loss__temperature=0.05)
    assert checks.check(config, Silent())[0].loss.temperature == 0.05
