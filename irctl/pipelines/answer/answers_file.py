"""answers.jsonl of an evaluation: every answer with what it was scored by, so that anyone can score it again.

A line an answer: `part` (the system), `query_id`, `row` (name:line of the file of questions; a query's id in a
collection), `answer` as it was scored, `references` of which any is right, `classes` that there are to choose from
(none but of classifications), and the `tokens` that the context took.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from irctl.files import write_atomic

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.answer.questions import Questions
    from irctl.pipelines.answer.systems import Answered, ContextSystem

FILE = "answers.jsonl"


def write(run: RunHandle, every: Questions, found: Mapping[ContextSystem, Answered]) -> None:
    """Without folders in `row`, so that the same work leaves the same bytes; the ledger knows the whole path."""
    rows = {q.id: (f"{every.files[0].name}:{q.row.line}" if q.row.line else q.id, q.row) for q in every.all}
    lines = []
    for system, answered in found.items():
        for q, text in answered.answers.items():
            place, row = rows[q]
            line = {"part": system.label, "query_id": q, "row": place, "answer": text}
            scored_by = {"references": row.answers, "classes": row.classes}
            lines.append(json.dumps({**line, **scored_by, "tokens": answered.tokens[q]}, ensure_ascii=False))
    write_atomic(run.out / FILE, run.scrub("\n".join(lines) + "\n"))
