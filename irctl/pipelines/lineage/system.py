"""From an evaluation back to what it measured: search, compress, encode and train runs, and the name of the system."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.pipelines.lineage.codes import added_rows, find_origin, line_of, manifests_of
from irctl.pipelines.lineage.facts import bytes_of, facts_of, speed_of
from irctl.pipelines.lineage.run_settings import changed, settings, short_name
from irctl.reports import answers_table, isotropy
from irctl.reports.records import Record

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

FOREIGN = "run"
"""The method of a run file that no search of irctl stands behind."""

SHOWN_HASH = 12
"""Digits of a bundle's hash that tell it from others."""

ANSWERED_BY = ("acerag.lm", "acerag.tuned_lm", "acerag.ratios", "acerag.selection")
"""Settings of an evaluation of answers that a row says by itself."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What was evaluated. Texts are empty and numbers None where the lineage does not say."""

    label: str
    variant: str
    traits: Mapping[str, str]
    method: str
    loss: str = ""
    model: str = ""
    compression: str = ""
    base: str = ""
    vectors: str = ""
    transform: str = ""
    code: str = ""
    code_label: str = ""
    start: str = ""
    lost: str = ""
    seed: int | None = None
    code_seed: int | None = None
    bytes_per_vector: float | None = None
    rerank: int = 0
    negatives_per_query: int | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    fact_runs: Mapping[str, str] = field(default_factory=dict)
    lineage: tuple[str, ...]


SHARED = tuple(f.name for f in fields(System) if f.name != "label")
"""What a record has of its system under the same name."""


def measured(
    run: RunRecord, made: System, *, dataset: str, split: str, measure: str, value: float, **more: Any
) -> Record:
    """A record of what this run measured of the system. more: other fields of the record."""
    columns = run.columns
    return Record(
        dataset=dataset,
        split=split,
        measure=measure,
        value=value,
        run_id=run.id,
        created_at=str(columns.get("created_at") or ""),
        command=str(columns.get("argv_json") or ""),
        commit=str(columns.get("git_commit") or ""),
        system=made.label,
        **{name: getattr(made, name) for name in SHARED},
        **more,
    )


def system(record: RunRecord, search: Mapping[str, Any], line: Sequence[RunRecord]) -> System:
    """The system behind one search of an evaluation run; line: the runs it stands on, newest first.

    A compression is a system too: record is its run and first of the line, search says {compression, model, vectors}.
    """
    train = next((r for r in line if r.columns.get("command") == "train"), None)
    method = str(search.get("method") or "")
    if method == answers_table.METHOD:
        return _answering(record, search, line, train)
    if method.startswith(("bm25", "fuse", FOREIGN)):
        return _without_vectors(record, method, search, line)
    asked = next((r for r in line if r.id == search.get("run")), record)  # whose encoder settings count
    origin = find_origin(search, asked, line)
    codes, compress, is_trained = origin.codes, origin.compress, origin.is_trained
    added = [r for r in line if added_rows(r)] if codes is not None else []
    # of codes that were trained, the system below is that of the vectors which were compressed first
    below = line_of(compress) if (is_trained or added) and compress is not None else line
    if is_trained and codes is not None and origin.lost:
        below = line_of(codes)[1:]
    encoder = next((r for r in below if r.columns.get("command") == "train"), None)
    model = "" if is_trained and compress is not None else str(search.get("model") or "")
    if not model and compress is not None:
        model = model_of(compress, below)
    if encoder is not None:
        model = str(settings(encoder).get("model.name") or model)
    weights = "" if encoder is not None else _weights(record, search, below, compress)
    label, parts = _base_label(asked, encoder, model, str(search.get("vectors") or ""), weights)
    if search.get("part") and not search.get("is_own"):  # compared otherwise than the encoder says: another system
        label, parts = f"{label}, {search['similarity']}", {**parts, "compared": {"similarity": search["similarity"]}}
    base, vectors = _fingerprint(parts), label  # as encoded: what a transform gains is seen beside them
    if transform := _transform_of(compress, search):
        label, parts = f"{label}, {transform}", {**parts, "transform": {"transform": transform}}
    compression = code_label = ""
    of_vectors = parts
    if compress is not None or origin.lost:
        compression, own = _compression_of(compress, search) if compress is not None else _told_by(search, origin.lost)
        words = [f"{k.rpartition('.')[2]}={_in_words(v)}" for k, v in sorted(own.items())]
        loss = str(settings(train).get("loss.name", "")) if is_trained and train else ""
        code_label = " ".join([compression, *([loss] if loss else []), *words])
        label = f"{label} + {code_label}"
        parts = {**parts, "compress": {"method": compression, **own}}
        if is_trained and train is not None:
            parts = {**parts, "trained": changed(train), **_earlier_trainings(line, below)}
    if added:
        parts = {**parts, "added": {"added": ", ".join(map(_rows_of, reversed(added)))}}
    if rerank := int(search.get("rerank") or 0):
        label, parts = f"{label}, reranked {rerank}", {**parts, "rerank": rerank}
        code_label = f"{code_label}, reranked {rerank}".removeprefix(", ")
    if name := settings(record).get("run.name"):
        label = str(name)
    traits = _traits_of(parts) | ({} if encoder or not model else {"model": model})  # whole: folders may share a name
    facts, fact_runs = facts_of(
        train,
        codes if codes and codes.columns.get("command") == "encode" else compress,
        compression,
        is_trained=is_trained,
        added=added,
    )
    speed, timed = speed_of(record, search, line)
    facts, fact_runs = facts | speed, fact_runs | dict.fromkeys(speed, timed)
    facts |= isotropy.facts_of(search.get("isotropy") or ())
    return System(
        label=label,
        variant=_fingerprint(parts),
        traits=traits,
        method=str(settings(train).get("train.method", "")) if train else "dense",
        loss=str(settings(train).get("loss.name", "")) if train else "",
        model=model,
        compression=compression,
        base=base,
        vectors=vectors,
        transform=transform,
        code=_fingerprint({k: v for k, v in parts.items() if k not in of_vectors}),
        code_label=code_label,
        start=_start_of(compress, of_vectors) if compress is not None else "",
        lost=origin.lost,
        seed=train.columns.get("seed") if train else None,
        code_seed=compress.columns.get("seed") if compress else None,
        bytes_per_vector=bytes_of(search, compress, compression),
        rerank=rerank,
        negatives_per_query=_negatives_of(train) if train else None,
        facts=facts,
        fact_runs=fact_runs,
        lineage=tuple(r.id for r in line),
    )


def _rows_of(run: RunRecord) -> str:
    """What a run added to a bundle."""
    return f"{run.columns.get('dataset') or ''} {str(run.columns.get('dataset_fingerprint') or '')[:8]}".strip()


def _start_of(compress: RunRecord, of_vectors: Mapping[str, Any]) -> str:
    """What tells one start of a compression from others; a compression that was made again has the same."""
    method, own = _compression_of(compress, {})
    return _fingerprint({**of_vectors, "compress": {"method": method, **own}, "seed": compress.columns.get("seed")})


def _earlier_trainings(line: Sequence[RunRecord], below: Sequence[RunRecord]) -> dict[str, Any]:
    """Identity of trained codes that were trained on trained codes. line, below: down from them, from what was trained.

    Their index is no part of their settings: what the others were and how many there are tells them from those.
    """
    known = {run.id for run in below}
    chain = [run for run in line if run.columns.get("command") == "train" and run.id not in known]
    earlier = [changed(run) for run in chain[1:]]
    return {"earlier": earlier, "chain": {"trainings": len(chain)}} if earlier else {}


def _negatives_of(train: RunRecord) -> int | None:
    """Negatives a query, by which losses over groups are compared; what is retrieved from an index is not theirs."""
    method = str(settings(train).get("train.method", ""))
    if method in plugins.names("methods") and plugins.literal("methods", method, "READS_INDEX"):
        return None
    return train.columns.get("negatives_per_query")


def _compression_of(compress: RunRecord, search: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(method of the codes that were searched, the settings that somebody chose of it, or of what it goes back to)."""
    known = str(settings(compress).get("compress.method") or compress.columns.get("method") or "codes").split(",")
    method = str(search.get("compression") or ",".join(known))
    sections = tuple(f"{name}." for name in ([method] if method in known else known))
    return method, {k: v for k, v in changed(compress).items() if k.startswith((*sections, "compress.metric"))}


def _told_by(search: Mapping[str, Any], lost: str) -> tuple[str, dict[str, Any]]:
    """The same of codes that no run of the ledger wrote: the search's own word, and the very bundle, for nobody can say
    of two that they were made alike.
    """
    return str(search["compression"]), {"codes": lost[:SHOWN_HASH]}


def _in_words(value: Any) -> str:
    """A setting as it is typed: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _traits_of(parts: Mapping[str, Any]) -> dict[str, str]:
    return {k: short_name(_in_words(v)) for part in parts.values() if isinstance(part, dict) for k, v in part.items()}


def model_of(compress: RunRecord, line: Sequence[RunRecord]) -> str:
    """The encoder of the vectors that a compression read, by its bundle or by the run that encoded them; else empty."""
    if name := _about(compress).get("model"):
        return str(name)
    encode = next((r for r in line if r.columns.get("command") == "encode"), None)
    return str(encode.columns.get("model") or "") if encode is not None else ""


def _about(compress: RunRecord, what: str = "about") -> dict[str, Any]:
    """What a bundle of this compression says of its vectors, as long as it is there. what: a key of its manifest."""
    known = (manifest.get(what) for manifest in manifests_of(compress))
    return next((about for about in known if isinstance(about, dict)), {})


def _transform_of(compress: RunRecord | None, search: Mapping[str, Any]) -> str:
    """The transform that the vectors went through, by its label; empty where they came as they are."""
    if search.get("part") and search.get("transform") == "none":
        return ""
    known = search.get("transform") or (_about(compress, "transform").get("label") if compress is not None else "")
    return str(known or "")


def _weights(
    record: RunRecord, search: Mapping[str, Any], line: Sequence[RunRecord], compress: RunRecord | None
) -> str:
    """What the encoder's weights hash to: as encoded, else as its bundle or its vectors tell, else as searched with.

    What a search says comes last: not every one that reads a bundle knows its encoder, and a bundle is one system.
    """
    from irctl.ledger import query
    from irctl.models import fingerprints

    encode = next((r for r in line if r.columns.get("command") == "encode"), record if compress is None else None)
    found = [encode.columns.get("model_fingerprint")] if encode is not None else []
    if encode is None and compress is not None:
        encoder = _about(compress).get("encoder") or {}  # as fingerprinted, but for the arithmetic
        found += [fingerprints.fingerprint_of({k: v for k, v in encoder.items() if k != "dtype"})] if encoder else []
        found += [a["sha256"] for a in query.artifacts(compress, role="in", kind="embeddings")]
    found += [search.get("model_fingerprint"), record.columns.get("model_fingerprint")]
    return str(next(filter(None, found), ""))


def _without_vectors(record: RunRecord, method: str, search: Mapping[str, Any], line: Sequence[RunRecord]) -> System:
    """BM25, a fusion, or a run file that came from elsewhere, which is known by its content alone."""
    model = str(search.get("model") or "")
    label = "BM25" if method == "bm25" else method
    parts = {"method": method, "model": search.get("model")}
    words = [w.partition("=") for w in model.split()] if method.startswith("bm25") else [("of", "=", model)]
    if method == FOREIGN:
        label = f"{search.get('name') or FOREIGN} {str(search.get('run_sha256') or '')[:8]}".strip()
        parts, words, model = {"run": search.get("run_sha256")}, [], ""
    return System(
        label=str(settings(record).get("run.name") or label),
        variant=_fingerprint(parts),
        traits={name: value for name, sign, value in words if sign},
        method=method,
        model=model,
        lineage=tuple(r.id for r in line),
    )


def _answering(
    record: RunRecord, search: Mapping[str, Any], line: Sequence[RunRecord], train: RunRecord | None
) -> System:
    """A language model over contexts of one kind; the encoder tells two apart only where it has a part in them."""
    is_compressed = bool(search.get("encoder"))
    had = settings(train) if is_compressed and train is not None else {}
    name = str(settings(record).get("run.name") or had.get("run.name") or "") if is_compressed else ""
    use = {k: v for k, v in changed(record).items() if k.startswith("acerag.") and k not in ANSWERED_BY}
    parts: dict[str, Any] = {k: search.get(k) for k in ("part", "model", "selection", "layers")} | {"use": use}
    parts |= _trained(train, line) if had and train is not None else {"encoder": search.get("encoder")}
    label = str(search.get("part"))
    return System(
        label=f"{label}, {name}" if name else label,
        variant=_fingerprint(parts),
        traits={
            **_traits_of({k: v for k, v in parts.items() if k in ("use", "train", "before")}),
            **{f".{k}": str(search[k]) for k in ("model", "selection", "trained_selection", "layers") if search.get(k)},
            answers_table.CONTEXT: str(search.get("kind")),
        },
        method=answers_table.METHOD,
        model=str(search.get("model") or ""),
        seed=train.columns.get("seed") if had and train is not None else None,
        facts=dict(search.get("facts") or {}),
        lineage=tuple(r.id for r in line),
    )


def _base_label(
    record: RunRecord, train: RunRecord | None, model: str, vectors: str, weights: str
) -> tuple[str, dict[str, Any]]:
    """(label, identity) of the uncompressed system: the model, how it was trained, or vectors that came as they are."""
    used = {k: v for k, v in changed(record).items() if k.startswith(("encoder.", "search.similarity"))}
    if not model and vectors:
        return short_name(vectors), {"vectors": vectors, "use": used}
    parts: dict[str, Any] = {"model": short_name(model), "use": used}
    if weights:
        parts["weights"] = weights
    if train is None:
        return short_name(model) or "unknown", parts
    had = settings(train)
    regularizer = f"with {had['train.regularizer']}" if had.get("train.regularizer") else ""
    words = (had.get("train.method", "train"), had.get("loss.name"), regularizer)
    label = str(had.get("run.name") or " ".join(filter(None, words)))
    return label, {**parts, "train": changed(train)}


def _trained(train: RunRecord, line: Sequence[RunRecord]) -> dict[str, Any]:
    """Identity of what a training made: its settings, and those of the trainings that it went on from.

    Which run train.init is differs by seed; a start that no run on the line made is told by its name.
    """
    before = [changed(run) for run in line if run.columns.get("command") == "train" and run.id != train.id]
    own = changed(train)
    if not before:
        return {"train": own}
    steps = {f"{'before.' * n}{k}": v for n, chosen in enumerate(before, 1) for k, v in chosen.items()}
    told = [{k: v for k, v in part.items() if not k.endswith("train.init")} for part in (own, steps)]
    return dict(zip(("train", "before"), told, strict=True))


def _fingerprint(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
