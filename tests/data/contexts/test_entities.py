"""The entities task: one passage answers each question, names that are trained on are others, and words are tokens."""

from __future__ import annotations

import json
from pathlib import Path

from irctl.data.collections.open import open_collection
from irctl.data.contexts import entities, entity_files
from irctl.data.contexts.prompts import Words
from irctl.data.contexts.rows import ContextRow, read_rows
from irctl.data.contexts.split import split_row
from irctl.data.judgements.runs import read_run
from irctl.models.compressive import tiny_lm


def test_each_question_is_answered_by_the_passage_that_is_judged_right(tmp_path: Path) -> None:
    assert entity_files.write(tmp_path, train=8, test=8, seed=3) == {"passages": 8, "rows": 8 * entities.QUESTIONS}
    collection = open_collection(str(tmp_path))
    answers = json.loads((tmp_path / "answers.json").read_text())
    qrels, right = collection.qrels("test"), read_run(tmp_path / "gold.trec", corpus=collection.corpus)
    queries = collection.queries("test")
    assert len(queries) == len(answers) == 8 and collection.name == "entities"
    for query_id, text in queries.items():
        (passage_id,) = qrels[query_id]
        assert list(right[query_id]) == [passage_id]
        (passage,) = collection.corpus.texts([collection.corpus.row(passage_id)])
        name, attribute = text.removeprefix("What is ").removesuffix("?").split("'s ")
        assert f" of {name} is " in passage
        (said,) = [s for s in passage.rstrip(".").split(". ") if f" {attribute} " in s]
        assert [said.rsplit(" ", 1)[1]] == answers[query_id]


def test_the_names_trained_on_are_others_than_those_asked_about(tmp_path: Path) -> None:
    entity_files.write(tmp_path, train=40, test=8, seed=3)
    asked = {e.name for e in entities.draw(8, 3, "test")}
    rows = [json.loads(line) for line in (tmp_path / "rag-qa.json").read_text().splitlines()]
    trained = {r["query"].removeprefix("What is ").split("'s ")[0] for r in rows}
    assert len(asked) == 8 and len(trained) == 40 and not asked & trained
    kept = next(entities.draw(1, 5))
    assert next(entities.draw(1, 5, without={kept.name})).name != kept.name


def test_no_two_attributes_share_a_value_so_a_value_tells_its_attribute() -> None:
    values = [v for of in entities.ATTRIBUTES.values() for v in of.split()]
    assert len(values) == len(set(values)) == entities.VALUES * len(entities.ATTRIBUTES)
    assert not set(values) & set(entities.ATTRIBUTES) and len(set(entities.words())) == len(entities.words())


def test_what_is_asked_are_words_of_the_model_but_for_the_name(tmp_path: Path) -> None:
    entity_files.write(tmp_path, train=8, test=8, seed=3)
    tokenizer = tiny_lm.make_tokenizer(tiny_lm.ENTITIES)
    row = next(iter(read_rows(tmp_path / "rag-qa.json", Words(**entities.WORDS))))
    assert isinstance(row, ContextRow)
    found = split_row(tokenizer, row)
    context = tokenizer.convert_ids_to_tokens(found.context)
    attributes = len(entities.ATTRIBUTES)
    assert context[:4] == ["Doc", "1", ":", "The"] and context.count("<unk>") == 1 and context.count(".") == attributes
    tail, asked = tokenizer.convert_ids_to_tokens(found.tail), row.messages[0][1].split()[-1]
    assert tail == ["Question", ":", "What", "is", "<unk>", "'", "s", asked]
    assert tokenizer.convert_ids_to_tokens(found.answer) == [*row.answers, "</s>"]


def test_the_model_is_trained_on_prompts_as_they_are_asked_and_scored_on_answers_alone() -> None:
    tokenizer = tiny_lm.make_tokenizer(tiny_lm.ENTITIES)
    input_ids_BT, labels_BT = tiny_lm._batch(tiny_lm.ENTITIES, tokenizer, 1, 0)
    words = tokenizer.convert_ids_to_tokens(input_ids_BT[0].tolist())
    scored = [w for w, is_scored in zip(words, (labels_BT[0] >= 0).tolist(), strict=True) if is_scored]
    assert scored[1::2] == ["</s>"] * len(entities.ATTRIBUTES)
    values = {v: a for a, of in entities.ATTRIBUTES.items() for v in of.split()}
    assert sorted(values[w] for w in scored[::2]) == sorted(entities.ATTRIBUTES)
    assert words[: words.index("Question")].count(scored[0]) == 1 and words[0] == "<s>"
