"""The paragraph that opens `irctl runs show`: what a run did, on what, from what, with which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irctl.commands.runs import listing, outcome
from irctl.commands.runs.outcome import eval_json, known_config, measure, named
from irctl.errors import ConfigError, DataError, counted
from irctl.ledger.files.identity import ID_PATTERN
from irctl.origins import Kind, parse

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

CARD = "export card"
"""Method of a run that wrote the card of another."""
SETTINGS, ARMS = 12, 6
"""As many settings, and arms that are not done, as a paragraph holds."""
FOLLOWING = (Kind.METHOD, Kind.DERIVED)
"""Origins of values that follow from others."""
SAID = tuple(
    "data.source data.split model.name train.method train.index train.init loss.name compress.method compress.source "
    "eval.measures".split()
)
"""Settings that the sentences say themselves."""
FOUND = (Kind.METHOD, Kind.MEASURED)
"""Origins of values that nobody chose and that say how a training was done."""


def paragraph(run: RunRecord) -> str:
    """Whole sentences, without what is not known. Of a run that did not complete first why, last what continues it."""
    from irctl.ledger import query

    made = query.artifacts(run)
    told = {"train": _train, "encode": _encode, "compress": _compress, "search": _search, "eval": _eval}
    told |= {"hardneg": _hardneg, "export": _export, "arms": _arms}
    work = told.get(str(run.columns["command"]), _other)(run, made)
    why, again = outcome.ending(run)
    if why:
        work = f"{why}. Its work: {work[0].lower()}{work[1:]}"
    sentences = [work, _settings(run), outcome.use(run), *outcome.result(run)]
    return " ".join(f"{s}." for s in sentences if s) + (f"\n{again}" if again else "")


def _train(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    from irctl.ledger import query

    known = known_config(run)
    loss = f", loss {known['loss.name']}" if listing.reads_loss(run) and known.get("loss.name") else ""
    queries = measure(run, "training_queries")
    on = _data(run, made, known.get("data.split") or "train", queries)
    start = named(run.columns["model"])
    if codes := _first(made, "in", "bundle"):
        wrote = next((r["id"] for r in query.lineage(run.id)["from"] if r["command"] != "train"), "")
        encoder = f" with the encoder {start}" if start else ""
        what = counted(codes["n_rows"], "code") if codes["n_rows"] else "the codes"
        start = f"{what}{f' of {named(wrote)}' if wrote else ''}{encoder}"
    return f"Trained {start} by {run.columns['method']}{loss}{on}"


def _encode(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    wrote = _first(made, "out", "embeddings", "bundle")
    rows = f": {counted(wrote['n_rows'], 'vector')} of {wrote['dim']} dimensions" if wrote and wrote["dim"] else ""
    return f"Encoded {run.columns['dataset']} with {named(run.columns['model'])}{_documents(made)}{rows}"


def _compress(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    read, wrote = _first(made, "in", "embeddings", "bundle"), _first(made, "out", "bundle")
    rows = (wrote or read or {}).get("n_rows")
    what = counted(rows, "vector") if rows else "vectors"
    of = f", encoded by {named(run.columns['model'])}" if run.columns["model"] else ""
    _, codes, size = listing.Lineage([run]).codes(run)
    method = codes or run.columns["method"] or known_config(run).get("compress.method") or "codes"
    to = f" to {method}" + (f", {size:g} bytes each" if size else "")
    return f"Compressed {what} of {_source(run)}{to}{of}{_by_run(run)}"


def _source(run: RunRecord) -> str:
    """What a compression read, as far as it came: a data set, a run, or a file."""
    source = str(known_config(run).get("compress.source") or "")
    return run.columns["dataset"] or (named(source) if ID_PATTERN.fullmatch(source) else source or "a file")


def _search(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    files = [a for a in made if (a["role"], a["kind"]) == ("out", "run_file")]
    queries = sum(a["n_rows"] or 0 for a in files)
    split = known_config(run).get("data.split") or ""
    return f"Searched{_data(run, made, split, queries, empty=True)} by {_searcher(run)}"


def _eval(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    found = eval_json(run)
    results = found.get("results") or []
    places = dict.fromkeys((r["dataset"], r["split"]) for r in results)
    where = (
        ", ".join(f"{d} {s}".strip() for d, s in places) if len(places) < 4 else f"{len(places)} data sets and splits"
    )
    counts = {r["n_queries"] for r in results}
    queries = f" ({counted(counts.pop(), 'question' if 'task' in found else 'query')})" if len(counts) == 1 else ""
    on = f" on {where}{queries}" if where else f" on {run.columns['dataset']}" if run.columns["dataset"] else ""
    rows = next((s["rows"] for s in found.get("searches") or () if s.get("rows")), None)
    over = f" over {counted(rows, 'document')}" if rows else _documents(made, " over {}")
    if "task" in found:
        model = next((s.get("model") for s in found.get("searches") or ()), "")
        by = f"contexts that {named(run.columns['model'])} compresses"
        return f"Evaluated the answers of {model or 'a language model'} ({found['task']}) by {by}{on}"
    return f"Evaluated {_searcher(run)}{on}{over}"


def _other(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    return f"Ran irctl {run.columns['command']}"


def _hardneg(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    wrote, kept = _first(made, "out", "negatives"), _first(made, "out", "run_file")
    found = counted(wrote["n_rows"], "hard negative") if wrote and wrote["n_rows"] is not None else "hard negatives"
    split = known_config(run).get("data.split") or "train"
    return f"Mined {found}{_data(run, made, split, kept['n_rows'] if kept else None)} by {_searcher(run)}"


def _export(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    wrote = _first(made, "out", "export")
    rows = f"{counted(wrote['n_rows'], 'row')} of " if wrote and wrote["n_rows"] else ""
    to = f" as {wrote['format']}, {(wrote['size'] or 0) / 2**20:.1f} MiB" if wrote else ""
    if run.columns["method"] == CARD:
        base = _base(listing.Lineage([run]), run)
        return f"Wrote the card{f' of {named(base)}' if base else ''}"
    return f"Exported {rows}{run.columns['dataset'] or 'vectors'}{_by_run(run)}{to}"


def _arms(run: RunRecord, made: Sequence[Mapping[str, Any]]) -> str:
    from irctl.pipelines.arms import members

    words = json.loads(run.columns["argv_json"] or "[]")
    name = listing.recipe_of(words)
    try:
        chains = members.read_group(run)
    except DataError:
        return f"Started the runs of {name or 'a group'}"
    done = [c for c in chains if c.next_line is None]
    left = [c.name for c in chains if c.next_line is not None]
    short = f"; not done: {', '.join(left[:ARMS])}{f' and {len(left) - ARMS} more' if len(left) > ARMS else ''}"
    return f"Ran {name or 'a group'}: {len(done)} of {counted(len(chains), 'arm')} done{short if left else ''}"


def _settings(run: RunRecord) -> str:
    """Settings of the science that are not said already and differ from the default: chosen ones, then found ones."""
    from irctl.pipelines.lineage import run_settings

    command = str(run.columns["command"])
    stored: dict[str, Any] = json.loads(run.columns["config_json"] or "{}")
    chosen, found = [], []
    for key, value in run_settings.changed(run).items():
        kind = parse(stored[key]["origin"]).kind
        if kind not in FOLLOWING and run_settings.concerns(command, key, stored[key]["origin"]):
            chosen.append((key, value))
    if command in run_settings.TRAININGS:
        found = [(k, v["value"]) for k, v in stored.items() if parse(v["origin"]).kind in FOUND]
    words, more = _listed(chosen)
    beside, _ = _listed(found)
    told = [f"Not by default: {words}{more}"] if words else []
    told += [f"By the method, or measured: {beside}"] if beside else []
    return ". ".join(told) or "No other setting was changed by hand"


def _listed(settings: Sequence[tuple[str, Any]]) -> tuple[str, str]:
    """(as many as a paragraph holds, how many more there are): those that are not said and differ from the default."""
    words = []
    for key, value in settings:
        if key in SAID or _is_default(key, value):
            continue
        made_by = ID_PATTERN.search(value) if isinstance(value, str) else None
        shown = f"run {made_by[0]}" if made_by else str(value).lower() if isinstance(value, bool) else value
        words.append(f"{key}={shown}")
    return ", ".join(words[:SETTINGS]), f" and {len(words) - SETTINGS} more below" if len(words) > SETTINGS else ""


def _is_default(key: str, value: Any) -> bool:
    """Whether a value is what nothing sets; never that of a setting of another version, which has none here."""
    from irctl import config

    try:
        return bool(value == config.default(key))
    except ConfigError:
        return False


def _searcher(run: RunRecord) -> str:
    """What ranked: BM25, the codes of a run, an encoder, or a run file."""
    method = str(run.columns["method"] or "")
    lineage = listing.Lineage([run])
    writer, codes, size = lineage.codes(run)
    model = str(run.columns["model"] or "")
    if method.startswith("bm25"):
        return f"BM25 ({model})" if model else "BM25"
    if method.startswith("fuse"):
        return f"{method} of {model}"
    if codes:
        bytes_ = f", {size:g} bytes a vector" if size else ""
        of = f" with the encoder {named(model)}" if model else ""
        return f"the codes of {named(writer) if writer else 'a bundle'} ({codes}{bytes_}){of}"
    return named(model) if model else f"what {named(base)} ranked" if (base := _base(lineage, run)) else "a run file"


def _base(lineage: listing.Lineage, run: RunRecord) -> str:
    return next(iter(lineage.parents.get(run.id, ())), "")


def _by_run(run: RunRecord) -> str:
    base = _base(listing.Lineage([run]), run)
    return f", read from {named(base)}" if base else ""


def _data(
    run: RunRecord, made: Sequence[Mapping[str, Any]], split: str, queries: Any = None, *, empty: bool = False
) -> str:
    dataset = run.columns["dataset"]
    read = _first(made, "in", "collection") or (_first(made, "in", "bundle", "embeddings") if empty else None)
    counts = [counted(read["n_rows"], "document")] if read and read["n_rows"] else []
    counts += [counted(int(queries), "query")] if queries else []
    told = f" ({', '.join(counts)})" if counts else ""
    return f"{'' if empty else ' on'} {dataset}{f', split {split}' if split else ''}{told}" if dataset else told


def _documents(made: Sequence[Mapping[str, Any]], form: str = " ({})") -> str:
    read = _first(made, "in", "collection")
    return form.format(counted(read["n_rows"], "document")) if read and read["n_rows"] else ""


def _first(made: Sequence[Mapping[str, Any]], role: str, *kinds: str) -> Mapping[str, Any] | None:
    return next((a for kind in kinds for a in made if (a["role"], a["kind"]) == (role, kind)), None)
