"""What is recorded of a run, in run.json and in the ledger's table `runs`: names and kinds of its values."""

from __future__ import annotations

STATUSES = ("queued", "running", "completed", "failed", "killed", "preempted", "interrupted", "lost")

COMMANDS = ("hardneg", "train", "encode", "compress", "search", "eval", "export", "arms")
"""Those that make runs; arms: a group."""

RUN_COLUMNS = (
    "id", "name", "command", "method", "argv_json", "status", "exit_code", "signal", "error_kind", "error_msg",
    "created_at", "started_at", "heartbeat_at", "ended_at", "duration_s", "cpu_s", "gpu_s",
    "host", "pid", "pid_start_ticks", "boot_id", "user", "cwd", "run_dir", "runner", "profile",
    "world_size", "nnodes", "global_batch", "negatives_per_query",
    "slurm_job_id", "slurm_array_task_id", "slurm_restart_count",
    "git_commit", "git_branch", "git_dirty", "git_diff_sha256", "irctl_version", "python",
    "config_json", "config_sha256", "dataset", "dataset_fingerprint", "model", "model_fingerprint", "seed",
    "selected_on_eval", "parent_id", "group_id", "retry_of", "notes",
)  # fmt: skip

# What run.json must hold in these columns; the others are text.
INTEGERS = (
    "exit_code", "signal", "pid", "pid_start_ticks", "world_size", "nnodes", "global_batch", "negatives_per_query",
    "slurm_restart_count", "git_dirty", "seed", "selected_on_eval",
)  # fmt: skip

REALS = ("duration_s", "cpu_s", "gpu_s")

TIMES = ("created_at", "started_at", "heartbeat_at", "ended_at")
