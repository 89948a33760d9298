"""What every measure, a file of its folder, must keep: trec_eval's order, bounds, a divisor that forgets no query."""

from __future__ import annotations

import independent_measures as independent
import pytest

from irctl import plugins
from irctl.metrics.ranking.evaluate import evaluate
from irctl.metrics.ranking.parsing import MEASURES, PRESETS, list_families, parse

FILES = plugins.names(MEASURES)
NAMES = sorted(
    {m.name for preset in PRESETS for m in parse(preset)}
    | {f.name if f.cutoff == "none" else f"{f.name}@10" for f in list_families().values()}
)
QRELS = {"1": {"a": 3, "b": 0, "c": 1}, "2": {"a": 2}}


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_its_measure_is_called_and_takes(file: str) -> None:
    family = list_families()[file]
    assert family.name.lower() == file and plugins.summary(MEASURES, file).startswith(family.name)
    assert family.cutoff in ("needed", "optional", "none") and set(family.parameters) <= {"rel", "judged_only"}
    assert all(list_families()[s] is family and s == s.lower() for s in family.synonyms)
    assert parse(file if family.cutoff == "none" else f"{file}@{family.usual}")[0].family == family.name


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_run_beats_its_reverse_and_values_lie_between_0_and_1(name: str) -> None:
    best = {"1": {"a": 4.0, "c": 3.0, "b": 2.0}, "2": {"a": 1.0}}
    worst = {"1": {"a": 2.0, "c": 3.0, "b": 4.0}, "2": {"z": 1.0}}
    high, low = (evaluate(run, QRELS, name).means[name] for run in (best, worst))
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("name", NAMES)
def test_ties_give_the_same_value_in_every_order_of_the_input(name: str) -> None:
    one = evaluate({"1": dict.fromkeys("abcdef", 1.0)}, QRELS, name).per_query
    other = evaluate({"1": dict.fromkeys("fedcba", 1.0)}, QRELS, name).per_query
    assert one == other


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_query_halves_the_mean_of_two(name: str) -> None:
    half = evaluate({"2": {"a": 1.0}}, QRELS, name)
    assert half.means[name] == pytest.approx(half.per_query[name]["2"] / 2)
    assert half.per_query[name]["1"] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_rescaling_the_scores_changes_nothing(name: str) -> None:
    run = {"1": {"a": 0.5, "b": 0.25, "x": 0.125}, "2": {"y": 0.5, "a": 0.25}}
    scaled = {q: {d: 1000 * s - 3 for d, s in docs.items()} for q, docs in run.items()}
    assert evaluate(run, QRELS, name).per_query == evaluate(scaled, QRELS, name).per_query


@pytest.mark.parametrize("name", NAMES)
def test_a_second_implementation_gives_the_same_value(name: str) -> None:
    run = {"1": {"a": 0.5, "b": 0.25, "x": 0.125, "c": 0.125}, "2": {"y": 0.5, "a": 0.25}}
    assert evaluate(run, QRELS, name).means[name] == pytest.approx(independent.mean(name, run, QRELS), abs=1e-6)
