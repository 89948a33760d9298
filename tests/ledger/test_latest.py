"""`latest:NAME`: a run's name before a tag, a recipe, a command and a method; as an input only what completed."""

from __future__ import annotations

import pytest
from ledger_runs import finished, start

from irctl.errors import DataError
from irctl.ledger import query
from irctl.ledger.runs import tags_and_notes


def meant(name: str, *, completed: bool = False) -> str:
    return query.find_run(f"latest:{name}", completed=completed).id


def test_each_kind_of_name_outranks_the_newer_runs_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    word = "encode"
    name = finished("train", name=word)
    tag = finished("train")
    tags_and_notes.tag(query.find_run(tag.id), word)
    recipe = finished("train", argv=["irctl", "train", "--recipe", word])
    command = finished(word)
    method = finished("train", method=word)
    found = {k: r.id for k in query.NAMED if (r := query.find_newest_named(word, kinds=(k,))[1])}  # type: ignore[index]
    assert found == {
        "name": name.id, "tag": tag.id, "recipe": recipe.id, "command": command.id, "method": method.id
    }  # fmt: skip
    for left in range(len(query.NAMED)):
        kinds = tuple(query.NAMED)[left:]
        assert query.find_newest_named(word, kinds=kinds)[0] == kinds[0]  # type: ignore[index]
    assert meant(word) == name.id
    assert f"latest:{word}: run {name.id}, by its name; by its tag it would be run {tag.id}" in caplog.text


def test_one_kind_alone_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    finished("train", name="teacher")
    assert meant("teacher") == meant("train")
    assert "would be run" not in caplog.text


def test_a_recipe_is_known_by_either_spelling_and_not_by_its_beginning() -> None:
    first = finished("train", argv=["irctl", "train", "--recipe=sycl"])
    finished("train", argv=["irctl", "train", "--recipe", "sycl-ws2"])
    assert meant("sycl") == first.id
    second = finished("train", argv=["irctl", "train", "--recipe", "sycl"])
    assert meant("sycl") == second.id


def test_a_group_means_its_arms_not_the_run_that_started_them() -> None:
    arms = [finished("train", argv=["irctl", "train", "--recipe", f"pair:{a}"]).id for a in ("one", "two")]
    finished("arms", argv=["irctl", "train", "--recipe", "pair"])
    assert meant("pair") == arms[1]
    assert meant("pair:one") == arms[0]


def test_a_recipe_that_is_an_arm_of_a_group_means_its_runs_within_the_group_too() -> None:
    def trained(recipe: str) -> str:
        return finished("train", argv=["irctl", "train", "--recipe", recipe]).id

    alone = trained("acerag-llama2-pretrain")
    assert meant("acerag-llama2-pretrain") == alone
    within = trained("acerag-llama2:pretrain")
    trained("acerag-llama2:longalpaca")
    qwen = trained("acerag-qwen3:pretrain")
    assert meant("acerag-llama2-pretrain", completed=True) == within
    assert meant("acerag-qwen3-pretrain") == qwen, "it was never trained alone"
    assert meant("acerag-llama2:pretrain") == within
    again = trained("acerag-llama2-pretrain")
    assert meant("acerag-llama2-pretrain") == again, "the newer of both"


def test_what_a_run_is_made_of_has_completed_and_what_is_looked_at_need_not() -> None:
    good = finished("train")
    bad = start("train")
    bad.finish("failed")
    assert meant("train") == bad.id
    assert meant("train", completed=True) == good.id
    assert query.find_run("latest").id == bad.id and query.find_run("latest", completed=True).id == good.id
    assert query.find_run(bad.id, completed=True).id == bad.id, "an id is what it is"


def test_a_name_that_only_failed_runs_have_says_so() -> None:
    bad = start("train", name="teacher")
    bad.finish("failed")
    with pytest.raises(DataError, match=f"no completed run named 'latest:teacher': run {bad.id} is failed"):
        meant("teacher", completed=True)


def made(kind: str, command: str = "train", **columns: str) -> str:
    """A completed run with an output of this kind; its id."""
    run = start(command, **columns)
    (run.out / kind).write_text(run.id)
    run.artifact("out", kind, run.out / kind)
    run.finish("completed")
    return run.id


def test_an_input_is_of_the_newest_run_that_made_one_whatever_is_called_so_since() -> None:
    model = made("model", method="jpq", name="teacher")
    vectors = made("embeddings", "encode", method="jpq")
    made("eval", "eval", method="jpq", name="teacher")
    for ref in ("latest:jpq", "latest:teacher", "teacher", "latest"):
        assert query.find_run(ref, completed=True, made=("model",)).id == model, ref
    assert query.find_run("latest:jpq", made=("bundle", "embeddings")).id == vectors
    assert query.find_run("latest:jpq", command="train").id == model


def test_where_no_run_of_the_name_made_one_it_is_the_newest_so_that_its_reader_says_what_it_is() -> None:
    evaluation = made("eval", "eval", method="dense")
    made("model", method="sycl")
    assert query.find_run("latest:dense", completed=True, made=("model",)).id == evaluation


def test_an_earlier_kind_of_name_that_made_nothing_gives_way_to_a_later_one_that_did() -> None:
    model = made("model", method="jpq")
    made("eval", "eval", name="jpq")
    assert query.find_run("latest:jpq", made=("model",)).id == model
