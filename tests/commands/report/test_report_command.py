"""`irctl report` over a ledger of recorded runs: lineage to rows, formats, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded_evaluations import evaluation, irctl, step

from irctl.ledger.recording import RunHandle
from irctl.pipelines.evaluate import files as store


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, RunHandle]]]:
    """(runs folder, runs): recorded once, since collecting the facts of a run takes a moment."""
    folder = tmp_path_factory.mktemp("recorded") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRCTL_RUNS", str(folder))
        patch.delenv("IRCTL_LEDGER", raising=False)
        made = record()
    yield folder, made


@pytest.fixture
def ledger(recorded: tuple[Path, dict[str, RunHandle]], own_folders: Path) -> dict[str, RunHandle]:
    """The recorded runs, in a copy that a test may add to."""
    shutil.copytree(recorded[0], own_folders / "runs")
    return recorded[1]


def record() -> dict[str, RunHandle]:
    """BM25, an encoder, its PQ codes, and a trained encoder, each evaluated on test; the trained one also on dev."""
    bm25 = step("search", kind="run_file", method="bm25")
    encode = step("encode", kind="embeddings")
    compress = step("compress", "compress.method=pq", "pq.m=48", parents=(encode,), kind="bundle")
    negatives = "data.negatives=none"
    about: dict[str, Any] = {"negatives_per_query": 31, "seed": 42, "dataset": "cranfield"}
    train = step("train", negatives, "loss.name=infonce", kind="model", measured_on="dev", **about)
    trained = step("encode", parents=(train,), kind="embeddings")
    return {
        "bm25": evaluation(bm25, 0.38, method="bm25", model="bm25 k1=1.5"),
        "plain": evaluation(encode, 0.40, dim=384),
        "pq": evaluation(compress, 0.30, bytes_per_vector=48),
        "train": train,
        "trained": evaluation(trained, 0.45, dim=384),
        "dev": evaluation(trained, 0.99, dim=384, split="dev"),
    }


def table_of(*argv: str) -> dict[str, dict[str, str]]:
    result = irctl("--json", *argv)
    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)["tables"]
    return {r["system"]: {k: c["text"] for k, c in r["cells"].items()} for r in table["rows"]}


def test_an_empty_ledger_is_one_line_with_the_next_step_and_exit_3() -> None:
    result = irctl()
    assert result.exit_code == 3
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "no evaluation to report. irctl demo makes some" in result.stderr


def test_lineage_gives_method_model_and_bytes_and_the_share_kept(ledger: dict[str, RunHandle]) -> None:
    assert table_of() == {
        "BM25": {"nDCG@10": "38.0", "R@100": "57.0", "bytes": "--", "kept": "--"},
        "all-MiniLM-L6-v2": {"nDCG@10": "40.0", "R@100": "60.0", "bytes": "1,536", "kept": "100.0"},
        "dense infonce": {"nDCG@10": "45.0", "R@100": "67.5", "bytes": "1,536", "kept": "100.0"},
        "all-MiniLM-L6-v2 + pq m=48": {"nDCG@10": "30.0", "R@100": "45.0", "bytes": "48", "kept": "75.0"},
    }


def test_dev_gives_way_to_test_unless_it_is_asked_for(ledger: dict[str, RunHandle]) -> None:
    assert table_of("--split", "dev")["dense infonce"]["nDCG@10"] == "99.0"
    result = irctl("--split", "train")
    assert result.exit_code == 3 and "no evaluation on split 'train'" in result.stderr


def test_only_the_named_runs_are_shown(ledger: dict[str, RunHandle]) -> None:
    assert set(table_of("--run", ledger["bm25"].id, "--run", ledger["plain"].id)) == {"BM25", "all-MiniLM-L6-v2"}


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "RUN"])
def test_the_baseline_comes_first_and_the_others_are_tested_against_it(ledger: dict[str, RunHandle], name: str) -> None:
    result = irctl("--json", "--baseline", name.replace("RUN", ledger["plain"].id))
    (table,) = json.loads(result.stdout)["tables"]
    assert table["rows"][0]["system"] == "all-MiniLM-L6-v2"
    assert len(table["comparisons"]) == 6
    signs = {r["system"]: r["cells"]["nDCG@10"].get("sign", "") for r in table["rows"]}
    assert signs["all-MiniLM-L6-v2 + pq m=48"] == "††" and signs["all-MiniLM-L6-v2"] == ""


def test_a_method_as_baseline_means_what_was_trained_by_it_before_encoders_as_they_came(
    ledger: dict[str, RunHandle],
) -> None:
    (table,) = json.loads(irctl("--json", "--baseline", "dense").stdout)["tables"]
    assert table["rows"][0]["system"] == "dense infonce"


def test_every_row_that_the_message_lists_is_a_baseline(ledger: dict[str, RunHandle]) -> None:
    sets = ("data.negatives=none", "loss.name=infonce", "train.lr=0.1")
    more = step("train", *sets, kind="model", negatives_per_query=31, seed=42)
    evaluation(more, 0.2, dim=384)
    evaluation(ledger["train"], 0.3, split="train", dim=384)  # alone there, so its label is shorter
    message = irctl("--baseline", "nothing").stderr
    labels = message.partition("Rows: ")[2].strip().split(", ")
    assert "dense infonce lr=0.1" in labels
    for label in labels:
        result = irctl("--json", "--baseline", label)
        assert result.exit_code == 0, (label, result.stderr)
        assert label in [t["rows"][0]["system"] for t in json.loads(result.stdout)["tables"]], label


def test_a_baseline_that_names_several_rows_is_refused_with_their_names(ledger: dict[str, RunHandle]) -> None:
    sets = ("data.negatives=none", "loss.name=infonce", "train.lr=0.1")
    more = step("train", *sets, kind="model", negatives_per_query=31, seed=42)
    evaluation(more, 0.2, dim=384)
    for name in ("infonce", "nfonc"):
        result = irctl("--baseline", name)
        assert result.exit_code == 2, name
        assert f"'{name}' names 2 rows: dense infonce, dense infonce lr=0.1" in result.stderr


def test_a_row_says_the_regularizer_it_was_trained_with(ledger: dict[str, RunHandle]) -> None:
    about: dict[str, Any] = {"kind": "model", "negatives_per_query": 31, "seed": 42}
    for loss in ("infonce", "infonce:1,distill:400"):
        sets = ("data.negatives=none", f"loss.name={loss}", "train.regularizer=sigreg:0.02,gor:0.1")
        evaluation(step("train", *sets, **about), 0.2, dim=384)
    rows = table_of("--split", "test")
    assert {"dense infonce with sigreg:0.02,gor:0.1", "dense infonce:1,distill:400 with sigreg:0.02,gor:0.1"} <= set(
        rows
    )


def test_a_corrected_p_stands_beside_its_family(ledger: dict[str, RunHandle]) -> None:
    one = json.loads(irctl("--baseline", "bm25", "--json").stdout)["tables"][0]["comparisons"][0]
    assert one["family"] == 6
    rows = list(csv.DictReader(io.StringIO(irctl("--baseline", "bm25", "--format", "csv").stdout)))
    assert {r[f"{one['measure']} family"] for r in rows} == {"6", ""}
    for form in ("latex", "markdown"):
        text = irctl("--baseline", "bm25", "--format", form).stdout
        assert text.count("(family of 6)") == 6, form


def test_p_values_are_in_every_text_format(ledger: dict[str, RunHandle]) -> None:
    one = json.loads(irctl("--baseline", "bm25", "--json").stdout)["tables"][0]["comparisons"][0]
    rows = list(csv.DictReader(io.StringIO(irctl("--baseline", "bm25", "--format", "csv").stdout)))
    mine = next(r for r in rows if r["system"] == one["system"])
    for part in ("delta", "p_raw", "p_adj"):
        assert float(mine[f"{one['measure']} {part}"]) == one[part]
    for form in ("latex", "markdown"):
        assert f"{one['delta']:+.4f}" in irctl("--baseline", "bm25", "--format", form).stdout


def test_an_evaluation_whose_values_are_gone_is_left_out_and_named(ledger: dict[str, RunHandle]) -> None:
    gone = evaluation(None, 0.2)
    (gone.out / store.EVAL).unlink()
    result = irctl("--json")
    (table,) = json.loads(result.stdout)["tables"]
    assert any(gone.id in note for note in table["notes"]) and len(table["rows"]) == 4
    assert irctl("--run", gone.id).exit_code == 3


def test_a_table_that_cannot_be_written_is_one_line(ledger: dict[str, RunHandle], tmp_path: Path) -> None:
    done = irctl("-o", str(tmp_path))
    assert done.exit_code == 3 and done.stderr.startswith(
        f"error: {tmp_path}: expected a file or a new name, found a folder"
    )


def test_every_cell_names_its_run(ledger: dict[str, RunHandle]) -> None:
    latex = irctl("--format", "latex").stdout
    assert f"% run {ledger['pq'].id}" in latex and r"\begin{tabular}{@{}l*{4}{r}@{}}" in latex
    assert ledger["trained"].id in irctl("--ids").stdout
    assert f'{ledger["plain"].id}"' in irctl("--format", "html").stdout
    assert ledger["bm25"].id in irctl("--format", "csv", "--ids").stdout


def test_the_terminal_table_is_plain_when_it_is_not_a_terminal(ledger: dict[str, RunHandle]) -> None:
    text = irctl("--baseline", "dense").stdout
    assert "\x1b" not in text and "cranfield test" in text and "family of 6" in text


def test_the_compression_table_leaves_out_what_was_never_compressed(ledger: dict[str, RunHandle]) -> None:
    assert set(table_of("--table", "compression")) == {"all-MiniLM-L6-v2", "all-MiniLM-L6-v2 + pq m=48"}


def test_columns_can_be_chosen_by_any_spelling_of_a_measure(ledger: dict[str, RunHandle]) -> None:
    assert set(table_of("--columns", "bytes,recall@100")["BM25"]) == {"bytes", "R@100"}
    result = irctl("--columns", "nDCG@5")
    assert result.exit_code == 2 and "Did you mean" in result.stderr


def test_cells_of_different_depth_are_refused_without_mixed(ledger: dict[str, RunHandle]) -> None:
    evaluation(None, 0.5, k=10, model="other", dim=64)
    result = irctl()
    assert result.exit_code == 2 and "different depth k" in result.stderr and "--mixed" in result.stderr
    assert table_of("--mixed")["other"]["nDCG@10"] == "50.0"


def test_evaluating_again_replaces_and_other_settings_make_another_row(ledger: dict[str, RunHandle]) -> None:
    sets = ("data.negatives=none", "loss.name=infonce", "train.lr=0.1")
    more = step("train", *sets, kind="model", negatives_per_query=31, seed=42)
    evaluation(more, 0.2, dim=384)
    names = [n for n in table_of() if n.startswith("dense infonce")]
    assert sorted(names) == ["dense infonce", "dense infonce lr=0.1"]


def test_seeds_of_one_setting_are_one_row(ledger: dict[str, RunHandle]) -> None:
    for seed, value in ((1, 0.43), (2, 0.47)):
        sets = ("data.negatives=none", "loss.name=infonce", f"run.seed={seed}")
        other = step("train", *sets, kind="model", negatives_per_query=31, seed=seed)
        evaluation(step("encode", parents=(other,), kind="embeddings"), value, dim=384)
    assert table_of()["dense infonce"]["nDCG@10"] == "45.0 ± 2.0"


def test_a_figure_is_saved_and_its_files_are_named(ledger: dict[str, RunHandle], tmp_path: Path) -> None:
    result = irctl("--figure", "pareto", "-o", str(tmp_path / "figures"))
    assert result.exit_code == 0, result.stderr
    assert [Path(line).name for line in result.stdout.split()] == [
        "pareto.pdf",
        "pareto.svg",
        "pareto.png",
        "pareto.csv",
    ]
    assert irctl("--figure", "pie").exit_code == 2


def test_every_evaluation_can_be_a_row_of_its_own(ledger: dict[str, RunHandle]) -> None:
    again = evaluation(ledger["train"], 0.41, dim=384)
    assert f"dense infonce {again.id}" in table_of("--group-by", "run")
    assert set(table_of("--group-by", "method", "--run", ledger["trained"].id)) == {"dense"}
    result = irctl("--group-by", "method")
    assert result.exit_code == 2 and "stands for several systems" in result.stderr


def test_the_table_goes_to_a_file_when_one_is_named(ledger: dict[str, RunHandle], tmp_path: Path) -> None:
    result = irctl("--format", "markdown", "-o", str(tmp_path / "t" / "table.md"))
    assert result.exit_code == 0 and result.stdout == ""
    assert (tmp_path / "t" / "table.md").read_text().startswith("### cranfield test")


def test_the_checklist_says_what_is_there_and_what_would_add_the_rest(ledger: dict[str, RunHandle]) -> None:
    lines = irctl("--checklist").stdout.splitlines()
    assert "no   latency of one query: recorded by irctl eval --set search.latency=100" in lines
    assert "yes  lexical baseline: BM25" in lines and "no   three training seeds or more: 1 at least" in lines


def test_wrong_words_are_refused_with_the_legal_ones(ledger: dict[str, RunHandle]) -> None:
    for argv in (
        ("--format", "docx"),
        ("--table", "mian"),
        ("--marks", "stars"),
        ("--test", "u"),
        ("--correction", "fdr"),
    ):
        result = irctl(*argv)
        assert result.exit_code == 2 and argv[1] in result.stderr, argv
        assert "Known" not in result.stderr, argv  # what is expected says it
    assert irctl("--dataset", "cranfeild").exit_code == 3


def test_a_run_chosen_on_the_split_it_is_reported_on_is_footnoted(ledger: dict[str, RunHandle]) -> None:
    text = irctl("--split", "dev").stdout
    assert "Selected on the split it is reported on (selected_on_eval): dense infonce on cranfield dev." in text


def test_a_run_chosen_on_held_out_training_queries_has_no_such_footnote(own_folders: Path) -> None:
    sets = ("data.negatives=none", "loss.name=infonce")
    train = step("train", *sets, kind="model", measured_on="3 of train", dataset="cranfield")
    evaluation(step("encode", parents=(train,), kind="embeddings"), 0.9, split="dev")
    done = irctl("--split", "dev")
    assert done.exit_code == 0 and "dense infonce" in done.stdout and "selected_on_eval" not in done.stdout
