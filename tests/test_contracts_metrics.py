"""What every measure, a file of its folder, must keep: trec_eval's order, bounds, a divisor that forgets no query.

Laws that some keep are declared in their files, and a measure breaks what it does not declare.
"""

from __future__ import annotations

import random

import independent_measures as independent
import pytest

from irctl import plugins
from irctl.metrics.ranking.evaluate import evaluate
from irctl.metrics.ranking.parsing import MEASURES, PARAMETERS, PRESETS, list_families, parse

FILES = plugins.names(MEASURES)
NAMES = sorted(
    {m.name for preset in PRESETS for m in parse(preset)}
    | {m.name for f in list_families().values() for m in parse(f.name if f.cutoff == "none" else f"{f.name}@10")}
)
QRELS = {"1": {"a": 3, "b": 0, "c": 1}, "2": {"a": 2}}


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_its_measure_is_called_and_takes(file: str) -> None:
    family = list_families()[file]
    assert family.name.lower() == file and plugins.summary(MEASURES, file).startswith(family.name)
    assert family.cutoff in ("needed", "optional", "none") and set(family.parameters) <= set(PARAMETERS)
    assert set(family.reads) <= {"top_grade", "negative_grades"}
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


def random_cases() -> list[tuple[dict[str, list[str]], dict[str, dict[str, int]]]]:
    """(query -> ranking, query -> grades from -1 to 3): most of a query's judged documents among others."""
    cases = []
    for seed in range(4):
        rng = random.Random(seed)
        rankings, qrels = {}, {}
        for query in map(str, range(25)):
            grades = {f"d{i}": rng.choice([-1, 0, 0, 1, 2, 3]) for i in range(rng.randint(3, 14))} | {"best": 3}
            pool = [d for d in grades if rng.random() < 0.8] + [f"u{i}" for i in range(rng.randint(3, 8))]
            rankings[query], qrels[query] = rng.sample(pool, len(pool)), grades
        cases.append((rankings, qrels))
    return cases


CASES = random_cases()
CUT = sorted({m.name for f in list_families().values() for m in parse(f.name if f.cutoff == "none" else f"{f.name}@3")})
WHOLE = sorted({m.name for f in list_families().values() if f.cutoff == "optional" for m in parse(f.name)})


def values(name: str, rankings: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> dict[str, float]:
    """query -> value of rankings in this order, on a scale up to 3."""
    run = {q: {d: float(-i) for i, d in enumerate(ranking)} for q, ranking in rankings.items()}
    return evaluate(run, qrels, name, top_grade=3).per_query[name]


def perfect(qrels: dict[str, dict[str, int]]) -> dict[str, list[str]]:
    return {q: sorted(grades, key=lambda d: -grades[d]) for q, grades in qrels.items()}


@pytest.mark.parametrize("name", CUT + WHOLE)
def test_a_relevant_document_that_changes_places_with_the_irrelevant_one_above_it_lowers_no_value(name: str) -> None:
    moved = 0
    for rankings, qrels in CASES:
        before = values(name, rankings, qrels)
        better = {}
        for query, ranking in rankings.items():
            grade = [qrels[query].get(d) for d in ranking]
            pairs = [i for i in range(len(ranking) - 1) if grade[i] in (0, None) and (grade[i + 1] or 0) > 0]
            better[query] = list(ranking)
            if pairs:
                i = random.Random(query).choice(pairs)
                better[query][i : i + 2] = reversed(ranking[i : i + 2])
                moved += 1
        after = values(name, better, qrels)
        assert all(after[q] >= before[q] - 1e-9 for q in qrels)
    assert moved > 50


@pytest.mark.parametrize("name", CUT + WHOLE)
def test_unjudged_documents_below_the_cut_change_nothing(name: str) -> None:
    for rankings, qrels in CASES:
        longer = {q: [*ranking, "v1", "v2"] for q, ranking in rankings.items()}
        assert values(name, longer, qrels) == pytest.approx(values(name, rankings, qrels), abs=1e-12)


@pytest.mark.parametrize("name", CUT + WHOLE)
def test_the_names_of_documents_do_not_count(name: str) -> None:
    for rankings, qrels in CASES:
        renamed = {q: {d[::-1] + "x": g for d, g in grades.items()} for q, grades in qrels.items()}
        other = {q: [d[::-1] + "x" for d in ranking] for q, ranking in rankings.items()}
        assert values(name, other, renamed) == pytest.approx(values(name, rankings, qrels), abs=1e-12)


@pytest.mark.parametrize("name", CUT + WHOLE)
def test_no_ranking_is_above_the_perfect_one_and_none_is_outside_0_to_1(name: str) -> None:
    for rankings, qrels in CASES:
        best, found = values(name, perfect(qrels), qrels), values(name, rankings, qrels)
        assert all(0 <= found[q] <= best[q] + 1e-4 and best[q] <= 1 for q in qrels)  # infAP is smoothed by 1e-5


def _perfect_is_1(name: str) -> bool:
    return all(v > 1 - 1e-4 for _, qrels in CASES for v in values(name, perfect(qrels), qrels).values())


def _unjudged_do_not_count(name: str) -> bool:
    pruned = [({q: [d for d in r if qrels[q].get(d, -1) >= 0] for q, r in rs.items()}, qrels) for rs, qrels in CASES]
    return all(
        values(name, less, qrels) == pytest.approx(values(name, whole, qrels))
        for (whole, qrels), (less, _) in zip(CASES, pruned, strict=True)
    )


def _higher_grades_count(name: str) -> bool:
    binary = [{q: {d: min(g, 1) for d, g in grades.items()} for q, grades in qrels.items()} for _, qrels in CASES]
    return any(
        values(name, rankings, qrels) != pytest.approx(values(name, rankings, flat))
        for (rankings, qrels), flat in zip(CASES, binary, strict=True)
    )


LAWS = {
    "perfect is 1": _perfect_is_1,
    "unjudged documents do not count": _unjudged_do_not_count,
    "grades above the lowest count": _higher_grades_count,
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("file", FILES)
def test_a_measure_keeps_the_laws_that_its_file_declares_and_no_other(file: str, law: str) -> None:
    declared = plugins.literal(MEASURES, file, "LAWS")
    assert declared is not None and set(declared) <= set(LAWS), f"{file}.py: LAWS, of {', '.join(LAWS)}"
    family = list_families()[file]
    name = parse(f"{family.name}@3" if family.cutoff == "needed" else family.name)[0].name
    assert LAWS[law](name) == (law in declared)
