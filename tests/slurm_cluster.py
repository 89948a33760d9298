"""A Slurm of one machine for tests: sbatch runs the script at once, scontrol asks for a requeue, USR2 can be sent."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

SBATCH = """#!{python}
import os, re, signal, subprocess, sys, time
from pathlib import Path
here = Path(__file__).parent
options, script = sys.argv[1:-1], Path(sys.argv[-1])
after = [o.partition("=")[2].removeprefix("afterok:") for o in options if o.startswith("--dependency=")]
job = str(1 + max([0] + [int(p.stem) for p in here.glob("*.job")]))
state = here / (job + ".job")
state.write_text("PENDING")
print(job + ";cluster")
if any((here / (a + ".job")).read_text() != "COMPLETED" for a in after):
    sys.exit()
asked = re.search(r"#SBATCH --array=(\\d+)-(\\d+)", script.read_text())
tasks = [str(i) for i in range(int(asked[1]), int(asked[2]) + 1)] if asked else [""]
worst = 0
for task in tasks:
    restarts, requeue = 0, here / ("requeue." + job)
    while True:
        env = dict(os.environ, SLURM_JOB_ID=job, SLURM_RESTART_COUNT=str(restarts), SLURM_CPUS_PER_TASK="1")
        env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + env["PATH"]
        if task:
            env |= {{"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": str(len(tasks))}}
        with (here / f"{{job}}_{{task}}.log").open("ab") as log:
            child = subprocess.Popen(["bash", str(script)], env=env, stdout=log, stderr=log)
            word = here / ("usr2" if task else "usr2-job")
            if word.is_file():  # preempt the first array task (or the job) once it has finished something
                pattern = word.read_text()
                while child.poll() is None and not list(Path("/").glob(pattern.lstrip("/"))):
                    time.sleep(0.01)
                word.unlink()
                child.send_signal(signal.SIGUSR2)
            code = child.wait()
        if not requeue.is_file():
            break
        requeue.unlink()
        restarts += 1
    worst = max(worst, abs(code))
state.write_text("COMPLETED" if worst == 0 else "FAILED")
"""

SCONTROL = """#!{python}
import sys
from pathlib import Path
assert sys.argv[1] == "requeue"
(Path(__file__).parent / ("requeue." + sys.argv[2])).touch()
with (Path(__file__).parent / "requeues").open("a") as f:
    f.write(sys.argv[2] + "\\n")
"""


def cluster(folder: Path) -> Path:
    """Put sbatch and scontrol into `folder` and that on PATH; the caller puts PATH back. Returns the folder.

    A file `usr2` there holds a glob: the first array task gets USR2 once a file matches; `usr2-job` is the same for a
    plain job. N.job holds a job's end.
    """
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL)):
        file = folder / name
        file.write_text(text.format(python=sys.executable))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return folder
