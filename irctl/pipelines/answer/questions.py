"""What is asked: the rows of a file, or a collection's queries with the passages that a retrieval run found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.contexts import recall_files
from irctl.data.contexts.prompts import TAG, Words
from irctl.data.contexts.rows import PASSAGES, USER, ContextRow, join_passages, read_rows
from irctl.data.contexts.split import Split, split_row
from irctl.data.files import hub
from irctl.data.files.lines import stem
from irctl.errors import DataError
from irctl.files import expand

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.answer.request import AskedAnswers

RAG = "rag-qa"
"""The name by which a collection's questions have their words (data/contexts/prompts.py)."""


@dataclass(frozen=True)
class Question:
    """split: token ids of the prompt without an answer. text: the prompt without its context."""

    id: str
    row: ContextRow
    split: Split

    @property
    def text(self) -> str:
        return " ".join(content for _, content in self.row.messages).replace(TAG, " ").strip()


@dataclass(frozen=True)
class Questions:
    """dataset, split: as the ledger calls them. words_of: the data set whose words are used. files: what was read."""

    dataset: str
    split: str
    words_of: str
    all: tuple[Question, ...]
    files: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Of the answers that count as right, by question."""
        whole = "\n".join(f"{q.id}\t{chr(31).join((*q.row.answers, '', *q.row.classes))}" for q in self.all)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def read(config: Config, asked: AskedAnswers, words: Words, tokenizer: Any) -> Questions:
    """Raises DataError for a file that is not here, rows without a context, and queries without passages or answers."""
    request, source = asked.request, config.data.source
    if request.run is None:
        path = _find_file(source, config.data.root)
        rows: Sequence[tuple[str, ContextRow]] = _unique(_file_rows(path, words))
        files: tuple[Path, ...] = (path,)
        name = words_of = stem(path)
        split = "all"
    else:
        name, split, rows, files = _collection_rows(config, asked, words)
        words_of = RAG
    if most := int(asked.own.rows_per_file):  # a sample that does not depend on the order of the file
        kept = {row.id for _, row in sorted(rows, key=lambda r: r[1].id)[:most]}
        rows = [r for r in rows if r[1].id in kept]
    if not rows:
        raise DataError(f"{source}: has no questions")
    chat = bool(asked.own.chat_template)
    made = tuple(Question(i, row, split_row(tokenizer, row, chat_template=chat, answer="")) for i, row in rows)
    return Questions(dataset_name(config.run.dataset, name), split, words_of, made, files)


def shuffled(questions: Sequence[Question]) -> list[Question]:
    """Each with the context of a question that has another. Raises DataError where all have the same."""
    by_context = {q.row.group: q for q in questions}
    groups = sorted(by_context)  # by hash: an order that has nothing to do with the answers
    if len(groups) < 2:
        raise DataError("--controls: all questions have one context, and none to change it with")
    other = dict(zip(groups, [*groups[1:], groups[0]], strict=True))
    return [replace(q, split=replace(q.split, context=by_context[other[q.row.group]].split.context)) for q in questions]


def check_here(source: str) -> None:
    """DataError where `source` is no file of questions; what is made or fetched when it is read counts as one."""
    if source not in recall_files.FILES and not hub.is_hub(source) and not expand(source).is_file():
        raise _not_here(source)


def _find_file(source: str, root: str) -> Path:
    path = recall_files.find(source) or (hub.find_file(source, root) if hub.is_hub(source) else expand(source))
    if not path.is_file():
        raise _not_here(source)
    return path


def _not_here(source: str) -> DataError:
    return DataError(
        f"--data {source}: no such file of questions",
        hint="A file, recall-test, or a collection with --run RUNFILE --answers FILE.json",
    )


def _file_rows(path: Path, words: Words) -> Iterator[ContextRow]:
    for row in read_rows(path, words):
        if not isinstance(row, ContextRow):
            raise DataError(f"{path}:{row.line}: expected a prompt with a context, found a text alone")
        yield row


def _unique(rows: Iterator[ContextRow]) -> list[tuple[str, ContextRow]]:
    """Rows by the hash of their content; a copy of a row is another question."""
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row.id] += 1
        found.append((row.id if seen[row.id] == 1 else f"{row.id}-{seen[row.id]}", row))
    return found


def _collection_rows(
    config: Config, asked: AskedAnswers, words: Words
) -> tuple[str, str, list[tuple[str, ContextRow]], tuple[Path, ...]]:
    from irctl.data.collections.open import open_for
    from irctl.data.judgements.runs import read_run
    from irctl.pipelines.references.run_files import run_file_of

    request = asked.request
    collection = open_for(config)
    split = collection.split_named(asked.request.split or config.data.split or collection.card.headline_split)
    file = expand(str(request.run))
    if not file.is_file():
        file = run_file_of(str(request.run), collection.name, split)
    answers_file = expand(str(request.answers))
    answers = tables.json_object(answers_file)
    tables.check(answers, {"*": [str]}, str(answers_file))
    run, corpus = read_run(file, corpus=collection.corpus), collection.corpus
    found = []
    for query_id, text in collection.queries(split).items():
        if query_id not in answers:
            continue
        if query_id not in run:
            raise DataError(f"{file}: has no passages of query {query_id}, which {answers_file} has answers of")
        ranked = sorted(run[query_id], key=lambda d: (-run[query_id][d], d))[:PASSAGES]
        passages = tuple(corpus.texts(corpus.find(ranked).tolist()))
        row_id = hashlib.sha256("\0".join((query_id, text, *passages)).encode("utf-8", "surrogatepass")).hexdigest()
        row = ContextRow(
            id=row_id[:16],
            dataset=RAG,
            line=0,
            messages=((USER, words.ask(RAG, text)),),
            context=join_passages(passages),
            answers=tuple(answers[query_id]),
            passages=passages,
        )
        found.append((query_id, row))
    return collection.name, split, found, (file, answers_file)
