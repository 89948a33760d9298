"""Job scripts: their golden text, the order of their lines, and the shipped ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from slurm_cluster import cluster
from workspace import Workspace, line_of, workspace

from irctl import paths, slurm
from irctl.commands.frame.slurm import steps
from irctl.config import from_sets, resolve
from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.origins import Kind, Origin

GOLDEN = """#!/bin/bash
#SBATCH --job-name=irctl-train
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=256G
#SBATCH --gres=gpu:8
#SBATCH --time=24:00:00
#SBATCH --account=lab
#SBATCH --signal=B:USR2@180
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
set -euo pipefail
module load python/3.12
source /home/me/venv/bin/activate
exec irctl train --loss ws2 --set 'run.name=a b'
"""


def test_a_job_script_is_this_text() -> None:
    wanted = slurm.Resources(name="irctl-train", time="24:00:00", cpus=32, memory="256G", gpus=8)
    where = slurm.Site(account="lab", modules=("python/3.12",), venv="/home/me/venv")
    assert slurm.script(["irctl", "train", "--loss", "ws2", "--set", "run.name=a b"], wanted, where) == GOLDEN


def test_an_sbatch_line_after_the_first_command_is_refused() -> None:
    with pytest.raises(ConfigError, match="job script:3"):
        slurm.check("#!/bin/bash\nset -e\n#SBATCH --time=1\n")


def test_a_site_that_needs_an_account_says_so() -> None:
    with pytest.raises(ConfigError, match="needs an account"):
        slurm.script(["irctl"], slurm.Resources(name="x"), slurm.Site(account_required=True))


def test_a_site_file_with_an_unknown_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text("partitoin = 'gpu'\n")
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "site.toml"))
    with pytest.raises(ConfigError, match="'partitoin' is not a site key"):
        slurm.site()


def test_gpus_that_a_job_holds_are_not_left_idle_by_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.check_devices(resolve())
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "8")
    with pytest.raises(EnvironmentUnfit, match=r"holds GPUs \(8\) and hardware\.device_kind is cpu"):
        slurm.check_devices(resolve())
    slurm.check_devices(resolve(from_sets(["hardware.device_kind=cpu"])))
    slurm.check_devices(resolve({"hardware.device_kind": ("cpu", Origin(Kind.FILE, "own.toml"))}))
    slurm.check_devices(resolve(from_sets(["hardware.device_kind=cuda"])))


def test_submitting_without_slurm_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match="no sbatch on PATH"):
        slurm.submit(tmp_path / "job.sbatch")


@pytest.mark.parametrize("runner", ["--runner slurm", "--runner=slurm"])
def test_a_job_runs_the_command_without_its_runner(runner: str, place: Workspace) -> None:
    scripts = place.ok(f"train {runner} --loss ws2 --set train.lr=1e-5 --dry-run --json").json["plan"]
    started = scripts["job.sbatch"].splitlines()[-1]
    assert started.startswith("exec irctl train --loss ws2 --set train.lr=1e-5 --json --resume ")


@pytest.mark.parametrize("name", ["train", "encode", "compress", "eval", "hardneg", "recipes"])
def test_a_shipped_wrapper_is_ten_lines_that_bash_can_read(name: str) -> None:
    file = paths.shipped("slurm") / f"{name}.sbatch"
    text = file.read_text()
    slurm.check(text)
    assert len(text.splitlines()) <= 10
    assert "set -euo pipefail" in text
    assert text.splitlines()[-1].startswith(f"exec irctl {name}") and text.rstrip().endswith('"$@"')
    assert subprocess.run(["bash", "-n", str(file)], check=False).returncode == 0


def test_a_compression_by_several_workers_is_three_jobs_over_one_folder() -> None:
    config = resolve(from_sets(["compress.workers=300"]))
    made = {s.name: s for s in steps(line_of("compress"), config.compress.workers, Path("/runs/r1"))}
    assert made["train"].argv[-3:] == ("--out", "/runs/r1/out", "--train-only")
    assert made["array"].array == "0-299%256" and made["array"].argv[-2:] == ("--out", "/runs/r1/out")
    assert made["job"].argv[-3:] == ("--finalize", "--resume", "/runs/r1")
    assert list(made) == ["train", "array", "job"]
    given = steps(line_of("compress --out x"), config.compress.workers, Path("/runs/r1"))
    assert all(s.argv.count("--out") == 1 for s in given)
    assert [s.name for s in steps(line_of("compress"), 1, Path("r"))] == ["job"]


def test_a_job_that_slurm_refuses_is_a_failed_run_and_the_jobs_before_it_are_named(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\ncase "$*" in *afterok*) echo QOSMaxSubmitJob >&2; exit 1;; esac\necho 41\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:/usr/bin:/bin")
    with workspace(tmp_path, tiny_encoder) as place:
        done = place.run("compress --set compress.workers=2 --runner slurm")
        shown = place.ok("runs show latest --json").json
    assert done.code == 1 and "QOSMaxSubmitJob" in done.err and done.err.endswith("scancel 41\n")
    assert (shown["status"], shown["error_kind"]) == ("failed", "RunFailed")


@pytest.mark.slow
def test_train_array_and_finalize_run_on_a_cluster_and_a_preempted_task_is_requeued(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four processes of irctl, one of them preempted and run again; the codes are those of one plain command."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    slurm_at = cluster(tmp_path / "slurm")
    line = "compress --method rabitq --data synthetic:60000,256,0.5 --stream --batch 500 --train-size 2000"
    with workspace(tmp_path, tiny_encoder) as place:
        (slurm_at / "usr2").write_text(str(tmp_path / "runs/*/out/codes/*_0002.npy"))
        sent = place.ok(f"{line} --set compress.workers=2 --runner slurm --json").json
        assert list(sent["jobs"]) == ["train", "array", "job"]
        logs = "".join(p.read_text() for p in slurm_at.glob("*.log"))
        assert {p.read_text() for p in slurm_at.glob("*.job")} == {"COMPLETED"}, logs
        assert (slurm_at / "requeues").read_text().split() == [sent["jobs"]["array"]], logs
        shown = place.ok(f"runs show {sent['run']} --json").json
        assert (shown["status"], shown["command"]) == ("completed", "compress")
        plain = place.ok(f"{line} --json").json
    theirs, ours = tmp_path / "runs" / sent["run"] / "out" / "codes", Path(plain["bundle"]) / "codes"
    names = sorted(p.name for p in ours.iterdir())
    assert names == sorted(p.name for p in theirs.iterdir()) and len(names) == 120
    assert all((ours / n).read_bytes() == (theirs / n).read_bytes() for n in names)


@pytest.mark.slow
def test_a_training_that_is_preempted_and_requeued_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    slurm_at = cluster(tmp_path / "slurm")
    line = (
        "train --max-steps 400 --batch 8 --set train.save=20 --set eval.during=off --set data.negatives=none "
        "--set encoder.passage_max_len=24 --set data.group_size=2"
    )
    with workspace(tmp_path, tiny_encoder) as place:
        (slurm_at / "usr2-job").write_text(str(tmp_path / "runs/*/checkpoints/step-20/irctl.json"))
        sent = place.ok(f"{line} --runner slurm --json").json
        logs = "".join(p.read_text() for p in slurm_at.glob("*.log"))
        assert (slurm_at / "requeues").read_text().split() == [sent["slurm_job_id"]], logs
        shown = place.ok(f"runs show {sent['run']} --json").json
        assert (shown["status"], shown["slurm_restart_count"]) == ("completed", 1), logs
        assert [e["code"] for e in shown["events"] if e["code"] in ("queued", "preempted", "completed")] == [
            "queued",
            "preempted",
            "completed",
        ]
        plain = place.ok(f"{line} --json").json
    theirs, ours = tmp_path / "runs" / sent["run"] / "model", Path(plain["model"])
    assert (theirs / "model.safetensors").read_bytes() == (ours / "model.safetensors").read_bytes()
