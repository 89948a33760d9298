"""What a card shows of a run: settings, inputs and command lines without folders of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irctl import hashing
from irctl.config import resolve
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.pipelines.cards import elsewhere, model_card, page


def run(**columns: Any) -> Any:
    return SimpleNamespace(id="r", columns={"command": "train", **columns})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/tmp/a b/my base (v1) | pipe", "my base (v1) | pipe"),
        ("--data=/home/me/toy", "--data=toy"),
        ("data.source=/a/one,/b/two", "data.source=one,two"),
        ("~/vectors.npy#text", "vectors.npy#text"),
        ("mqrel:/srv/x.json", "mqrel:x.json"),
        ("/srv/recipes/mine.toml:3", "mine.toml:3"),
        ("hf://datasets/a/b", "hf://datasets/a/b"),
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("runs/1/model", "runs/1/model"),
        ("loss.temperature=0.05", "loss.temperature=0.05"),
        ("--data=../words", "--data=words"),
        ("~query: ", "~query: "),  # a prompt, not the home of a user
        ("/" + "long " * 60, "long " * 60),  # nor a file
    ],
)
def test_of_a_path_of_this_machine_its_last_part_is_shown(text: str, shown: str) -> None:
    assert page.without_folders(text) == shown


def test_a_name_that_cannot_be_looked_for_is_of_no_folder_here() -> None:
    for name in (f"owner/{'a' * 300}", "~nobody/x"):
        assert elsewhere.name_model(name, "/") == page.without_folders(name)
    assert page.name_on_hub(f"owner/{'a' * 300}", "/") == f"owner/{'a' * 300}"


def test_a_command_is_quoted_for_the_shell_and_names_no_folder_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "artifacts", lambda *_, **__: [])
    argv = ["irctl", "train", "--model", "/tmp/my base", "--set", "run.name=a|b"]
    assert "irctl train --model 'my base' --set 'run.name=a|b'" in page.command(run(argv_json=json.dumps(argv)))


def test_settings_that_were_chosen_but_hold_anyway_are_no_settings_that_are_not_defaults() -> None:
    stored = {
        "train.method": {"value": "dense", "origin": "option --method"},
        "train.lr": {"value": 1e-3, "origin": "--set"},
        "model.name": {"value": "/tmp/x/base", "origin": "/tmp/x/recipe.toml:2"},
        "batch.micro": {"value": 4, "origin": "profile /tmp/x/mine.toml"},
        "gone.setting": {"value": 1, "origin": "--set"},
        "compress.stream": {"value": True, "origin": "option --stream"},
    }
    shown = page.list_settings(run(config_json=json.dumps(stored)))
    assert [(row["setting"], row["value"], row["from"]) for row in shown] == [
        ("`batch.micro`", "`4`", "profile mine.toml"),
        ("`compress.stream`", "`true`", "option --stream"),
        ("`gone.setting`", "`1`", "--set"),
        ("`model.name`", "`base`", "recipe.toml:2"),
        ("`train.lr`", "`0.001`", "--set"),
    ]


def test_a_model_that_lies_here_is_called_a_local_folder_also_by_a_relative_path(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    for name in ("models/mine", str(tmp_path / "models" / "mine")):
        assert elsewhere.name_model(name, str(tmp_path)) == "a local folder (mine)"
        assert page.name_on_hub(name, str(tmp_path)) == ""
    assert page.name_on_hub("models/mine", "/") == elsewhere.name_model("models/mine", "/") == "models/mine"


def test_a_file_that_changed_since_it_was_read_has_no_sha256_in_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mined.jsonl"
    file.write_text("{}\n")
    sha256 = hashing.compute_sha256(file)
    read = {"kind": "negatives", "path": str(file), "n_rows": 1, "sha256": sha256}
    monkeypatch.setattr(query, "artifacts", lambda *_, **__: [read])
    assert page.list_inputs(run())[0]["sha256"] == f"`mined.jsonl` `{sha256}`"
    file.write_text("{ }\n")
    assert page.list_inputs(run())[0]["sha256"] == ""


def test_a_training_that_was_taken_up_again_says_at_which_steps(tmp_path: Path) -> None:
    steps = [("plan", 0), ("plan", 4), ("mine", 6), ("plan", 6), ("plan", 8), ("done", 9)]
    rows = "".join(json.dumps({"event": e, "step": step}) + "\n" for e, step in steps)
    (tmp_path / "metrics.jsonl").write_text(rows)
    of = SimpleNamespace(paths=SimpleNamespace(metrics=tmp_path / "metrics.jsonl"))
    assert model_card._resumed_at(of) == [4, 8]  # type: ignore[arg-type]


def trained(folder: Path, steps: int, *events: dict[str, object]) -> SimpleNamespace:
    """A training of 135 queries, 16 a step."""
    rows = [*events, {"event": "done", "steps": steps}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"dataset": "cranfield", "global_batch": 16, "negatives_per_query": 15, "config_json": "{}"}
    return SimpleNamespace(id="a", paths=SimpleNamespace(metrics=folder / "metrics.jsonl"), columns=columns)


@pytest.mark.parametrize(
    ("steps", "said"),
    [(4, "135 queries, 64 of them in 4 steps"), (1, "135 queries, 16 of them in 1 step"), (9, "135 queries")],
)
def test_a_training_of_less_than_one_pass_says_how_many_queries_it_drew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, said: str
) -> None:
    monkeypatch.setattr(query, "measures", lambda _: [{"name": "training_queries", "value": 135.0}])
    run = trained(tmp_path, steps)
    assert model_card._trained_on(run, {"steps": steps}) == f"cranfield, split train, {said}"  # type: ignore[arg-type]


def test_the_negatives_of_a_card_are_those_that_counted_in_the_first_loss_batch(tmp_path: Path) -> None:
    own, others = {"counted": 6.0, "listed": 15.0}, {"counted": 3.0, "listed": 3.0}
    for first_batch, said in (
        ({"infonce": own}, "6.0 of 15.0 listed, first loss batch"),
        ({"infonce": own, "kl": own}, "6.0 of 15.0 listed, first loss batch"),
        ({"infonce": own, "kl": others}, "infonce: 6.0 of 15.0 listed; kl: 3.0 of 3.0 listed, first loss batch"),
    ):
        run = trained(tmp_path, 4, {"event": "negatives", "first_batch": first_batch})
        assert model_card._negatives(run) == said  # type: ignore[arg-type]
    assert model_card._negatives(trained(tmp_path, 4)) == 15  # type: ignore[arg-type]


def test_of_two_trainings_that_left_the_weights_they_began_with_the_first_began_with_neither(
    own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_card, "_own", lambda run: {})  # neither left a folder
    same = "a" * 64
    for _ in range(2):
        with start_run(command="train", argv=["irctl", "train"], config=resolve([])) as made:
            made.artifact("in", "model", own_folders, sha256=same)
            made.artifact("out", "model", own_folders, sha256=same)
    first, second = sorted(query.select("command = ?", ("train",)), key=lambda r: r.id)
    assert model_card.base_of(second).run == first.id
    assert not model_card.base_of(first).run
