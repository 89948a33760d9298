"""Which vectors a command works on: what the user named, the newest encoded corpus, or the built-in collection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.data.vectors.embedding_folder import read_manifest
from irctl.errors import DataError
from irctl.ledger import taken
from irctl.ledger.files import run_json
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.files import FittedTransform
from irctl.models.transforms.stream import TransformedStream
from irctl.origins import TAKEN, Kind, Origin
from irctl.settings import Encoder
from irctl.types import Reporter, Stream

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle

DEFAULT_TEXT = str(Origin(Kind.DEFAULT))
READING = tuple(f"encoder.{f.name}" for f in fields(Encoder) if f.name not in ("batch_tokens", "store", "shard_rows"))
"""Settings that say how the model reads texts; where they were set, queries are read by the same."""
HOW_ENCODED = (*READING, "encoder.store")
OPEN = ("compress.source", "data.source", "model.name")
"""Settings that name the vectors of a compression; the last two where it encodes them first."""
STORED = ("content", "store", "shard_rows")
"""Keys of an embedding folder that are not of its encoder."""


@dataclass(frozen=True)
class Input:
    """Vectors and what is known of them. folder: where they lie, if they are local. key: their hash in the ledger.

    texts: how another process encodes them, where they lie nowhere (compress/text_stream.py).
    transform: what the stream goes through while it is read; the folder and the key are those of the raw vectors.
    saved_transform: the folder of one that was saved with them (`transforms.apply` takes it).
    """

    stream: Stream
    name: str  # for the ledger and the plan
    folder: Path | None = None
    key: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)  # similarity, encoder, corpus, model, collection, data
    texts: Mapping[str, Any] | None = None
    transform: FittedTransform | None = None
    saved_transform: Path | None = None

    @property
    def raw(self) -> Stream:
        """The vectors as they lie on disk."""
        return self.stream.raw if isinstance(self.stream, TransformedStream) else self.stream

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """(name, rows) of each input file in row order; our own shards count as one file."""
        known = () if self.about else getattr(self.stream, "files", ())
        return tuple((str(n), int(r)) for n, r in known) or (("", self.stream.rows),)


def named(source: str, config: Config) -> Input:
    """The vectors that `source` names: folder, file, hf://, synthetic:, a run, or `latest`, the newest encoded corpus.

    The name of hf:// gets its commit, that of PATH#COLUMN an absolute path.
    """
    from irctl.data.vectors.open import is_remote_name, open_vectors, split_columns

    if source == "latest":
        return of_run(_latest(source))
    path, (place, column, _) = Path(source), split_columns(source)
    if not (path.exists() or is_remote_name(source) or column or "/" in source or path.suffix):
        from irctl.ledger import query

        return of_run(query.find_run(source, completed=True, made=("embeddings",)))
    if run_json.is_run(path):
        from irctl.ledger import query

        return of_run(query.find_run(source, completed=True, made=("embeddings",)))
    if path.exists():
        return of_folder(path, source)
    if not is_remote_name(source):  # PLACE#COLUMN is no folder of the ledger: its name alone must find it from anywhere
        source = f"{Path(place).absolute()}{source[len(place) :]}"
    stream = open_vectors(source, root=config.data.root)
    return Input(stream, stream.source or source, key=stream.fingerprint)


def dataset_of_vectors(asked: str, about: Mapping[str, Any], name: str, key: str = "") -> str:
    """The ledger's name for vectors: as asked by run.dataset, or that of their collection.

    Else that of the run that encoded them (key: their hash), the repository, the file, or what is before a colon.
    """
    from irctl.data.files import hub
    from irctl.ledger import query

    if known := dataset_name(asked, str(about.get("collection", ""))):
        return known
    sql = (
        "SELECT r.dataset FROM artifacts a JOIN runs r ON r.id = a.run_id WHERE a.sha256 = ? AND a.role = 'out'"
        " AND a.kind = 'embeddings' AND r.dataset <> '' ORDER BY r.created_at DESC LIMIT 1"
    )
    if key and (found := query.rows(sql, (key,))):
        return str(found[0]["dataset"])
    if hub.is_hub(name):
        return hub.parse_source(name.partition("#")[0]).repo
    place = name.partition("#")[0]
    own_name = dataset_name("", place)
    return own_name if own_name != place else place.partition(":")[0]


def of_folder(path: Path, name: str, **about: Any) -> Input:
    """The vectors of a local file or folder."""
    from irctl.data.vectors.open import open_vectors

    stream = open_vectors(path)
    known = {**_describe(stream.about), **about} if stream.about else {}
    saved = path / transform_files.FOLDER
    return Input(
        stream,
        name,
        path,
        str(stream.about.get("key", "")) or stream.fingerprint,
        known,
        saved_transform=saved if (saved / transform_files.FILE).is_file() else None,
    )


def of_run(record: RunRecord) -> Input:
    """The vectors that a run wrote. Raises DataError if it wrote none, or they lie there no more."""
    from irctl.ledger import query

    path = _folder_of(record)
    if path is None:
        if moved := next((a["path"] for a in query.artifacts(record, role="out", kind="embeddings")), None):
            raise DataError(
                f"run {record.id}: its vectors are not at {moved} any more",
                hint="Name the folder where they are now in place of the run, or irctl encode again",
            )
        raise DataError(
            f"run {record.id} is a run of 'irctl {record.columns.get('command')}' and holds no vectors",
            hint="irctl encode writes some",
        )
    settings = json.loads(record.columns.get("config_json") or "{}")
    about = {"model": record.columns.get("model"), "collection": record.columns.get("dataset")}
    about["data"] = settings.get("data.source", {}).get("value")
    named: dict[str, Any] = {k: str(v) for k, v in about.items() if v}
    if reading := {k: v["value"] for k, v in settings.items() if k in READING and v["origin"] != DEFAULT_TEXT}:
        named["reading"] = reading
    given = of_folder(path, f"run {record.id}", **named)
    saved = record.folder / "out" / transform_files.FOLDER
    return replace(given, saved_transform=saved) if (saved / transform_files.FILE).is_file() else given


def _folder_of(record: RunRecord) -> Path | None:
    from irctl.ledger import query

    found = (Path(a["path"]) for a in query.artifacts(record, role="out", kind="embeddings"))
    return next((path for path in found if path.exists()), None)


def newest(collection: str = "", model: str = "", wanted: Mapping[str, Any] | None = None) -> RunRecord | None:
    """The newest encode run whose corpus vectors are still there.

    collection: fingerprint of the one it must be of. model: the name of the one it must be by. wanted: settings that it
    must have had.
    """
    from irctl.ledger import query

    for record in query.list_runs(command="encode", status="completed"):
        if wanted and not _reads_as(record, wanted):
            continue
        if collection and record.columns.get("dataset_fingerprint") != collection:
            continue
        if model and record.columns.get("model") != model:
            continue
        path = _folder_of(record)
        if path is None:
            continue
        parts = (read_manifest(path) or {}).get("key_parts") or {}
        if parts.get("side", "passage") == "passage":
            return record
    return None


def _reads_as(record: RunRecord, wanted: Mapping[str, Any]) -> bool:
    stored = json.loads(record.columns.get("config_json") or "{}")
    return all(stored.get(key, {}).get("value") == value for key, value in wanted.items())


def newest_named(config: Config) -> RunRecord | None:
    """The newest of the collection, by the model and read as the settings name, as far as they name any."""
    from irctl.data.collections.open import open_for

    collection = open_for(config).fingerprint if "data.source" in config.origins else ""
    is_settled = config.origin("model.name") == TAKEN  # by a run that encoded them first: nothing else will do
    wanted = {k: v for k, v in config.flat().items() if k in HOW_ENCODED and (is_settled or k in config.origins)}
    return newest(collection, config.model.name if "model.name" in config.origins else "", wanted)


def settle(config: Config, run: RunHandle, reporter: Reporter) -> Config:
    """The configuration with the vectors named that compress.source leaves open, in the run's settings and record too.

    Where nothing is encoded yet, the collection and the encoder are named. A run that is resumed keeps what it took.
    """
    from irctl.ledger.database.indexing import read_config
    from irctl.ledger.files.run_folder import write_json

    source = config.compress.source
    if not taken.is_open(source):
        return config
    stored = read_config(run.paths)
    named = {k: stored[k]["value"] for k in OPEN if stored.get(k, {}).get("origin") == str(TAKEN)}
    if not named:
        record = _latest(source) if source else newest_named(config)
        named = {"compress.source": record.id} if record else {k: config.flat()[k] for k in OPEN[1:]}
    config = config.replace(named, TAKEN)
    if OPEN[0] in named:
        reporter.say(f"compressing the vectors of run {named[OPEN[0]]}")
    write_json(run.paths.config, run.scrub_value(config.to_json()))
    sets = [word for key, value in named.items() for word in ("--set", f"{key}={value}")]
    taken.record(run, *(["--data", str(named[OPEN[0]])] if OPEN[0] in named else sets))
    return config


def _latest(source: str) -> RunRecord:
    """The run that `latest` or latest:NAME means. Raises DataError where there is none."""
    from irctl.ledger import query

    if source != "latest":
        return query.find_run(source, completed=True, made=("embeddings",))
    if (record := newest()) is None:
        raise DataError("latest: no encoded corpus in the ledger", hint="irctl encode makes one")
    return record


def default(config: Config, reporter: Reporter) -> Input:
    """The newest encoded corpus, else the collection of the configuration, encoded now."""
    from irctl.data.collections.open import open_for

    record = newest_named(config)
    if record is not None:
        return of_run(record)
    from irctl.models.embed import embed_corpus
    from irctl.models.encoder import load_encoder

    collection = open_for(config)
    reporter.say(f"no encoded corpus yet: encoding {collection.name} with {config.model.name} first")
    made = embed_corpus(load_encoder(config), collection.corpus, config.encoder, reporter)
    about = {"model": config.model.name, "collection": collection.name, "data": config.data.source}
    return of_folder(Path(made.folder), collection.name, **about)


def _describe(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What an embedding folder says of its vectors, for those who search them later."""
    parts = dict(manifest.get("key_parts", {}))
    return {
        "similarity": manifest.get("similarity", ""),
        "corpus": parts.get("content", ""),
        "encoder": {k: v for k, v in parts.items() if k not in STORED},
    }
