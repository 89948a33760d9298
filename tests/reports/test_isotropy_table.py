"""The isotropy table and its figure: which row is the baseline, what is the front, who is judged against it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from reading_pages import read

from irctl.errors import ConfigError
from irctl.reports import isotropy_rows
from irctl.reports.figures.isotropy import isotropy, isotropy_points
from irctl.reports.formats import csv_json
from irctl.reports.isotropy_table import build
from irctl.reports.page import page
from irctl.reports.records import Record
from irctl.reports.table import Table, TableOptions

RNG = np.random.default_rng(0)
BASE = RNG.random(30)
VALUES: dict[str, np.ndarray] = {}


def record(run: str, values: np.ndarray, iso: float, **more: object) -> Record:
    VALUES[run] = values
    made = Record(
        dataset="toy", split="test", measure="nDCG@10", value=float(values.mean()), run_id=run, created_at=run,
        system="model", variant=run, model="model", similarity="cosine", qrels_sha256="q", k=100, self_match="keep",
        n_queries=30, facts={"iso": iso, "iso_n": 700.0, "iso_d": 8.0, "1-cos": 0.5, "erank/d": 0.3},
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def per_query(r: Record) -> dict[str, float]:
    return {f"q{i}": float(v) for i, v in enumerate(VALUES[r.run_id])}


def front() -> list[Record]:
    forms = [("", 0.0, 0.1), ("soft_whiten a=0.25", 0.1, 0.3), ("soft_whiten a=0.75", -0.1, 0.6), ("whiten", -0.3, 0.5)]
    return [
        record(f"r{i}", BASE + gain, iso, part=f"{t or 'none'}, cosine", transform=t, system=f"model, {t}".rstrip(", "))
        for i, (t, gain, iso) in enumerate(forms)
    ]


def trained(name: str, gain: float, iso: float, seed: int = 0) -> Record:
    return record(
        f"{name}{seed}", BASE + gain, iso, system=name, variant=name, loss="infonce", seed=seed,
        facts={"iso": iso, "iso_n": 700.0, "iso_d": 8.0, "1-cos": 0.5, "erank/d": 0.3, "params": 12.0},
    )  # fmt: skip


OPTIONS = TableOptions(per_query=per_query)


def test_rows_are_tested_against_the_untouched_vectors() -> None:
    table = build(front(), "nDCG@10", OPTIONS)
    assert {c.baseline for c in table.comparisons} == {"model, cosine"} and len(table.comparisons) == 3
    assert [round(c.delta, 3) for c in table.comparisons] == [0.1, -0.3, -0.1]  # whiten is less isotropic than a = .75
    by_key = {c.key: cell.text for c, cell in zip(table.columns, table.rows[1].cells, strict=True)}
    assert by_key["similarity"] == "cosine" and by_key["delta"].startswith("+10.0 [") and by_key["iso"] == "0.300"
    assert not any("front of soft whitening" in note for note in table.notes)  # nothing was trained


def test_the_transform_dominates_what_lies_below_the_front_and_not_what_lies_on_it() -> None:
    """At IsoScore .2, half way from .1 to .3, the front is base + .05; whitening, back at .5, is no point of it."""
    below = build([*front(), trained("arm", 0.02, 0.2)], "nDCG@10", OPTIONS)
    assert any(n.startswith("The transform dominates") for n in below.notes)
    assert any("arm (IsoScore 0.200) -3.0" in n for n in below.notes)
    above = build([*front(), trained("arm", 0.06, 0.2), trained("weak", 0.0, 0.2)], "nDCG@10", OPTIONS)
    assert any(n == "On or above the front of soft whitening at equal held-out IsoScore: arm." for n in above.notes)
    beyond = build([*front(), trained("arm", 0.06, 0.7)], "nDCG@10", OPTIONS)
    assert verdicts(beyond) == [
        "Not judged against the front of soft whitening: arm (IsoScore 0.700): more isotropic than its front, which "
        "ends at 0.600."
    ]


def verdicts(table: Table) -> list[str]:
    return [n for n in table.notes if "front" in n.lower() or "dominates" in n]


def other_model(records: list[Record], gain: float) -> list[Record]:
    """The same of a model whose vectors are all the better by gain."""
    moved = []
    for r in records:
        VALUES[f"o{r.run_id}"] = VALUES[r.run_id] + gain
        system = r.system.replace("model", "other")
        made = replace(r, run_id=f"o{r.run_id}", variant=f"o{r.variant}", model="org/other", system=system, base="o")
        moved.append(replace(made, value=r.value + gain))
    return moved


def test_an_arm_is_judged_by_the_front_of_its_own_model_whatever_else_was_measured() -> None:
    """The untouched vectors of another model, .3 better at IsoScore .15, are no point of this one's front."""
    arm = trained("arm", 0.06, 0.2)
    single = [replace(r, part="", facts={**r.facts, "iso": 0.15}) for r in other_model(front()[:1], 0.3)]
    for others in ([], single, other_model(front(), 0.3)):
        table = build([*front(), *others, arm], "nDCG@10", OPTIONS)
        assert verdicts(table)[0] == "On or above the front of soft whitening at equal held-out IsoScore: arm."
    theirs = replace(trained("theirs", 0.06, 0.2), model="other")  # without its organisation
    table = build([*front(), *other_model(front(), 0.3), arm, theirs], "nDCG@10", OPTIONS)
    assert any("theirs (IsoScore 0.200) -29.0" in n and "arm (IsoScore 0.200) +1.0" in n for n in table.notes)
    points = isotropy_points([*front(), *other_model(front(), 0.3)], "nDCG@10", per_query)
    lines = [(p.model, p.line) for p in points if p.kind == "front"]
    assert sorted(lines, key=lambda of: of[1]) == lines and [len(set(lines)), len(lines)] == [2, 6]


def test_without_a_front_of_its_model_nothing_is_said_of_an_arm_but_that() -> None:
    """The untouched encoder alone is no front: a head of equal quality that is more isotropic does not `lie beyond`."""
    for records in (front()[:1], other_model(front(), 0.0)):
        table = build([*records, trained("arm", 0.02, 0.05)], "nDCG@10", OPTIONS)
        assert verdicts(table) == [
            "Not judged against the front of soft whitening: arm (IsoScore 0.050): no front of two points or more of "
            "model by cosine."
        ]
    points = isotropy_points(front()[:1], "nDCG@10", per_query)
    assert [p.kind for p in points] == ["other"]


def test_two_ways_to_read_texts_are_two_fronts_and_an_arm_has_that_of_its_own() -> None:
    short = {"encoder.passage_max_len": "32"}
    cut = [replace(r, model="model", traits=short) for r in other_model(front(), 0.3)]
    arm = trained("arm", 0.06, 0.2)
    assert "arm (IsoScore 0.200) +1.0" in verdicts(build([*front(), *cut, arm], "nDCG@10", OPTIONS))[1]
    arm = replace(arm, traits={"encoder.passage_max_len": "64"})
    (said,) = verdicts(build([*front(), *cut, arm], "nDCG@10", OPTIONS))
    assert "2 fronts of model by cosine: name the runs to show" in said


def test_the_dot_product_is_the_cosine_only_of_vectors_measured_to_be_of_length_1() -> None:
    forms = [
        replace(r, similarity="dot", part=r.part.replace("cosine", "dot"), base="d", variant=f"d{r.variant}")
        for r in other_model(front(), 0.3)
    ]
    forms = [replace(r, model="model", facts={**r.facts, "norm.mean": 1.7, "norm.std": 0.1}) for r in forms]
    table = build([*front(), *forms, trained("arm", 0.06, 0.2)], "nDCG@10", OPTIONS)
    assert any("arm (IsoScore 0.200) +1.0" in n for n in table.notes)
    lines = {p.similarity for p in isotropy_points([*front(), *forms], "nDCG@10", per_query) if p.kind == "front"}
    assert lines == {"cosine", "dot"}


def test_an_untouched_row_of_a_single_evaluation_is_a_point_of_the_front_too() -> None:
    """The newest evaluation of a system is its row, whichever command made it; for unit rows dot is the cosine."""
    plain = [record("r9", BASE, 0.1, system="model", variant="r0", similarity="dot"), *front()[1:]]
    plain[0] = replace(plain[0], facts={**plain[0].facts, "norm.mean": 1.0, "norm.std": 1e-4})
    table = build([*plain, trained("arm", 0.02, 0.2)], "nDCG@10", OPTIONS)
    assert any("arm (IsoScore 0.200) -3.0" in n for n in table.notes)


def test_seeds_are_one_row_in_their_mean() -> None:
    arms = [trained("arm", 0.01 * seed, 0.2 + 0.01 * seed, seed) for seed in range(3)]
    table = build([*front(), *arms], "nDCG@10", OPTIONS)
    row = next(r for r in table.rows if r.label == "arm")
    cells = {c.key: cell for c, cell in zip(table.columns, row.cells, strict=True)}
    assert cells["nDCG@10"].sd == pytest.approx(0.01) and cells["iso"].value == pytest.approx(0.21)
    assert cells["params"].text == "12"
    (point,) = (p for p in isotropy_points([*front(), *arms], "nDCG@10", per_query) if p.kind == "trained")
    assert (point.seeds, point.sd, point.iso_sd) == (3, pytest.approx(0.01), pytest.approx(0.01))


def test_the_figure_draws_the_line_in_its_order_and_keeps_its_numbers() -> None:
    figure, data = isotropy([*front(), trained("arm", 0.02, 0.2)], "nDCG@10", title="toy", per_query=per_query)
    rows = list(csv.DictReader(io.StringIO(data)))
    line = [r["system"] for r in rows if r["kind"] == "front"]
    assert line == ["untouched", "soft_whiten a=0.25", "soft_whiten a=0.75"]
    assert [r["system"] for r in rows if r["kind"] == "transform"] == ["whiten"]
    assert figure.axes[0].get_xlabel() == "IsoScore, debiased, held out"


def test_rows_of_other_judgements_are_refused_and_measures_of_other_n_left_out() -> None:
    with pytest.raises(ConfigError, match="different judgements"):
        build([*front(), replace(trained("arm", 0, 0.2), qrels_sha256="other")], "nDCG@10", OPTIONS)
    arm = trained("arm", 0, 0.2)
    table = build([*front(), replace(arm, facts={**arm.facts, "iso_n": 1400.0})], "nDCG@10", OPTIONS)
    keys = [c.key for c in table.columns]
    assert "erank/d" not in keys and {"iso", "1-cos"} <= set(keys)  # whose expectation does not depend on N
    assert any(n.startswith("Left out: column erank/d: depends on the number of rows") for n in table.notes)
    assert "erank/d" in [c.key for c in build(front(), "nDCG@10", OPTIONS).columns]


def test_what_has_no_isotropy_or_is_compressed_is_no_row() -> None:
    codes = record("c", BASE, 0.2, compression="pq")
    bare = record("b", BASE, 0.2, facts={})
    assert isotropy_rows.find_systems([codes, bare], "nDCG@10", OPTIONS) == []


def test_programs_and_the_page_have_the_tests_as_numbers() -> None:
    """They were once rounded texts, which a page sorted by their letters and a CSV wrote with an apostrophe before."""
    table = build(front(), "nDCG@10", TableOptions(per_query=per_query))
    rows = list(csv.DictReader(io.StringIO(csv_json.render_csv([table]))))
    of_page = {g["id"]: g.get("data-v") for _, g in read(page.render([table])).elements if "id" in g}
    by_name = {c.system: c for c in table.comparisons}
    assert len(by_name) == len(rows) - 1
    for r, (row, read_row) in enumerate(zip(table.rows, rows, strict=True)):
        one = by_name.get(row.tested_as)
        for at, key in enumerate(c.key for c in table.columns):
            if key in ("delta", "p", "p_adj"):
                wanted = one and getattr(one, "p_raw" if key == "p" else key)
                assert read_row[key] == ("" if wanted is None else repr(wanted))
                assert of_page[f"t0-r{r}-c{at}"] == (None if wanted is None else repr(wanted))
        for part in ("delta", "ci_low", "ci_high", "p_raw", "p_adj", "family"):
            assert read_row[f"nDCG@10 {part}"] == ("" if one is None else repr(getattr(one, part)))
