"""irctl from Python: what the command line does, by the same settings, caches and ledger.

    from irctl import api

    codes = api.compress("cranfield", method="opq", settings={"opq.m": 24, "opq.bits": 4})
    api.evaluate(index=codes["run"], split="dev+test")["results"]

`compress`, `search` and `evaluate` make a run, with its folder and its row of the ledger, and return the object that
the command prints under --json; the run records the command line that does the same, for `irctl runs reproduce`.
`encoder` and `index` open things and record nothing. `run` and `runs` ask the ledger.
Wherever a setting is named, `settings={"section.key": value}` is `--set section.key=value`.
Errors are raised: those of irctl.errors, which say what, where, expected, found and the next step; of a next step that
is an option, --NAME is the argument of that name, and --set a value of settings. IRCTL_RUNS, IRCTL_LEDGER and
IRCTL_CACHE say where runs, ledger and cache are, as for the command line.
Dimension key: N texts or rows, Q queries, D width of a vector.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.commands.frame.arguments import checked
from irctl.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from irctl.commands.frame.record import Job
    from irctl.models.encoder import TextEncoder

MOST = 2**63 - 1  # runs that SQLite counts
ROWS = 65_536
"""Of an array, looked at together."""
Settings = Mapping[str, Any]
"""Values by `section.key`, as after --set; `irctl settings` lists the keys."""


@checked
def encoder(model: str | Path = "", *, data: str | Path = "", settings: Settings | None = None) -> TextEncoder:
    """The encoder of that name, ready to use: a folder, a run, `latest`, or a hub id; default: all-MiniLM-L6-v2.

    `encoder.encode(texts, side)` gives float32 vectors [N, D] of passages, or of queries with side="query", with the
    model's own prompts, lengths and pooling. data: the data set whose prompts it takes, where it has some of its own.
    Raises DataError where the model is absent or malformed or no data set is called so, ConfigError where settings
    contradict it.
    """
    from irctl.models.encoder import load_encoder
    from irctl.models.locate import resolve_run_name

    named = {"model.name": resolve_run_name(str(model)) if model else None, "data.source": _text(data) or None}
    return load_encoder(_settings(named, settings, {"model.name": "model", "data.source": "data"})).freeze()


@checked
def index(reference: str | Path = "latest", *, model: str | Path = "", settings: Settings | None = None) -> Index:
    """Codes or vectors, opened once and searched often: a folder, a run, RUN:METHOD, or the `latest` made.

    model: encoder of the queries; default: the index's own. Raises DataError for what is neither codes nor vectors.
    """
    return Index(_reference("index", reference), str(model), _settings({}, settings))


class Index:
    """An opened index. rows: its documents N. dim: D of its encoder's vectors. similarity: dot, cosine, ..."""

    def __init__(self, reference: str, model: str, config: Any) -> None:
        from irctl.pipelines.search.opened import Opened

        self._opened, self._config = Opened(model or None, reference), config
        searched = self._opened.index(config)
        assert searched is not None  # named, so opened
        self._searched = searched
        self.rows, self.dim = searched.rows, searched.raw_dim
        self.similarity = str(searched.facts["similarity"])

    @checked
    def search(self, queries: Sequence[str] | NDArray[np.float32], k: int = 10) -> list[list[tuple[str, float]]]:
        """The k best (document id, score) of each query, best first; ids are row numbers where the index has none.

        queries: texts, encoded by the index's encoder, or its vectors of them [Q, D]. Exhaustive, like `irctl search`:
        by all codes or vectors, ties to the lower row.
        Raises DataError for vectors of another width, or where nothing says which encoder made the rows.
        """
        from irctl import paths
        from irctl.pipelines.search.document_ids import Documents, own_ids
        from irctl.pipelines.search.rank import rank, to_lists
        from irctl.types import Silent

        config = self._config.replace({"search.k": _whole(k)}, _called("k"))
        searched, place = self._searched, paths.cache() / "search"
        ranking = rank(searched, self._vectors(queries), k, config, place, Silent())
        named = searched.about.get("data") or searched.about.get("collection")
        collection = self._opened.collection(config) if named and own_ids(searched) is None else None
        documents = Documents(searched, collection, Silent())
        return [list(zip(ids, scores, strict=True)) for scores, ids in to_lists(ranking, documents)]

    def _vectors(self, queries: Sequence[str] | NDArray[np.float32]) -> NDArray[np.float32]:
        """The queries as they are compared with the rows."""
        import numpy as np

        from irctl.data.collections.collection import Queries
        from irctl.index.arrays import as_rows
        from irctl.pipelines.search.encoder_pair import check_encoder
        from irctl.pipelines.search.query_vectors import encode_queries

        if isinstance(queries, str):
            raise ConfigError("queries: expected a list of texts, found one text", hint=f"[{queries[:40]!r}]")
        if hasattr(queries, "columns"):  # a table gives the names of its columns where its rows are asked for
            raise ConfigError(
                f"queries: expected texts or vectors, found a {type(queries).__name__}", hint=".to_numpy()"
            )
        is_vectors = getattr(getattr(queries, "dtype", None), "kind", "") in tuple("fiub")  # of numbers, not of texts
        queries = queries if is_vectors else list(queries)  # read more than once below: a generator once alone
        if not is_vectors and any(isinstance(q, str) for q in queries) and not all(isinstance(q, str) for q in queries):
            raise ConfigError("queries: expected texts or vectors, found texts among other things")
        if not is_vectors and any(isinstance(q, bytes) or q is None for q in queries):
            raise ConfigError("queries: expected texts or vectors, found bytes or None", hint="Decode them first")
        if is_vectors or not all(isinstance(q, str) for q in queries):
            asked: NDArray[np.float32] = self._searched.of_queries(as_rows(queries, self.dim, "queries"))
            return asked
        if not len(queries):
            return np.empty((0, self._searched.dim), np.float32)
        used, name = self._opened.encoder(self._config)
        check_encoder(self._searched, used, name)
        texts = [q.strip() for q in queries]
        return encode_queries(used, Queries([str(i) for i in range(len(texts))], texts), self._config, self._searched)


@checked
def compress(
    data: str | Path | NDArray[np.float32] = "",
    *,
    method: str = "",
    out: str | Path | None = None,
    settings: Settings | None = None,
    profile: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """`irctl compress`: vectors to codes in a bundle, which `index` opens.

    data: what --data takes (an encoded corpus, .npy, parquet, a run, ...), or vectors [N, D], which are kept as a .npy
    file in the cache; default: the newest encoded corpus, else the built-in one, encoded. method: one quantizer or
    several, `pq,rabitq`. out: folder of the bundle; default: in the run folder. progress: report it on stderr.
    """
    from irctl.commands.compress import NAMES
    from irctl.pipelines.compress.request import CompressRequest

    def work(job: Job) -> dict[str, Any]:
        from irctl.pipelines.compress import compress as pipeline

        return pipeline.compress(job.config, job.run, job.reporter, CompressRequest(out=_text(out)))

    source = _kept(data) if hasattr(data, "dtype") else _text(data)
    named = {"compress.source": source or None, "compress.method": method or None}
    return _run("compress", named, NAMES, {"--out": out}, settings, profile, progress, work)


@checked
def search(
    *,
    model: str | Path | None = None,
    index: str | Path | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    k: int | None = None,
    retriever: str = "dense",
    out: str | Path | None = None,
    settings: Settings | None = None,
    profile: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """`irctl search`: the queries of a split against vectors, codes or BM25, into a TREC run file (`run_file`).

    retriever: dense or bm25. Others as the options of that name. For texts of your own, without a file: `index`.
    """
    from irctl.commands.search import NAMES
    from irctl.pipelines.search.request import SearchRequest, answer

    request = SearchRequest(model=_text(model), index=_text(index), retriever=retriever, out=_text(out))
    if conflict := request.find_conflict():
        raise ConfigError(f"search: {conflict[0].lstrip('-')}: {conflict[1]}")
    named = {"model.name": _text(model), "data.source": _text(data), "data.split": split, "search.k": _whole(k)}
    flags = {"--index": index, "--retriever": retriever if retriever != "dense" else None, "--out": out}
    return _run("search", named, NAMES, flags, settings, profile, progress,
                lambda job: answer(job.config, job.run, job.reporter, request))  # fmt: skip


@checked
def evaluate(
    *run_files: str | Path,
    qrels: str | Path | None = None,
    model: str | Path | None = None,
    index: str | Path | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    measures: str | Sequence[str] | None = None,
    baseline: str | Path | None = None,
    k: int | None = None,
    settings: Settings | None = None,
    profile: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """`irctl eval`: measures of run files, a model or an index, in `results`, one dict a data set, split and measure.

    Each holds dataset, split, measure, value and n_queries; per_query.parquet lies in the folder `out` of `run_dir`.
    measures: a preset, or names in one text or a list. baseline: a run to compare with; adds `comparisons`, with their
    paired tests. Others as the options of that name.
    Nothing given: the newest search, else the newest model.
    """
    from irctl.commands.evaluate import NAMES
    from irctl.pipelines.evaluate.request import EvalRequest

    files = tuple(map(str, run_files))
    request = EvalRequest(
        run_files=files,
        qrels=_text(qrels),
        model=_text(model),
        index=_text(index),
        split=split,
        baseline=_text(baseline),
    )

    def work(job: Job) -> dict[str, Any]:
        from irctl.pipelines.evaluate import evaluate as pipeline

        return pipeline.evaluate(job.config, job.run, job.reporter, request)

    named = {"model.name": _text(model), "data.source": _text(data), "data.split": split}
    wanted = measures if isinstance(measures, str | None) else " ".join(map(str, measures))
    named |= {"eval.measures": wanted, "search.k": _whole(k)}
    flags = {"--qrels": qrels, "--index": index, "--baseline": baseline}
    return _run("eval", named, NAMES, flags, settings, profile, progress, work, files)


@checked
def run(reference: str | Path = "latest") -> dict[str, Any]:
    """One run of the ledger, as `irctl runs show` takes it: `latest`, an id or its beginning, a folder, latest:NAME.

    Its row of the table `runs`, with argv (its command line), tags and measures (those it ended with). Or DataError.
    """
    from irctl.commands.runs import view
    from irctl.ledger import query

    return view.as_json([query.find_run(_reference("run", reference))])[0]


@checked
def runs(
    *, dataset: str = "", status: str = "", command: str = "", where: str = "", sort: str = "", limit: int = 0
) -> list[dict[str, Any]]:
    """Runs of the ledger, newest first, each as `run` gives it; pandas.DataFrame(api.runs()) is a table of them.

    where, sort: conditions and orders of `irctl runs ls`, such as "metrics.'nDCG@10'>0.5" and "-nDCG@10". limit: so
    many at most; 0: all. Raises ConfigError for a status, command or condition that is none.
    """
    from irctl.commands.runs import view
    from irctl.ledger import query

    most = _whole(limit)
    if not 0 <= most <= MOST:
        raise ConfigError(f"runs: limit: expected 0 to {MOST}, found {most}", hint="0: all")
    found = query.list_runs(dataset=dataset, status=status, command=command, where=where, sort=sort, limit=most)
    return view.as_json(found)


def _settings(named: Settings, settings: Settings | None, names: Mapping[str, str] | None = None) -> Any:
    """Settings as a command line without other options would have them. names: arguments by the key they set."""
    from irctl.commands.frame.options import Options
    from irctl.commands.frame.settings import settings as of_command
    from irctl.data.collections.open import check_named

    config = of_command(Options(set_=_sets(settings)), named, names or {})
    check_named(config.data.source, config.data.root)  # the commands open it; here it only says which prompts
    return config


def _run(
    command: str,
    named: Settings,
    names: Mapping[str, str],
    flags: Mapping[str, Any],
    settings: Settings | None,
    profile: str,
    progress: bool,
    work: Callable[[Job], dict[str, Any]],
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Do the work of a command inside a run; its --json object, without the schema's name."""
    from typer.main import get_command

    from irctl.cli import app
    from irctl.commands.frame.options import Options
    from irctl.commands.frame.record import record_run
    from irctl.commands.frame.settings import settings as of_command
    from irctl.console import ConsoleReporter

    sets = _sets(settings)
    given = {names[key]: value for key, value in named.items() if value is not None}
    given |= {name: value for name, value in flags.items() if value is not None}
    given |= {"--profile": profile} if profile != "cpu" else {}
    words = [
        *arguments,
        *(str(word) for pair in given.items() for word in pair),
        *(w for s in sets for w in ("--set", s)),
    ]
    options = Options(profile=profile, set_=sets, argv=("irctl", command, *words), root=get_command(app))
    config = of_command(options, named, names)
    payload = record_run(command, options, config, ConsoleReporter(quiet=not progress), work, None)
    return {
        name: value for name, value in payload.items() if name not in ("table", "lines", "ids", "of_model", "schema")
    }


def _sets(settings: Settings | None) -> list[str]:
    """Values as --set takes them: of a setting that is a text a list becomes its words, between commas."""
    from irctl import config

    for key, value in (settings or {}).items():
        if isinstance(value, list | tuple) and not isinstance(config.default(key), str):
            raise ConfigError(f"settings: {key}: expected one value, found {list(value)}")
    listed = {key: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for key, v in (settings or {}).items()}
    return [f"{key}={value}" for key, value in listed.items()]


def _kept(vectors_ND: Any) -> str:
    """The file in the cache with these vectors, named by their content. DataError for what is none, by its row."""
    import numpy as np

    from irctl import files, paths
    from irctl.data.vectors.npy import check_vectors
    from irctl.index.arrays import NotFinite, as_rows

    rows_ND = np.ascontiguousarray(vectors_ND)
    check_vectors("data", rows_ND.shape, rows_ND.dtype)
    if not rows_ND.size:
        raise DataError(f"data: holds no vectors, found shape {rows_ND.shape}")
    for start in range(0, len(rows_ND), ROWS):
        try:
            as_rows(rows_ND[start : start + ROWS], rows_ND.shape[1])
        except NotFinite as e:
            raise DataError(f"data: row {start + e.row}: {e.said}", hint="Remove or repair it") from None
    content = hashlib.sha256(f"{rows_ND.dtype.str} {rows_ND.shape} ".encode() + rows_ND.tobytes()).hexdigest()
    file = paths.cache() / "arrays" / f"{content[:32]}.npy"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(file, rows_ND)
    return str(file)


def _reference(door: str, value: Any) -> str:
    if not str(value):
        raise ConfigError(f"{door}: reference: expected a folder, a run or latest, found an empty text")
    return str(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> Any:
    """A number of numpy as Python's own."""
    return None if value is None else operator.index(value)


def _called(name: str) -> Any:
    from irctl.origins import derived

    return derived(f"the argument {name}")
