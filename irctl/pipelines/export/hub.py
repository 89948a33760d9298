"""`irctl export --to hub` and `--to card`: a trained model, or a bundle as a data set, with what the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from irctl import files, hashing
from irctl.errors import ConfigError, DataError, EnvironmentUnfit, counted
from irctl.index import shards
from irctl.index.bundle import Bundle, is_bundle, open_bundle
from irctl.ledger import query, taken
from irctl.ledger.files import run_json
from irctl.ledger.query import RunRecord
from irctl.origins import derived
from irctl.pipelines.cards import bundle_card, elsewhere, folder_card, model_card, page
from irctl.pipelines.cards import results as known
from irctl.pipelines.export import local_paths
from irctl.pipelines.export.local_paths import Content
from irctl.pipelines.references import bundles
from irctl.pipelines.report.records import gather, open_per_query
from irctl.training.run_files.epoch_folders import STATE
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle

CARD, HUB = "card", "hub"
MADE = ("model", "bundle")
"""Kinds of artifacts that are handed on."""
T = TypeVar("T")


@dataclass(frozen=True)
class Outgoing:
    """What is to be handed on. sha256: what the ledger knows it by. files: what goes to a hub beside the card."""

    kind: str  # model or bundle
    folder: Path
    sha256: str
    card: str
    files: Mapping[str, Content] = field(default_factory=dict)
    edited: bytes = b""  # the card that somebody edited, which goes in its place

    @property
    def content(self) -> bytes:
        """Of the card that goes to a hub."""
        return self.edited or self.card.encode()

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that goes up, the card last."""
        sizes = {name: local_paths.size(content) for name, content in self.files.items()}
        return {**sizes, page.FILE: len(self.content)}

    @property
    def repo_type(self) -> str:
        return "model" if self.kind == "model" else "dataset"


def check(repo: str, to: str, *, private: bool = False) -> None:
    """ConfigError for a --repo that is missing, not for this format, or no OWNER/NAME."""
    if to != HUB and (repo or private):
        raise ConfigError(f"{f'--repo {repo}' if repo else '--private'}: goes with --to hub")
    if to == HUB:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        if "/" not in repo:
            raise ConfigError(
                f"--to hub: expected --repo OWNER/NAME, found '{repo}'", hint="For the card alone: --to card"
            )
        try:
            validate_repo_id(repo)
        except HFValidationError as e:
            raise ConfigError(f"--repo {repo}: {e}") from e


def find(source: str, repo: str = "") -> Outgoing:
    """The model that a run trained, else the bundle that it wrote. RUN:METHOD names a bundle, a folder what is in it.

    repo: OWNER/NAME where it is to go; its files are those for there.
    """
    path = Path(source)
    if is_bundle(path):
        return _of_bundle(path, repo)
    if path.is_dir() and not run_json.is_run(path):
        return _of_folder(path, repo)
    run_name, method = bundles.method_named(source)
    if method:
        return _of_bundle(bundles.folder_of(source), repo)
    run = _newest() if source == "latest" else query.find_run(run_name, completed=True, made=MADE)
    if query.artifacts(run, role="out", kind="model"):
        return _of_model(run, repo)
    if query.artifacts(run, role="out", kind="bundle"):
        return _of_bundle(bundles.of_run(run), repo)
    raise DataError(
        f"run {run.id} is a run of 'irctl {run.columns.get('command')}' and made neither a model nor a bundle",
        hint="irctl runs ls --command train, or --command compress",
    )


def _find_for(run: RunHandle, source: str, repo: str = "") -> Outgoing:
    """As find; what was meant by `latest` goes into the run's record."""
    shared = _with_own_card(find(source, repo), repo)
    if taken.is_open(source):
        taken.record(run, taken.name_of(shared.folder))
    return shared


def _with_own_card(shared: Outgoing, repo: str) -> Outgoing:
    """To a hub goes the card that somebody edited, where there is one; no other than UTF-8 (DataError)."""
    edited = page.read_edited(shared.folder) if repo else b""
    try:
        edited.decode()
    except UnicodeDecodeError as e:
        raise DataError(
            f"{shared.folder / page.FILE}: expected UTF-8, which hubs ask for, found {edited[e.start : e.end]!r}",
            hint="Save it as UTF-8, or move it away",
        ) from None
    return replace(shared, edited=edited)


def _newest() -> RunRecord:
    """The newest run that made a model or a bundle."""
    made = "SELECT DISTINCT run_id FROM artifacts WHERE role = 'out' AND kind IN ('model', 'bundle')"
    ids = {str(row["run_id"]) for row in query.rows(made)}
    newest = next((r for r in query.list_runs(status="completed") if r.id in ids), None)
    if newest is None:
        raise DataError("latest: no run made a model or a bundle yet", hint="irctl train, or irctl compress")
    return newest


def _of_model(run: RunRecord, repo: str, folder: Path | None = None) -> Outgoing:
    """folder: a copy of the model; default: the run's own."""
    found = known.of_model(run, model_card.base_of(run), gather(required=False), open_per_query())
    card, folder = model_card.make(run, found, repo=repo), folder or model_card.folder_of(run)
    key = str(run.columns["model_fingerprint"])
    return Outgoing("model", folder, key, str(card), _list_files(folder) if repo else {})


def _of_folder(folder: Path, repo: str) -> Outgoing:
    """A model by its folder: with its run's card where that is in the ledger, else with what the folder says."""
    from irctl import config
    from irctl.models.encoder import load_encoder

    for run in query.select("id = ?", (str(folder_card.read_own(folder).get("run") or ""),)):
        if run.paths.model.is_dir() and page.list_weights(model_card.folder_of(run)) == page.list_weights(folder):
            return _of_model(run, repo, folder)
    named = config.resolve({"model.name": (str(folder.absolute()), derived("the folder"))})
    key = load_encoder(named).fingerprint()
    card = folder_card.make(folder, key, known.of_folder(key, gather(required=False)), repo=repo)
    return Outgoing("model", folder, key, str(card), _list_files(folder) if repo else {})


def _list_files(folder: Path) -> dict[str, Content]:
    """What goes to a hub of a model's folder beside its card: no checkpoint's state."""
    below = [p for p in hashing.files_below(folder) if p != folder / page.FILE]
    return local_paths.of_folder(folder, [p for p in below if STATE not in p.relative_to(folder).parts])


def _of_bundle(folder: Path, repo: str) -> Outgoing:
    bundle: Bundle = open_bundle(folder, bundles.load_quantizer)
    found = known.of_bundle(bundle.fingerprint, gather(required=False), open_per_query())
    sql = "SELECT run_id FROM artifacts WHERE role = 'out' AND kind = 'bundle' AND sha256 = ? ORDER BY rowid"
    writers = [query.find_run(str(row["run_id"])) for row in query.rows(sql, (bundle.fingerprint,))]
    given = local_paths.of_bundle(bundle) if repo else {}
    sha256 = local_paths.sha256(given[shards.MANIFEST]) if given else ""
    card = bundle_card.make(bundle, writers[-1] if writers else None, found, repo=repo, manifest=sha256)
    return Outgoing("bundle", folder, bundle.fingerprint, str(card), given)


def describe(source: str, to: str, repo: str, private: bool) -> dict[str, Any]:
    """What --dry-run prints: where it would go, every file with its size, and the card. Asks no network."""
    shared = _with_own_card(find(source, repo), repo)
    sizes = shared.sizes()
    where = f"{'private ' if private else ''}{shared.repo_type} {repo}" if to == HUB else str(shared.folder)
    return {
        "export": {"from": str(shared.folder), "to": where, "bytes": sum(sizes.values())},
        "files": {name: f"{size} bytes" for name, size in sizes.items()},
        "card": shared.content.decode().splitlines(),
    }


def write_card(source: str, out: str | None, run: RunHandle) -> dict[str, Any]:
    """README.md with what the ledger knows now, in the folder of the model or bundle; the payload of --json."""
    shared = _find_for(run, source)
    target = Path(out) if out else shared.folder / page.FILE
    written = files.write_out(target, shared.card) if out else page.put(shared.folder, shared.card)
    run.note(method="export card")
    run.artifact("in", shared.kind, shared.folder, sha256=shared.sha256)
    payload = {"export": str(target), "format": CARD, "bytes": written.bytes, "source": str(shared.folder)}
    return {**payload, "ids": [str(target)]}


def upload(source: str, repo: str, private: bool, run: RunHandle, reporter: Reporter) -> dict[str, Any]:
    """Make the repository where there is none, and put everything there in one commit; the payload of --json.

    Raises EnvironmentUnfit where the hub cannot be reached or lets nobody in.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    shared = _find_for(run, source, repo)
    files.write_out(run.out / page.FILE, shared.content)
    run.note(method="export hub")
    run.artifact("in", shared.kind, shared.folder, sha256=shared.sha256)
    adds = [CommitOperationAdd(name, content) for name, content in shared.files.items()]
    adds.append(CommitOperationAdd(page.FILE, shared.content))
    size = sum(shared.sizes().values())
    if shared.edited:
        reporter.say(f"{shared.folder / page.FILE} was edited: it goes up as it is, not what the ledger has by now")
    reporter.say(f"{counted(len(adds), 'file')}, {size / 2**20:.1f} MiB, to the {shared.repo_type} repository {repo}")
    api = HfApi(library_name="irctl")
    made = _ask(lambda: api.create_repo(repo, repo_type=shared.repo_type, private=private or None, exist_ok=True), repo)
    message = f"irctl: {shared.kind} {shared.sha256[:12]}"
    done = _ask(lambda: api.create_commit(repo, adds, commit_message=message, repo_type=shared.repo_type), repo)
    run.event("info", elsewhere.UPLOADED, f"{repo}: {made} at {done.oid}")
    run.artifact("out", "export", run.out / page.FILE, format=HUB)
    payload = {"export": str(made), "format": HUB, "commit": done.oid, "bytes": size, "files": len(adds)}
    return {**payload, "source": str(shared.folder), "ids": [str(made)]}


def _ask(call: Callable[[], T], repo: str) -> T:
    """The hub's answer, or its refusal in one line. A missing token is an OSError, a refused file a cause."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    try:
        return call()
    except OfflineModeIsEnabled as e:
        raise EnvironmentUnfit(
            f"--repo {repo}: the hub is switched off (HF_HUB_OFFLINE)", hint="Unset it, or look with --dry-run"
        ) from e
    except (HTTPError, OSError, RuntimeError, ValueError) as e:  # a file that was refused; a card that is not valid
        refused = e.__cause__ if isinstance(e, RuntimeError) and e.__cause__ else e
        status = getattr(getattr(refused, "response", None), "status_code", 0)
        lines = [line.strip() for line in str(refused).splitlines() if line.strip()]
        said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]) or type(refused).__name__
        raise EnvironmentUnfit(
            f"--repo {repo}: nothing was uploaded ({said})",
            hint="Log in with hf auth login, or set HF_TOKEN to a token that may write there"
            if status in (401, 403) or "token" in str(refused).lower()
            else "Try again where the hub can be reached, or look with --dry-run",
        ) from e
