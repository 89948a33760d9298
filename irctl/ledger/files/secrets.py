"""Keeping secrets out of run folders and the ledger.

The environment is copied by allow-list, values of secret-looking options are masked, and every text that is written
is searched for the secret values that this process knows of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from irctl import config
from irctl.errors import ConfigError

MASK = "***"
SECRET_NAME = re.compile(
    # PWD alone is the current folder, and AUTHOR is no AUTH
    r"TOKEN|KEY|SECRET|PASSW|PASSPHRASE|CREDENTIAL|BEARER|PASS(?![A-Z])|[_.-]PWD(?![A-Z])|(?<![A-Z])(AUTH|PAT)(?![A-Z])",
    re.IGNORECASE,
)
SHORTEST_VALUE = 8  # a shorter one is masked where it stands; looked for elsewhere, a `2` would spoil ids and times

ALLOWED_ENV = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_CUDA_ALLOC_CONF",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "TOKENIZERS_PARALLELISM",
    "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE",
    "IRCTL_RUNS", "IRCTL_LEDGER", "IRCTL_LEDGER_JOURNAL", "IRCTL_CACHE", "IRCTL_SITE",
    "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_IB_DISABLE", "NCCL_P2P_DISABLE", "NCCL_ALGO", "NCCL_PROTO", "FI_PROVIDER",
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_NNODES", "SLURM_NTASKS",
    "SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT",
    "TMPDIR", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "LANG", "LC_ALL",
)  # fmt: skip

_URL_USER = re.compile(r"(?<=:/)(/?)[^/\s@'\"]+:[^/\s@'\"]+(?=@)")  # a Path of a URL has lost one slash
_URL_VALUE = re.compile(r"(?<=[?&;])([\w.-]+)=([^&;#\s'\"]+)")
_SIGNATURES = ("sig", "signature", "x-amz-signature", "x-goog-signature")  # parameters of signed URLs
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")


class Masker:
    """Masks one command line, and every later text that repeats a secret of it or of the environment."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.argv, from_argv = _mask_argv(argv)
        from_env = [v for name, v in environ.items() if SECRET_NAME.search(name) and name not in ALLOWED_ENV]
        long = {v for v in (*from_argv, *from_env) if len(v) >= SHORTEST_VALUE}
        self._values = sorted(long, key=len, reverse=True)  # longest first: one secret may begin with another
        self.argv = [self.text(word) for word in self.argv]
        self.env = {k: self.text(environ[k]) for k in ALLOWED_ENV if k in environ}

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        text = _URL_VALUE.sub(lambda m: f"{m[1]}={MASK}" if _is_secret_parameter(m[1]) else m[0], text)
        return _HUB_TOKEN.sub(MASK, _URL_USER.sub(rf"\1{MASK}", text))

    def environment(self) -> dict[str, str]:
        """What lets child processes know the secrets of this command line: variables whose name says what they are."""
        return {f"IRCTL_SECRET_{i}": value for i, value in enumerate(self._values)}

    def value(self, value: Any) -> Any:
        """The same for every string inside lists and dicts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {k: self.value(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value


def _is_secret_parameter(name: str) -> bool:
    return bool(SECRET_NAME.search(name)) or name.lower() in _SIGNATURES


def _mask_argv(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(argv with masks, the secrets found)."""
    masked: list[str] = []
    secrets: list[str] = []
    secret_next = False
    for word in argv:
        secrets += [m[2] for m in _URL_VALUE.finditer(word) if _is_secret_parameter(m[1])]
        name, sign, value = word.rpartition("=") if word.startswith("--set=") else word.partition("=")
        if secret_next and not word.startswith("--"):
            secrets.append(word)
            masked.append(MASK)
            secret_next = False
        elif sign and "?" not in name and _names_a_secret(name):  # values inside a URL are found above
            secrets.append(value)
            masked.append(f"{name}={MASK}")
        else:
            masked.append(word)
            secret_next = not sign and word.startswith("-") and _names_a_secret(word)
    return masked, secrets


def _names_a_secret(name: str) -> bool:
    """Whether an option or a key looks like a secret; a setting of irctl (`encoder.batch_tokens`) is not one."""
    if not SECRET_NAME.search(name):
        return False
    try:
        config.schema(name.removeprefix("--set="))
    except ConfigError:
        return True
    return False
