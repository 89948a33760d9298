"""What answering found: context kept, tokens, cost; written as every evaluation of irctl is, one part a system."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from irctl.errors import counted
from irctl.index.shards import write_json
from irctl.models.compressive import cost
from irctl.pipelines.answer import answers_file, tasks
from irctl.pipelines.answer.request import ADAPTIVE
from irctl.pipelines.answer.scoring import name_scorer
from irctl.pipelines.answer.systems import OF_ENCODER, Answered, ContextSystem
from irctl.pipelines.evaluate import files, paired_tests, written
from irctl.reports.answers_table import BY_PASSAGE, COMPRESSED, NONE, TRUNCATED, TUNED, UNTRAINED, WHOLE
from irctl.reports.answers_table import METHOD as ANSWERS
from irctl.reports.significance import Comparison, compare, correct

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.answer.opening import Answerer
    from irctl.pipelines.answer.questions import Questions
    from irctl.pipelines.answer.request import AskedAnswers
    from irctl.pipelines.answer.systems import Prompter


def context_kept(value: float, closed: float, opened: float) -> float | None:
    """(value - closed) / (open - closed): what is left of what the context gives; None where it gives nothing."""
    return (value - closed) / (opened - closed) if opened > closed else None


def record(
    config: Config,
    run: RunHandle,
    asked: AskedAnswers,
    answerer: Answerer,
    every: Questions,
    prompter: Prompter,
    found: Mapping[ContextSystem, Answered],
    baseline: RunRecord | None = None,
) -> dict[str, Any]:
    """Write eval.json, per-query values and answers; metrics into the ledger. The payload, with table and lines."""
    means = {s: {m: math.fsum(v.values()) / len(v) for m, v in a.scores.items()} for s, a in found.items()}
    closed, opened = means[ContextSystem(NONE)], means[ContextSystem(WHOLE)]
    facts = {s: _facts(s, a, prompter, asked, answerer, every) for s, a in found.items()}
    kept = {s: {m: context_kept(v, closed[m], opened[m]) for m, v in own.items()} for s, own in means.items()}
    for s, own in kept.items():
        for m, share in own.items():
            name = tasks.title(m)
            facts[s] |= {f"closed {name}": closed[m], f"open {name}": opened[m]}
            facts[s] |= {} if share is None else {f"kept {name}": share}
    place = {"dataset": run.scrub(every.dataset), "split": run.scrub(every.split)}
    rows = [_result(place, s, m, v, found[s], every) for s, own in means.items() for m, v in own.items()]
    searches = [_describe(place, s, facts[s], answerer, asked, prompter) for s in found]
    per_query = [
        {**place, "query_id": q, "measure": tasks.title(m), "value": value, "n_relevant": len(every_answers[q]),
         "n_retrieved": 0, "part": s.label}
        for every_answers in [{q.id: q.row.answers for q in every.all}]
        for s, a in found.items()
        for m, values in a.scores.items()
        for q, value in values.items()
    ]  # fmt: skip
    files.write_per_query(run.out / files.PER_QUERY, per_query)
    answers_file.write(run, every, found)
    payload: dict[str, Any] = {"task": asked.request.task, "results": rows, "searches": searches}
    about = {"schema": "irctl/answers-file/1", "words": _words(answerer, every), "versions": files.read_versions()}
    write_json(run.out / files.EVAL, run.scrub_value({**about, **payload}))
    for r in rows:
        run.metric(r["measure"], r["value"], dataset=r["dataset"], split=files.split_of(r["split"], r["part"]))
    written.record(run)
    run.note(dataset=every.dataset, method=ANSWERS, model=config.model.name)
    lines = _lines(asked, answerer, prompter, means, every)
    payload["comparisons"] = [asdict(c) for c in _against_truncation(place, found)]
    lines += [paired_tests.write_line(c | {"split": f"{c['split']}: {c['system']}"}) for c in payload["comparisons"]]
    if baseline:
        others = paired_tests.compare_with(baseline, run.out / files.PER_QUERY, run.id)
        payload["comparisons"] += others
        lines += [paired_tests.write_line(c) for c in others]
    paired_tests.keep(run, payload["comparisons"])
    table = [_row(s, means[s], kept[s], facts[s]) for s in found]
    if answerer.tuned is None:
        table.insert(1, {**dict.fromkeys(table[0], "--"), "context": TUNED})
    if asked.request.per_query:
        payload["per_query"] = per_query
        table = [{k: r[k] for k in ("part", "query_id", "measure", "value")} for r in per_query]
    return {"schema": "irctl/answers/1", **payload, "table": table, "lines": lines}


def _against_truncation(place: Mapping[str, str], found: Mapping[ContextSystem, Answered]) -> list[Comparison]:
    """Compressed against truncated contexts of as many tokens, question by question, one family over all ratios."""
    family = []
    for s in (s for s in found if s.kind == COMPRESSED and ContextSystem(TRUNCATED, s.ratio) in found):
        other = ContextSystem(TRUNCATED, s.ratio)
        for m, values in found[s].scores.items():
            compared = compare(values, found[other].scores[m])
            family.append(replace(compared, system=s.label, baseline=other.label, measure=tasks.title(m)))
    family = [replace(c, dataset=place["dataset"], split=place["split"]) for c in family]
    return correct(family)


def _facts(
    system: ContextSystem,
    answered: Answered,
    prompter: Prompter,
    asked: AskedAnswers,
    answerer: Answerer,
    every: Questions,
) -> dict[str, float]:
    """Numbers of a system: ratio, tokens of its contexts in the mean, chunks encoded, and what a prefill costs."""
    facts: dict[str, float] = {"tokens": fmean(answered.tokens.values())}
    if system.ratio:
        facts["ratio"] = system.ratio
    if system.kind in OF_ENCODER:
        facts["encoded"] = prompter.encoded[system.label]
    if system.kind not in (COMPRESSED, BY_PASSAGE):
        return facts
    context = round(fmean(len(q.split.context) for q in every.all))
    rest = round(fmean(len(q.split.head) + len(q.split.tail) for q in every.all))
    if context:
        sizes = (context, rest, system.ratio, answerer.encoder.layers)
        is_kept = system.kind == BY_PASSAGE and not facts["encoded"]
        facts["law"] = cost.law(*sizes, answerer.lm.config.num_hidden_layers, is_kept=is_kept)
        if not is_kept:
            facts["flops"] = cost.count(answerer.lm_located.folder, *sizes, chunk=prompter.budgets.rules.chunk_tokens)
    return facts


def _result(
    place: Mapping[str, str], system: ContextSystem, measure: str, value: float, answered: Answered, every: Questions
) -> dict[str, Any]:
    answers = "\n".join(f"{q}\t{a}" for q, a in sorted(answered.answers.items()))
    return {
        **place,
        "part": system.label,
        "measure": tasks.title(measure),
        "value": value,
        "n_queries": len(answered.answers),
        "n_missing": 0,
        "n_unjudged": 0,
        "self_match": "keep",
        "run_sha256": hashlib.sha256(answers.encode("utf-8", "surrogatepass")).hexdigest(),
        "qrels_sha256": every.sha256,
        "k": None,
        "similarity": None,
    }


def _describe(
    place: Mapping[str, str],
    system: ContextSystem,
    facts: Mapping[str, float],
    answerer: Answerer,
    asked: AskedAnswers,
    prompter: Prompter,
) -> dict[str, Any]:
    """What the ledger knows of a system: an encoder that has no part in it does not tell two apart."""
    encoder = answerer.fingerprint if system.kind in OF_ENCODER else ""
    selection = prompter.budgets.rules.selection if system.kind == BY_PASSAGE else prompter.selection
    trained = answerer.about.selection
    is_tuned = system.kind == TUNED and answerer.tuned is not None
    lm = answerer.tuned.located if is_tuned and answerer.tuned else answerer.lm_located
    return {
        **place,
        "part": system.label,
        "method": ANSWERS,
        "kind": system.kind,
        "model": lm.name,
        "encoder": encoder,
        "selection": "" if system.kind in (WHOLE, TUNED, NONE) else selection,
        **({"trained_selection": trained} if encoder and trained != selection else {}),
        "layers": answerer.encoder.layers if system.kind in (*OF_ENCODER, UNTRAINED) else 0,
        "facts": dict(facts),
    }


def _words(answerer: Answerer, every: Questions) -> dict[str, str]:
    """The words that were used: they are part of what was measured."""
    return {
        "instruction": answerer.words.instruction(every.words_of),
        "question": answerer.words.ask(every.words_of, ""),
    }


def tell_selection(asked: AskedAnswers, answerer: Answerer, prompter: Prompter) -> str:
    """How rows are kept, by what they are scored, and how they were kept in training if otherwise."""
    told, trained = prompter.selection, answerer.about.selection
    if told == ADAPTIVE:
        told += f" ({asked.own.scoring}s scored by {name_scorer(asked.own)})"
    if trained != prompter.selection:
        told += f", in training by {trained} (acerag.selection={trained} keeps them so)"
    return told


def _row(
    system: ContextSystem, means: Mapping[str, float], kept: Mapping[str, float | None], facts: Mapping[str, float]
) -> dict[str, Any]:
    """A row of the table in the terminal."""
    row: dict[str, Any] = {"context": system.label, "tokens": round(facts["tokens"], 1)}
    for m, value in means.items():
        row[tasks.title(m)] = value
        share = kept[m]
        row[f"{tasks.title(m)} kept"] = "--" if share is None else f"{100 * share:.1f} %"
    for name in ("flops", "law"):
        row[name] = f"{facts[name]:.3f}" if name in facts else "--"
    row["encoded"] = int(facts["encoded"]) if "encoded" in facts else "--"
    return row


def _lines(
    asked: AskedAnswers,
    answerer: Answerer,
    prompter: Prompter,
    means: Mapping[ContextSystem, Mapping[str, float]],
    every: Questions,
) -> list[str]:
    """What the table cannot hold."""
    of: list[str] = []
    for m in asked.task.measures:
        closed, opened = means[ContextSystem(NONE)][m], means[ContextSystem(WHOLE)][m]
        of.append(f"{tasks.title(m)} {closed:.4f} without and {opened:.4f} with the whole context")
    lines = [f"context kept = (x - closed) / (open - closed): {'; '.join(of)}"]
    lines.append(f"{counted(len(every.all), 'question')}; rows kept by {tell_selection(asked, answerer, prompter)}")
    lines.append(
        "flops and law: prefill against the whole context's, counted with eager attention, and by "
        "(k/L S + S/r + P) / (S + P), which leaves attention out"
    )
    seen = set(answerer.about.ratios)
    if unseen := [r for r in asked.ratios if r not in seen]:
        lines.append(f"ratios that the encoder was not trained at: {', '.join(map(str, unseen))}")
    return lines
