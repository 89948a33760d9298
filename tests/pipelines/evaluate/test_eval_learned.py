"""Tables call trained codes by their training, beside the vectors and the compression that they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, new_run, settings
from learning import child_bundle, encoded, opened, trained_run
from toy_collections import beir_folder

from irctl.ledger import query
from irctl.pipelines.evaluate.evaluate import evaluate
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.report.records import gather
from irctl.reports.records import Record, compute_kept, index_wholes, label_rows
from irctl.types import Silent


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    words = "wing flow shock boundary layer heat panel flutter body cone".split()
    documents = {f"d{i}": " ".join(rng.choice(words, 6)) for i in range(150)}
    queries = {f"q{i}": " ".join(rng.choice(words, 3)) for i in range(5)}
    return beir_folder(
        tmp_path / "toy", documents, queries, test={q: dict.fromkeys(list(documents)[:60], 1) for q in queries}
    )


def evaluated(toy: Path, **request: str) -> Record:
    """nDCG@10 of an evaluation, as reports read it."""
    config = settings(data__source=toy, eval__measures="nDCG@10")
    run = new_run("eval", config)
    with run:
        evaluate(config, run, Silent(), EvalRequest(**request))
    (record,) = gather([run.id])
    return record


def test_trained_codes_are_a_row_of_their_training_over_the_same_vectors(toy: Path, tiny_encoder: Path) -> None:
    run = encoded(toy, tiny_encoder)
    dense = evaluated(toy, index=run)
    made = compressed(run, compress__method="opq", opq__m=8, opq__bits=3)["bundle"]
    opq = evaluated(toy, index=made)
    trained = trained_run(opened(made), loss__name="distill", loss__temperature=0.05)
    jpq = evaluated(toy, index=trained.id)
    assert (dense.compression, opq.compression, jpq.compression) == ("", "opq", "jpq")
    assert dense.base == opq.base == jpq.base and jpq.variant not in (dense.variant, opq.variant)
    assert opq.system == f"{dense.system} + opq bits=3 iterations=2 m=8"
    assert jpq.system == f"{dense.system} + jpq distill bits=3 iterations=2 m=8"
    kept = compute_kept(jpq, index_wholes([dense, opq, jpq]))
    assert kept is not None and kept == pytest.approx(jpq.value / dense.value)
    assert jpq.bytes_per_vector == opq.bytes_per_vector == 3 and jpq.loss == "distill"
    assert jpq.code_seed == opq.code_seed and trained.id in jpq.lineage


def test_another_start_of_the_same_settings_is_the_same_system(toy: Path, tiny_encoder: Path) -> None:
    run = encoded(toy, tiny_encoder)
    rows = []
    for seed in (1, 2):
        made = compressed(run, compress__method="opq", opq__m=8, opq__bits=3, run__seed=seed)["bundle"]
        trained = trained_run(opened(made), train__index=made, loss__name="distill")
        rows.append(evaluated(toy, index=trained.id))
    assert rows[0].variant == rows[1].variant and rows[0].lineage != rows[1].lineage


def test_codes_trained_on_trained_codes_are_a_system_of_their_own(toy: Path, tiny_encoder: Path) -> None:
    """The second replaced the first in every report, for their settings differ in the index alone."""
    made = compressed(encoded(toy, tiny_encoder), compress__method="opq", opq__m=8, opq__bits=3)["bundle"]
    first = trained_run(opened(made), train__index=made, loss__name="distill")
    child = opened(first.out / "bundle")
    second = trained_run(child, train__index=child.folder, loss__name="distill")
    rows = [evaluated(toy, index=run.id) for run in (first, second)]
    assert first.id in rows[1].lineage and rows[0].variant != rows[1].variant and rows[0].base == rows[1].base
    assert (rows[0].traits.get("trainings"), rows[1].traits["trainings"]) == (None, "2")
    assert len(set(label_rows(rows).values())) == 2


@pytest.mark.parametrize("wrote_codes", (False, True))
def test_a_model_whose_training_read_or_wrote_codes_is_searched_by_its_floats(
    toy: Path, tiny_encoder: Path, wrote_codes: bool
) -> None:
    made = compressed(encoded(toy, tiny_encoder), compress__method="opq", opq__m=8, opq__bits=3)["bundle"]
    run = new_run("train", settings(loss__name="infonce"))
    with run:
        run.note(method="adore")
        run.artifact("in", "bundle", made)
        shutil.copytree(tiny_encoder, run.paths.model)
        run.artifact("out", "model", run.paths.model)
        if wrote_codes:
            child = child_bundle(run.out / "bundle", opened(made))
            run.artifact("out", "bundle", child.folder, sha256=child.fingerprint)
    record = evaluated(toy, model=run.id)
    assert query.find_run(run.id).id in record.lineage and record.compression == ""
