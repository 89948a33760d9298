"""What a group ends with: tables a size, each against the baseline of that size, and figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_collections import word_pairs
from workspace import Workspace

from irctl import config
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.arms.chains import Chain
from irctl.pipelines.arms.group_report import report_group

META = {
    "report": ["main", "compression"],
    "figures": ["pareto"],
    "baseline": "opq-{each}",
    "each": "a byte for {each} dimensions",
    "queries": "Queries: those of {held_out}.",
}


def chain(place: Workspace, name: str, *lines: str, each: int | None = None) -> Chain:
    """What is left of a chain whose lines are done."""
    made = Chain(f"{name}-seed1", tuple(tuple(line.split()) for line in lines), arm=name, each=each)
    for line in lines:
        made.runs.append(str(place.ok(f"{line.format(run=made.main)} --json").json["run"]))
    return made


@pytest.fixture(scope="module")
def chains(place: Workspace) -> list[Chain]:
    word_pairs(place.folder / "toy")
    made = [chain(place, "dense", "encode --data toy", "eval --index latest --data toy")]
    for m, each in ((2, 32), (4, 16)):
        for method in ("pq", "opq"):
            sets = f"--set {method}.m={m} --set {method}.bits=4" + (
                " --set opq.iterations=1" if method == "opq" else ""
            )
            lines = (f"compress --method {method} {sets}", "eval --index latest --data toy")
            made.append(chain(place, f"{method}-{each}", *lines, each=each))
    return made


@pytest.fixture(scope="module")
def whitened(place: Workspace, chains: list[Chain]) -> list[Chain]:
    sets = "--set pq.m=2 --set pq.bits=4"
    lines = (f"compress --method pq --data latest {sets}", "eval --index {run} --data toy")
    return [
        chain(place, "soft", "encode --data toy --set transform.name=soft_whiten", "eval --index {run} --data toy"),
        chain(place, "pq-soft", *lines, each=32),
    ]


@pytest.fixture
def run(place: Workspace) -> RunHandle:
    return start_run(command="arms", argv=["irctl", "train"], config=config.resolve())


def test_a_size_has_a_table_against_its_own_baseline_and_figures_are_drawn(chains: list[Chain], run: RunHandle) -> None:
    with run:
        text = report_group(run, chains, META, lambda: "test")
    titles = [line for line in text if line.startswith("### ")]
    assert titles == [f"### toy test{of}" for of in (", a byte for 32 dimensions", ", a byte for 16 dimensions", "")]
    first, second, of_codes = "\n".join(text).split("### ")[1:]
    for part, m, other in ((first, 2, 4), (second, 4, 2)):
        assert f"opq bits=4 iterations=1 m={m}" in part and f" pq bits=4 m={m}" in part and f"m={other} " not in part
        assert f"Differs from all-MiniLM-L6-v2 + opq bits=4 iterations=1 m={m}: " in part
        assert "irctl report --table main --run " in part
    assert of_codes.count("| all-MiniLM-L6-v2") == 5
    assert "\n".join(text).count("- Queries: those of test.") == 3
    assert text[-1] == "![pareto](pareto.png)" and (run.out / "pareto.png").is_file()
    assert (run.out / "report.md").read_text().splitlines() == text


def test_a_size_whose_baseline_failed_is_shown_without_tests(chains: list[Chain], run: RunHandle) -> None:
    with run:
        text = "\n".join(
            report_group(run, chains[:2], META | {"figures": [], "report": ["main"]}, lambda: "test", {"x": "why"})
        )
    assert "### toy test, a byte for 32 dimensions" in text and "Differs from" not in text
    assert "- Left out: x: why." in text
    assert not (Path(run.out) / "pareto.png").exists()


def test_codes_by_transforms_are_one_table_of_all_sizes_with_its_figure(
    chains: list[Chain], whitened: list[Chain], run: RunHandle
) -> None:
    kind = "isotropy-compression"
    with run:
        text = report_group(run, [*chains, *whitened], META | {"report": [kind], "figures": [kind]}, lambda: "test")
    assert [line for line in text if line.startswith("### ")] == ["### toy test nDCG@10, codes by transform"]
    rows = {line.split(" | ")[0]: line.count("--") for line in text if line.startswith("| ")}
    assert rows["| pq bits=4 m=2"] == 0 and rows["| float"] == 0 and rows["| pq bits=4 m=4"] == 1
    assert any(f"irctl report --run {run.id} --table {kind}" in line for line in text)
    assert (run.out / f"{kind}.png").is_file() and text[-1] == f"![{kind}]({kind}.png)"
