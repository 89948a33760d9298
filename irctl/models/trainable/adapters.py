"""LoRA and other PEFT adapters: trained on top of a model, or read from a folder and merged, always through peft.

transformers can read adapters too, but some of its releases ask for a peft that has not been published yet.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError, EnvironmentUnfit
from irctl.models.locate import ADAPTER, LocatedModel, locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER, ADAPTER_WEIGHTS, "adapter_model.bin")
OLDEST_PEFT = "0.18"
"""As in pyproject.toml."""


def is_adapter(located: LocatedModel) -> bool:
    """True for a folder that holds a PEFT adapter; its adapter_config.json names the model it belongs to."""
    return (located.folder / ADAPTER).is_file()


def require_peft(what: str) -> None:
    """Raise EnvironmentUnfit where peft is absent or too old. what: the setting or folder that needs it."""
    from packaging.version import Version

    try:
        import peft  # noqa: F401

        installed = metadata.version("peft")
    except ImportError as e:  # PackageNotFoundError is one
        raise EnvironmentUnfit(f"{what}: needs peft", hint="pip install 'irctl[lora]'") from e
    if Version(installed) < Version(OLDEST_PEFT):
        raise EnvironmentUnfit(
            f"{what}: needs peft {OLDEST_PEFT} or newer, found {installed}", hint="pip install -U 'irctl[lora]'"
        )


def add_lora(module: SentenceTransformer, rank: int, alpha: int, dropout: float) -> None:
    """Freeze the transformer and add trainable adapters to its linear layers."""
    require_peft("model.lora_r")
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
    )
    first: Any = module[0]
    first.model = get_peft_model(first.model, settings)


@contextlib.contextmanager
def link_without_adapter(located: LocatedModel) -> Iterator[LocatedModel]:
    """A folder of links that opens as the model an adapter belongs to, with what else lies beside the adapter.

    A folder without an adapter is given back as it is. Raises DataError where the adapter's files or its model are not
    there, EnvironmentUnfit without a fitting peft.
    """
    if not is_adapter(located):
        yield located
        return
    require_peft(str(located.folder))
    if not (located.folder / ADAPTER_WEIGHTS).is_file():
        raise DataError(f"{located.folder}: has {ADAPTER} but no {ADAPTER_WEIGHTS}", hint="No pickle is ever loaded")
    base = _locate_base(located)
    with tempfile.TemporaryDirectory(prefix="irctl-adapter-") as temporary:
        links = Path(temporary)
        for folder in (base.folder, located.folder):  # what lies beside the adapter wins
            for item in folder.iterdir():
                if item.name not in ADAPTER_FILES:
                    (links / item.name).unlink(missing_ok=True)
                    (links / item.name).symlink_to(item.resolve())
        try:
            yield replace(located, folder=links)
        except DataError as e:  # the links are gone when it is read
            shown = e.message.replace(str(links), f"{located.folder} on {base.folder}")
            raise DataError(shown, hint=e.hint.replace(str(links), str(base.folder))) from e


def _locate_base(located: LocatedModel) -> LocatedModel:
    """The model that an adapter was trained on, by the name in its adapter_config.json."""
    settings = _read_settings(located)
    name = str(settings.base_model_name_or_path or "")
    if not name:
        raise DataError(
            f"{located.folder / ADAPTER}: names no base_model_name_or_path", hint="Add the base model there"
        )
    base = locate(name, settings.revision or "")
    if is_adapter(base):
        raise DataError(
            f"{located.folder}: an adapter on another adapter ({base.folder})",
            hint="Merge it with peft and save the whole model",
        )
    return base


def _read_settings(located: LocatedModel) -> Any:
    from peft import PeftConfig

    try:
        return PeftConfig.from_pretrained(str(located.folder))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as e:
        raise DataError(f"{located.folder / ADAPTER}: no adapter that the installed peft knows ({e!r})") from e


def merge_adapter(module: SentenceTransformer, located: LocatedModel) -> None:
    """Add the adapter's weights to those of the model it belongs to: from here on it is a plain model.

    Raises DataError where adapter and model do not fit each other, or where the adapter cannot be merged.
    """
    from peft import get_peft_model
    from safetensors import SafetensorError

    first: Any = module[0]
    settings = _read_settings(located)
    first.model.name_or_path = settings.base_model_name_or_path  # not the folder of links, which is gone tomorrow
    try:
        adapted = get_peft_model(first.model, settings)
        result = adapted.load_adapter(str(located.folder), "default", torch_device="cpu")
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as e:
        raise DataError(f"{located.folder}: the adapter does not fit {settings.base_model_name_or_path} ({e})") from e
    if odd := [*result.missing_keys, *result.unexpected_keys]:
        raise DataError(
            f"{located.folder}: {len(odd)} weights of the adapter have no place in {settings.base_model_name_or_path},"
            f" or are missing, such as {odd[0]}"
        )
    if not hasattr(adapted.base_model, "merge_and_unload"):
        raise DataError(
            f"{located.folder}: an adapter that cannot be merged ({settings.peft_type.value})",
            hint="Merge it with peft and save the whole model",
        )
    try:
        first.model = adapted.merge_and_unload(safe_merge=True)
    except ValueError as e:  # not finite
        raise DataError(f"{located.folder}: the adapter cannot be merged ({e})") from e
    first.model.requires_grad_(True)
