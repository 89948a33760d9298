"""What a training says of its groups before it starts, and what it refuses: judgements and negatives without use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_collections import beir_folder

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.train import dry_run
from irctl.pipelines.train.data_kinds import groups


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Six queries, q0 to q3 in train, each with grades 2 2 1 in the first three documents; dev has q4, test q5."""
    documents = {f"c{i}": f"corpus number {i}" for i in range(12)}
    queries = {f"q{i}": f"queries number {i}" for i in range(6)}
    grades = {f"c{d}": grade for d, grade in enumerate((2, 2, 1))}
    judged = {"train": {f"q{q}": grades for q in range(4)}, "dev": {"q4": grades}, "test": {"q5": grades}}
    return beir_folder(tmp_path / "toy", documents, queries, **judged)


def described(toy: Path, mined: dict[str, list[str]] | None = None, **values: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"data.source": str(toy), "loss.positive_threshold": 2.0}
    if mined is not None:
        file = toy.parent / "negatives.jsonl"
        rows = [{"qid": q, "docid": d, "score": [1.0] * len(d)} for q, d in mined.items()]
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
        given["data.negatives"] = str(file)
    given |= {k.replace("__", "."): v for k, v in values.items()}
    return dry_run.describe(settings.resolve({k: (v, derived("test")) for k, v in given.items()}))


ALL = {f"q{q}": ["c8", "c9", "c10", "c11"] for q in range(4)}


def test_a_dry_run_says_what_a_group_holds_before_and_after_mining(toy: Path) -> None:
    before = described(toy)["data"]
    assert before["a group"] == (
        "1.00 positives, 1.00 other judged, 4.00 mined (means of 4 groups, if so many are found)"
    )
    assert "group sizes" not in before and before["queries"] == 4
    after = described(toy, ALL)
    assert after["data"]["a group"] == "1.00 positives, 1.00 other judged, 4.00 mined (means of 4 groups)"
    assert "notices" not in after
    graded = described(toy, ALL, loss__name="listnet", loss__positive_threshold=0.0, data__group_size=4)["data"]
    assert graded["a group"] == "3.00 positives, 0.00 other judged, 1.00 mined (means of 4 groups)"


def test_queries_without_mined_negatives_and_negatives_without_judgements_are_counted(toy: Path) -> None:
    some = {q: d for q, d in ALL.items() if q != "q1"} | {"q5": ["c7"]}
    notices = described(toy, some)["notices"]
    assert notices == [
        "1 of 4 training queries have no mined negative",
        "negatives of 1 query without a judgement here: not used",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"data__negatives": "none"}, "4 of 4 groups have no negative of their own: there other queries' passages are"),
        ({"data__negatives": "none", "loss__name": "listnet"}, "4 of 4 groups hold passages of one label only: there"),
        (
            {"data__negatives": "none", "loss__name": "listnet", "loss__inbatch": "own"},
            "such a query teaches nothing",
        ),
    ],
)
def test_groups_without_a_negative_of_their_own_are_warned_of(toy: Path, values: dict[str, Any], expected: str) -> None:
    (toy / "qrels/train.tsv").write_text("".join(f"q{q}\tc0\t1\n" for q in range(4)))
    if values.get("loss__inbatch") == "own":  # one query can be ordered, or there would be nothing to learn
        with (toy / "qrels/train.tsv").open("a") as f:
            f.write("q0\tc1\t0\n")
        expected = f"3 of 4 groups hold passages of one label only: {expected}"
    (notice,) = described(toy, loss__positive_threshold=0.0, **values)["notices"]
    assert notice.startswith(expected)


def test_judged_passages_that_no_epoch_uses_are_counted(toy: Path) -> None:
    values = {
        "loss__name": "listnet",
        "loss__positive_threshold": 0.0,
        "data__group_size": 2,
        "data__negatives": "none",
    }
    notices = described(toy, **values)["notices"]
    assert any("1.00 judged ones a query are in no group" in n for n in notices)
    assert not any("in no group" in n for n in described(toy, **values, data__selection="spread").get("notices", []))


def test_negatives_without_a_place_are_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"a group of data\.group_size=1 has no place for a negative"):
        described(toy, ALL, data__group_size=1)


def test_negatives_that_are_never_mined_again_are_said(toy: Path) -> None:
    assert "before negatives are mined again" in described(toy, ALL, hardneg__every=3)["notices"][0]
    assert "notices" not in described(toy, ALL, hardneg__every=2)


def test_a_run_of_mining_is_named_in_a_dry_run_too(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from irctl.ledger.recording import start_run
    from irctl.pipelines.hardneg import hardneg
    from irctl.types import Silent

    config = settings.resolve({"data.source": (str(toy), derived("test"))})
    with start_run(command="hardneg", argv=["irctl", "hardneg"], config=config) as run:
        hardneg.hardneg(config, run, Silent())
    assert "mined (means of 4 groups)" in described(toy, data__negatives=run.id)["data"]["a group"]


def test_a_dev_measure_that_no_model_can_change_is_warned_of() -> None:
    assert groups._one_grade({"q1": {"a": 1, "b": 1}, "q2": {}, "q3": {"c": 2}})
    assert not groups._one_grade({"q1": {"a": 1}, "q2": {"b": 1, "c": 0}})


def test_negatives_a_query_are_counted_from_the_groups_as_they_are_drawn(toy: Path) -> None:
    def shown(mined: dict[str, list[str]] | None = None, **values: Any) -> Any:
        return described(toy, mined, data__group_size=8, batch__global=16, **values)["batch"]["negatives_per_query"]

    # 4 queries of 6 passages each (a positive, another judged, four mined): 23 beside the one that is the positive
    assert shown(ALL) == 4 * 6 - 1
    assert shown({"q0": ["c8", "c9"]}) == 4 * 2.5 - 1  # 4 2 2 2
    assert shown(data__negatives="none") == 4 * 2 - 1
    assert shown(ALL, loss__inbatch="own") == 5
    assert shown(ALL, data__short="cycle") == 23  # repeats are no other negatives
    assert shown() == "at most 23"  # mining may find fewer
    assert shown(ALL, data__max_queries=2) == 2 * 6 - 1


@pytest.mark.parametrize(
    ("values", "counted", "listed"),
    [
        # 4 queries that share 3 positives (grade 1 is one) and 4 mined: groups of 1 + 4 list 20, of which 4 negatives
        ({"loss__name": "infonce", "data__group_size": 6}, 4.0, 19.0),
        ({"loss__name": "infonce", "data__group_size": 6, "loss__inbatch": "all"}, 19.0, 19.0),
        ({"loss__name": "infonce", "loss__inbatch": "own"}, 3.0, 3.0),
        ({"loss__name": "listnet", "data__selection": "spread"}, None, 15.0),
        ({"loss__name": "kl", "data__selection": "random", "data__short": "cycle", "data__group_size": 9}, None, 35.0),
        ({"loss__name": "ws2:1,lambdamrr:0.5", "data__selection": "least_relevant"}, None, 15.0),
        ({"loss__name": "ranknet", "data__selection": "file", "data__group_size": 0}, 6.0, 27.0),
        ({"loss__name": "lambdaloss"}, 3.0, 3.0),
        ({"loss__name": "triplet"}, 3.0, 3.0),
    ],
)
def test_a_dry_run_counts_the_negatives_that_the_objective_sees_in_the_first_batch(
    toy: Path, tiny_encoder: Path, in_process: None, monkeypatch: pytest.MonkeyPatch, values, counted, listed
) -> None:
    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import train
    from irctl.training.objective.objective import Objective
    from irctl.types import Silent

    mined = toy.parent / "negatives.jsonl"
    mined.write_text("".join(json.dumps({"qid": q, "docid": d, "score": [1.0] * 4}) + "\n" for q, d in ALL.items()))
    common = {"data__source": str(toy), "data__negatives": str(mined), "data__group_size": 4, "batch__global": 4}
    given = {"train__max_steps": 1, "model__name": str(tiny_encoder), "eval__during": "off", **common, **values}
    config = settings.resolve({k.replace("__", "."): (v, derived("test")) for k, v in given.items()})
    seen: dict[str, float] = {}
    forward = Objective.forward

    def look(self: Objective, scores_BN: Any, views: Any) -> Any:
        for part in self.parts:
            view, theta = views["own" if part.name == "triplet" else part.view], part.settings.get("positive_threshold")
            knows_positives = part.name in ("infonce", "lambdamrr", "triplet")
            numbers = [
                sum(counts and not (knows_positives and label >= theta) for label, counts in zip(*row, strict=True))
                for row in zip(view.labels_BN.tolist(), view.mask_BN.tolist(), strict=True)
            ]
            seen[part.name] = sum(numbers) / len(numbers) - (not knows_positives)
        return forward(self, scores_BN, views)

    monkeypatch.setattr(Objective, "forward", look)
    shown, said = dry_run.describe(config)["loss"], Silent()
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        train.train(config, run, said)
    assert list(seen) == list(shown)
    for name, number in seen.items():
        sentence = f"{number:.1f} negatives a query in the first loss batch"
        sentence += f" of {listed:.1f} listed" if number < listed else ""
        assert counted is None or number == counted
        assert sentence in shown[name] and any(sentence in line for line in said.lines), (shown, said.lines)


def test_a_dry_run_says_that_a_dev_measure_cannot_change(toy: Path) -> None:
    (toy / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq4\tc0\t1\nq4\tc1\t1\n")
    said = "every query's candidates are of one grade"
    assert any(said in line for line in described(toy, data__negatives="none")["notices"])
    assert not any(said in line for line in described(toy, ALL).get("notices", ()))
    corpus = described(toy, data__negatives="none", eval__during="corpus")
    assert not any(said in line for line in corpus.get("notices", ()))
    (toy / "qrels" / "dev.tsv").unlink()
    assert any("no dev split" in line for line in described(toy, ALL)["notices"])
